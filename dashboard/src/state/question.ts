/**
 * What an assistant is told about a route or a folder: shapes and figures, no values.
 *
 * The agent stores SQL normalised and no header or body; what other senders post is not ours to trust, so that text
 * with room for a value is cut here again: messages of errors, source lines, literals.
 */

import type { ErrorGroup, FolderSnapshot, RouteSnapshot } from "../api/types";

export const SYSTEM =
  "You help a developer of a Python web backend. You get measurements of one route or folder as JSON: times in " +
  "milliseconds, rates 0..1, SQL with literals replaced by ?. Say in plain words what costs most and why, name the most likely " +
  "cause of errors, and give at most three concrete changes, most useful first. Do not invent figures. If the data shows nothing wrong, say so.";

/** Replacer for `JSON.stringify`: four significant digits are all that a figure is worth. */
export function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}

/** Replaces what may be a literal in SQL: quoted text, numbers, and double quotes around anything but an identifier. */
export function scrubSql(sql: string): string {
  return sql
    .replace(/\$(\w*)\$[\s\S]*?\$\1\$/g, "?")
    .replace(/'(?:[^'\\]|''|\\.)*'?/g, "?")
    .replace(/"(?:[^"]|"")*"?/g, (quoted) => (/^"[A-Za-z_]\w*"$/.test(quoted) ? quoted : "?"))
    .replace(/(?<![\w$])\d+(?:\.\d+)?(?:e[+-]?\d+)?\b/gi, "?");
}

/** The class of an error without its message; null when the text does not start with a class. */
export function errorClass(text: string | null): string | null {
  return text?.match(/^([A-Za-z_][\w.]*)(?::|\(|$)/)?.[1] ?? null;
}

/** Frames of a traceback as `file:line function`; no source lines, no message. */
export function frames(traceback: string | null): string[] {
  return [...(traceback ?? "").matchAll(/^\s*File "([^"\n]{1,300})", line (\d+)(?:, in ([^\n]{1,120}))?/gm)]
    .slice(-12)
    .map(
      ([, file, line, name]) => `${file?.replace(/^.*\/(site-packages|src)\//, "")}:${line}${name ? ` ${name}` : ""}`,
    );
}

function group(of: ErrorGroup) {
  return {
    error_type: of.error_type,
    count: of.count,
    routes_count: of.routes_count,
    frames: frames(of.sample_traceback),
  };
}

/** The facts of one route. */
export function routeFacts(of: RouteSnapshot, groups: readonly ErrorGroup[]) {
  const worst = of.db.worst_request;
  return {
    service: of.service,
    method: of.method,
    route: of.route,
    window_seconds: of.window_seconds,
    total_requests: of.total_requests,
    errors: of.errors,
    error_rate: of.error_rate,
    rps: of.rps,
    latency_ms: {
      avg: of.avg_duration_ms,
      min: of.min_duration_ms,
      max: of.max_duration_ms,
      p50: of.p50_ms,
      p95: of.p95_ms,
      p99: of.p99_ms,
    },
    error_breakdown: of.error_breakdown.map((row) => ({
      status: row.status,
      error_type: errorClass(row.error),
      count: row.count,
    })),
    db: {
      avg_queries_per_request: of.db.avg_queries_per_request,
      max_queries_per_request: of.db.max_queries_per_request,
      avg_db_ms: of.db.avg_db_ms,
      max_db_ms: of.db.max_db_ms,
      worst_request: worst && {
        queries: worst.queries,
        db_total_ms: worst.db_total_ms,
        request_total_ms: worst.request_total_ms,
        slowest: worst.slowest.map(({ sql, ms }) => ({ sql: scrubSql(sql), ms })),
      },
    },
    outgoing: of.outgoing.map(({ host, calls, avg_ms, max_ms, errors }) => ({ host, calls, avg_ms, max_ms, errors })),
    exceptions: groups
      .filter((row) => row.affected_routes.some((r) => r.route === of.route && r.method === of.method))
      .slice(0, 5)
      .map(group),
  };
}

/** The facts of one folder. */
export function folderFacts(of: FolderSnapshot, groups: readonly ErrorGroup[]) {
  const inside = new Set(of.routes.map((row) => `${row.method} ${row.route}`));
  return {
    service: of.service,
    folder: of.folder,
    window_seconds: of.window_seconds,
    total_requests: of.total_requests,
    errors: of.errors,
    error_rate: of.error_rate,
    avg_duration_ms: of.avg_duration_ms,
    rps: of.rps,
    routes: of.routes.slice(0, 40).map(({ method, route, total, errors, error_rate, avg_ms, max_ms, rps }) => ({
      method,
      route,
      total,
      errors,
      error_rate,
      avg_ms,
      max_ms,
      rps,
    })),
    files: of.files.slice(0, 60),
    exceptions: groups
      .filter((row) => row.affected_routes.some((r) => inside.has(`${r.method} ${r.route}`)))
      .slice(0, 5)
      .map(group),
  };
}
