import { expect, test } from "vitest";
import type { CallRow, QueryRow, Trace } from "../../src/api/types";
import { curl, quote } from "../../src/state/copy";
import { open } from "../../src/state/trace";
import { waterfall } from "../../src/state/waterfall";

const request = (id: string, start: number, ms: number, more: Partial<Trace> = {}): Trace => ({
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
  error_type: null,
  error_message: null,
  error_traceback: null,
  error_fingerprint: null,
  error_locals: null,
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
test("a request is found wherever in the tree it is; else the first cause is shown", () => {
  const leaf = request("leaf", 100.02, 1);
  const callee = request("callee", 100.01, 8, { children: [leaf] });
  const root = request("root", 100, 50, { calls: [call(100, 1, "/x"), { ...call(100.01, 9, "/a"), callee }] });
  expect(open(root, "leaf")).toBe(leaf);
  expect(open(root, "callee")).toBe(callee);
  expect(open(root, "the chain's id")).toBe(root);
});

test("rows are in the order of their start, nested under what caused them", () => {
  const callee = request("b", 100.031, 8, { path: "/q", route: "/q", queries: [query(100.033, 2, "SELECT b")] });
  const { rows, span } = waterfall(
    request("a", 100, 50, {
      queries: [query(100.045, 1, "SELECT late"), query(100.002, 4, "SELECT early")],
      calls: [{ ...call(100.03, 10, "/q"), callee }],
      children: [request("c", 100.048, 1)],
    }),
  );
  expect(rows.map((row) => [row.kind, row.depth, Math.round(row.at)])).toEqual([
    ["request", 0, 0],
    ["sql", 1, 2],
    ["call", 1, 30],
    ["request", 2, 31],
    ["sql", 3, 33],
    ["sql", 1, 45],
    ["request", 1, 48],
  ]);
  expect(span).toBeCloseTo(50, 3);
  expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
});

test("repeats fold into one row, and ten of them are an N+1", () => {
  const many = (n: number, more: Partial<QueryRow> = {}) =>
    Array.from({ length: n }, (_, i) => query(100 + i / 1000, 0.5, "SELECT x", more));
  const rowsOf = (queries: QueryRow[]) => waterfall(request("a", 100, 50, { queries })).rows.slice(1);
  expect(rowsOf(many(2)).map((row) => row.pieces.length)).toEqual([1, 1]);
  const [nine] = rowsOf(many(9));
  expect([nine?.pieces.length, nine?.nPlusOne, nine?.rows]).toEqual([9, false, 9]);
  const [ten] = rowsOf(many(10));
  expect([ten?.pieces.length, ten?.nPlusOne, ten?.busy]).toEqual([10, true, 5]);
  expect(ten?.ms).toBeCloseTo(9.5, 3);
  expect(rowsOf(many(12, { is_transaction_control: true }))[0]?.nPlusOne).toBe(false);
});

test("a circle in wrong data does not hang the page", () => {
  const children: Trace[] = [];
  const circle = request("a", 100, 5, { children });
  children.push(circle);
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
