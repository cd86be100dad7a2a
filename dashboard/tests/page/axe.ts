/** Accessibility as axe-core judges it. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string; failureSummary?: string }[];
}

/** The serious and critical violations of what `page` shows, in words. */
export async function violations(page: Page): Promise<string[]> {
  // Runs as a debugger's script does: outside the page's own policy, which stays as the agent sends it.
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    (window as unknown as { axe: { run: (options: unknown) => Promise<{ violations: Violation[] }> } }).axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
      resultTypes: ["violations"],
    }),
  );
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map(({ id, nodes }) => {
      const first = nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`);
      return `${id}: ${first.join("\n")}`;
    });
}
