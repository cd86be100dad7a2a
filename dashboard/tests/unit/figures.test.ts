import { expect, test } from "vitest";
import type { DiscoveredRoute, Route, Status } from "../../src/api/types";
import { answered, graph, MAX_EDGES, width } from "../../src/state/graph";
import { blind, lost } from "../../src/state/health";
import { grid, ticks } from "../../src/state/heat";
import { sqlState } from "../../src/state/sqlstate";
import { sorted } from "../../src/state/sort";
import { inFolder, tree } from "../../src/state/tree";

const route = (method: string, name: string, total: number, errors = 0, avg = 10): Route => ({
  method,
  route: name,
  rps: total / 100,
  total,
  errors,
  error_rate: errors / total,
  avg_ms: avg,
  max_ms: avg,
  avg_db_queries: null,
  avg_db_ms: null,
  avg_outgoing: null,
  avg_outgoing_ms: null,
});
const found = (file: string, method: string, name: string, line = 1, service = "shop"): DiscoveredRoute => ({
  service,
  framework: "fastapi",
  method,
  route: name,
  file,
  line,
  function: "f",
  scanned_at: 0,
  scan_root: "/srv",
});

test("figures are summed up the tree; folders come first; a star serves any method", () => {
  const [root] = tree(
    [
      found("z.py", "GET", "/z"),
      found("api/b.py", "*", "/b", 9),
      found("api/a.py", "GET", "/a"),
      found("api/b.py", "GET", "/c", 3),
    ],
    [route("GET", "/a", 10, 1), route("GET", "/b", 20, 0, 1), route("POST", "/b", 20, 2, 3)],
  );
  expect([root?.total, root?.errors]).toEqual([50, 3]);
  expect(root?.children.map((node) => [node.kind, node.name, node.total])).toEqual([
    ["folder", "api", 50],
    ["file", "z.py", 0],
  ]);
  expect(root?.children[0]?.children.map((node) => node.path)).toEqual(["api/a.py", "api/b.py"]);
  expect(root?.children[0]?.children[1]?.routes.map((leaf) => [leaf.route, leaf.total, leaf.avg])).toEqual([
    ["/c", 0, null],
    ["/b", 40, 2],
  ]);
});

test("each service has its own share of a route that several serve", () => {
  const shared: Route = {
    ...route("GET", "/health", 30, 3),
    services: ["shop", "stock"],
    by_service: [
      { service: "shop", total: 20, errors: 3, avg_ms: 1 },
      { service: "stock", total: 10, errors: 0, avg_ms: 2 },
    ],
  };
  const roots = tree(
    ["shop", "stock", "idle"].map((service) => found("app.py", "GET", "/health", 1, service)),
    [shared],
  );
  expect(roots.map((root) => [root.name, root.total, root.errors])).toEqual([
    ["idle", 0, 0],
    ["shop", 20, 3],
    ["stock", 10, 0],
  ]);
});

test("a folder holds the routes whose handler lies in it, not those of a namesake", () => {
  const rows = [route("GET", "/a", 1), route("GET", "/b", 1), route("GET", "/c", 1)];
  const discovered = [
    found("api/a.py", "GET", "/a"),
    found("api2/b.py", "GET", "/b"),
    found("api/c.py", "GET", "/c", 1, "other"),
  ];
  expect(inFolder(rows, discovered, "shop", "api").map((row) => row.route)).toEqual(["/a"]);
  expect(inFolder(rows, discovered, "", "api").map((row) => row.route)).toEqual(["/a", "/c"]);
  expect(inFolder(rows, discovered, "shop", "")).toBe(rows);
});

test("the heatmap keeps the bands that hold something, slow ones on top", () => {
  const cells = grid(
    {
      bucket_seconds: 5,
      bounds_ms: [2, 4, 8],
      columns: [
        { ts: 100, counts: [0, 3, 0, 0] },
        { ts: 110, counts: [0, 1, 7, 0] },
        { ts: 115, counts: [0, 2, 0, 0] },
        { ts: 60, counts: [9, 9, 9, 9] },
      ],
    },
    20,
    117,
  );
  expect(cells?.bands).toEqual([
    { from: 4, to: 8 },
    { from: 2, to: 4 },
  ]);
  expect(cells?.cells).toEqual([
    [0, 0, 7, 0],
    [3, 0, 1, 2],
  ]);
  expect([cells?.from, cells?.buckets, cells?.most]).toEqual([100, 4, 7]);
  expect(grid({ bucket_seconds: 5, bounds_ms: [], columns: [] }, 20, 117)).toBeNull();
  // Bands of 4 to 8 ms and, beneath, 2 to 4 ms: 5 ms is a third of the way up the upper one.
  expect(cells && ticks(cells).map(({ ms, at }) => [ms, Math.round(at * 100)])).toEqual([
    [5, 68],
    [2, 200],
  ]);
});

test("the graph joins routes, hosts and callees, and leaves out the quiet edges of a crowd", () => {
  const edge = { host: "db.example", calls: 10, errors: 1, error_rate: 0.1, avg_ms: 1, max_ms: 1, total_ms: 10 };
  const made = graph(
    [route("GET", "/a", 50, 5)],
    [
      { ...edge, method: "GET", route: "/a" },
      { ...edge, calls: 30, errors: 3, method: "GET", route: "/b" },
      { ...edge, calls: 4, errors: 0, method: "GET", route: "/a", host: "pricing:8001" },
    ],
    [
      {
        parent_method: "GET",
        parent_route: "/a",
        child_method: "POST",
        child_route: "/q",
        count: 4,
        child_avg_ms: 1,
        child_errors: 0,
        parent_service: "shop",
        child_service: "pricing",
        hosts: [{ host: "pricing:8001", count: 4 }],
      },
    ],
  );
  // The calls to the other host are those that its route answered.
  expect(made.nodes.filter((node) => node.kind === "host")).toMatchObject([
    { label: "db.example", total: 40, errorRate: 0.1 },
  ]);
  expect(made.nodes.find((node) => node.label === "/a")).toMatchObject({ service: "shop", total: 50, errorRate: 0.1 });
  expect(made.edges.map((one) => one.count)).toEqual([30, 10, 4]);
  const crowd = graph(
    [],
    Array.from({ length: MAX_EDGES + 5 }, (_, i) => ({ ...edge, calls: i + 1, method: "GET", route: `/${i}` })),
    [],
  );
  expect([crowd.edges.length, crowd.hidden, crowd.edges.at(-1)?.count]).toEqual([MAX_EDGES, 5, 6]);
  expect(width(100, 100)).toBeGreaterThan(width(10, 100));
});

test("routes of one name in two services are two places", () => {
  const both = {
    ...route("GET", "/orders", 30, 0),
    services: ["gateway", "orders"],
    by_service: [
      { service: "gateway", total: 20, errors: 0, avg_ms: 1 },
      { service: "orders", total: 10, errors: 0, avg_ms: 1 },
    ],
  };
  const made = graph(
    [both],
    [],
    [
      {
        parent_method: "GET",
        parent_route: "/orders",
        parent_service: "gateway",
        child_method: "GET",
        child_route: "/orders",
        child_service: "orders",
        count: 10,
        child_avg_ms: 1,
        child_errors: 0,
      },
    ],
  );
  expect(made.nodes.map((node) => [node.service, node.total])).toEqual([
    ["gateway", 20],
    ["orders", 10],
  ]);
  expect(made.edges[0]?.from).not.toBe(made.edges[0]?.to);
});

test("a host is drawn as long as some of its calls have no known answerer", () => {
  const edge = { method: "GET", route: "/a", host: "b:1", errors: 0, error_rate: 0, avg_ms: 1, max_ms: 1, total_ms: 1 };
  const chain = { parent_method: "GET", parent_route: "/a", child_method: "GET", child_avg_ms: 1, child_errors: 0 };
  const known = (count: number, host = "b:1") => ({
    ...chain,
    child_route: `/${count}`,
    count,
    hosts: [{ host, count }],
  });
  const hidden = (calls: number, ...chains: ReturnType<typeof known>[]) => answered({ ...edge, calls }, chains);
  expect(hidden(100, known(60), known(40))).toBe(true);
  expect(hidden(100, known(60), known(38))).toBe(true);
  expect(hidden(100, known(60), known(37))).toBe(false);
  expect(hidden(2, known(1))).toBe(true);
  expect(hidden(1)).toBe(false);
  expect(hidden(4, known(4, "c:1"))).toBe(false);
  expect(hidden(4, { ...known(4), parent_route: "/b" })).toBe(false);
  // What failed and has no answerer is on the host's edge alone.
  const refused = { ...edge, calls: 100, errors: 1 };
  expect(answered(refused, [known(99)])).toBe(false);
  expect(answered(refused, [{ ...known(100), child_errors: 1 }])).toBe(true);
  const { hosts: _, ...older } = known(4);
  expect(answered({ ...edge, calls: 4 }, [older])).toBe(false);
});

test("a SQLSTATE is named, else its class is, else nothing is", () => {
  expect([sqlState("23505"), sqlState("23999"), sqlState("99999"), sqlState("1062")]).toEqual([
    "unique violation",
    "integrity constraint violation",
    null,
    null,
  ]);
});

test("tables sort with the unknown last, either way, and keep the order of equals", () => {
  const by = { by: (row: { n: number | null }) => row.n };
  const rows = [
    { n: null, k: 0 },
    { n: 2, k: 1 },
    { n: 1, k: 2 },
    { n: 2, k: 3 },
  ];
  expect(sorted(rows, by, true)).toEqual([rows[1], rows[3], rows[2], rows[0]]);
  expect(sorted(rows, by, false)).toEqual([rows[2], rows[1], rows[3], rows[0]]);
});

test("only losses that happened and processes seen in part need the eye", () => {
  const status: Status = {
    processes: [
      { pid: 1, service: "a", probes: [{ name: "tls", attached: false }] },
      { pid: 2, service: "b", probes: [{ name: "tls", attached: true }] },
      { pid: 3, service: "c" },
      { pid: 4, service: "d", state: "exited", probes: [{ name: "tls", attached: false }] },
    ],
    losses: [
      { name: "gaps", count: 0 },
      { name: "ring_full", count: 3 },
      { name: "connects_retried", count: 5 },
    ],
  };
  expect(blind(status).map((row) => row.pid)).toEqual([1]);
  expect(lost(status).map((row) => row.name)).toEqual(["ring_full"]);
});
