// Opens the agent's page in Chromium, waits until it is alive, takes a picture and prints what it shows as JSON.
//     node page.mjs DASHBOARD_DIRECTORY AGENT_URL CHROMIUM PICTURE.png
// playwright-core is the dashboard's own development dependency.

import { createRequire } from "node:module";

const [dashboard, agent, executablePath, picture] = process.argv.slice(2);
const { chromium } = createRequire(`${dashboard}/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
const complaints = [];
page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
page.on("pageerror", (error) => complaints.push(String(error)));
await page.goto(`${agent}?w=60`);
await page.waitForFunction(() => document.querySelectorAll("#routes tbody tr").length >= 5, null, { timeout: 15_000 });
await page.waitForFunction(() => document.querySelectorAll("canvas").length >= 2, null, { timeout: 15_000 });
const first = await page.textContent("[data-tile=rps] .under");
// Alive: the count of requests changes without a reload.
await page.waitForFunction((old) => document.querySelector("[data-tile=rps] .under")?.textContent !== old, first, { timeout: 15_000 });
const shown = await page.evaluate(() => ({
  tiles: Object.fromEntries([...document.querySelectorAll("[data-tile]")].map((tile) =>
    [tile.dataset.tile, tile.querySelector(".figure")?.textContent ?? ""])),
  routes: [...document.querySelectorAll("#routes tbody tr")].map((row) => row.textContent ?? ""),
  charts: [...document.querySelectorAll("canvas")].map((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
  }),
}));
await page.screenshot({ path: picture, fullPage: true });
await browser.close();
console.log(JSON.stringify({ ...shown, complaints }));
