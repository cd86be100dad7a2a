/** The rules that hold everywhere: nothing from the agent runs, small, no growth, nothing sent unseen. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { ONLY_TEXT, ROOT, complaints, ran, stage } from "./harness";
import { VIEWS, named } from "./views";

/** `cargo xtask test --long` sets it. */
const LONG = process.env["APM_LONG"] !== undefined;

const on = stage();

/** A payload for each way in which text could become markup, script or a link. */
const HOSTILE = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'"\`{{7*7}}javascript:window.pwned=1`;

/** Puts the payload into every text of an answer, keys and figures left alone. */
function poison(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => poison(item, key));
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, poison(item, name)]));
  return typeof value === "string" &&
    !["request_id", "parent_id", "fingerprint", "error_fingerprint", "correlation_id"].includes(key)
    ? `${value}${HOSTILE}`
    : value;
}

describe("text from the app stays text", () => {
  test.each(VIEWS)("%s", async (_, query) => {
    const page = await on.chrome.newPage({ viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    await page.route(
      (url) => url.pathname.startsWith("/api/") && url.pathname !== "/api/stream",
      async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ response: answer, json: poison(await answer.json()) });
      },
    );
    await page.goto(`${on.base}/?${await named(on.base, query)}`);
    await page.waitForFunction(() => document.body.innerText.includes("onerror="));
    await page.waitForLoadState("networkidle").catch(() => undefined);
    expect(await ran(page)).toEqual(ONLY_TEXT);
    expect(said.filter((line) => !line.includes("404"))).toEqual([]);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.close();
  });

  test("in the address too", async () => {
    const page = await on.chrome.newPage();
    await page.goto(
      `${on.base}/?service=${encodeURIComponent(HOSTILE)}&view=route&method=GET&route=${encodeURIComponent(HOSTILE)}&q=${encodeURIComponent(HOSTILE)}`,
    );
    await page.waitForSelector("h1:has-text('onerror=')");
    expect(await ran(page)).toEqual(ONLY_TEXT);
    await page.close();
  });
});

test("a text that became markup would be noticed", async () => {
  const page = await on.chrome.newPage();
  await page.goto(on.base);
  await page.waitForSelector("#routes tbody tr");
  expect(await ran(page)).toEqual(ONLY_TEXT);
  await page.evaluate(() => {
    document.querySelector("main h1, main h2")?.append(document.createElement("img"));
    document.body.append(Object.assign(document.createElement("a"), { href: "javascript:0" }));
    (window as { pwned?: number }).pwned = 1;
  });
  expect(await ran(page)).toEqual({ elements: 1, links: 1, ran: true });
  await page.close();
});

test("the bundle is under 300 KB", () => {
  const assets = join(ROOT, "dist", "static");
  const bytes = readdirSync(assets).reduce((sum, name) => sum + gzipSync(readFileSync(join(assets, name))).length, 0);
  console.info(`the bundle: ${bytes} bytes gzipped`);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(300_000);
});

interface Size {
  nodes: number;
  listeners: number;
  heap: number;
}

/** What the page holds after a collection. */
async function size(page: Page): Promise<Size> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  await session.detach();
  const get = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? Number.NaN;
  return { nodes: get("Nodes"), listeners: get("JSEventListeners"), heap: get("JSHeapUsedSize") };
}

function expectNoGrowth(what: string, before: Size, after: Size): void {
  console.info(
    `${what}: nodes ${before.nodes} -> ${after.nodes}, listeners ${before.listeners} -> ${after.listeners}, heap ${Math.round(before.heap / 1024)} -> ${Math.round(after.heap / 1024)} KiB`,
  );
  expect(after.nodes).toBeLessThan(before.nodes * 1.1 + 100);
  expect(after.listeners).toBeLessThan(before.listeners * 1.1 + 20);
  expect(after.heap).toBeLessThan(before.heap * 1.15 + 1_000_000);
}

test("going round the views leaves nothing behind", { timeout: 180_000 }, async () => {
  const page = await on.chrome.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(on.base);
  const round = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      for (const name of ["Queries", "Errors", "Map", "Requests", "Overview"]) {
        await page.click(`nav >> text=${name}`);
        // No handle to an element is kept: a handle would hold the whole view that it was part of.
        await page.locator("main section.panel").first().waitFor();
      }
    }
  };
  await round(5);
  const before = await size(page);
  await round(40);
  expectNoGrowth("200 changes of view", before, await size(page));
  await page.close();
});

test.runIf(LONG)("an hour of ticks leaves nothing behind", { timeout: 400_000 }, async () => {
  const page = await on.chrome.newPage({ viewport: { width: 1280, height: 900 } });
  await page.clock.install();
  // The shortest window: the mock works out every answer anew, and its work is not what is measured.
  await page.goto(`${on.base}/?w=60`);
  await page.locator("#routes tbody tr").first().waitFor();
  // A tick of the page's clock every five seconds, each with its questions and answers.
  const ticks = async (seconds: number) => {
    for (let at = 0; at < seconds; at += 5) {
      await page.clock.runFor(5000);
      await page.evaluate(() => fetch("/api/services"));
    }
  };
  await ticks(300);
  const before = await size(page);
  await ticks(3600);
  expectNoGrowth("an hour", before, await size(page));
  await page.close();
});
