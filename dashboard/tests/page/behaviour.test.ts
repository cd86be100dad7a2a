/** What a user does with the page: figures equal the API's, everything is reachable, by keyboard too, and nothing complains. */

import type { BrowserContext, Page } from "playwright-core";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Outgoing, Overview, Routes, Services } from "../../src/api/types";
import { count, ms, num, pct } from "../../src/format";
import { complaints, frames, stage } from "./harness";

const on = stage();
let context: BrowserContext;
let page: Page;
let said: string[];
beforeEach(async () => {
  context = await on.chrome.newContext({ viewport: { width: 1280, height: 900 } });
  page = await context.newPage();
  said = complaints(page);
});
afterEach(async () => {
  await context.close();
  expect(said).toEqual([]);
});

const api = async <T>(path: string): Promise<T> => (await (await fetch(on.base + path)).json()) as T;
const open = async (query: string, ready: string) => {
  await page.goto(`${on.base}/${query}`);
  await page.waitForSelector(ready);
};
const text = (selector: string) => page.locator(selector).first().innerText();
/** Waits until a read of the page gives what is wanted; fails with the last that it gave. */
const eventually = (read: () => Promise<unknown>, wanted: unknown) =>
  expect.poll(read, { timeout: 10_000 }).toEqual(wanted);

test("the seven tiles show the API's figures", async () => {
  await open("", "#routes tbody tr");
  const read = async () => {
    const [o, s] = [await api<Overview>("/api/overview?w=300"), await api<Services>("/api/services")];
    const sum = (pick: (row: Services["services"][number]) => number | null) =>
      s.services.reduce((all, row) => all + (pick(row) ?? 0), 0);
    const wanted = {
      rps: num(o.rps),
      error_rate: pct(o.error_rate),
      avg: ms(o.avg_duration_ms),
      max: ms(o.max_duration_ms),
      in_flight: count(sum((row) => row.in_flight)),
      cpu: `${num(sum((row) => row.cpu_pct) / s.services.length)} %`,
      mem: `${num(sum((row) => row.mem_mb))} MiB`,
    };
    const shown = Object.fromEntries(
      await page.$$eval(".tile", (tiles) =>
        tiles.map((tile) => [
          (tile as HTMLElement).dataset["tile"],
          [...tile.querySelectorAll(".figure span")]
            .map((part) => part.textContent)
            .join(" ")
            .trim(),
        ]),
      ),
    );
    return JSON.stringify(shown) === JSON.stringify(wanted) || { shown, wanted };
  };
  await eventually(read, true);
});

test("the routes table shows the API's rows and sorts by any column", async () => {
  await open("", "#routes tbody tr");
  const column = (n: number) =>
    page.$$eval(`#routes tbody tr td:nth-child(${n})`, (cells) =>
      cells.map((cell) => (cell as HTMLElement).innerText.trim()),
    );
  const { routes } = await api<Routes>("/api/routes?w=300");
  await eventually(
    () => column(1),
    [...routes]
      .sort((a, b) => b.total - a.total)
      .slice(0, 25)
      .map((row) => `${row.method} ${row.route}`),
  );
  await page.click("#routes th:has-text('p95') button");
  await eventually(
    () => column(6),
    [...routes]
      .sort((a, b) => (b.p95_ms ?? 0) - (a.p95_ms ?? 0))
      .slice(0, 25)
      .map((row) => num(row.p95_ms)),
  );
  expect(await page.getAttribute("#routes th:has-text('p95')", "aria-sort")).toBe("descending");
  expect(page.url()).toContain("sort.routes=-p95");
  await page.reload();
  await page.waitForSelector("#routes tbody tr");
  expect(await page.getAttribute("#routes th:has-text('p95')", "aria-sort")).toBe("descending");
});

test("outgoing hosts and their figures", async () => {
  await open("?view=outgoing", "#outgoing tbody tr");
  const { hosts } = await api<Outgoing>("/api/outgoing?w=300");
  const rows = () =>
    page.$$eval("#outgoing tbody tr", (all) =>
      all.map((row) => [...row.querySelectorAll("td")].slice(0, 3).map((cell) => cell.innerText.trim())),
    );
  await eventually(
    rows,
    hosts.map((row) => [row.host, count(row.calls), pct(row.error_rate)]),
  );
});

test("/ filters, arrows walk, Enter opens, Esc steps back", async () => {
  await open("?view=errors", "#errors .group");
  await page.keyboard.press("/");
  await page.waitForSelector("#filter:focus");
  await page.waitForSelector("#routes tbody tr");
  await page.keyboard.type("orders");
  await eventually(() => page.locator("#routes tbody tr").count(), 1);
  expect(page.url()).toContain("q=orders");
  await page.keyboard.press("ArrowDown");
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("TR");
  await page.keyboard.press("Enter");
  await page.waitForSelector("h1:has-text('/orders')");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#filter");
  await eventually(() => page.inputValue("#filter"), "");
});

test("a window without requests has no percentiles", async () => {
  await open("?service=unknown", "#routes .empty");
  const words = async (tile: string) => (await text(`[data-tile=${tile}]`)).split(/\s+/).join(" ").trim();
  await eventually(() => words("error_rate"), "Error rate – 0 errors");
  expect(await words("avg")).toBe("Average latency –");
});

test("what is typed right behind / goes into the filter", async () => {
  await open("", "#routes tbody tr");
  const focused = await page.evaluate(() => {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }));
    return document.activeElement?.id;
  });
  expect(focused).toBe("filter");
});

test("the project tree filters by folder, and the folder's figures stand above the routes", async () => {
  await open("", "#tree .branch");
  await page.click("#tree button[aria-label='Filter routes by api']");
  await page.waitForSelector("#folder .button");
  await eventually(() => page.locator("#routes tbody tr:has-text('/healthz')").count(), 0);
  expect(page.url()).toContain("folder=api");
  await page.click("#folder >> text=Show all");
  await page.waitForSelector("#routes tbody tr:has-text('/healthz')");
});

test("an error group opens to its traceback, and to a request that raised it", async () => {
  await open("?view=errors", "#errors .group");
  await page.click("#errors .line:has-text('httpx.ReadTimeout')");
  expect(await text("#errors .trace-text")).toContain("in charge");
  expect(page.url()).toContain("error=");
  await page.reload();
  await page.waitForSelector("#errors .trace-text .raise");
  await page.click("#recent_errors a:has-text('httpx.ReadTimeout')");
  await page.waitForSelector("#request .waterfall");
  expect(await text("#request [aria-label=Exception]")).toContain("httpx.ReadTimeout");
});

test("an exception that need not be the cause is marked as not certain, in its group and in its request", async () => {
  const NOT_CERTAIN = "text=Not certain: this exception left";
  await open("?view=errors", "#errors .group");
  await page.click("#errors .line:has-text('httpx.ReadTimeout')");
  await page.waitForSelector("#errors .trace-text");
  expect(await page.locator(NOT_CERTAIN).count()).toBe(0);
  await page.click("#errors .line:has-text('KeyError')");
  await page.waitForSelector(`#errors >> ${NOT_CERTAIN}`);
  await page.click("#errors >> text=Open a request that raised it");
  await page.waitForSelector(`#request [aria-label=Exception] >> ${NOT_CERTAIN}`);
  await open("?view=errors", "#recent_errors tbody tr");
  await page.click("#recent_errors a:has-text('httpx.ReadTimeout')");
  await page.waitForSelector("#request [aria-label=Exception] .trace-text");
  expect(await page.locator(NOT_CERTAIN).count()).toBe(0);
});

test("a request opens as a waterfall: N+1 named, the callee nested, copied as curl and JSON", async () => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open("?view=route&method=GET&route=/orders&service=shop-api", "#requests tbody tr");
  await page.click("#requests button:has-text('Slow')");
  await page.locator("#requests tbody tr").first().click();
  await page.waitForSelector("#request .finding");
  expect(await text("#request .finding")).toContain("ran 25 times");
  expect(await text("#request .wf.sql:has-text('N+1')")).toContain("25 × N+1");
  await page.click("text=Copy as curl");
  await eventually(() => page.evaluate(() => navigator.clipboard.readText()), "curl http://shop.example/orders");
  await page.click("text=Copy as JSON");
  await eventually(
    async () =>
      (JSON.parse(await page.evaluate(() => navigator.clipboard.readText())) as { queries: [] }).queries.length,
    26,
  );
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await open("?view=route&method=POST&route=/checkout&service=shop-api", "#requests tbody tr");
  await page.locator("#requests tbody tr").nth(1).click();
  await page.waitForSelector("#request .waterfall");
  const depth = (selector: string) =>
    page.$eval(`#request ${selector} .wf-label`, (label) => parseInt((label as HTMLElement).style.paddingLeft, 10));
  expect(await depth(".wf.request:has-text('pricing')")).toBeGreaterThan(
    await depth(".wf.call:has-text('pricing:8001')"),
  );
  await page.click("#request .wf.call:has-text('pricing:8001') .wf-line");
  expect(await text("#request .wf-details")).toContain("context");
});

test("the graph joins routes to what they call", async () => {
  await open("?view=map", "#map svg .box");
  const hosts = await page.locator("#map .box.host .name").allTextContents();
  expect(hosts.sort()).toEqual(["api.payments.example", "rates.example"]);
  // What answers at the third is a route, and drawn as that.
  expect(await page.locator("#map .box.route:has-text('/quote')").count()).toBe(1);
  expect(await page.locator("#map path.edge").count()).toBe(3);
  await page.click("#map a:has-text('POST /checkout')");
  await page.waitForSelector("h1:has-text('/checkout')");
});

test("queries, N+1 and SQLSTATEs", async () => {
  await open("?view=queries", "#queries tbody tr");
  await page.waitForSelector("#n_plus_one tbody tr:has-text('/orders')");
  expect(await text("#sqlstates tbody tr")).toContain("serialization failure");
  // The code that sends a statement: its file without the directories, all of it for those who hover.
  const sender = page.locator("#queries tbody tr:has-text('order_lines') span.mono").first();
  expect(await sender.innerText()).toMatch(/^orders\.py:\d+ \w+/);
  expect(await sender.getAttribute("title")).toMatch(/^\S*\/orders\.py:\d+ \w+ \(\d[\d,]*\)/);
});

test("what the agent does not see is said", async () => {
  await open("?view=agent", "#processes tbody tr");
  expect(await text("#processes tr:has-text('pricing')")).toContain("statically linked");
  expect(await text("#losses tbody tr")).toContain("gap_bytes");
  expect(await text(".health")).toContain("1 kind of loss");
  // What a service's source did not tell.
  expect(await text("#sources tbody tr")).toContain("routes with unknown path: 2");
});

test("pause stops asking, resume goes on; the window is part of the link", async () => {
  await open("?w=900", "#routes tbody tr");
  expect(await page.getAttribute("button:text-is('15m')", "aria-pressed")).toBe("true");
  await page.waitForSelector(".dot.ok >> xpath=.. >> text=Live");
  await page.click("button:has-text('Live')");
  await page.waitForSelector(".banner:has-text('Paused')");
  let asked = 0;
  page.on("request", () => {
    asked += 1;
  });
  await frames(page, 90);
  expect(asked).toBe(0);
  await page.click(".banner >> text=Resume");
  await eventually(() => Promise.resolve(asked > 3), true);
});

test("without the stream the page polls", async () => {
  await page.route("**/api/stream", (route) => route.fulfill({ status: 404, body: "" }));
  await open("", "#routes tbody tr");
  await page.waitForSelector("button:has-text('Polling')");
  await page.waitForRequest("**/api/overview*");
  // The browser notes the missing stream; that is the point of this test.
  said.splice(0, said.length, ...said.filter((line) => !line.includes("404")));
});

test("a lost stream is asked for again, each time later, until it is there", async () => {
  await page.clock.install();
  // When the page asked for it, by the page's own clock.
  await page.addInitScript(() => {
    const asked: number[] = [];
    Object.assign(window, {
      asked,
      EventSource: class extends EventSource {
        constructor(address: string) {
          super(address);
          asked.push(Date.now());
        }
      },
    });
  });
  let refused = 0;
  await page.route("**/api/stream", (route) =>
    refused++ < 4 ? route.fulfill({ status: 503, body: "" }) : route.continue(),
  );
  await open("", "button:has-text('Polling')");
  const asked = () => page.evaluate(() => (window as unknown as { asked: number[] }).asked);
  await eventually(async () => {
    await page.clock.runFor(1000);
    return (await asked()).length;
  }, 5);
  await page.waitForSelector("button:has-text('Live')");
  const times = await asked();
  for (const [i, pause] of [2000, 4000, 8000, 16_000].entries()) {
    const waited = (times[i + 1] ?? 0) - (times[i] ?? 0);
    expect(waited).toBeGreaterThanOrEqual(pause);
    expect(waited).toBeLessThan(2 * pause);
  }
  said.splice(0, said.length, ...said.filter((line) => !line.includes("503")));
});

test("a link reproduces the view, and going back returns to the last", async () => {
  await open("?view=queries&w=3600&service=pricing", "#queries tbody tr");
  expect(await page.inputValue("select[aria-label=Service]")).toBe("pricing");
  await page.click("nav >> text=Errors");
  await page.waitForSelector("#recent_errors");
  await page.goBack();
  await page.waitForSelector("#queries");
  expect(await page.getAttribute("nav a[aria-current]", "href")).toContain("view=queries");
});
