/** After the shop's last request: requests, errors, queries, hosts, the graph, a route, the agent itself, an analysis. */

import { expect, test } from "vitest";
import type {
  CallRow,
  Chains,
  ErrorGroups,
  Outgoing,
  Queries,
  QueryRow,
  RecentErrors,
  Requests,
  RouteHostCalls,
  RouteSnapshot,
  Routes,
  Status,
  Trace,
} from "../../src/api/types";
import { clock, count, ms, num, pct, plural } from "../../src/format";
import { sqlState } from "../../src/state/sqlstate";
import { AGENT, agree, api, SERVICE, stage, W } from "./agent";

const on = stage();

const requests = async (method: string, route: string, sort: string, limit = 100) =>
  (await api<Requests>("requests", { service: SERVICE, method, route, sort, limit, w: W })).requests;
const trace = (id: string | null | undefined) => api<Trace>(`trace/${encodeURIComponent(id ?? "")}`);
const status = (code: number) => (code === 0 ? "no answer" : String(code));

test.each(["recent", "slow", "failed"])("%s requests", async (kind) => {
  await on.open(`view=requests&kind=${kind}&service=${SERVICE}&w=${W}`, "#requests tbody tr");
  const { requests: all } = await api<Requests>("requests", { service: SERVICE, sort: kind, w: W, limit: 100 });
  const wanted = all
    .slice(0, 50)
    .map((row) => [
      status(row.status),
      `${row.method} ${row.path}`,
      num(row.duration_ms),
      "",
      `${row.n_plus_one ? "N+1 " : ""}${count(row.db_query_count)}`,
      count(row.outgoing_count),
      row.error ?? "",
      row.service,
    ]);
  await agree(
    async () => (await on.rows("#requests", 9)).map((cells) => cells.slice(1)),
    async () => wanted,
  );
});

/** Lines of the waterfall of a request in which no statement ran more than twice. */
function lines(of: Trace, depth = 0): string[] {
  const failed = (query: QueryRow) => (query.error_code ? query.error_code : "");
  const below = [
    ...of.queries.map((query) => ({
      start: query.start,
      lines: [`${query.sql}${failed(query)} ${ms(query.duration_ms)}`],
    })),
    ...of.calls.map((call: CallRow & { callee?: Trace | null }) => ({
      start: call.start,
      lines: [
        `${call.method} ${call.host}${call.path} ${status(call.status)} ${ms(call.duration_ms)}`,
        ...(call.callee ? lines(call.callee, depth + 1) : []),
      ],
    })),
  ];
  const shown = depth > 0 ? ` ${status(of.status)}` : "";
  return [
    `${of.service} ${of.method} ${of.route}${shown} ${ms(of.duration_ms)}`,
    ...below.sort((a, b) => a.start - b.start).flatMap((part) => part.lines),
  ];
}

test("a request opens as a waterfall, the callee's own request inside; it copies as curl and as JSON", async () => {
  const sold = (await requests("POST", "/checkout", "recent")).find((row) => row.status === 201);
  const whole = await trace(sold?.request_id);
  expect(whole.calls[0]?.callee?.service).toBe("pricing");
  await on.open(`view=requests&request=${sold?.request_id}`, "#request .wf.call");
  expect(await on.texts("#request .wf")).toEqual(lines(whole));
  const indent = (selector: string) =>
    on.page.$eval(`#request ${selector} .wf-label`, (label) => parseInt((label as HTMLElement).style.paddingLeft, 10));
  expect(await indent(".wf.request:has-text('pricing')")).toBeGreaterThan(await indent(".wf.call"));
  const facts = (await on.texts("#request .facts"))[0] ?? "";
  for (const fact of [`Took ${ms(whole.duration_ms)}`, `Ended ${clock(whole.ts)}`, whole.client ?? "no client"])
    expect(facts).toContain(fact);
  // A statement opens to where it was sent from, and how it is known to belong here.
  await on.page.click("#request .wf.sql:has-text('UPDATE') .wf-line");
  const update = whole.queries.find((query) => query.sql.startsWith("UPDATE"));
  const details = (await on.texts("#request .wf-details"))[0];
  for (const fact of [`Rows ${update?.rows}`, `Sent from ${update?.call_site}`, update?.link])
    expect(details).toContain(fact);
  const copied = () => on.page.evaluate(() => navigator.clipboard.readText());
  await on.page.click("text=Copy as curl");
  await expect.poll(copied).toBe(`curl -X POST http://${whole.host}/checkout`);
  await on.page.click("text=Copy as JSON");
  await expect.poll(copied).toContain("{");
  const json = JSON.parse(await copied()) as Trace;
  expect([json.request_id, json.queries.length]).toEqual([whole.request_id, whole.queries.length]);
});

test("a repeated statement is named as N+1", async () => {
  const [newest] = await requests("GET", "/orders", "recent", 1);
  const whole = await trace(newest?.request_id);
  const repeated = whole.queries.filter((query) => query.sql.includes("order_lines"));
  await on.open(`view=requests&request=${newest?.request_id}`, "#request .finding");
  expect(repeated).toHaveLength(20);
  const time = ms(repeated.reduce((sum, query) => sum + query.duration_ms, 0));
  expect((await on.texts("#request .finding"))[0]).toContain(
    `N+1 query: the same statement ran ${repeated.length} times in this request, ${time} in all.`,
  );
  expect(await on.texts("#request .wf.sql:has-text('N+1')")).toEqual([
    `${repeated.length} × N+1 ${repeated[0]?.sql} ${time}`,
  ]);
});

test("exceptions open to their traceback, and to a request that raised them", async () => {
  const { groups } = await api<ErrorGroups>("error_groups", { w: W });
  expect(groups.map((group) => `${group.error_type} ${group.affected_routes[0]?.route}`).sort()).toEqual([
    "KeyError /cart/{cart_id}",
    "asyncpg.exceptions.UniqueViolationError /checkout",
  ]);
  await on.open(`view=errors&w=${W}`, "#errors .group");
  for (const group of groups) {
    const line = on.page.locator(`#errors .line:has-text('${group.error_type}')`);
    const text = (await line.innerText()).replace(/\s+/g, " ");
    for (const part of [`${count(group.count)}×`, group.error_message ?? "", group.affected_routes[0]?.route ?? ""])
      expect(text).toContain(part.replace(/\s+/g, " "));
    await line.click();
    const lines = group.sample_traceback?.trimEnd().split("\n");
    await agree(
      () => on.page.$$eval("#errors .trace-text div", (all) => all.map((one) => one.textContent)),
      async () => lines?.map((one) => one || " "),
    );
  }
  await on.page.click("#errors >> text=Open a request that raised it");
  await on.page.locator("#request [aria-label=Exception]").waitFor();
  const group = groups.at(-1);
  expect((await on.texts("#request [aria-label=Exception] h3"))[0]).toBe(group?.error_type);
  const { errors } = await api<RecentErrors>("recent_errors", { limit: 100 });
  await on.open("view=errors", "#recent_errors tbody tr");
  await agree(
    async () => (await on.rows("#recent_errors", 6)).map((cells) => cells.slice(1)),
    async () =>
      errors
        .slice(0, 25)
        .map((row) => [
          status(row.status),
          `${row.method} ${row.route}`,
          row.error ?? "open the request",
          row.service,
          num(row.duration_ms),
        ]),
  );
});

test("statements, N+1 groups and failures by SQLSTATE", async () => {
  await on.open(`view=queries&service=${SERVICE}&w=${W}`, "#n_plus_one tbody tr");
  const said = await api<Queries>("queries", { service: SERVICE, w: W });
  await agree(
    () => on.rows("#queries", 10),
    async () =>
      said.queries
        .sort((a, b) => Math.round(b.total_ms) - Math.round(a.total_ms))
        .slice(0, 25)
        .map((row) => {
          const [first, ...others] = row.call_sites ?? [];
          const site = first ? first.site.replace(/^.*\//, "") : "–";
          return [
            row.sql,
            others.length > 0 ? `${site} +${others.length}` : site,
            num(Math.round(row.total_ms)),
            count(row.calls),
            num(row.avg_ms),
            num(row.p50_ms),
            num(row.p95_ms),
            num(row.max_ms),
            num(row.rows == null ? null : row.rows / row.calls),
            count(row.errors),
          ];
        }),
  );
  expect(await on.rows("#n_plus_one", 5)).toEqual(
    said.n_plus_one
      ?.sort((a, b) => b.total_ms - a.total_ms)
      .map((row) => [`${row.method} ${row.route}`, row.sql, count(row.requests), num(row.avg_ms), count(row.total_ms)]),
  );
  expect(said.errors?.map((row) => row.code)).toEqual(["23505"]);
  expect(await on.rows("#sqlstates", 4)).toEqual(
    said.errors?.map((row) => [row.code, sqlState(row.code), count(row.count), row.sample_sql]),
  );
});

test("outgoing hosts, and which route calls which", async () => {
  await on.open(`view=outgoing&service=${SERVICE}&w=${W}`, "#edges tbody tr");
  const { hosts } = await api<Outgoing>("outgoing", { service: SERVICE, w: W });
  const { edges } = await api<RouteHostCalls>("route_host_calls", { service: SERVICE, w: W });
  expect([hosts.length, edges.length]).toEqual([1, 1]);
  const figures = (row: Outgoing["hosts"][number]) => [count(row.calls), pct(row.error_rate), num(row.avg_ms)];
  expect(await on.rows("#outgoing", 8)).toEqual(
    hosts.map((row) => [
      row.host,
      ...figures(row),
      num(row.p50_ms),
      num(row.p95_ms),
      num(row.max_ms),
      count(row.total_ms),
    ]),
  );
  expect(await on.rows("#edges", 6)).toEqual(
    edges.map((row) => [`${row.method} ${row.route}`, row.host, ...figures(row), num(row.max_ms)]),
  );
});

test("the graph: its boxes and edges carry the API's figures", async () => {
  await on.open(`view=map&w=${W}`, "#map .box");
  const { edges } = await api<RouteHostCalls>("route_host_calls", { w: W });
  const { chains } = await api<Chains>("route_chains", { w: W });
  const { routes } = await api<Routes>("routes", { w: W });
  // All calls to this one are answered by a route that is watched too, which is drawn in its place.
  const quote = chains.find((row) => row.child_route === "/quote");
  const quotes = quote?.hosts?.[0]?.host;
  expect(quote?.hosts).toEqual([{ host: edges.find((row) => row.host === quotes)?.host, count: quote?.count }]);
  const say = (from: string, to: string, n: number, errors: number, avg: number) =>
    `${from} → ${to}: ${count(n)} calls, ${pct(errors / n)} failed, ${ms(avg)} on average`;
  await agree(
    async () => (await on.page.$$eval("#map path.edge title", (all) => all.map((one) => one.textContent))).sort(),
    async () =>
      [
        ...edges
          .filter((row) => row.host !== quotes)
          .map((row) => say(`route ${row.method} ${row.route}`, `host ${row.host}`, row.calls, row.errors, row.avg_ms)),
        ...chains.map((row) =>
          say(
            `route ${row.parent_method} ${row.parent_route}`,
            `route ${row.child_method} ${row.child_route}`,
            row.count,
            row.child_errors,
            row.child_avg_ms,
          ),
        ),
      ].sort(),
  );
  const boxes = await on.page.$$eval("#map .box", (all) => all.map((one) => one.textContent ?? ""));
  for (const row of routes.filter((one) => ["/checkout", "/quote"].includes(one.route)))
    expect(
      boxes.filter(
        (text) => text.includes(`${row.method} ${row.route}`) && text.includes(`${count(row.total)} requests`),
      ),
    ).toHaveLength(1);
  await on.page.click("#map a:has-text('POST /checkout')");
  await on.page.locator("h1:has-text('/checkout')").waitFor();
});

test("one route: tiles, split, database, calls, failures, chains", async () => {
  const of = { service: SERVICE, method: "POST", route: "/checkout" };
  await on.open(`view=route&w=${W}&${new URLSearchParams(of)}`, "#calls tbody tr");
  const it = await api<RouteSnapshot>("route/snapshot", { ...of, w: W });
  await agree(
    () =>
      on.page.$$eval(".tile", (all) =>
        all.map((tile) => [...tile.querySelectorAll(".figure span")].map((part) => part.textContent).join(" ")),
      ),
    async () => [
      num(it.rps),
      pct(it.error_rate),
      ...[it.avg_duration_ms, it.p50_ms, it.p95_ms, it.p99_ms, it.max_duration_ms].map(ms),
    ],
  );
  const text = (selector: string) => on.texts(selector).then(([first]) => first ?? "");
  const { db } = it;
  expect(await text("#db .facts")).toBe(
    `Queries per request ${num(db.avg_queries_per_request)}, at most ${num(db.max_queries_per_request)} ` +
      `Time per request ${ms(db.avg_db_ms)}, at most ${ms(db.max_db_ms)} Worst request ` +
      `${plural(db.worst_request?.queries ?? 0, "query", "queries")}, ${ms(db.worst_request?.db_total_ms)} of ` +
      `${ms(db.worst_request?.request_total_ms)}`,
  );
  expect(await on.texts("#db .slow")).toEqual(db.worst_request?.slowest.map((one) => `${one.sql} ${ms(one.ms)}`));
  expect(await on.rows("#calls", 5)).toEqual(
    it.outgoing.map((row) => [row.host, count(row.calls), count(row.errors), num(row.avg_ms), num(row.max_ms)]),
  );
  expect(await on.rows("#breakdown", 3)).toEqual(
    it.error_breakdown.map((row) => [status(row.status), row.error, count(row.count)]),
  );
  const row = (await api<Routes>("routes", { service: SERVICE, w: W })).routes.find((one) => one.route === "/checkout");
  const [out, inDb] = [row?.avg_outgoing_ms ?? 0, row?.avg_db_ms ?? 0];
  expect(await text("#split .keys")).toBe(
    `own code and other ${ms((row?.avg_ms ?? 0) - inDb - out)} database ${ms(inDb)} outgoing calls ${ms(out)}`,
  );
  const { chains } = await api<Chains>("route_chains", { w: W });
  const [called] = chains;
  expect(await text("#chains li")).toBe(
    `${called?.child_method} ${called?.child_route} pricing ${count(called?.count)}×, ${ms(called?.child_avg_ms)}`,
  );
});

test("what the agent sees: processes, how links were made, losses", async () => {
  await on.open("view=agent", "#processes tbody tr");
  const said = () => api<Status>("status");
  const it = await said();
  expect(await on.rows("#processes", 4)).toEqual(
    it.processes
      .sort((a, b) => (a.service < b.service ? -1 : 1))
      .map((row) => [String(row.pid), row.service, row.state, row.python]),
  );
  const probes = await on.texts("#processes .tag");
  expect(probes.length).toBe(it.processes.flatMap((row) => row.probes ?? []).length);
  await agree(
    () => on.rows("#links", 2),
    async () => (await said()).links?.sort((a, b) => b.count - a.count).map((row) => [row.kind, count(row.count)]),
  );
  await on.page.click("#losses >> text=/Show all/");
  await agree(
    async () => (await on.rows("#losses", 2)).sort(),
    async () => (await said()).losses.map((row) => [row.name, count(row.count)]).sort(),
  );
  const own = (await on.texts(".own"))[0];
  expect(own).toContain(`Version ${it.version}`);
  expect(own).toMatch(/Agent's CPU [\d.]+ % Agent's memory [\d.]+ MiB/);
});

test("settings stay in the browser; an analysis is shown as it would be sent, and holds no value", async () => {
  const elsewhere: string[] = [];
  on.page.on("request", (request) => {
    if (!request.url().startsWith(AGENT)) elsewhere.push(request.url());
  });
  await on.open(`view=route&w=${W}&service=${SERVICE}&method=POST&route=/checkout`, "#calls tbody tr");
  await on.page.click("button:has-text('Settings')");
  const provider = on.page.locator("dialog select");
  expect(await provider.locator("option").allTextContents()).toHaveLength(3);
  await provider.selectOption("openai");
  await on.page.fill("dialog input[type=password]", "sk-test-0123456789");
  await on.page.click("dialog button:has-text('Save')");
  const kept = await on.page.evaluate(() => JSON.stringify(localStorage));
  expect(kept).toContain("sk-test-0123456789");
  await on.page.click("button[aria-label='Analyze POST /checkout']");
  const text = (await on.page.locator("#exact").textContent()) ?? "";
  const { messages } = JSON.parse(text) as { messages: { role: string; content: string }[] };
  const facts = JSON.parse(messages.find((one) => one.role === "user")?.content ?? "") as Record<string, never>;
  const it = await api<RouteSnapshot>("route/snapshot", { service: SERVICE, method: "POST", route: "/checkout", w: W });
  const short = (value: unknown) => (typeof value === "number" ? Number(value.toPrecision(4)) : value);
  expect(facts).toMatchObject({
    total_requests: it.total_requests,
    errors: it.errors,
    rps: short(it.rps),
    db: { avg_db_ms: short(it.db.avg_db_ms), max_queries_per_request: it.db.max_queries_per_request },
    outgoing: it.outgoing.map((row) => ({ host: row.host, calls: row.calls })),
  });
  // The failure's message names a product; headers and bodies hold the client's name and the product's number.
  expect(JSON.stringify(facts)).toContain("UniqueViolationError");
  expect(text).not.toMatch(/already exists|product \d|ureq|user-agent|\{"product/i);
  await on.page.keyboard.press("Escape");
  await on.open(`w=${W}&service=${SERVICE}&folder=api`, "#folder .button");
  await on.page.click("button[aria-label='Analyze folder api']");
  expect(await on.page.locator("#exact").textContent()).toContain("api/checkout.py");
  expect(elsewhere).toEqual([]);
});
