/** Latency over time as a heatmap, drawn on canvas; the cell under the pointer is told in words. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { pace, url, useApi } from "../api/hooks";
import { beat, now } from "../api/resource";
import type { Heatmap as Answer } from "../api/types";
import { clock, ms, plural } from "../format";
import { grid, ticks, type Grid } from "../state/heat";
import { bucketFor } from "../state/series";
import { colours, type Palette } from "./theme";

const HEIGHT = 186;
const LEFT = 56;

export function Heatmap({
  service,
  w,
  method,
  route,
}: {
  service: string;
  w: number;
  method?: string;
  route?: string;
}): JSX.Element | null {
  const bucket = bucketFor(w);
  const { data, status, error } = useApi<Answer>(
    url("/api/heatmap", { service, w, bucket, method, route }),
    pace(2, w),
  );
  void beat.value;
  const last = Math.floor(now() / bucket);
  const cells = useMemo(() => (data ? grid(data, data.window_seconds ?? w, now()) : null), [data, w, last]);
  if (status === 404) return null;
  return (
    <figure class="chart" id="heatmap" aria-label="Latency heatmap">
      {cells ? (
        <Picture of={cells} />
      ) : (
        <figcaption>
          <h2>Latency heatmap</h2>
          <span class="muted small">{data ? "No request in this window." : (error ?? "Loading…")}</span>
        </figcaption>
      )}
    </figure>
  );
}

function Picture({ of }: { of: Grid }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState<[number, number] | null>(null);
  const palette = colours.value;

  useEffect(() => {
    const element = canvas.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current && width > 0) draw(canvas.current, of, palette, width);
  }, [of, palette, width]);

  const move = (event: PointerEvent) => {
    const x = Math.floor(((event.offsetX - LEFT) / (width - LEFT)) * of.buckets);
    const y = Math.floor((event.offsetY / HEIGHT) * of.bands.length);
    setAt(x >= 0 && x < of.buckets && y >= 0 && y < of.bands.length ? [x, y] : null);
  };
  const busiest = useMemo(() => say(of, ...densest(of)), [of]);
  return (
    <>
      <figcaption>
        <h2>Latency heatmap</h2>
        <span class="muted small">{at ? say(of, ...at) : "requests by duration; the stronger, the more"}</span>
      </figcaption>
      <canvas
        ref={canvas}
        class="heat"
        style={{ height: `${HEIGHT}px` }}
        role="img"
        aria-label={`Latency heatmap. Most requests in one cell: ${busiest}`}
        onPointerMove={move}
        onPointerLeave={() => setAt(null)}
      />
    </>
  );
}

function densest(of: Grid): [number, number] {
  const y = of.cells.findIndex((row) => row.includes(of.most));
  return [of.cells[y]?.indexOf(of.most) ?? 0, Math.max(0, y)];
}

function say(of: Grid, x: number, y: number): string {
  const band = of.bands[y];
  const range = band?.to === null ? `from ${ms(band.from)}` : `${ms(band?.from)} to ${ms(band?.to)}`;
  return `${clock(of.from + x * of.bucket).slice(0, 8)}, ${range}: ${plural(of.cells[y]?.[x] ?? 0, "request")}`;
}

function draw(canvas: HTMLCanvasElement, of: Grid, palette: Palette, width: number): void {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, HEIGHT);
  const [w, h] = [(width - LEFT) / of.buckets, HEIGHT / of.bands.length];
  of.cells.forEach((row, y) =>
    row.forEach((n, x) => {
      if (n === 0) return;
      // The square root keeps a single slow request visible beside thousands of fast ones.
      context.fillStyle = `rgb(${palette.heat} / ${0.14 + 0.86 * Math.sqrt(n / of.most)})`;
      context.fillRect(LEFT + x * w, y * h, Math.max(1, w - 0.5), Math.max(1, h - 0.5));
    }),
  );
  context.fillStyle = palette.muted;
  context.font = `11px ${palette.sans}`;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of ticks(of)) {
    const y = tick.at * h;
    context.fillText(ms(tick.ms), LEFT - 6, Math.min(HEIGHT - 6, Math.max(6, y)));
    context.fillRect(LEFT - 4, Math.min(HEIGHT - 1, y), 3, 1);
  }
}
