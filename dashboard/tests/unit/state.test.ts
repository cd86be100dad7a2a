import { expect, test } from "vitest";
import type { Point } from "../../src/api/types";
import { matches } from "../../src/state/filter";
import { bucketFor, fill } from "../../src/state/series";
import { mark } from "../../src/state/traceback";
import { DEFAULTS, format, parse, WINDOWS, type ViewState } from "../../src/state/url";
import { split } from "../../src/ui/TimeBar";

test("the default state is the bare address", () => {
  expect(format(DEFAULTS)).toBe("");
  expect(parse("")).toEqual(DEFAULTS);
});

test("a link reproduces the view", () => {
  const state: ViewState = {
    ...DEFAULTS,
    view: "route",
    service: "shop & co",
    w: 86_400,
    q: "a=b",
    folder: "api/v1",
    method: "GET",
    route: "/users/{id}?x",
    request: "r#1",
    kind: "slow",
    error: "ff",
    sort: { routes: "-p99", hosts: "host" },
  };
  expect(parse(format(state))).toEqual(state);
});

test.each(["w=7", "w=abc", "view=nothing", "kind=odd", "view=route", "sort.routes="])(
  "%s takes the default",
  (query) => {
    expect(parse(`?${query}`)).toEqual(DEFAULTS);
  },
);

test("every word of a filter must occur", () => {
  expect(matches("", "GET /a")).toBe(true);
  expect(matches("get USERS", "GET /users/{id}")).toBe(true);
  expect(matches("post users", "GET /users/{id}")).toBe(false);
});

const point = (ts: number, rps: number): Point => ({ ts, rps, error_rate: 0, avg_ms: 3, total: rps * 5 });

test("empty buckets read as no traffic and no latency; the open bucket and the cut one are left out", () => {
  const series = fill([point(95, 9), point(105, 2), point(110, 4), point(120, 1)], 5, 25, 122);
  expect(series.ts).toEqual([100, 105, 110, 115]);
  expect(series.rps).toEqual([0, 2, 4, 0]);
  expect(series.avg).toEqual([null, 3, 3, null]);
});

test("an empty bucket from before the agent's start is not known", () => {
  const series = fill([point(100, 9), point(120, 2)], 5, 35, 132, 115);
  expect(series.ts).toEqual([100, 105, 110, 115, 120, 125]);
  expect(series.rps).toEqual([9, null, null, 0, 2, 0]);
});

test("a window is drawn with a bounded number of points", () => {
  for (const w of WINDOWS) {
    expect(w / bucketFor(w)).toBeGreaterThanOrEqual(60);
    expect(w / bucketFor(w)).toBeLessThanOrEqual(180);
  }
});

test("time is split so that the parts make the whole", () => {
  expect(split(10, 3, 2)).toEqual({ own: 5, db: 3, out: 2 });
  expect(split(10, null, undefined)).toEqual({ own: 10, db: 0, out: 0 });
  // Calls in parallel: 40 ms of waiting inside 10 ms.
  expect(split(10, 30, 10)).toEqual({ own: 0, db: 7.5, out: 2.5 });
});

test("a traceback's frames are told apart", () => {
  const text = `Traceback (most recent call last):
  File "/srv/.venv/lib/python3.12/site-packages/flask/app.py", line 1, in full
    rv = self.dispatch()
  File "/srv/app/views.py", line 7, in show
    return rows[0]
IndexError: list index out of range
`;
  expect(mark(text).map((line) => line.kind)).toEqual(["note", "lib", "lib", "app", "app", "raise"]);
});
