// Looks at every view of the agent's page while a shop is under traffic, holds what it shows against the API, takes
// pictures and prints what it found as JSON.
//     node shop.mjs DASHBOARD_DIRECTORY AGENT_URL CHROMIUM PICTURES_DIRECTORY SERVICE
// playwright-core is the dashboard's own development dependency.

import { createRequire } from "node:module";

const [dashboard, agent, executablePath, pictures, service] = process.argv.slice(2);
const { chromium } = createRequire(`${dashboard}/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(20_000);
const complaints = [];
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(message.text()); });
page.on("pageerror", (error) => complaints.push(String(error)));

const api = async (path) => (await fetch(`${agent}api/${path}${path.includes("?") ? "&" : "?"}w=60`)).json();
const open = async (query, ready) => {
  await page.goto(`${agent}?w=60&${query}`);
  await page.locator(ready).first().waitFor();
};
const texts = (selector) => page.locator(selector).allInnerTexts();
const picture = (name) => page.screenshot({ path: `${pictures}/shop-${name}.png`, fullPage: true });

await open("view=overview", "#routes tbody tr:nth-child(9)");
await page.locator(`#tree:has-text("checkout.py")`).waitFor();
await page.locator("#queries tbody tr").first().waitFor();
await page.locator("#heatmap canvas").waitFor();
const overview = { tree: await page.locator("#tree").innerText(), routes: await texts("#routes tbody tr") };
await picture("overview");

await open("view=queries", "#n_plus_one tbody tr");
const queries = {
  statements: await texts("#queries tbody td:first-child"),
  repeats: await texts("#n_plus_one tbody tr"),
  states: await texts("#sqlstates tbody tr"),
};
await picture("queries");

const [repeating] = (await api(`requests?sort=recent&method=GET&route=/orders&limit=1&service=${service}`)).requests;
await open(`view=requests&request=${repeating.request_id}`, "#request .finding");
const repeated = { finding: await page.locator("#request .finding").innerText(), rows: await texts("#request .wf") };
await page.screenshot({ path: `${pictures}/shop-n-plus-one.png` });

const { requests } = await api(`requests?sort=recent&method=POST&route=/checkout&limit=50&service=${service}`);
await open(`view=requests&request=${requests.find((row) => row.status === 201).request_id}`, "#request .wf.call");
const chained = await texts("#request .wf");
await page.screenshot({ path: `${pictures}/shop-request.png` });

await open("view=errors", "#errors .group");
await page.locator("#errors .line").first().click();
await page.locator("#errors .trace-text").first().waitFor();
const errors = [...(await texts("#errors .group")), ...(await texts("#recent_errors tbody tr"))];
await picture("errors");

await open(`view=route&method=POST&route=/checkout&service=${service}`, "#calls tbody tr");
await page.locator("#heatmap canvas").waitFor();
const route = { calls: await texts("#calls tbody tr"), time: await page.locator("main").innerText() };
await picture("route");

await open("view=map", "#map .box");
const map = await texts("#map");
await picture("map");
await browser.close();
console.log(JSON.stringify({ overview, queries, repeated, chained, errors, route, map, complaints }));
