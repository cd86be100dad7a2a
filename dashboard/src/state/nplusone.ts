/** Requests that ran one statement over and over, gathered by route and statement. */

import type { RequestRow, Statement } from "../api/types";

export interface Repeats {
  method: string; route: string; fingerprint: string;
  /** Null where the statement is not among those listed for the window. */
  sql: string | null;
  requests: number;
  /** Queries per such request, all statements together, on average. */
  queries: number;
  /** Database time of these requests, ms. */
  dbMs: number;
  /** The one with the most queries, to be opened. */
  worst: RequestRow;
}

/** Gathers `requests`; those that took most database time first. */
export function repeats(requests: readonly RequestRow[], statements: readonly Statement[]): Repeats[] {
  const texts = new Map(statements.map((row) => [row.fingerprint, row.sql]));
  const groups = new Map<string, RequestRow[]>();
  for (const row of requests) {
    if (!row.n_plus_one) continue;
    const key = `${row.service} ${row.method} ${row.route} ${row.n_plus_one}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].flatMap((rows) => {
    const [first] = rows;
    if (!first?.n_plus_one) return [];
    const total = rows.reduce((sum, row) => sum + (row.db_query_count ?? 0), 0);
    return [{
      method: first.method, route: first.route, fingerprint: first.n_plus_one, sql: texts.get(first.n_plus_one) ?? null, requests: rows.length,
      queries: total / rows.length, dbMs: rows.reduce((sum, row) => sum + (row.db_total_ms ?? 0), 0),
      worst: rows.reduce((a, b) => ((b.db_query_count ?? 0) > (a.db_query_count ?? 0) ? b : a)),
    }];
  }).sort((a, b) => b.dbMs - a.dbMs);
}

export interface Failures { code: string; count: number; statements: { sql: string; count: number }[] }

/** Failed statements by SQLSTATE, most first. */
export function failures(statements: readonly Statement[]): Failures[] {
  const by = new Map<string, Failures>();
  for (const { sql, errors_by_code: codes = [] } of statements) {
    for (const { code, count } of codes) {
      const group = by.get(code) ?? { code, count: 0, statements: [] };
      group.count += count;
      group.statements.push({ sql, count });
      by.set(code, group);
    }
  }
  return [...by.values()].sort((a, b) => b.count - a.count);
}
