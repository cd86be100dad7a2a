/** The page in front of the real agent: on real traffic, and on what SDKs post. Skipped where there is no agent to start. */

import type { ChildProcess } from "node:child_process";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Outgoing, Overview, Requests, Routes, Services, Status } from "../../src/api/types";
import { count, ms, num, pct } from "../../src/format";
import { type Agent, BINARY, feed, freePort, startAgent, startApp, stop } from "./agent";
import { browser, complaints, SCREENS } from "./harness";

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

/** Ends what a suite has started. */
async function end(): Promise<void> {
  await agent?.close();
  for (const app of apps) await stop(app);
}

describe.skipIf(!BINARY)("the agent on real traffic", () => {
  beforeAll(async () => {
    const [front, back] = [await freePort(), await freePort()];
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

  test("a real request opens with the callee's own request inside", async ({ skip }) => {
    const { links } = await api<Status>("/api/status");
    const bound = links?.filter((link) => link.kind !== "none").reduce((sum, link) => sum + link.count, 0) ?? 0;
    skip(bound === 0, "this agent bound no call to its request");
    const page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    const [newest] = await chains(1);
    await page.goto(`${agent.base}/?request=${newest?.request_id}`);
    await page.locator("#request .wf.call").waitFor();
    expect(await page.locator("#request .wf.request").allInnerTexts()).toHaveLength(2);
    expect(await page.locator("#request .wf.request").nth(1).innerText()).toContain("back");
    await page.screenshot({ path: `${SCREENS}/real-request.png` });
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
      expect(
        await page.evaluate(() => [(window as { pwned?: number }).pwned, document.querySelectorAll("main img").length]),
      ).toEqual([undefined, 0]);
    }
    await page.goto(`${agent.base}/?view=route&method=POST&route=/checkout&${query}`);
    await page.locator("#heatmap canvas").waitFor();
    await page.locator("#calls tbody tr").nth(1).waitFor();
    expect(said).toEqual([]);
    await page.close();
  });
});
