/** An analysis goes from the browser to the provider, exactly as shown, and the key goes nowhere else. */

import type { Page, Route } from "playwright-core";
import { expect, test } from "vitest";
import { complaints, stage } from "./harness";

const on = stage();

const KEY = "sk-test-0123456789";
const ANSWER = "The <b>payment provider</b> is slow.";
const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };

const PROVIDERS = [
  ["anthropic", "https://api.anthropic.com/v1/messages", { content: [{ type: "text", text: ANSWER }] }, "x-api-key"],
  [
    "openai",
    "https://api.openai.com/v1/chat/completions",
    { choices: [{ message: { content: ANSWER } }] },
    "authorization",
  ],
  ["ollama", "http://localhost:11434/api/chat", { message: { content: ANSWER } }, null],
] as const;

/** Stands in for a provider; collects what it is sent. */
async function provider(page: Page, address: string, reply: unknown) {
  const got: { body: string; headers: Record<string, string> }[] = [];
  await page.route(address, async (route: Route) => {
    const request = route.request();
    if (request.method() === "OPTIONS") return route.fulfill({ status: 204, headers: CORS });
    got.push({ body: request.postData() ?? "", headers: await request.allHeaders() });
    return route.fulfill({ json: reply, headers: CORS });
  });
  return got;
}

test.each(PROVIDERS)("%s gets what was shown", async (name, address, reply, header) => {
  const page = await on.chrome.newPage({ viewport: { width: 1280, height: 900 } });
  const said = complaints(page);
  const got = await provider(page, address, reply);
  const toAgent: string[] = [];
  page.on("request", (request) => {
    if (request.url().startsWith(on.base))
      toAgent.push(request.url() + JSON.stringify(request.headers()) + (request.postData() ?? ""));
  });
  await page.goto(on.base);
  await page.click("button:has-text('Settings')");
  await page.selectOption("dialog select", name);
  if (header) await page.fill("dialog input[type=password]", KEY);
  await page.click("dialog button:has-text('Save')");
  await page.click("button[aria-label='Analyze POST /checkout']");
  const shown = await page.locator("#exact").textContent();
  expect(got).toEqual([]);
  await page.click("dialog button:has-text('Send to')");
  await page.locator("#answer .answer").waitFor();
  expect(await page.locator("#answer").textContent()).toBe(ANSWER);
  expect(got.map((one) => one.body)).toEqual([shown]);
  // The mock's message of this error holds "2.0 s"; messages, headers and bodies stay here.
  expect(shown).toContain("httpx.ReadTimeout");
  expect(shown).not.toContain("did not answer");
  if (header) expect(got[0]?.headers[header]).toContain(KEY);
  expect(toAgent.filter((line) => line.includes(KEY))).toEqual([]);
  expect(await page.evaluate(() => Object.keys(localStorage))).toEqual(["apm-agent.assistant"]);
  expect(said).toEqual([]);
  await page.close();
});

test("what a provider refuses is said in its words, and no other host can be reached", async () => {
  const page = await on.chrome.newPage({ viewport: { width: 1280, height: 900 } });
  await page.route(PROVIDERS[1][1], (route) =>
    route.fulfill({ status: 401, json: { error: { message: "Incorrect API key" } }, headers: CORS }),
  );
  await page.goto(on.base);
  await page.evaluate(() =>
    localStorage.setItem("apm-agent.assistant", JSON.stringify({ provider: "openai", model: "m", key: "wrong" })),
  );
  await page.click("button[aria-label='Filter routes by api']");
  await page.click("button[aria-label='Analyze folder api']");
  await page.click("dialog button:has-text('Send to')");
  await page.locator("#answer:has-text('OpenAI answered 401: Incorrect API key')").waitFor();
  const blocked = await page.evaluate(() =>
    fetch("https://elsewhere.example/").then(
      () => "sent",
      () => "blocked",
    ),
  );
  expect(blocked).toBe("blocked");
  await page.close();
});
