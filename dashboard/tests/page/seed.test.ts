/**
 * The page of the package `backtrack_route101`, its files served as they are, works against the agent. The package is
 * downloaded by pip and never kept.
 */

import { execFileSync, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type {
  Discovered,
  ErrorGroups,
  Outgoing,
  Overview,
  RouteHostCalls,
  Routes,
  Services,
} from "../../src/api/types";
import { ROUTES } from "../mock/data";
import { type Agent, BINARY, feed, freePort, startAgent, startApp, stop } from "./agent";
import { browser, complaints, SCREENS } from "./harness";

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const SERVICE = "shop-api";

describe.skipIf(!BINARY)("the seed's page", () => {
  let chrome: Browser;
  let agent: Agent;
  let app: ChildProcess;
  let server: Server;
  let page: Page;
  let said: string[];
  const directory = mkdtempSync(join(tmpdir(), "apm-seed-"));
  const api = async <T>(path: string) => (await (await fetch(agent.base + path)).json()) as T;
  const texts = (selector: string) =>
    page.$$eval(selector, (all) => all.map((one) => (one as HTMLElement).innerText.trim()));

  beforeAll(async () => {
    const files = download(directory);
    app = await startApp("front", await freePort());
    agent = await startAgent([app.pid ?? 0], ["--scan", source(directory), "--scan-service", SERVICE]);
    server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://localhost").pathname;
      if (path === "/" || path.startsWith("/static/")) {
        const file = path === "/" ? "index.html" : path.slice("/static/".length);
        const body = readdirSync(files).includes(file) ? readFileSync(join(files, file)) : null;
        response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(file)] ?? "text/plain" }).end(body);
        return;
      }
      fetch(agent.base + (request.url ?? "")).then(
        async (answer) =>
          response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text()),
        () => response.writeHead(502).end(),
      );
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const sent = await feed(agent.base, "");
    await vi.waitFor(async () => expect((await api<Overview>("/api/overview?w=900")).total_requests).toBe(sent), {
      timeout: 15_000,
      interval: 100,
    });
    chrome = await browser();
    page = await chrome.newPage({ viewport: { width: 1280, height: 900 } });
    said = complaints(page);
    // The browser asks for an icon that the package does not have.
    await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.selectOption("#window-select", "900");
    await page.locator("#routes-table tbody tr").first().waitFor();
  }, 120_000);
  afterAll(async () => {
    await chrome?.close();
    server?.close();
    await agent?.close();
    await stop(app);
    rmSync(directory, { recursive: true, force: true });
  });

  test("tiles, routes and outgoing show the agent's figures", async () => {
    const overview = await api<Overview>("/api/overview?w=900");
    await expect.poll(() => texts("#t-rps")).toEqual([overview.rps.toFixed(2)]);
    expect(await texts("#t-err")).toEqual([`${(overview.error_rate * 100).toFixed(2)}%`]);
    // CPU and memory of the running app move: page and API are read until both saw the same second.
    await expect
      .poll(
        async () => {
          const { services } = await api<Services>("/api/services");
          const sum = (pick: (row: Services["services"][number]) => number | null) =>
            services.reduce((all, row) => all + (pick(row) ?? 0), 0);
          const shown = await texts("#t-inflight, #t-cpu, #t-mem");
          const wanted = [
            String(sum((row) => row.in_flight)),
            `${(sum((row) => row.cpu_pct) / services.length).toFixed(1)}%`,
            `${sum((row) => row.mem_mb).toFixed(0)} MB`,
          ];
          return JSON.stringify(shown) === JSON.stringify(wanted) || { shown, wanted };
        },
        { timeout: 10_000 },
      )
      .toBe(true);
    const { routes } = await api<Routes>("/api/routes?w=900");
    const column = (n: number) => texts(`#routes-table tbody tr td:nth-child(${n})`);
    await expect.poll(() => column(2)).toEqual(routes.map((row) => row.route));
    const { hosts } = await api<Outgoing>("/api/outgoing?w=900");
    expect(await texts("#outgoing-table tbody tr td:nth-child(1)")).toEqual(hosts.map((row) => row.host));
  });

  test("the charts are drawn", async () => {
    expect(await page.locator("#chart-rps .scatterlayer .trace").count()).toBe(2);
    expect(await page.locator("#chart-latency .scatterlayer .trace").count()).toBeGreaterThanOrEqual(1);
  });

  test("grouped errors", async () => {
    const { groups } = await api<ErrorGroups>("/api/error_groups?w=900");
    expect(groups).not.toEqual([]);
    const listed = await page.locator("#errors-list").innerText();
    for (const group of groups) expect(listed).toContain(group.error_type);
  });

  test("the project as a tree and as a graph", async () => {
    const { routes } = await api<Discovered>("/api/discovered");
    expect(routes.map((row) => row.route)).toContain("/checkout");
    await page.selectOption("#service-select", SERVICE);
    await page.locator("#project-tree:has-text('shop.py')").waitFor();
    expect(await page.locator("#project-tree").innerText()).toContain("/checkout");
    await page.click(".view-tab[data-view=graph]");
    await page.locator("#project-graph canvas").first().waitFor();
    const { edges } = await api<RouteHostCalls>(`/api/route_host_calls?w=900&service=${SERVICE}`);
    expect(edges.map((row) => `${row.route} ${row.host}`)).toContain("/checkout api.payments.example");
    await page.screenshot({ path: `${SCREENS}/seed.png`, fullPage: true });
  });

  test("without an error", () => {
    // Its version of Cytoscape warns of a setting that the page makes itself.
    expect(said.filter((line) => !line.includes("wheel sensitivity"))).toEqual([]);
  });
});

/** The package's page, unpacked below `directory`. */
function download(directory: string): string {
  const wheels = join(directory, "wheels");
  const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, "backtrack_route101==0.1.2"];
  execFileSync("python3", pip, { stdio: ["ignore", "ignore", "inherit"] });
  const [wheel] = readdirSync(wheels);
  execFileSync("python3", ["-m", "zipfile", "-e", join(wheels, wheel ?? ""), directory]);
  return join(directory, "backtrack", "dashboard");
}

/** Source that has the shop's routes. */
function source(directory: string): string {
  const root = join(directory, "source");
  mkdirSync(root);
  const routes = ROUTES.filter((one) => one.service === SERVICE);
  const handlers = routes.map((one) => `@app.${one.method.toLowerCase()}("${one.route}")\ndef ${one.fn}(): ...\n`);
  writeFileSync(join(root, "shop.py"), `from fastapi import FastAPI\n\napp = FastAPI()\n\n\n${handlers.join("\n\n")}`);
  return root;
}
