import { expect, test } from "vitest";
import type { CallRow, QueryRow, RequestDetail, Trace, TraceNode } from "../../src/api/types";
import { curl, quote } from "../../src/state/copy";
import { open } from "../../src/state/trace";
import { waterfall } from "../../src/state/waterfall";

const request = (id: string, start: number, ms: number, more: Partial<RequestDetail> = {}): RequestDetail => ({
  ts: start + ms / 1000,
  start,
  service: "shop",
  method: "GET",
  route: "/a",
  path: "/a",
  status: 200,
  duration_ms: ms,
  error: null,
  request_id: id,
  queries: [],
  calls: [],
  ...more,
});
const query = (start: number, ms: number, sql = "SELECT ?", more: Partial<QueryRow> = {}): QueryRow => ({
  start,
  duration_ms: ms,
  sql,
  fingerprint: sql,
  rows: 1,
  ...more,
});
const call = (start: number, ms: number, path: string): CallRow => ({
  start,
  duration_ms: ms,
  method: "GET",
  host: "b:1",
  path,
  status: 200,
  error: null,
});
const node = (of: RequestDetail, children: TraceNode[] = []): TraceNode => ({ request: of, children });
const trace = (...roots: TraceNode[]): Trace => ({
  correlation_id: "c",
  requests: 1,
  truncated: false,
  start: 0,
  duration_ms: 0,
  roots,
});

test("a callee is nested in the call that carried it, wherever in the forest the request is", () => {
  const callee = request("b", 100.011, 8, { service: "pricing", path: "/quote", route: "/quote" });
  const caller = request("a", 100, 50, { calls: [call(100.001, 3, "/other"), call(100.01, 10, "/quote")] });
  const opened = open(trace(node(request("x", 99, 1)), node(caller, [node(callee)])), "a");
  expect(opened?.calls.map((one) => one.callee?.request_id ?? null)).toEqual([null, "b"]);
  expect(opened?.loose).toEqual([]);
  expect(open(trace(node(caller, [node(callee)])), "b")?.request_id).toBe("b");
});

test("two equal calls at once carry one callee each", () => {
  const children = [request("b1", 100.001, 5, { path: "/q" }), request("b2", 100.001, 5, { path: "/q" })].map((of) =>
    node(of),
  );
  const opened = open(
    trace(node(request("a", 100, 20, { calls: [call(100, 9, "/q"), call(100, 9, "/q")] }), children)),
    "a",
  );
  expect(opened?.calls.map((one) => one.callee?.request_id)).toEqual(["b1", "b2"]);
});

test("a caused request that no listed call carried stands by itself", () => {
  const opened = open(
    trace(
      node(request("a", 100, 20, { calls: [call(100, 2, "/q")] }), [node(request("b", 100.01, 5, { path: "/q" }))]),
    ),
    "a",
  );
  expect(opened?.calls[0]?.callee).toBeNull();
  expect(opened?.loose.map((one) => one.request_id)).toEqual(["b"]);
});

test("an unknown id opens the chain's first request; an empty trace opens nothing", () => {
  expect(open(trace(node(request("a", 0, 1))), "c")?.request_id).toBe("a");
  expect(open(trace(), "c")).toBeNull();
});

test("rows are in the order of their start, nested under what caused them", () => {
  const callee = request("b", 100.031, 8, { path: "/q", route: "/q", queries: [query(100.033, 2, "SELECT b")] });
  const opened = open(
    trace(
      node(
        request("a", 100, 50, {
          queries: [query(100.045, 1, "SELECT late"), query(100.002, 4, "SELECT early")],
          calls: [call(100.03, 10, "/q")],
        }),
        [node(callee)],
      ),
    ),
    "a",
  );
  const { rows, span } = waterfall(opened!);
  expect(rows.map((row) => [row.kind, row.depth, Math.round(row.at)])).toEqual([
    ["request", 0, 0],
    ["sql", 1, 2],
    ["call", 1, 30],
    ["request", 2, 31],
    ["sql", 3, 33],
    ["sql", 1, 45],
  ]);
  expect(span).toBeCloseTo(50, 3);
  expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
});

test("repeats fold into one row, and ten of them are an N+1", () => {
  const many = (n: number, more: Partial<QueryRow> = {}) =>
    Array.from({ length: n }, (_, i) => query(100 + i / 1000, 0.5, "SELECT x", more));
  const rowsOf = (queries: QueryRow[]) =>
    waterfall(open(trace(node(request("a", 100, 50, { queries }))), "a")!).rows.slice(1);
  expect(rowsOf(many(2)).map((row) => row.pieces.length)).toEqual([1, 1]);
  const [nine] = rowsOf(many(9));
  expect([nine?.pieces.length, nine?.nPlusOne, nine?.rows]).toEqual([9, false, 9]);
  const [ten] = rowsOf(many(10));
  expect([ten?.pieces.length, ten?.nPlusOne, ten?.busy]).toEqual([10, true, 5]);
  expect(ten?.ms).toBeCloseTo(9.5, 3);
  expect(rowsOf(many(12, { is_transaction_control: true }))[0]?.nPlusOne).toBe(false);
});

test("a circle in wrong data does not hang the page", () => {
  const circle = open(trace(node(request("a", 100, 5))), "a")!;
  circle.loose.push(circle);
  expect(waterfall(circle).rows.length).toBeLessThan(20);
});

test("curl holds method, host and path, quoted for the shell", () => {
  expect(curl(request("a", 0, 1, { host: "shop.example:8000", path: "/users/42" }))).toBe(
    "curl http://shop.example:8000/users/42",
  );
  expect(curl(request("a", 0, 1, { method: "POST", tls: true, host: "h", path: "/a';rm -rf /" }))).toBe(
    String.raw`curl -X POST 'https://h/a'\'';rm -rf /'`,
  );
  expect(quote("$(id)")).toBe("'$(id)'");
});
