/** The latency heatmap as a grid: time to the right, latency upwards, only the bands that hold something. */

import type { Heatmap } from "../api/types";

export interface Grid {
  /** First bucket start and the number of buckets. */
  from: number;
  buckets: number;
  bucket: number;
  /** Bands from slow (top) to fast; `to` is null for the open band. */
  bands: { from: number; to: number | null }[];
  /** `cells[band][bucket]` */
  cells: number[][];
  most: number;
}

/**
 * Where round durations lie on the axis of `of`: each with its distance from the top in bands, slow to fast. Steps of
 * ten where these are enough to read it by, else of one, two and five.
 */
export function ticks(of: Grid): { ms: number; at: number }[] {
  const find = (steps: readonly number[]) => {
    const found: { ms: number; at: number }[] = [];
    for (const power of [1000, 100, 10, 1, 0.1, 0.01, 10_000, 100_000])
      for (const step of steps) {
        const value = step * power;
        const band = of.bands.findIndex(({ from, to }) => from > 0 && value >= from && value < (to ?? from * 1.19));
        const { from, to } = of.bands[band] ?? {};
        if (!from) continue;
        found.push({ ms: value, at: band + 1 - Math.log(value / from) / Math.log((to ?? from * 1.19) / from) });
      }
    return found.sort((a, b) => a.at - b.at);
  };
  const tens = find([1]);
  return tens.length >= 3 ? tens : find([5, 2, 1]);
}

/**
 * Lays the answer on the buckets of the window that ends at `now`, the one that is still filling among them: a count is
 * right at any time, a rate is not. Null when nothing was counted.
 */
export function grid(of: Heatmap, w: number, now: number): Grid | null {
  const bucket = of.bucket_seconds;
  const from = Math.ceil((now - w) / bucket) * bucket;
  const buckets = Math.max(1, Math.floor(now / bucket) - from / bucket + 1);
  const size = of.bounds_ms.length + 1;
  const counts = Array.from({ length: size }, () => new Array<number>(buckets).fill(0));
  for (const column of of.columns) {
    const x = Math.round((column.ts - from) / bucket);
    if (x < 0 || x >= buckets) continue;
    column.counts.forEach((n, band) => {
      const row = counts[band];
      if (row) row[x] = n;
    });
  }
  const used = counts.map((row) => row.some((n) => n > 0));
  const [low, high] = [used.indexOf(true), used.lastIndexOf(true)];
  if (low < 0) return null;
  const cells = counts.slice(low, high + 1).reverse();
  const bands = cells.map((_, i) => ({ from: of.bounds_ms[high - i - 1] ?? 0, to: of.bounds_ms[high - i] ?? null }));
  return { from, buckets, bucket, bands, cells, most: Math.max(...cells.flat()) };
}
