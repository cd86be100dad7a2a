/**
 * Every view on made-up data, light and dark: pictures into target/screens, judged by axe, wide and on a phone.
 * `tests/agent/live.test.ts` does the same on real traffic.
 */

import { describe, expect, test } from "vitest";
import { violations } from "./axe";
import { named, VIEWS } from "./views";
import { SCREENS, complaints, sideways, stage } from "./harness";

const on = stage();

describe.each(["light", "dark"] as const)("%s", (colorScheme) => {
  test.each(VIEWS)("%s", async (name, query, ready) => {
    const page = await on.chrome.newPage({ colorScheme, viewport: { width: 1280, height: 900 } });
    const said = complaints(page);
    await page.goto(`${on.base}/?${await named(on.base, query)}`);
    await page.waitForSelector(ready);
    await page.waitForLoadState("load");
    await page.screenshot({
      path: `${SCREENS}/${name}-${colorScheme}-wide.png`,
      fullPage: !query.includes("request="),
    });
    expect(await violations(page)).toEqual([]);
    // The same page on a phone.
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await sideways(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });
});

test.each(["light", "dark"] as const)("dialogs and empty views, %s", async (colorScheme) => {
  const page = await on.chrome.newPage({ colorScheme, viewport: { width: 1280, height: 900 } });
  const shot = (name: string) => page.screenshot({ path: `${SCREENS}/${name}-${colorScheme}-wide.png` });
  await page.goto(on.base);
  await page.click("button:has-text('Settings')");
  await page.locator("dialog select").waitFor();
  await shot("settings");
  await page.keyboard.press("Escape");
  await page.click("button[aria-label='Analyze POST /checkout']");
  await page.locator("#exact").waitFor();
  await shot("analyze");
  await page.goto(`${on.base}/?service=unknown`);
  await page.locator("#routes .empty").waitFor();
  await page.locator("#queries .empty").waitFor();
  await shot("empty");
  await page.close();
});
