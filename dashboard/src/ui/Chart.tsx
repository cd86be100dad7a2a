/** uPlot inside Preact: one instance per chart, new data set into it, rebuilt only when colours or series change. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock } from "../format";
import { type Colour, colours } from "./theme";

export interface Line {
  label: string;
  /** CSS custom property of the colour, without the dashes. */
  colour: Colour;
  /** Values along `ts`; null where nothing is known. */
  values: readonly (number | null)[];
  format: (value: number | null) => string;
  /** Scale: `y` at the left, `y2` at the right. */
  scale?: "y" | "y2";
  fill?: boolean;
  width?: number;
}

interface Props {
  title: string;
  /** Bucket starts, Unix seconds, ascending. */
  ts: readonly number[];
  lines: readonly Line[];
  /** Tick labels of the scales. */
  axis: (value: number) => string;
  axis2?: (value: number) => string;
  /** Upper end of the right scale that it keeps at least. */
  min2?: number;
  /** Logarithmic left scale: for latencies, whose median and tail differ by powers of ten. */
  log?: boolean;
  height?: number;
}

/** Steps of the time axis, seconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800];

const cursorSync = uPlot.sync("time");

export function Chart({ title, ts, lines, axis, axis2, min2, log, height = 190 }: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const palette = colours.value;
  const shape = lines.map((line) => line.label).join("|");

  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const grid = { stroke: palette.line, width: 1 };
    const font = `11px ${palette.sans}`;
    const base = { stroke: palette.muted, font, grid, ticks: { show: false } };
    // On a logarithmic scale only the powers of ten get a line.
    const decades = (_: uPlot, splits: number[]) =>
      splits.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));
    // Where all is zero the line lies on the ground of a scale up to one.
    const fromZero =
      (least: number) =>
      (_: uPlot, __: number, max: number): [number, number] => [0, Math.max(max > 0 ? max * 1.08 : 1, least)];
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height,
        legend: { show: false },
        padding: [8, axis2 ? 0 : 20, 0, 0],
        cursor: { sync: { key: cursorSync.key }, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: { time: true },
          y: log ? { distr: 3 } : { range: fromZero(1e-3) },
          y2: { range: (_, __, max) => [0, Math.max((max || 0) * 1.08, min2 ?? 1)] },
        },
        axes: [
          {
            ...base,
            grid: { show: false },
            space: 80,
            size: 26,
            incrs: STEPS,
            values: (_, splits, __, ___, step) => splits.map((ts) => tick(ts, step)),
          },
          {
            ...base,
            size: 54,
            space: 34,
            ...(log ? { grid: { ...grid, filter: decades } } : {}),
            values: (_, splits) => splits.map((value) => (value === null ? "" : axis(value))),
          },
          ...(axis2
            ? [
                {
                  ...base,
                  scale: "y2",
                  side: 1 as const,
                  size: 46,
                  space: 34,
                  grid: { show: false },
                  values: (_: uPlot, splits: number[]) => splits.map(axis2),
                },
              ]
            : []),
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            scale: line.scale ?? "y",
            stroke: palette[line.colour],
            width: line.width ?? 1.5,
            spanGaps: false,
            points: { show: lonely, size: 4 },
            ...(line.fill ? { fill: `color-mix(in srgb, ${palette[line.colour]} 12%, transparent)` } : {}),
          })),
        ],
        hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
      },
      toData(ts, lines),
      element,
    );
    plot.current = chart;
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
      plot.current = null;
    };
    // The data goes in by setData below; axis functions are constant per chart.
  }, [palette, shape, height]);

  useEffect(() => {
    plot.current?.setData(toData(ts, lines));
  }, [ts, lines]);

  const index = at !== null && at < ts.length ? at : ts.length - 1;
  const moment = ts[index];
  return (
    <figure class="chart" aria-label={title}>
      <figcaption>
        <h2>{title}</h2>
        <div class="keys">
          {lines.map((line) => (
            <span key={line.label} class="key">
              <i class="stroke" style={{ background: `var(--${line.colour})` }} />
              {line.label} <b>{line.format(line.values[index] ?? null)}</b>
            </span>
          ))}
          {at !== null && moment !== undefined && <span class="muted">at {clock(moment).slice(0, 8)}</span>}
        </div>
      </figcaption>
      <div ref={host} class="plot" style={{ height: `${height}px` }} aria-hidden="true" />
    </figure>
  );
}

/** Labels of the time axis in the reader's own zone: seconds only where steps are that short, the day where they are that long. */
function tick(ts: number, step: number): string {
  const date = new Date(ts * 1000);
  if (step >= 86_400) return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  return clock(ts).slice(0, step < 60 ? 8 : 5);
}

function toData(ts: readonly number[], lines: readonly Line[]): uPlot.AlignedData {
  return [ts as number[], ...lines.map((line) => line.values as (number | null)[])];
}

/** Marks the points that no line touches: those between two gaps. */
function lonely(u: uPlot, series: number): boolean {
  const values = u.data[series] ?? [];
  return values.some((value, i) => value != null && values[i - 1] == null && values[i + 1] == null);
}
