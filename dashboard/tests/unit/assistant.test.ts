import { expect, test } from "vitest";
import type { ErrorGroup, RouteSnapshot } from "../../src/api/types";
import { loadSettings, PROVIDERS, ready, saveSettings } from "../../src/state/assistant";
import { errorClass, frames, routeFacts, scrubSql } from "../../src/state/question";

test.each([
  ["SELECT * FROM t WHERE a = 'o''brien' AND b = 42", "SELECT * FROM t WHERE a = ? AND b = ?"],
  ['SELECT "users"."id" FROM "users" WHERE x = "a secret"', 'SELECT "users"."id" FROM "users" WHERE x = ?'],
  ["SELECT $tag$hidden$tag$, $1, table2.col3", "SELECT ?, $1, table2.col3"],
  ["VALUES (1.5, -3, 2e9, 'cut off", "VALUES (?, -?, ?, ?"],
  ["SELECT 'a\\'b' , E'x\\\\'", "SELECT ? , E?"],
])("no literal of %s goes out", (sql, scrubbed) => expect(scrubSql(sql)).toBe(scrubbed));

test.each([
  ["KeyError: 'token-123'", "KeyError"],
  ["app.errors.Gone: user 7", "app.errors.Gone"],
  ["Timeout", "Timeout"],
  ["client disconnected before", null],
  [null, null],
])("of the error %s only the class is kept", (text, kept) => expect(errorClass(text)).toBe(kept));

const TRACEBACK = `Traceback (most recent call last):
  File "/srv/app/src/shop/pay.py", line 41, in charge
    raise Declined("card 4111111111111111")
shop.Declined: card 4111111111111111
`;

test("a traceback goes out as places, without source lines or message", () => {
  expect(frames(TRACEBACK)).toEqual(["shop/pay.py:41 charge"]);
  expect(frames(null)).toEqual([]);
});

test("what is sent of a route holds no value that a user of the app gave", () => {
  const snapshot: RouteSnapshot = {
    service: "shop",
    method: "POST",
    route: "/pay",
    window_seconds: 300,
    total_requests: 9,
    errors: 1,
    error_rate: 0.1,
    rps: 0.03,
    avg_duration_ms: 5,
    max_duration_ms: 9,
    min_duration_ms: 1,
    error_breakdown: [{ status: 500, error: "shop.Declined: card SECRET-1", count: 1 }],
    db: {
      avg_queries_per_request: 1,
      max_queries_per_request: 1,
      avg_db_ms: 1,
      max_db_ms: 1,
      worst_request: {
        queries: 1,
        db_total_ms: 1,
        request_total_ms: 5,
        slowest: [{ sql: "SELECT 'SECRET-2'", ms: 1 }],
      },
    },
    outgoing: [{ host: "api.example", calls: 1, avg_ms: 1, max_ms: 1, errors: 0 }],
  };
  const group: ErrorGroup = {
    fingerprint: "f",
    error_type: "shop.Declined",
    error_message: "SECRET-3",
    count: 1,
    first_seen: 0,
    last_seen: 0,
    routes_count: 1,
    sample_traceback: TRACEBACK.replaceAll("card 4111111111111111", "SECRET-4"),
    affected_routes: [{ method: "POST", route: "/pay", count: 1 }],
  };
  const sent = JSON.stringify(
    routeFacts(snapshot, [group, { ...group, affected_routes: [{ method: "GET", route: "/else", count: 1 }] }]),
  );
  expect(sent).not.toContain("SECRET");
  expect(sent).toContain("shop/pay.py:41 charge");
  expect(JSON.parse(sent).exceptions).toHaveLength(1);
});

test("settings come back as they were kept; garbage takes the defaults", () => {
  const held = new Map<string, string>();
  const storage = {
    getItem: (key: string) => held.get(key) ?? null,
    setItem: (key: string, value: string) => {
      held.set(key, value);
    },
  };
  expect(loadSettings(storage).provider).toBe("anthropic");
  saveSettings({ provider: "openai", model: "m", key: "k" }, storage);
  expect(loadSettings(storage)).toEqual({ provider: "openai", model: "m", key: "k" });
  for (const key of held.keys()) held.set(key, "{broken");
  expect(loadSettings(storage).provider).toBe("anthropic");
  expect(loadSettings({ getItem: () => '{"provider":"__proto__"}' }).provider).toBe("anthropic");
});

test("a local assistant needs no key", () => {
  expect(ready({ provider: "ollama", model: "m", key: "" })).toBe(true);
  expect(ready({ provider: "openai", model: "m", key: "" })).toBe(false);
});

test.each([
  ["anthropic", { content: [{ type: "text", text: "Hello" }] }],
  ["openai", { choices: [{ message: { content: "Hello" } }] }],
  ["ollama", { message: { content: "Hello" } }],
] as const)("the answer of %s is found in its reply", (name, reply) => {
  expect(PROVIDERS[name].answer(reply)).toBe("Hello");
  expect(PROVIDERS[name].answer({})).toBeUndefined();
});
