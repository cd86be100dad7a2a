/** The page in front of the real agent: on real traffic, and on what SDKs post. Skipped where there is no agent to start. */

import type { ChildProcess } from "node:child_process";
import { get } from "node:http";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Outgoing, Overview, Requests, Routes, Services, Status } from "../../src/api/types";
import { count, ms, num, pct } from "../../src/format";
import { type Agent, BINARY, feed, freePort, startAgent, startApp, stop } from "./agent";
import { browser, complaints, ONLY_TEXT, ran, SCREENS } from "./harness";

const HOSTILE = `<img src=x onerror="window.pwned=1">`;
const REQUESTS = 60;

let chrome: Browser;
let agent: Agent;
let apps: ChildProcess[] = [];

beforeAll(async () => {
  chrome = await browser();
});
afterAll(async () => {
  await chrome.close();
});
const api = async <T>(path: string) => (await (await fetch(agent.base + path)).json()) as T;
const rows = (page: Page, selector: string, columns: number) =>
  page.$$eval(
    selector,
    (all, n) => all.map((row) => [...row.querySelectorAll("td")].slice(0, n).map((cell) => cell.innerText.trim())),
    columns,
  );

const chains = async (limit: number) =>
  (await api<Requests>(`/api/requests?service=front&method=GET&route=/chain&limit=${limit}`)).requests;

/** Waits for a condition; fails when it does not come true in time. */
const until = (condition: () => Promise<boolean>) =>
  vi.waitFor(async () => expect(await condition()).toBe(true), { timeout: 15_000, interval: 100 });

/** Words of those views that show nothing that an SDK sends. */
const TEXT: Record<string, string> = { agent: "sockets", queries: "statement" };

/** Sends a GET whose path is written as it is: `fetch` would escape it. */
const raw = (port: number, path: string, headers: Record<string, string>) =>
  new Promise<void>((done, failed) => {
    get({ host: "127.0.0.1", port, path, headers }, (answer) => answer.resume().on("end", done)).on("error", failed);
  });

/** Ends what a suite has started. */
async function end(): Promise<void> {
  await agent?.close();
  for (const app of apps) await stop(app);
}

describe.skipIf(!BINARY)("the agent on real traffic", () => {
  let front: number;

  beforeAll(async () => {
    const back = await freePort();
    front = await freePort();
    apps = [await startApp("back", back), await startApp("front", front, back)];
    agent = await startAgent(apps.map((app) => app.pid ?? 0));
    await until(async () => (await api<Status>("/api/status")).processes.length === 2);
    // Until a request is seen the probes may still be on their way.
    await until(async () => {
      await fetch(`http://127.0.0.1:${front}/warm`);
      return (await api<Overview>("/api/overview")).total_requests > 0;
    });
    for (let i = 0; i < REQUESTS; i += 1) {
      await (await fetch(`http://127.0.0.1:${front}${["/chain", "/plain", "/fail", "/users/7"][i % 4]}`)).text();
    }
    await until(async () => (await chains(100)).length === REQUESTS / 4);
  });
  afterAll(end);

  test("real traffic: services, routes, hosts and what attached", async () => {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    await page.goto(`${agent.base}/?service=front`);
    await page.locator("#routes tbody tr").first().waitFor();
    const { routes } = await api<Routes>("/api/routes?service=front&w=300");
    await expect
      .poll(async () => (await rows(page, "#routes tbody tr", 3)).sort(), { timeout: 15_000 })
      .toEqual(routes.map((row) => [`${row.method} ${row.route}`, num(row.rps), pct(row.error_rate)]).sort());
    expect(routes.find((row) => row.route === "/fail")?.error_rate).toBe(1);
    const { hosts } = await api<Outgoing>("/api/outgoing?service=front&w=300");
    await expect
      .poll(() => rows(page, "#outgoing tbody tr", 2))
      .toEqual(hosts.map((row) => [row.host, count(row.calls)]));
    await page.screenshot({ path: `${SCREENS}/real-overview.png`, fullPage: true });
    await page.click("nav >> text=Agent");
    await page.locator("#processes tbody tr").nth(1).waitFor();
    await page.screenshot({ path: `${SCREENS}/real-agent.png`, fullPage: true });
    expect(said).toEqual([]);
    await page.close();
  });

  test("a real request opens with the callee's own request inside", async () => {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    const [newest] = await chains(1);
    await page.goto(`${agent.base}/?request=${newest?.request_id}`);
    await page.locator("#request .wf.call").waitFor();
    expect(await page.locator("#request .wf.request").allInnerTexts()).toHaveLength(2);
    await expect.poll(() => page.locator("#request .wf.request").nth(1).innerText()).toContain("back");
    await page.screenshot({ path: `${SCREENS}/real-request.png` });
    expect(said).toEqual([]);
    await page.close();
  });

  test("a path and a header that hold markup are shown as text", async () => {
    const [path, header] = ["/plain/<img/src=x/onerror=window.pwned=1>", HOSTILE];
    await raw(front, path, { "user-agent": header, "x-request-id": HOSTILE });
    const sent = async () =>
      (await api<Requests>("/api/requests?service=front&limit=20")).requests.find((row) => row.path === path);
    await until(async () => (await sent()) !== undefined);
    const id = (await sent())?.request_id ?? "";
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    await page.goto(`${agent.base}/?view=requests&request=${encodeURIComponent(id)}`);
    await page.locator("#request .waterfall").waitFor();
    const shown = await page.locator("#request").innerText();
    expect(shown).toContain(path);
    expect(shown).toContain(header);
    await expect.poll(() => page.locator("#requests").innerText()).toContain(path);
    expect(await ran(page)).toEqual(ONLY_TEXT);
    expect(said).toEqual([]);
    await page.close();
  });

  test("every window asks for itself, and the link keeps it", async () => {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    await page.goto(`${agent.base}/?service=front`);
    for (const [name, w] of [
      ["1m", 60],
      ["5m", 300],
      ["15m", 900],
      ["1h", 3600],
      ["6h", 21_600],
      ["24h", 86_400],
      ["7d", 604_800],
    ] as const) {
      const asked = ["overview", "timeseries", "heatmap", "routes"].map((path) =>
        page.waitForResponse((answer) => {
          const { pathname, searchParams } = new URL(answer.url());
          return pathname === `/api/${path}` && searchParams.get("w") === String(w);
        }),
      );
      // Another one first: a click on the chosen window asks nothing.
      await page.goto(`${agent.base}/?service=front&w=${w === 60 ? 300 : 60}`);
      await page.click(`button:text-is('${name}')`);
      for (const answer of await Promise.all(asked)) expect(answer.status()).toBe(200);
      expect(new URL(page.url()).searchParams.get("w") ?? "300").toBe(String(w));
      await page.locator("#heatmap canvas").waitFor();
    }
    expect(said).toEqual([]);
    await page.close();
  });
});

describe.skipIf(!BINARY)("the agent on what SDKs post", () => {
  beforeAll(async () => {
    apps = [await startApp("front", await freePort())];
    agent = await startAgent(apps.map((app) => app.pid ?? 0));
  });
  afterAll(end);

  test("what SDKs post: every figure on the page is the API's, hostile names stay text", async () => {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    const before = (await api<Overview>("/api/overview?w=900")).total_requests;
    const sent = await feed(agent.base, HOSTILE);
    await expect
      .poll(async () => (await api<Overview>("/api/overview?w=900")).total_requests, { timeout: 15_000 })
      .toBe(before + sent);
    const service = `shop-api${HOSTILE}`;
    const query = `service=${encodeURIComponent(service)}&w=900`;
    await page.goto(`${agent.base}/?${query}`);
    await page.locator("#routes tbody tr").first().waitFor();
    await expect
      .poll(
        async () => {
          const o = await api<Overview>(`/api/overview?${query}`);
          const own = (await api<Services>("/api/services")).services.find((row) => row.service === service);
          const shown = Object.fromEntries(
            await page.$$eval(".tile", (tiles) =>
              tiles.map((tile) => [
                (tile as HTMLElement).dataset["tile"],
                [...tile.querySelectorAll(".figure span")].map((part) => part.textContent).join(" "),
              ]),
            ),
          );
          const wanted = {
            rps: num(o.rps),
            error_rate: pct(o.error_rate),
            avg: ms(o.avg_duration_ms),
            max: ms(o.max_duration_ms),
            in_flight: count(own?.in_flight),
            cpu: own?.cpu_pct == null ? "–" : `${num(own.cpu_pct)} %`,
            mem: own?.mem_mb == null ? "–" : `${num(own.mem_mb)} MiB`,
          };
          return JSON.stringify(shown) === JSON.stringify(wanted) || { shown, wanted };
        },
        { timeout: 15_000 },
      )
      .toBe(true);
    for (const [view, ready] of [
      ["errors", "#errors .group"],
      ["requests", "#requests tbody tr"],
      ["outgoing", "#edges tbody tr"],
      ["queries", "#queries"],
      ["map", "#map .box"],
      ["agent", "#losses tbody tr"],
    ]) {
      await page.goto(`${agent.base}/?view=${view}&${query}`);
      await page
        .locator(ready ?? "")
        .first()
        .waitFor();
      await expect.poll(() => page.locator("main").innerText()).toContain(TEXT[view ?? ""] ?? "<img");
      expect(await ran(page)).toEqual(ONLY_TEXT);
    }
    await page.goto(
      `${agent.base}/?view=route&method=POST&route=${encodeURIComponent(`/checkout${HOSTILE}`)}&${query}`,
    );
    await page.locator("#heatmap canvas").waitFor();
    await page.locator("#calls tbody tr").nth(1).waitFor();
    await expect.poll(() => page.locator("#db").innerText()).toContain("<img src=x onerror=");
    expect(await ran(page)).toEqual(ONLY_TEXT);
    expect(said).toEqual([]);
    await page.close();
  });
});
