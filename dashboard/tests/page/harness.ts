/** The built page in front of the mock, under the policy that the agent sends, in a real browser. */

import { createServer, type Server } from "node:http";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { handle } from "../mock/server";

export const ROOT = new URL("../..", import.meta.url).pathname;
const DIST = join(ROOT, "dist");
export const SCREENS = process.env["SCREENS"] ?? join(ROOT, "..", "target", "screens");

/** Allows the page itself and the hosts of the assistants that the settings offer, nothing else. */
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self' https://api.anthropic.com https://api.openai.com http://localhost:11434 http://127.0.0.1:11434; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Serves the page on a free port. */
async function serve(): Promise<{ base: string; server: Server }> {
  if (!existsSync(join(DIST, "index.html"))) throw new Error("dashboard/dist is missing: run `npm run build` first");
  const server = createServer((request, response) => {
    if (handle(request, response)) return;
    const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
    const file = join(DIST, path === "/" ? "index.html" : path);
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response
      .writeHead(200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-security-policy": POLICY,
      })
      .end(readFileSync(file));
  });
  await new Promise<void>((ready) => {
    server.listen(0, "127.0.0.1", ready);
  });
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

export async function browser(): Promise<Browser> {
  mkdirSync(SCREENS, { recursive: true });
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** The page in front of the mock and a browser to look at it, for all tests of a file; there from the first test on. */
export function stage(): { readonly base: string; readonly chrome: Browser } {
  const on = { base: "", chrome: null as unknown as Browser };
  let server: Server;
  beforeAll(async () => {
    ({ base: on.base, server } = await serve());
    on.chrome = await browser();
  });
  afterAll(async () => {
    await on.chrome.close();
    server.close();
  });
  return on;
}

/** What a page complained about: console errors and warnings, exceptions, policy reports. */
export function complaints(page: Page): string[] {
  const said: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  return said;
}

/** How often text became something else: elements that it made, links that run it, and whether it ran. */
export const ran = (page: Page): Promise<{ elements: number; links: number; ran: boolean }> =>
  page.evaluate(() => ({
    elements: document.querySelectorAll(":is(main, dialog) :is(img, script, svg[onload])").length,
    links: [...document.querySelectorAll("a")].filter((link) => link.protocol === "javascript:").length,
    ran: (window as { pwned?: number }).pwned !== undefined,
  }));
/** What {@link ran} says of a page on which all text is text. */
export const ONLY_TEXT = { elements: 0, links: 0, ran: false };

/** Lets a page draw so many frames. */
export const frames = (page: Page, many: number): Promise<void> =>
  page.evaluate(
    (left) =>
      new Promise<void>((done) => {
        const next = () => (left-- > 0 ? requestAnimationFrame(next) : done());
        next();
      }),
    many,
  );

/**
 * What lies out of sight to the side: the page itself, and parts that scroll sideways although they need not. Tabs and the
 * graph may be wider than a phone.
 */
export const sideways = (page: Page): Promise<string[]> =>
  page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("html, body *")]
      .filter((part) => part.scrollWidth > part.clientWidth + 1 && !part.matches(".tabs, .map"))
      .filter((part) => part.tagName === "HTML" || /auto|scroll/.test(getComputedStyle(part).overflowX))
      .map((part) => `${part.tagName} ${part.className} in ${part.closest("[id]")?.id}: ${part.scrollWidth} pixels`),
  );
