/**
 * The page of an agent that runs already, in front of a shop with a database and a second service: `cargo xtask test
 * page/shop` starts them and says where.
 */

import { mkdirSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { browser, complaints, SCREENS } from "../page/harness";

/** Address of the agent, without a slash at its end. */
export const AGENT = process.env["APM_AGENT_PAGE"] ?? "";
/** The service that is looked at. */
export const SERVICE = process.env["APM_SERVICE"] ?? "shop";
/** Pictures of real traffic. */
export const PICTURES = `${SCREENS}/real`;
/** Holds all that the shop ever served; what comes after it does not change it. */
export const W = 900;

export const api = async <T>(path: string, params: Record<string, string | number> = {}): Promise<T> => {
  const query = new URLSearchParams(Object.entries(params).map(([name, value]) => [name, String(value)]));
  const answer = await fetch(`${AGENT}/api/${path}?${query}`);
  expect(answer.status, `/api/${path}?${query}`).toBe(200);
  return (await answer.json()) as T;
};

/** Waits until what the page shows is what the API says; fails with both when it does not come to that. */
export const agree = (shown: () => Promise<unknown>, said: () => Promise<unknown>) =>
  expect
    .poll(
      async () => {
        const [wanted, there] = [await said(), await shown()];
        return JSON.stringify(there) === JSON.stringify(wanted) ? "the same" : { there, wanted };
      },
      { interval: 200 },
    )
    .toBe("the same");

export interface Stage {
  readonly chrome: Browser;
  readonly page: Page;
  /** Opens the page at `query` and waits for `ready`. */
  open: (query: string, ready: string) => Promise<void>;
  /** Texts of the first `columns` cells of each row of the table in `panel`, in the order shown. */
  rows: (panel: string, columns: number) => Promise<string[][]>;
  texts: (selector: string) => Promise<string[]>;
}

/** A browser, and for each test a page in it that must not complain of anything. */
export function stage(): Stage {
  let chrome: Browser;
  let context: BrowserContext;
  let page: Page;
  let said: string[];
  beforeAll(async () => {
    chrome = await browser();
    mkdirSync(PICTURES, { recursive: true });
  });
  afterAll(() => chrome.close());
  beforeEach(async () => {
    context = await chrome.newContext({
      viewport: { width: 1280, height: 900 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    page = await context.newPage();
    said = complaints(page);
  });
  afterEach(async () => {
    await context.close();
    expect(said).toEqual([]);
  });
  return {
    get chrome() {
      return chrome;
    },
    get page() {
      return page;
    },
    open: async (query, ready) => {
      await page.goto(`${AGENT}/?${query}`);
      await page.locator(ready).first().waitFor();
    },
    rows: (panel, columns) =>
      page.$$eval(
        `${panel} tbody tr`,
        (all, n) => all.map((row) => [...row.querySelectorAll("td")].slice(0, n).map((cell) => cell.innerText.trim())),
        columns,
      ),
    texts: (selector) =>
      page.$$eval(selector, (all) => all.map((one) => (one as HTMLElement).innerText.replace(/\s+/g, " ").trim())),
  };
}
