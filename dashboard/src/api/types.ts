/**
 * Answers of the agent's API as the page reads them. Times are Unix seconds, durations milliseconds, rates 0..1.
 * Fields marked optional are additions to the first contract: an answer without them is shown without them.
 */

export interface Service {
  service: string;
  last_seen: number;
  cpu_pct: number | null;
  mem_mb: number | null;
  in_flight: number | null;
  /** A process of the service runs now. */
  alive?: boolean;
}
export interface Services {
  services: Service[];
}

export interface Percentiles {
  p50_ms?: number | null;
  p95_ms?: number | null;
  p99_ms?: number | null;
}

export interface Overview extends Percentiles {
  service: string | null;
  window_seconds: number;
  total_requests: number;
  errors: number;
  error_rate: number;
  rps: number;
  avg_duration_ms: number;
  max_duration_ms: number;
}

export interface Point extends Percentiles {
  ts: number;
  rps: number;
  error_rate: number;
  avg_ms: number;
  total: number;
}
export interface Timeseries {
  service: string | null;
  window_seconds: number;
  bucket_seconds: number;
  points: Point[];
}

export interface Route extends Percentiles {
  method: string;
  route: string;
  rps: number;
  total: number;
  errors: number;
  error_rate: number;
  avg_ms: number;
  max_ms: number;
  avg_db_queries: number | null;
  avg_db_ms: number | null;
  avg_outgoing: number | null;
  avg_outgoing_ms: number | null;
  services?: string[];
  /** What each of several services has of it. */
  by_service?: { service: string; total: number; errors: number; avg_ms: number }[];
}
export interface Routes {
  routes: Route[];
}

export interface RecentError {
  ts: number;
  service: string;
  method: string;
  route: string;
  status: number;
  duration_ms: number;
  error: string | null;
  request_id?: string | null;
}
export interface RecentErrors {
  errors: RecentError[];
}

export interface SlowSql {
  sql: string;
  ms: number;
}

export interface RouteSnapshot extends Percentiles {
  service: string;
  method: string;
  route: string;
  window_seconds: number;
  total_requests: number;
  errors: number;
  error_rate: number;
  rps: number;
  avg_duration_ms: number;
  max_duration_ms: number;
  min_duration_ms: number;
  error_breakdown: { status: number; error: string | null; count: number }[];
  db: {
    avg_queries_per_request: number | null;
    max_queries_per_request: number | null;
    avg_db_ms: number | null;
    max_db_ms: number | null;
    worst_request: { queries: number; db_total_ms: number; request_total_ms: number; slowest: SlowSql[] } | null;
  };
  outgoing: { host: string; calls: number; avg_ms: number; max_ms: number; errors: number }[];
}

export interface Chain {
  parent_method: string;
  parent_route: string;
  child_method: string;
  child_route: string;
  count: number;
  child_avg_ms: number;
  child_errors: number;
  parent_service?: string;
  child_service?: string;
  /** As the parents named it in their calls. */
  hosts?: { host: string; count: number }[];
}
export interface Chains {
  chains: Chain[];
}

export interface FolderSnapshot {
  service: string;
  folder: string;
  window_seconds: number;
  discovered_routes: number;
  total_requests: number;
  errors: number;
  error_rate: number;
  avg_duration_ms: number;
  rps: number;
  routes: {
    method: string;
    route: string;
    total: number;
    errors: number;
    error_rate: number;
    avg_ms: number;
    max_ms: number;
    rps: number;
  }[];
  files: string[];
}

export interface ErrorGroup {
  fingerprint: string;
  error_type: string | null;
  error_message: string | null;
  count: number;
  first_seen: number;
  last_seen: number;
  routes_count: number;
  sample_traceback: string | null;
  affected_routes: { method: string; route: string; count: number }[];
  service?: string;
  sample_request_id?: string | null;
  sample_locals?: unknown;
  sample_link?: string | null;
}
export interface ErrorGroups {
  groups: ErrorGroup[];
}

export interface Host {
  host: string;
  calls: number;
  errors: number;
  error_rate: number;
  avg_ms: number;
  max_ms: number;
  p50_ms?: number;
  p95_ms?: number;
  total_ms: number;
}
export interface Outgoing {
  hosts: Host[];
}

export interface Edge extends Host {
  method: string;
  route: string;
}
export interface RouteHostCalls {
  edges: Edge[];
}

export interface DiscoveredRoute {
  service: string;
  framework: string;
  method: string;
  route: string;
  file: string;
  line: number;
  function: string;
  scanned_at: number;
  scan_root: string;
}
export interface Discovered {
  routes: DiscoveredRoute[];
  scan_roots: {
    service: string;
    scanned_at: number;
    scan_root: string;
    routes: number;
    /** What was read, skipped and not understood, by name; only what is more than zero. */
    counters?: Record<string, number>;
  }[];
}

/** One served request in a list. */
export interface RequestRow {
  ts: number;
  service: string;
  pid?: number | null;
  method: string;
  route: string;
  path: string;
  status: number;
  duration_ms: number;
  ttfb_ms?: number | null;
  queue_ms?: number | null;
  error: string | null;
  request_id: string | null;
  correlation_id?: string | null;
  parent_id?: string | null;
  failed?: boolean;
  db_query_count?: number | null;
  db_total_ms?: number | null;
  outgoing_count?: number | null;
  outgoing_total_ms?: number | null;
  /** Fingerprint of the statement that it ran ten times or more. */
  n_plus_one?: string | null;
}
export interface Requests {
  requests: RequestRow[];
}

export interface ExceptionRow {
  error_type: string | null;
  error_message: string | null;
  error_traceback: string | null;
  error_fingerprint: string | null;
  error_locals: unknown;
  /** How it is known to be what the request failed with; `raised` is a hint only. */
  error_link?: string | null;
}
export interface QueryRow {
  start: number;
  duration_ms: number;
  sql: string;
  fingerprint: string;
  system?: string;
  operation?: string;
  table?: string | null;
  rows?: number | null;
  error_code?: string | null;
  severity?: string | null;
  error?: string | null;
  database?: string | null;
  server?: string | null;
  transaction?: string | null;
  is_transaction_control?: boolean;
  link?: string | null;
  call_site?: string | null;
}
export interface CallRow {
  start: number;
  duration_ms: number;
  method: string;
  host: string;
  path: string;
  status: number;
  error: string | null;
  failed?: boolean;
  link?: string | null;
  call_site?: string | null;
  peer?: string | null;
}

/** One request with all that it caused, on this host across processes. */
export interface Trace extends RequestRow, ExceptionRow {
  start: number;
  protocol?: string | null;
  tls?: boolean;
  upgraded?: boolean;
  client?: string | null;
  user_agent?: string | null;
  host?: string | null;
  request_bytes?: number | null;
  response_bytes?: number | null;
  /** Its slowest statements, where it came with them and they are not among `queries`. */
  db_slow?: SlowSql[];
  queries: QueryRow[];
  /** Its calls, each with the request that it became on this host. */
  calls: (CallRow & { callee?: Trace | null })[];
  /** Requests that name this one as their caller and that no call explains. */
  children?: Trace[];
  /** More requests belong to it than are shown. */
  truncated?: boolean;
}

export interface Statement extends Percentiles {
  fingerprint: string;
  system?: string;
  sql: string;
  operation?: string;
  table?: string | null;
  services?: string[];
  calls: number;
  errors: number;
  errors_by_code?: { code: string; count: number }[];
  /** The most frequent places in the application that send it: `file:line function`. */
  call_sites?: { site: string; count: number }[];
  rows?: number | null;
  avg_ms: number;
  max_ms: number;
  total_ms: number;
  share?: number;
  is_transaction_control?: boolean;
}
/** Requests of a route that ran one statement ten times or more. */
export interface NPlusOne {
  service: string;
  method: string;
  route: string;
  fingerprint: string;
  sql: string;
  requests: number;
  avg_ms: number;
  total_ms: number;
  sample_request_id: string | null;
}
export interface SqlErrors {
  code: string;
  count: number;
  sample_sql: string;
}
export interface Queries {
  queries: Statement[];
  n_plus_one?: NPlusOne[];
  errors?: SqlErrors[];
}

/** Counts per latency band and time bucket. `bounds_ms[i]` is the upper bound of band i; the last band is open. */
export interface Heatmap {
  window_seconds?: number;
  bucket_seconds: number;
  bounds_ms: number[];
  columns: { ts: number; counts: number[] }[];
}

export interface ProcessStatus {
  cpu_pct?: number | null;
  mem_mb?: number | null;
  in_flight?: number | null;
  pid: number;
  service: string;
  python?: string | null;
  command?: string | null;
  state?: string | null;
  probes?: { name: string; attached: boolean; reason?: string | null }[];
}
export interface Status {
  version?: string;
  uptime_s?: number | null;
  processes: ProcessStatus[];
  losses: { name: string; count: number; meaning?: string | null }[];
  links?: { kind: string; count: number }[];
  ring?: { size_bytes?: number; used_bytes?: number; max_used_bytes?: number } | null;
  store?: { state?: string; rows_written?: number | null; size_bytes?: number | null; problem?: string | null } | null;
  agent?: { cpu_pct?: number | null; mem_mb?: number | null; pid?: number; db_bytes?: number | null } | null;
  problems?: string[];
}
