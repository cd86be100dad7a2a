/**
 * An app that calls itself by markup, and that puts it into its routes, paths, statements, headers, exceptions and calls:
 * the page shows all of it as text.
 */

import { expect, test } from "vitest";
import type { ErrorGroups, Queries, Requests, Routes, Services } from "../../src/api/types";
import { ONLY_TEXT, ran } from "../page/harness";
import { AGENT, api, SERVICE, stage, W } from "./agent";

const on = stage();

/** As `tests/apps/hostile` and its caller write it. */
const [SERVED, ROUTE, PATH, SQL, MESSAGE, AGENT_NAME] = [
  SERVICE,
  "/<img src=x onerror=window.pwned=1>/{name}",
  "<script>window.pwned=1<!--",
  "<img src=x onerror=window.pwned=1>",
  `<img src=x onerror="window.pwned=1">`,
  `<svg onload="window.pwned=1">`,
];

test("it came from the app as markup", async () => {
  const [{ services }, { routes }, { requests }, { queries }, { groups }] = await Promise.all([
    api<Services>("services"),
    api<Routes>("routes", { w: W }),
    api<Requests>("requests", { w: W }),
    api<Queries>("queries", { w: W }),
    api<ErrorGroups>("error_groups", { w: W }),
  ]);
  expect(services.map((row) => row.service)).toContain(SERVED);
  expect(routes.map((row) => row.route)).toContain(ROUTE);
  expect(requests.some((row) => row.path.includes(PATH))).toBe(true);
  expect(queries.some((row) => row.sql.includes(SQL))).toBe(true);
  expect(groups.map((row) => row.error_message)).toContain(MESSAGE);
});

test.each([
  ["overview", "", "#queries tbody tr", [SERVED, ROUTE, SQL, MESSAGE]],
  ["requests", "view=requests", "#requests tbody tr", [SERVED, PATH, MESSAGE]],
  ["route", `view=route&method=GET&route=${encodeURIComponent(ROUTE)}`, "#db .slow", [ROUTE, SQL]],
  ["errors", "view=errors", "#errors .group", [MESSAGE, SERVED]],
  ["queries", "view=queries", "#queries tbody tr", [SQL]],
  ["outgoing", "view=outgoing", "#edges tbody tr", [ROUTE]],
  ["map", "view=map", "#map .box", ["<img src=x"]],
  ["agent", "view=agent", "#processes tbody tr", [SERVED]],
])("%s", async (_, query, ready, texts) => {
  await on.open(`${query}&w=${W}`, ready);
  for (const text of texts) await expect.poll(() => on.page.locator("body").innerText()).toContain(text);
  expect(await ran(on.page)).toEqual(ONLY_TEXT);
});

test("a failed request and one that calls, opened", async () => {
  const { requests } = await api<Requests>("requests", { w: W, limit: 100 });
  const find = (part: string) => requests.find((row) => row.route.startsWith(part))?.request_id ?? "";
  for (const [id, texts] of [
    [find("/<img"), [PATH, SQL, AGENT_NAME, "/leaf/"]],
    [find("/fail"), [MESSAGE, "Failure"]],
  ] as const) {
    await on.open(`view=requests&request=${encodeURIComponent(id)}`, "#request .waterfall");
    for (const text of texts) expect(await on.page.locator("dialog").innerText()).toContain(text);
    for (const details of await on.page.locator("#request summary").all()) await details.click();
    expect(await ran(on.page)).toEqual(ONLY_TEXT);
  }
});

test("an error opens, its analysis is shown, and no answer of the agent can run", async () => {
  await on.open(`view=errors&w=${W}`, "#errors .group");
  await on.page.click("#errors .line");
  await on.page.locator("#errors .trace-text").waitFor();
  expect(await on.page.locator("#errors .trace-text").innerText()).toContain(MESSAGE);
  await on.open(
    `view=route&method=GET&route=${encodeURIComponent(ROUTE)}&service=${encodeURIComponent(SERVED)}`,
    "#db",
  );
  await on.page.click("button:has-text('Analyze')");
  await on.page.locator("#exact").waitFor();
  expect(await ran(on.page)).toEqual(ONLY_TEXT);
  for (const path of ["", "api/services", "api/nothing"]) {
    const { headers } = await fetch(`${AGENT}/${path}`);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  }
});
