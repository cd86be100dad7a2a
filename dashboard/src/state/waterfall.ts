/** One request as rows of a waterfall: itself, its statements (repeats folded), its calls, and the callees' requests inside. */

import type { CallRow, QueryRow, Trace } from "../api/types";

/** The same statement this often within one request is the N+1 pattern: the rule of the agent. */
export const N_PLUS_ONE = 10;
/** Repeats from which statements are folded into one row. */
const FOLD = 3;
/** Traces nest as services call each other; a cycle in wrong data must not. */
const DEPTH = 12;

export interface Piece {
  at: number;
  ms: number;
  failed: boolean;
}

export interface Row {
  key: string;
  kind: "request" | "sql" | "call";
  depth: number;
  /** Offset of the first piece from the start of the outermost request, ms. */
  at: number;
  /** From the first piece's start to the last one's end, ms. */
  ms: number;
  /** Summed duration of the pieces, ms. */
  busy: number;
  pieces: Piece[];
  queue: number;
  nPlusOne: boolean;
  request?: Trace;
  query?: QueryRow;
  call?: CallRow;
  /** Rows returned, summed; null when not known. */
  rows: number | null;
}

export interface Waterfall {
  rows: Row[];
  /** Length of the time axis, ms. */ span: number;
}

export function waterfall(trace: Trace): Waterfall {
  const rows = request(trace, trace.start, 0, "r");
  const span = Math.max(0.001, ...rows.map((row) => row.at + row.ms));
  return { rows, span };
}

function request(trace: Trace, zero: number, depth: number, key: string): Row[] {
  const piece = toPiece(trace, zero, trace.error !== null || trace.status >= 500);
  const own: Row = {
    key,
    kind: "request",
    depth,
    at: piece.at,
    ms: piece.ms,
    busy: piece.ms,
    pieces: [piece],
    queue: Math.min(trace.queue_ms ?? 0, piece.ms),
    nPlusOne: false,
    rows: null,
    request: trace,
  };
  const calls = trace.calls.flatMap((call, i) => {
    const at = toPiece(call, zero, call.failed ?? (call.error !== null || call.status >= 400));
    const row: Row = {
      key: `${key}c${i}`,
      kind: "call",
      depth: depth + 1,
      at: at.at,
      ms: at.ms,
      busy: at.ms,
      pieces: [at],
      queue: 0,
      nPlusOne: false,
      rows: null,
      call,
    };
    const inside = call.callee && depth < DEPTH ? request(call.callee, zero, depth + 2, `${key}c${i}r`) : [];
    return [{ at: row.at, rows: [row, ...inside] }];
  });
  const children = (trace.children ?? []).map((child, i) => {
    const rows = depth < DEPTH ? request(child, zero, depth + 1, `${key}r${i}`) : [];
    return { at: rows[0]?.at ?? 0, rows };
  });
  const statements = folded(trace.queries).map((same, i) => {
    const row = statement(same, zero, depth + 1, `${key}q${i}`);
    return { at: row.at, rows: [row] };
  });
  const below = [...statements, ...calls, ...children].sort((a, b) => a.at - b.at).flatMap((part) => part.rows);
  return [own, ...below];
}

/** Groups equal statements when they repeat often enough, in order of their first run. */
function folded(queries: readonly QueryRow[]): QueryRow[][] {
  const groups = new Map<string, QueryRow[]>();
  for (const query of queries) {
    const name = query.fingerprint || query.sql;
    const group = groups.get(name);
    if (group) group.push(query);
    else groups.set(name, [query]);
  }
  return [...groups.values()].flatMap((same) => (same.length >= FOLD ? [same] : same.map((one) => [one])));
}

function statement(same: readonly QueryRow[], zero: number, depth: number, key: string): Row {
  const pieces = same
    .map((query) => toPiece(query, zero, Boolean(query.error_code ?? query.error)))
    .sort((a, b) => a.at - b.at);
  const at = pieces[0]?.at ?? 0;
  const end = Math.max(...pieces.map((piece) => piece.at + piece.ms));
  const first = same[0];
  const counts = same.map((query) => query.rows).filter((n) => n !== null && n !== undefined);
  return {
    key,
    kind: "sql",
    depth,
    at,
    ms: end - at,
    busy: pieces.reduce((sum, piece) => sum + piece.ms, 0),
    pieces,
    queue: 0,
    nPlusOne: same.length >= N_PLUS_ONE && !first?.is_transaction_control,
    rows: counts.length ? counts.reduce((a, b) => a + b, 0) : null,
    ...(first ? { query: first } : {}),
  };
}

function toPiece(of: { start: number; duration_ms: number }, zero: number, failed: boolean): Piece {
  // Clocks are one and the same; rounding of float seconds must not push a span before its request.
  return { at: Math.max(0, (of.start - zero) * 1000), ms: of.duration_ms, failed };
}
