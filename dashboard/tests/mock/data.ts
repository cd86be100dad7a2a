/** A small shop with traffic: events, queries and calls that the mock's answers are computed from. Always the same for one `now`. */

import type { CallRow, ExceptionRow, QueryRow, RequestRow } from "../../src/api/types";

type Of = { ts: number; request: string; service: string };
export interface Served extends RequestRow {
  start: number;
  exception: ExceptionRow | null;
  client: string;
  user_agent: string;
  host: string;
  protocol: string;
  request_bytes: number;
  response_bytes: number;
}
export interface Shop {
  events: Served[];
  queries: (QueryRow & Of)[];
  calls: (CallRow & Of)[];
}

interface Statement {
  sql: string;
  operation: string;
  table: string;
  ms: number;
  times: number;
  rows: number;
}
interface RouteSpec {
  service: string;
  method: string;
  route: string;
  path: (n: number) => string;
  file: string;
  line: number;
  fn: string;
  weight: number;
  own: number;
  sql: Statement[];
  calls: { method: string; host: string; path: string; ms: number; to?: string }[];
  fail?: { rate: number; type: string; message: string; traceback: string; status: number };
}

const sql = (text: string, table: string, ms: number, times = 1, rows = 1): Statement => ({
  sql: text,
  operation: text.split(" ")[0] ?? "",
  table,
  ms,
  times,
  rows,
});

const TIMEOUT = `Traceback (most recent call last):
  File "/srv/shop/.venv/lib/python3.12/site-packages/starlette/routing.py", line 76, in app
    response = await f(request)
  File "/srv/shop/src/shop/api/checkout.py", line 88, in checkout
    receipt = await payments.charge(order, token)
  File "/srv/shop/src/shop/payments.py", line 41, in charge
    response = await client.post("/v1/charges", json=body, timeout=2.0)
  File "/srv/shop/.venv/lib/python3.12/site-packages/httpx/_transports/default.py", line 118, in map_httpcore_exceptions
    raise mapped_exc(message) from exc
httpx.ReadTimeout: the payment provider did not answer within 2.0 s
`;
const KEYERROR = `Traceback (most recent call last):
  File "/srv/shop/src/shop/api/cart.py", line 52, in get_cart
    total = sum(line["price"] * line["quantity"] for line in cart.lines)
  File "/srv/shop/src/shop/api/cart.py", line 52, in <genexpr>
    total = sum(line["price"] * line["quantity"] for line in cart.lines)
KeyError: 'price'
`;

export const ROUTES: readonly RouteSpec[] = [
  {
    service: "shop-api",
    method: "GET",
    route: "/products",
    path: () => "/products",
    file: "api/products.py",
    line: 21,
    fn: "list_products",
    weight: 30,
    own: 3.1,
    sql: [sql("SELECT id, name, price FROM products WHERE active = ? ORDER BY name LIMIT ?", "products", 4.2, 1, 50)],
    calls: [],
  },
  {
    service: "shop-api",
    method: "GET",
    route: "/products/{product_id}",
    path: (n) => `/products/${n}`,
    file: "api/products.py",
    line: 38,
    fn: "get_product",
    weight: 24,
    own: 1.4,
    sql: [sql("SELECT id, name, price, stock FROM products WHERE id = ?", "products", 0.9)],
    calls: [],
  },
  {
    service: "shop-api",
    method: "GET",
    route: "/orders",
    path: () => "/orders",
    file: "api/orders.py",
    line: 17,
    fn: "list_orders",
    weight: 9,
    own: 6,
    sql: [
      sql(
        "SELECT id, customer_id, placed_at FROM orders WHERE customer_id = ? ORDER BY placed_at DESC LIMIT ?",
        "orders",
        2.1,
        1,
        25,
      ),
      sql("SELECT id, order_id, product_id, quantity FROM order_lines WHERE order_id = ?", "order_lines", 0.8, 25, 3),
    ],
    calls: [],
  },
  {
    service: "shop-api",
    method: "POST",
    route: "/checkout",
    path: () => "/checkout",
    file: "api/checkout.py",
    line: 61,
    fn: "checkout",
    weight: 5,
    own: 5,
    sql: [
      sql("INSERT INTO orders (customer_id, total) VALUES (?, ?) RETURNING id", "orders", 1.8),
      sql("UPDATE products SET stock = stock - ? WHERE id = ?", "products", 1.1, 3),
    ],
    calls: [
      { method: "POST", host: "pricing:8001", path: "/quote", ms: 18, to: "POST /quote" },
      { method: "POST", host: "api.payments.example", path: "/v1/charges", ms: 142 },
    ],
    fail: {
      rate: 0.04,
      type: "httpx.ReadTimeout",
      message: "the payment provider did not answer within 2.0 s",
      traceback: TIMEOUT,
      status: 500,
    },
  },
  {
    service: "shop-api",
    method: "GET",
    route: "/cart/{cart_id}",
    path: (n) => `/cart/${n}`,
    file: "api/cart.py",
    line: 44,
    fn: "get_cart",
    weight: 12,
    own: 1.9,
    sql: [sql("SELECT lines FROM carts WHERE id = ?", "carts", 0.7)],
    calls: [],
    fail: { rate: 0.015, type: "KeyError", message: "'price'", traceback: KEYERROR, status: 500 },
  },
  {
    service: "shop-api",
    method: "GET",
    route: "/search",
    path: () => "/search",
    file: "api/search.py",
    line: 12,
    fn: "search",
    weight: 8,
    own: 4,
    sql: [
      sql(
        "SELECT id, name, ts_rank(document, to_tsquery(?)) AS rank FROM products WHERE document @@ to_tsquery(?) ORDER BY rank DESC LIMIT ?",
        "products",
        61,
        1,
        20,
      ),
    ],
    calls: [],
  },
  {
    service: "shop-api",
    method: "GET",
    route: "/healthz",
    path: () => "/healthz",
    file: "main.py",
    line: 9,
    fn: "healthz",
    weight: 6,
    own: 0.3,
    sql: [],
    calls: [],
  },
  {
    service: "pricing",
    method: "POST",
    route: "/quote",
    path: () => "/quote",
    file: "app.py",
    line: 30,
    fn: "quote",
    weight: 0,
    own: 4.4,
    sql: [sql("SELECT rule, factor FROM discounts WHERE valid_until > now()", "discounts", 7.7, 1, 12)],
    calls: [{ method: "GET", host: "rates.example", path: "/latest", ms: 6 }],
  },
];

/** A small generator of evenly spread numbers (mulberry32), so that each run sees the same shop. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The shop's last `seconds` seconds before `now`, at about `rps` requests a second. */
export function makeShop(now: number, seconds: number, rps: number): Shop {
  const next = random(7);
  const spread = () => 0.6 + 0.5 * next() + (next() < 0.04 ? 3 * next() : 0);
  const shop: Shop = { events: [], queries: [], calls: [] };
  const weights = ROUTES.reduce((sum, route) => sum + route.weight, 0);
  let id = 0;

  const serve = (
    spec: RouteSpec,
    end: number,
    parent: string | null,
    chain: string | null,
    asked = "shop.example",
  ): { id: string; ms: number } => {
    id += 1;
    const request = `r-${id.toString(16).padStart(6, "0")}`;
    const correlation = chain ?? request;
    const failed = spec.fail && next() < spec.fail.rate ? spec.fail : null;
    let db = 0;
    let queries = 0;
    let out = 0;
    let at = end;
    for (const statement of spec.sql) {
      for (let i = 0; i < statement.times; i += 1) {
        const took = statement.ms * spread();
        db += took;
        queries += 1;
        at += took / 1000;
        shop.queries.push({
          ts: at,
          start: at - took / 1000,
          request,
          service: spec.service,
          sql: statement.sql,
          fingerprint: hash(statement.sql),
          system: "postgresql",
          operation: statement.operation,
          table: statement.table,
          rows: statement.rows,
          duration_ms: took,
          error_code: failed && statement.operation === "UPDATE" ? "40001" : null,
          error: null,
          link: "context",
          call_site: `${spec.file}:${spec.line + 4} ${spec.fn}`,
        });
      }
    }
    for (const call of spec.calls) {
      const timedOut = failed?.type === "httpx.ReadTimeout" && call.host === "api.payments.example";
      const callee = call.to ? ROUTES.find((route) => `${route.method} ${route.route}` === call.to) : undefined;
      const inner = callee ? serve(callee, at, request, correlation, call.host) : null;
      const took = timedOut ? 2000 : (inner?.ms ?? call.ms * spread()) + 0.6;
      out += took;
      at += took / 1000;
      shop.calls.push({
        ts: at,
        start: at - took / 1000,
        request,
        service: spec.service,
        method: call.method,
        host: call.host,
        path: call.path,
        status: timedOut ? 0 : 200,
        duration_ms: took,
        error: timedOut ? "timed out" : null,
        link: "context",
        call_site: `${spec.file}:${spec.line + 9} ${spec.fn}`,
      });
    }
    const own = spec.own * spread();
    const took = own + db + out;
    shop.events.push({
      ts: end + took / 1000,
      start: end,
      service: spec.service,
      pid: spec.service === "pricing" ? 4410 : 4301 + (id % 2),
      method: spec.method,
      route: spec.route,
      path: spec.path(100 + (id % 900)),
      status: failed ? failed.status : spec.method === "POST" ? 201 : 200,
      duration_ms: took,
      ttfb_ms: took - 0.2,
      queue_ms: own * 0.1,
      error: failed ? `${failed.type}: ${failed.message}` : null,
      request_id: request,
      correlation_id: correlation,
      parent_id: parent,
      exception: failed
        ? {
            error_type: failed.type,
            error_message: failed.message,
            error_traceback: failed.traceback,
            error_fingerprint: hash(failed.traceback),
            error_locals: null,
            // What handled the one kind was not seen.
            error_link: failed.type === "KeyError" ? "raised" : "context",
          }
        : null,
      db_query_count: queries,
      db_total_ms: db,
      outgoing_count: spec.calls.length,
      outgoing_total_ms: out,
      n_plus_one: spec.sql.some((s) => s.times >= 10) ? hash(spec.sql[1]?.sql ?? "") : null,
      client: "127.0.0.1:52114",
      user_agent: "python-httpx/0.27",
      host: asked,
      protocol: "http/1.1",
      request_bytes: 312,
      response_bytes: 1840,
    });
    return { id: request, ms: took };
  };

  for (let second = 0; second < seconds; second += 1) {
    const wave = rps * (1 + 0.35 * Math.sin(second / 45) + 0.15 * Math.sin(second / 7)) * (0.85 + 0.3 * next());
    for (let i = 0; i < wave; i += 1) {
      let pick = next() * weights;
      const spec = ROUTES.find((route) => (pick -= route.weight) < 0) ?? ROUTES[0];
      if (spec) serve(spec, now - seconds + second + next(), null, null);
    }
  }
  shop.events.sort((a, b) => b.ts - a.ts);
  return shop;
}

/** A short stable name for a text. */
export function hash(text: string): string {
  let h = 0x811c9dc5;
  for (const char of text) h = Math.imul(h ^ char.charCodeAt(0), 0x01000193);
  return (h >>> 0).toString(16).padStart(8, "0");
}
