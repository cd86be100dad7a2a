/** After the shop's last request, when figures stand still: each that the overview shows is the API's. */

import { expect, test } from "vitest";
import type {
  Discovered,
  FolderSnapshot,
  Heatmap,
  Overview,
  Route,
  Routes,
  Services,
  Status,
  Timeseries,
} from "../../src/api/types";
import { clock, count, inUnit, ms, msParts, num, pct } from "../../src/format";
import { AGENT, agree, api, SERVICE, stage, W } from "./agent";
import { frames } from "../page/harness";

const on = stage();

const routes = async (service: string) => (await api<Routes>("routes", { service, w: W })).routes;
const total = (rows: readonly (number | null)[]) => rows.reduce<number>((sum, one) => sum + (one ?? 0), 0);
const byTotal = (a: Route, b: Route) => b.total - a.total;

test.each(["", SERVICE])("seven tiles with percentiles, of service %j", async (service) => {
  await on.open(`service=${service}&w=${W}`, "#routes tbody tr");
  await agree(
    () =>
      on.page.$$eval(".tile", (tiles) =>
        tiles.map((tile) => [
          (tile as HTMLElement).dataset["tile"],
          [...tile.querySelectorAll(".figure span")].map((part) => part.textContent).join(" "),
        ]),
      ),
    async () => {
      const o = await api<Overview>("overview", { service, w: W });
      const all = (await api<Services>("services")).services.filter((row) => !service || row.service === service);
      return [
        ["rps", num(o.rps)],
        ["error_rate", pct(o.error_rate)],
        ["avg", ms(o.avg_duration_ms)],
        ["max", ms(o.max_duration_ms)],
        ["in_flight", count(total(all.map((row) => row.in_flight)))],
        ["cpu", `${num(total(all.map((row) => row.cpu_pct)) / all.length)} %`],
        ["mem", `${num(total(all.map((row) => row.mem_mb)))} MiB`],
      ];
    },
  );
  const o = await api<Overview>("overview", { service, w: W });
  const [, unit] = msParts(o.avg_duration_ms);
  const percentiles = [o.p50_ms, o.p95_ms, o.p99_ms].map((value) => inUnit(value, unit));
  expect(await on.texts("[data-tile=avg] .under b")).toEqual(percentiles);
  expect(await on.texts("[data-tile=rps] .under")).toEqual([`${count(o.total_requests)} requests`]);
  expect(await on.texts("[data-tile=error_rate] .under")).toEqual([`${count(o.errors)} errors`]);
  expect(await on.texts("nav .count")).toEqual([count(o.errors)]);
});

test("services to choose from, and what the agent's dot says", async () => {
  await on.open(`w=${W}`, "#routes tbody tr");
  const { services } = await api<Services>("services");
  const options = ["All services", ...services.map((row) => row.service)];
  await agree(
    () => on.page.$$eval("select[aria-label=Service] option", (all) => all.map((one) => one.textContent)),
    async () => options,
  );
  const status = await api<Status>("status");
  const lost = status.losses.filter((loss) => loss.count > 0);
  const words = await on.page.locator(".health").getAttribute("aria-label");
  if (lost.length === 0) expect(words).toBe("2 processes, nothing lost");
  else expect(words).toContain(`${lost.length} kind`);
});

test("both charts, point for point", async () => {
  const { points } = await api<Timeseries>("timeseries", { service: SERVICE, w: W, bucket: 10 });
  await on.open(`service=${SERVICE}&w=${W}`, "#heatmap canvas");
  await on.page.locator("figure.chart .u-over").nth(1).waitFor();
  // The pointer goes over the last quarter of the window; what stands beside the titles is noted for each moment.
  const read = () =>
    on.page.evaluate(async () => {
      const found: Record<string, string[]> = {};
      const over = document.querySelector<HTMLElement>("figure.chart .u-over");
      const box = over?.getBoundingClientRect() ?? new DOMRect();
      const frame = () => new Promise(requestAnimationFrame);
      for (let x = box.width * 0.75; x < box.width; x += 1.5) {
        const at = { clientX: box.left + x, clientY: box.top + 50, bubbles: true };
        over?.dispatchEvent(new MouseEvent("mousemove", at));
        await frame();
        await frame();
        const keys = [...document.querySelectorAll<HTMLElement>("figure.chart .keys")].map((one) => one.innerText);
        const [, time] = keys[0]?.match(/at (\S+)/) ?? [];
        if (time)
          found[time] = keys.map((text) =>
            text
              .replace(/\s+/g, " ")
              .replace(/ at \S+$/, "")
              .trim(),
          );
      }
      return found;
    });
  // The bucket that the last request fell into may not be drawn yet: it is once it is over.
  await expect
    .poll(
      async () => {
        const shown = await read();
        return points.map(({ ts }) => shown[clock(ts).slice(0, 8)] ?? ts);
      },
      { timeout: 30_000, interval: 1000 },
    )
    .toEqual(
      points.map((row) => [
        `req/s ${num(row.rps)} errors ${pct(row.error_rate)}`,
        `p50 ${ms(row.p50_ms)} avg ${ms(row.avg_ms)} p95 ${ms(row.p95_ms)} p99 ${ms(row.p99_ms)}`,
      ]),
    );
});

test.each([
  ["of a service", `service=${SERVICE}`, { service: SERVICE }],
  [
    "of a route",
    `view=route&service=${SERVICE}&method=POST&route=/checkout`,
    { service: SERVICE, method: "POST", route: "/checkout" },
  ],
])("the heatmap %s", async (_, query, of) => {
  await on.open(`${query}&w=${W}`, "#heatmap canvas");
  const { columns, bounds_ms: bounds } = await api<Heatmap>("heatmap", { ...of, w: W, bucket: 10 });
  const most = Math.max(...columns.flatMap((column) => column.counts));
  const cells = columns.flatMap(({ ts, counts }) =>
    counts.map((n, band) => {
      const to = bounds[band];
      const from = bounds[band - 1] ?? 0;
      const range = to === undefined ? `from ${ms(from)}` : `${ms(from)} to ${ms(to)}`;
      return { n, text: `${clock(ts).slice(0, 8)}, ${range}: ${count(n)} ${n === 1 ? "request" : "requests"}` };
    }),
  );
  const busiest = cells.filter((cell) => cell.n === most).map((cell) => cell.text);
  const label = "Latency heatmap. Most requests in one cell: ";
  await expect
    .poll(async () => {
      const said = (await on.page.getAttribute("#heatmap canvas", "aria-label")) ?? "";
      return busiest.includes(said.replace(label, "")) || { said, busiest };
    })
    .toBe(true);
  // What is drawn is as many cells as hold a request.
  const drawn = await on.page.$eval("#heatmap canvas", (canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const pixels = (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
    return pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
  });
  expect(drawn).toBeGreaterThan(cells.filter((cell) => cell.n > 0).length);
});

/** A route's row as the table writes it. */
const row = (one: Route) => [
  `${one.method} ${one.route}`,
  num(one.rps),
  pct(one.error_rate),
  num(one.avg_ms),
  num(one.p50_ms),
  num(one.p95_ms),
  num(one.p99_ms),
  num(one.max_ms),
  num(one.avg_db_queries),
  num(one.avg_db_ms),
  num(one.avg_outgoing),
  "",
  count(one.total),
  "Analyze",
];

/** Where a route's time goes, as its bar says it. */
function split({ avg_ms: avg, avg_db_ms: db, avg_outgoing_ms: out }: Route): string {
  if (db === null && out === null) return "not known: no query and no call was bound to it";
  const parts = [
    ["own code and other", avg - (db ?? 0) - (out ?? 0)],
    ["database", db ?? 0],
    ["outgoing calls", out ?? 0],
  ] as const;
  return parts
    .filter(([, time]) => time > 0)
    .map(([name, time]) => `${name} ${ms(time)} (${pct(time / avg)})`)
    .join(", ");
}

test("the routes table, every column, and where the time of each goes", async () => {
  await on.open(`service=${SERVICE}&w=${W}`, "#routes tbody tr");
  const wanted = (await routes(SERVICE)).sort(byTotal);
  expect(wanted.map((one) => `${one.method} ${one.route}`).sort()).toEqual([
    "GET /cart/{cart_id}",
    "GET /healthz",
    "GET /orders",
    "GET /products",
    "GET /products/{product_id}",
    "GET /search",
    "POST /checkout",
    "PUT /cart/{cart_id}",
  ]);
  await agree(
    () => on.rows("#routes", 14),
    async () => wanted.map(row),
  );
  const bars = await on.page.$$eval("#routes .timebar", (all) => all.map((bar) => bar.getAttribute("aria-label")));
  expect(bars).toEqual(wanted.map(split));
  // Queries of a route that repeats a statement are marked.
  const marked = await on.page.$$eval("#routes td:nth-child(9) .bad", (all) => all.length);
  expect(marked).toBe(wanted.filter((one) => (one.avg_db_queries ?? 0) >= 10).length);
  expect(marked).toBeGreaterThan(0);
});

test("columns sort, a filter narrows, keys walk", async () => {
  await on.open(`service=${SERVICE}&w=${W}`, "#routes tbody tr");
  const all = await routes(SERVICE);
  await on.page.click("#routes th:has-text('p95') button");
  await agree(
    () => on.rows("#routes", 6).then((rows) => rows.map((cells) => cells[5])),
    async () =>
      all
        .map((one) => one.p95_ms ?? 0)
        .sort((a, b) => b - a)
        .map(num),
  );
  expect(on.page.url()).toContain("sort.routes=-p95");
  await on.page.keyboard.press("/");
  await on.page.locator("#filter:focus").waitFor();
  await on.page.keyboard.type("put cart");
  await agree(
    () => on.rows("#routes", 1),
    async () => [["PUT /cart/{cart_id}"]],
  );
  await on.page.keyboard.press("ArrowDown");
  await on.page.keyboard.press("Enter");
  await on.page.locator("h1:has-text('PUT /cart/{cart_id}')").waitFor();
  await on.page.keyboard.press("Escape");
  await on.page.keyboard.press("Escape");
  await on.page.keyboard.press("Escape");
  await agree(
    () => on.rows("#routes", 1).then((rows) => rows.length),
    async () => all.length,
  );
});

test("the project as a tree with figures, and its folder filter", async () => {
  const found = (await api<Discovered>("discovered")).routes.filter((one) => one.service === SERVICE);
  const seen = await routes(SERVICE);
  const live = (of: readonly Route[]) => {
    const errors = total(of.map((one) => one.errors));
    const share = errors > 0 ? `${pct(errors / total(of.map((one) => one.total)))} ` : "";
    return `${share}${num(total(of.map((one) => one.rps)))}/s`;
  };
  const serving = (of: typeof found) =>
    seen.filter((one) => of.some(({ method, route }) => route === one.route && ["*", one.method].includes(method)));
  await on.open(`service=${SERVICE}&w=${W}`, "#tree .leaf");
  await agree(
    async () => (await on.texts("#tree .leaf")).sort(),
    async () => found.map((one) => `${one.method} ${one.route} ${live(serving([one]))}`).sort(),
  );
  const inside = found.filter((one) => one.file.startsWith("api/"));
  const files = [...new Set(found.map((one) => one.file))];
  expect(files.sort()).toEqual(["api/cart.py", "api/catalogue.py", "api/checkout.py", "api/orders.py", "main.py"]);
  expect(await on.texts("#tree .branch")).toEqual(
    expect.arrayContaining([
      `▾api/ filter ${live(serving(inside))}`,
      ...files.map((file) => `▾${file.replace("api/", "")} ${live(serving(found.filter((one) => one.file === file)))}`),
    ]),
  );
  await on.page.click("#tree button[aria-label='Filter routes by api']");
  await on.page.locator("#folder .button").first().waitFor();
  await agree(
    async () => (await on.rows("#routes", 1)).flat().sort(),
    async () =>
      serving(inside)
        .map((one) => `${one.method} ${one.route}`)
        .sort(),
  );
  const folder = await api<FolderSnapshot>("folder/snapshot", { service: SERVICE, folder: "api", w: W });
  expect((await on.texts("#folder"))[0]).toContain(
    `api/ ${num(folder.rps)} req/s ${pct(folder.error_rate)} errors avg ${ms(folder.avg_duration_ms)} ` +
      `${folder.discovered_routes} routes in ${folder.files.length} files`,
  );
  expect(on.page.url()).toContain("folder=api");
});

test("paused, nothing is asked; resumed, it goes on", async () => {
  await on.open(`service=${SERVICE}&w=${W}`, "#routes tbody tr");
  await on.page.click("button:has-text('Live')");
  await on.page.locator(".banner:has-text('Paused')").waitFor();
  let asked = 0;
  on.page.on("request", (request) => {
    if (request.url().startsWith(AGENT)) asked += 1;
  });
  await frames(on.page, 90);
  expect(asked).toBe(0);
  await on.page.click(".banner >> text=Resume");
  await expect.poll(() => asked).toBeGreaterThan(3);
});
