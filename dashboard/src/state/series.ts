/** From the API's time series, which leaves out empty buckets, to lines over a window without holes in time. */

import type { Point } from "../api/types";

/** Bucket for a window, seconds: about 60 to 180 points, each a multiple of the store's own buckets. */
export function bucketFor(w: number): number {
  if (w <= 60) return 1;
  if (w <= 300) return 5;
  if (w <= 900) return 10;
  if (w <= 3600) return 30;
  if (w <= 21_600) return 120;
  if (w <= 86_400) return 600;
  return 3600;
}

export interface Series {
  ts: number[];
  /** Null where the agent did not run, as far as it can be told. */
  rps: (number | null)[];
  /** Null where there was no request to fail or to take time. */
  errorRate: (number | null)[];
  avg: (number | null)[];
  p50: (number | null)[];
  p95: (number | null)[];
  p99: (number | null)[];
}

/**
 * Fills `points` to every whole bucket of the window that ends at `now`. The bucket that is still filling and the one
 * that the window cuts are left out: their rates would read too low. An empty bucket from before `since`, when the agent
 * started, is not known: whether an earlier run saw no traffic then, or none was watching.
 */
export function fill(points: readonly Point[], bucket: number, w: number, now: number, since = 0): Series {
  const first = Math.ceil((now - w) / bucket) * bucket;
  const last = Math.floor(now / bucket) * bucket - bucket;
  const by = new Map(points.map((point) => [Math.round(point.ts), point]));
  const out: Series = { ts: [], rps: [], errorRate: [], avg: [], p50: [], p95: [], p99: [] };
  for (let ts = first; ts <= last; ts += bucket) {
    const point = by.get(ts);
    out.ts.push(ts);
    out.rps.push(point?.rps ?? (ts + bucket <= since ? null : 0));
    out.errorRate.push(point?.error_rate ?? null);
    out.avg.push(point?.avg_ms ?? null);
    out.p50.push(point?.p50_ms ?? null);
    out.p95.push(point?.p95_ms ?? null);
    out.p99.push(point?.p99_ms ?? null);
  }
  return out;
}
