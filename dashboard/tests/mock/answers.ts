/** The contract's answers, computed from raw rows as the agent computes them. */

import { ROUTES, type Served, type Shop } from "./data";

const failed = (event: Served) => event.status >= 500 || event.error !== null;
const mean = (values: number[]) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0);
const round = (value: number) => Math.round(value * 1000) / 1000;

export function percentiles(values: number[]) {
  const ordered = [...values].sort((a, b) => a - b);
  const at = (q: number) =>
    ordered.length ? round(ordered[Math.min(ordered.length - 1, Math.floor(q * ordered.length))] ?? 0) : null;
  return { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) };
}

function groupBy<T>(rows: readonly T[], key: (row: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const name = key(row);
    const group = groups.get(name);
    if (group) group.push(row);
    else groups.set(name, [row]);
  }
  return [...groups.values()];
}

function summary(rows: Served[], w: number) {
  const errors = rows.filter(failed).length;
  const took = rows.map((row) => row.duration_ms);
  return {
    total: rows.length,
    errors,
    error_rate: rows.length ? errors / rows.length : 0,
    rps: round(rows.length / w),
    avg_ms: round(mean(took)),
    max_ms: round(Math.max(0, ...took)),
    ...percentiles(took),
  };
}

export class Answers {
  constructor(
    readonly shop: Shop,
    readonly now: number,
  ) {}

  events(service: string, w: number) {
    return this.shop.events.filter((row) => row.ts >= this.now - w && (!service || row.service === service));
  }

  services() {
    return {
      services: groupBy(this.shop.events, (row) => row.service)
        .map((rows) => ({
          service: rows[0]?.service,
          last_seen: rows[0]?.ts,
          cpu_pct: rows[0]?.service === "pricing" ? 2.5 : 18.4,
          mem_mb: rows[0]?.service === "pricing" ? 58.2 : 187.6,
          in_flight: rows[0]?.service === "pricing" ? 0 : 3,
        }))
        .sort((a, b) => (a.service! < b.service! ? -1 : 1)),
    };
  }

  overview(service: string, w: number) {
    const s = summary(this.events(service, w), w);
    return {
      service: service || null,
      window_seconds: w,
      total_requests: s.total,
      errors: s.errors,
      error_rate: s.error_rate,
      rps: s.rps,
      avg_duration_ms: s.avg_ms,
      max_duration_ms: s.max_ms,
      // The agent says 0 where there was no request.
      p50_ms: s.p50_ms ?? 0,
      p95_ms: s.p95_ms ?? 0,
      p99_ms: s.p99_ms ?? 0,
    };
  }

  timeseries(service: string, w: number, bucket: number, slid: number, route: string) {
    const events = this.events(service, w).filter((row) => !route || `${row.method} ${row.route}` === route);
    const points = groupBy(events, (row) => String(Math.floor((row.ts + slid) / bucket)))
      .map((rows) => ({
        ts: Math.floor(((rows[0]?.ts ?? 0) + slid) / bucket) * bucket,
        ...summary(rows, bucket),
      }))
      .sort((a, b) => a.ts - b.ts);
    return { service: service || null, window_seconds: w, bucket_seconds: bucket, points };
  }

  routes(service: string, w: number) {
    const routes = groupBy(this.events(service, w), (row) => `${row.method} ${row.route}`)
      .map((rows) => ({
        method: rows[0]?.method,
        route: rows[0]?.route,
        ...summary(rows, w),
        avg_db_queries: round(mean(rows.map((row) => row.db_query_count ?? 0))),
        avg_db_ms: round(mean(rows.map((row) => row.db_total_ms ?? 0))),
        avg_outgoing: round(mean(rows.map((row) => row.outgoing_count ?? 0))),
        avg_outgoing_ms: round(mean(rows.map((row) => row.outgoing_total_ms ?? 0))),
      }))
      .sort((a, b) => b.total - a.total);
    return { routes };
  }

  recentErrors(service: string, limit: number) {
    return {
      errors: this.shop.events
        .filter((row) => failed(row) && (!service || row.service === service))
        .slice(0, limit)
        .map(({ ts, service: name, method, route, status, duration_ms, error, request_id }) => ({
          ts,
          service: name,
          method,
          route,
          status,
          duration_ms,
          error,
          request_id,
        })),
    };
  }

  errorGroups(service: string, w: number) {
    const rows = this.events(service, w).filter((row) => row.exception);
    const groups = groupBy(rows, (row) => row.exception?.error_fingerprint ?? "")
      .map((same) => ({
        fingerprint: same[0]?.exception?.error_fingerprint,
        error_type: same[0]?.exception?.error_type,
        error_message: same[0]?.exception?.error_message,
        count: same.length,
        first_seen: same.at(-1)?.ts,
        last_seen: same[0]?.ts,
        sample_traceback: same[0]?.exception?.error_traceback,
        sample_link: same[0]?.exception?.error_link,
        sample_request_id: same[0]?.request_id,
        service: same[0]?.service,
        affected_routes: groupBy(same, (row) => `${row.method} ${row.route}`).map((of) => ({
          method: of[0]?.method,
          route: of[0]?.route,
          count: of.length,
        })),
      }))
      .map((group) => ({ ...group, routes_count: group.affected_routes.length }));
    return { service: service || null, window_seconds: w, groups };
  }

  private calls(service: string, w: number) {
    return this.shop.calls.filter((row) => row.ts >= this.now - w && (!service || row.service === service));
  }

  private callSummary(rows: Shop["calls"]) {
    const errors = rows.filter((row) => row.status >= 400 || row.error !== null).length;
    const took = rows.map((row) => row.duration_ms);
    return {
      calls: rows.length,
      errors,
      error_rate: errors / rows.length,
      avg_ms: round(mean(took)),
      max_ms: round(Math.max(...took)),
      total_ms: round(took.reduce((a, b) => a + b, 0)),
    };
  }

  outgoing(service: string, w: number) {
    return {
      service: service || null,
      window_seconds: w,
      hosts: groupBy(this.calls(service, w), (row) => row.host)
        .map((rows) => {
          const { p50_ms, p95_ms } = percentiles(rows.map((row) => row.duration_ms));
          return { host: rows[0]?.host, ...this.callSummary(rows), p50_ms, p95_ms };
        })
        .sort((a, b) => b.calls - a.calls),
    };
  }

  routeHostCalls(service: string, w: number) {
    const by = new Map(this.shop.events.map((row) => [row.request_id, row]));
    const edges = groupBy(
      this.calls(service, w),
      (row) => `${by.get(row.request)?.method} ${by.get(row.request)?.route} ${row.host}`,
    ).map((rows) => ({
      method: by.get(rows[0]?.request ?? "")?.method,
      route: by.get(rows[0]?.request ?? "")?.route,
      host: rows[0]?.host,
      ...this.callSummary(rows),
    }));
    return { service: service || null, window_seconds: w, edges };
  }

  chains(service: string, w: number) {
    const by = new Map(this.shop.events.map((row) => [row.request_id, row]));
    const children = this.events("", w).filter(
      (row) => row.parent_id && (!service || (row.service === service && by.get(row.parent_id)?.service === service)),
    );
    return {
      service: service || null,
      window_seconds: w,
      chains: groupBy(children, (row) => `${by.get(row.parent_id ?? "")?.route} ${row.route}`).map((rows) => ({
        parent_method: by.get(rows[0]?.parent_id ?? "")?.method,
        parent_route: by.get(rows[0]?.parent_id ?? "")?.route,
        parent_service: by.get(rows[0]?.parent_id ?? "")?.service,
        child_service: rows[0]?.service,
        child_method: rows[0]?.method,
        child_route: rows[0]?.route,
        count: rows.length,
        child_avg_ms: round(mean(rows.map((row) => row.duration_ms))),
        child_errors: rows.filter(failed).length,
        hosts: groupBy(rows, (row) => row.host).map((of) => ({ host: of[0]?.host, count: of.length })),
      })),
    };
  }

  discovered() {
    const routes = ROUTES.map((route) => ({
      service: route.service,
      framework: "fastapi",
      method: route.method,
      route: route.route,
      file: route.file,
      line: route.line,
      function: route.fn,
      scanned_at: this.now - 900,
      scan_root: `/srv/${route.service}/src`,
    }));
    return {
      routes,
      scan_roots: groupBy(routes, (row) => row.service).map((rows) => ({
        service: rows[0]?.service,
        scanned_at: this.now - 900,
        scan_root: rows[0]?.scan_root,
        routes: rows.length,
        counters: { files: 31, files_parsed: 31, routes_with_unknown_path: 2 },
      })),
    };
  }
}
