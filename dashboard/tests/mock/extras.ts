/** The endpoints beyond the first contract, and the snapshots. */

import type { Trace } from "../../src/api/types";
import { percentiles, type Answers } from "./answers";
import { ROUTES, type Served } from "./data";
import { STATUS } from "./status";

const failed = (row: Served) => row.status >= 500 || row.error !== null;
const mean = (values: number[]) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0);

export function extras(answers: Answers, url: URL, slid: number): unknown {
  const text = (name: string) => url.searchParams.get(name) ?? "";
  const w = Number(text("w") || 600);
  const rows = () =>
    answers
      .events(text("service"), w)
      .filter(
        (row) => (!text("route") || row.route === text("route")) && (!text("method") || row.method === text("method")),
      );
  switch (url.pathname) {
    case "/api/queries":
      return queries(answers, text("service"), w);
    case "/api/status":
      return STATUS;
    case "/api/requests":
      return { requests: requests(rows(), text("sort"), Number(text("limit") || 50)) };
    case "/api/heatmap":
      return heatmap(rows(), Number(text("bucket") || 5), slid);
    case "/api/route/snapshot":
      return routeSnapshot(answers, rows(), text("service"), text("method"), text("route"), w);
    case "/api/folder/snapshot":
      return folderSnapshot(answers, text("service"), text("folder"), w);
  }
  const id = /^\/api\/trace\/(.+)$/.exec(url.pathname)?.[1];
  return id ? trace(answers, decodeURIComponent(id)) : undefined;
}

function requests(rows: Served[], sort: string, limit: number) {
  const chosen =
    sort === "slow"
      ? [...rows].sort((a, b) => b.duration_ms - a.duration_ms)
      : sort === "failed"
        ? rows.filter(failed)
        : rows;
  return chosen.slice(0, limit).map(({ exception: _, ...row }) => ({ ...row, failed: failed(row as Served) }));
}

function trace(answers: Answers, id: string): Trace | undefined {
  const { events, queries, calls } = answers.shop;
  const node = (row: Served): Trace => {
    const caused = events.filter((child) => child.parent_id === row.request_id);
    const { exception, ...request } = row;
    const none = {
      error_type: null,
      error_message: null,
      error_traceback: null,
      error_fingerprint: null,
      error_locals: null,
    };
    return {
      ...request,
      ...(exception ?? none),
      queries: queries.filter((query) => query.request === row.request_id),
      calls: calls
        .filter((call) => call.request === row.request_id)
        .map((call) => {
          const callee = caused.find((child) => child.path === call.path && child.start >= call.start - 0.005);
          return { ...call, callee: callee ? node(callee) : null };
        }),
      children: [],
      truncated: false,
    };
  };
  const asked = events.find((row) => row.request_id === id);
  const root = events.find((row) => asked && row.correlation_id === asked.correlation_id && !row.parent_id);
  return root && node(root);
}

const BOUNDS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

function heatmap(rows: Served[], bucket: number, slid: number) {
  const columns = new Map<number, number[]>();
  for (const row of rows) {
    const ts = Math.floor((row.ts + slid) / bucket) * bucket;
    const counts = columns.get(ts) ?? new Array<number>(BOUNDS.length + 1).fill(0);
    const band = BOUNDS.findIndex((bound) => row.duration_ms < bound);
    const at = band < 0 ? BOUNDS.length : band;
    counts[at] = (counts[at] ?? 0) + 1;
    columns.set(ts, counts);
  }
  return {
    bucket_seconds: bucket,
    bounds_ms: BOUNDS,
    columns: [...columns].map(([ts, counts]) => ({ ts, counts })).sort((a, b) => a.ts - b.ts),
  };
}

function routeSnapshot(answers: Answers, rows: Served[], service: string, method: string, route: string, w: number) {
  const took = rows.map((row) => row.duration_ms);
  const worst = rows.length ? rows.reduce((a, b) => ((b.db_total_ms ?? 0) > (a.db_total_ms ?? 0) ? b : a)) : null;
  const ids = new Set(rows.map((row) => row.request_id));
  const calls = answers.shop.calls.filter((call) => ids.has(call.request));
  const errors = rows.filter(failed);
  return {
    service,
    method,
    route,
    window_seconds: w,
    total_requests: rows.length,
    errors: errors.length,
    error_rate: rows.length ? errors.length / rows.length : 0,
    rps: rows.length / w,
    avg_duration_ms: mean(took),
    max_duration_ms: Math.max(0, ...took),
    min_duration_ms: Math.min(...took, 1e9),
    ...percentiles(took),
    error_breakdown: [...new Set(errors.map((row) => row.error))].map((error) => ({
      status: 500,
      error,
      count: errors.filter((row) => row.error === error).length,
    })),
    db: {
      avg_queries_per_request: mean(rows.map((row) => row.db_query_count ?? 0)),
      max_queries_per_request: Math.max(0, ...rows.map((row) => row.db_query_count ?? 0)),
      avg_db_ms: mean(rows.map((row) => row.db_total_ms ?? 0)),
      max_db_ms: Math.max(0, ...rows.map((row) => row.db_total_ms ?? 0)),
      worst_request: worst && {
        queries: worst.db_query_count,
        db_total_ms: worst.db_total_ms,
        request_total_ms: worst.duration_ms,
        slowest: answers.shop.queries
          .filter((row) => row.request === worst.request_id)
          .sort((a, b) => b.duration_ms - a.duration_ms)
          .slice(0, 3)
          .map((row) => ({ sql: row.sql, ms: row.duration_ms })),
      },
    },
    outgoing: [...new Set(calls.map((call) => call.host))].map((host) => {
      const same = calls.filter((call) => call.host === host);
      return {
        host,
        calls: same.length,
        avg_ms: mean(same.map((call) => call.duration_ms)),
        max_ms: Math.max(...same.map((call) => call.duration_ms)),
        errors: same.filter((call) => call.error).length,
      };
    }),
  };
}

function folderSnapshot(answers: Answers, service: string, folder: string, w: number) {
  const inside = ROUTES.filter((route) => route.service === service && route.file.startsWith(`${folder}/`));
  const rows = answers
    .routes(service, w)
    .routes.filter((row) => inside.some((route) => route.route === row.route && route.method === row.method));
  const total = rows.reduce((sum, row) => sum + row.total, 0);
  const errors = rows.reduce((sum, row) => sum + row.errors, 0);
  return {
    service,
    folder,
    window_seconds: w,
    discovered_routes: inside.length,
    total_requests: total,
    errors,
    error_rate: total ? errors / total : 0,
    rps: total / w,
    avg_duration_ms: total ? rows.reduce((sum, row) => sum + row.avg_ms * row.total, 0) / total : 0,
    routes: rows,
    files: [...new Set(inside.map((route) => route.file))],
  };
}

function queries(answers: Answers, service: string, w: number) {
  const rows = answers.shop.queries.filter((row) => row.ts >= answers.now - w && (!service || row.service === service));
  const list = [...new Set(rows.map((row) => String(row.fingerprint)))].map((name) => {
    const same = rows.filter((row) => row.fingerprint === name);
    const took = same.map((row) => row.duration_ms);
    const total = took.reduce((a, b) => a + b, 0);
    return {
      fingerprint: name,
      system: "postgresql",
      sql: same[0]?.sql,
      operation: same[0]?.operation,
      table: same[0]?.table,
      calls: same.length,
      rows: same.reduce((sum, row) => sum + (row.rows ?? 0), 0),
      call_sites: [...new Set(same.map((row) => row.call_site))].slice(0, 3).map((site) => ({
        site,
        count: same.filter((row) => row.call_site === site).length,
      })),
      errors: same.filter((row) => row.error_code).length,
      errors_by_code: same.some((row) => row.error_code)
        ? [{ code: "40001", count: same.filter((row) => row.error_code).length }]
        : [],
      avg_ms: total / same.length,
      max_ms: Math.max(...took),
      total_ms: total,
      ...percentiles(took),
    };
  });
  const repeating = answers.events(service, w).filter((row) => row.n_plus_one);
  const lines = rows.filter((row) => row.sql.includes("order_lines"));
  const time = repeating.reduce((sum, row) => sum + (row.db_total_ms ?? 0), 0);
  const broken = rows.filter((row) => row.error_code);
  return {
    queries: list,
    n_plus_one: repeating.length
      ? [
          {
            service: "shop-api",
            method: "GET",
            route: "/orders",
            fingerprint: lines[0]?.fingerprint,
            sql: lines[0]?.sql,
            requests: repeating.length,
            avg_ms: time / repeating.length,
            total_ms: time,
            sample_request_id: repeating[0]?.request_id,
          },
        ]
      : [],
    errors: broken.length ? [{ code: "40001", count: broken.length, sample_sql: broken[0]?.sql }] : [],
  };
}
