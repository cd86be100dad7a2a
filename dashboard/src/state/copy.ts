/** A request as something to paste elsewhere. */

import type { Trace } from "../api/types";

/** Quotes for a POSIX shell. */
export const quote = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * The request as a curl command: method, host and path. Query values, headers and bodies are not kept by the agent, so
 * that none can leak here.
 */
export function curl(of: Trace): string {
  const scheme = of.tls ? "https" : "http";
  const method = of.method === "GET" ? "" : ` -X ${quote(of.method)}`;
  return `curl${method} ${quote(`${scheme}://${of.host || "localhost"}${of.path}`)}`;
}

/** The request as JSON, without what is unset. */
export function json(of: Trace): string {
  return JSON.stringify(of, (_, value: unknown) => value ?? undefined, 2);
}
