/** Traffic with its error rate, and latency with its percentiles. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { pace, url, useApi } from "../../api/hooks";
import { beat, now } from "../../api/resource";
import type { Status, Timeseries } from "../../api/types";
import { ms, num, pct } from "../../format";
import { bucketFor, fill, type Series } from "../../state/series";
import { Chart, type Line } from "../../ui/Chart";
import { Heatmap } from "../../ui/Heatmap";

const LATENCY = [
  ["p50", "p50", "p50"],
  ["avg", "avg", "ink"],
  ["p95", "p95", "p95"],
  ["p99", "p99", "p99"],
] as const;

/** Of a service, or of one route where `method` and `route` are given. */
export function Charts(of: { service: string; w: number; method?: string; route?: string }): JSX.Element {
  const asked = useApi<Timeseries>(url("/api/timeseries", { ...of, bucket: bucketFor(of.w) }), pace(1, of.w));
  const { data } = asked;
  // While another window loads, the last one stays as it was asked for.
  const bucket = data?.bucket_seconds ?? bucketFor(of.w);
  const w = data?.window_seconds ?? of.w;
  // Time slides on without traffic too: each beat may complete a bucket.
  void beat.value;
  const last = Math.floor(now() / bucket);
  const uptime = useApi<Status>("/api/status", 2).data?.uptime_s;
  const began = uptime == null ? 0 : Math.floor((now() - uptime) / bucket) * bucket;
  // Nothing is known of any bucket before the first answer.
  const since = data ? began : Infinity;
  const series = useMemo(() => fill(data?.points ?? [], bucket, w, now(), since), [data, bucket, w, last, since]);
  const traffic = useMemo(
    (): Line[] => [
      { label: "req/s", colour: "accent", values: series.rps, format: num, fill: true },
      { label: "errors", colour: "bad", values: series.errorRate, format: pct, scale: "y2" },
    ],
    [series],
  );
  const latency = useMemo(() => latencyLines(series), [series]);
  return (
    <div class={asked.stale ? "columns three charts stale" : "columns three charts"}>
      <Chart title="Traffic" ts={series.ts} lines={traffic} axis={num} axis2={pct} min2={0.05} />
      <Chart title="Latency" ts={series.ts} lines={latency} axis={ms} log />
      <Heatmap {...of} />
    </div>
  );
}

/** The average always; a percentile only when the agent sends it. */
function latencyLines(series: Series): Line[] {
  return LATENCY.filter(([key]) => key === "avg" || series[key].some((value) => value !== null)).map(
    ([key, label, colour]) => ({ label, colour, values: series[key], format: ms, width: key === "avg" ? 2 : 1.25 }),
  );
}
