/** Pictures of every view, light and dark, wide and narrow, into target/screens. A view that complains fails. */

import type { Server } from "node:http";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { browser, complaints, SCREENS, serve } from "./harness";

let chrome: Browser;
let base: string;
let server: Server | null;

beforeAll(async () => { ({ base, server } = await serve()); chrome = await browser(); });
afterAll(async () => { await chrome.close(); server?.close(); });

const VIEWS: readonly (readonly [name: string, query: string, ready: string])[] = [
  ["overview", "", "#routes tbody tr"],
  ["overview-folder", "service=shop-api&folder=api&q=get", "#folder .bad"],
  ["requests", "view=requests&kind=slow", "#requests tbody tr"],
  ["route", "view=route&method=POST&route=/checkout&service=shop-api", "#calls tbody tr"],
  ["request", "view=route&method=POST&route=/checkout&service=shop-api&request=CHECKOUT", "#request .wf.call"],
  ["request-n-plus-one", "view=requests&request=ORDERS", "#request .finding"],
  ["errors", "view=errors", "#errors .group"],
  ["map", "view=map", "#map svg"],
  ["queries", "view=queries", "#queries tbody tr"],
  ["outgoing", "view=outgoing", "#edges tbody tr"],
  ["agent", "view=agent", "#processes tbody tr"],
];
const SIZES = [["wide", 1280, 900], ["narrow", 390, 844]] as const;

/** Puts the id of a real request in the place of a name. */
async function named(query: string): Promise<string> {
  const one = async (route: string) => {
    const answer = await fetch(`${base}/api/requests?w=300&kind=slow&limit=1&route=${route}`);
    return ((await answer.json()) as { requests: { request_id: string }[] }).requests[0]?.request_id ?? "";
  };
  return query.replace("CHECKOUT", query.includes("CHECKOUT") ? await one("/checkout") : "").replace("ORDERS", query.includes("ORDERS") ? await one("/orders") : "");
}

for (const scheme of ["light", "dark"] as const) {
  for (const [size, width, height] of SIZES) {
    test.each(VIEWS)(`%s, ${scheme}, ${size}`, async (name, query, ready) => {
      const page = await chrome.newPage({ colorScheme: scheme, viewport: { width, height } });
      const said = complaints(page);
      await page.goto(`${base}/?${await named(query)}`);
      await page.waitForSelector(ready);
      await page.waitForLoadState("load");
      await page.screenshot({ path: `${SCREENS}/${name}-${scheme}-${size}.png`, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow, "the page scrolls sideways").toBeLessThanOrEqual(0);
      expect(said).toEqual([]);
      await page.close();
    });
  }
}
