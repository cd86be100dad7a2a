/** Pictures of every view, light and dark, wide and narrow, into target/screens. A view that complains fails. */

import { expect, test } from "vitest";
import { named, VIEWS } from "./views";
import { SCREENS, complaints, stage } from "./harness";

const on = stage();

const SIZES = [
  ["wide", 1280, 900],
  ["narrow", 390, 844],
] as const;

for (const scheme of ["light", "dark"] as const) {
  for (const [size, width, height] of SIZES) {
    test.each(VIEWS)(`%s, ${scheme}, ${size}`, async (name, query, ready) => {
      const page = await on.chrome.newPage({ colorScheme: scheme, viewport: { width, height } });
      const said = complaints(page);
      await page.goto(`${on.base}/?${await named(on.base, query)}`);
      await page.waitForSelector(ready);
      await page.waitForLoadState("load");
      await page.screenshot({
        path: `${SCREENS}/${name}-${scheme}-${size}.png`,
        fullPage: !query.includes("request="),
      });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow, "the page scrolls sideways").toBeLessThanOrEqual(0);
      expect(said).toEqual([]);
      await page.close();
    });
  }
}

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
