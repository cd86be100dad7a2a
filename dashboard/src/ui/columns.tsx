/** Columns that several tables have: each is a function of what a row must hold for it. */

import { count, num, pct } from "../format";
import { follow, link } from "../state/view";
import { Ago, Method, Rate, StatusCode } from "./bits";
import type { Column } from "./Table";

/** When it ended, as a distance from now. */
export const when = <Row extends { ts: number }>(): Column<Row> => ({
  key: "ts",
  label: "When",
  class: "when",
  by: (row) => row.ts,
  cell: (row) => <Ago ts={row.ts} />,
});

export const status = <Row extends { status: number }>(): Column<Row> => ({
  key: "status",
  label: "Status",
  phone: 1,
  by: (row) => row.status,
  cell: (row) => <StatusCode code={row.status} />,
});

export const service = <Row extends { service: string }>(): Column<Row> => ({
  key: "service",
  label: "Service",
  optional: true,
  by: (row) => row.service,
  cell: (row) => row.service,
});

/** Method and template, leading to the route's own view. */
export const route = <Row extends { method: string; route: string }>(): Column<Row> => ({
  key: "route",
  label: "Route",
  class: "route",
  phone: "lead",
  by: (row) => row.route,
  cell: (row) => {
    const to = { view: "route", method: row.method, route: row.route } as const;
    return (
      <a class="mono" href={link(to)} onClick={follow(to)}>
        <Method name={row.method} /> {row.route}
      </a>
    );
  },
});

export const host = <Row extends { host: string }>(): Column<Row> => ({
  key: "host",
  label: "Host",
  class: "route",
  phone: "lead",
  by: (row) => row.host,
  cell: (row) => <span class="mono">{row.host}</span>,
});

/** A duration in milliseconds. */
export const millis = <Row,>(
  key: string,
  label: string,
  title: string,
  pick: (row: Row) => number | null | undefined,
  optional = false,
): Column<Row> => ({ key, label, title, num: true, optional, by: pick, cell: (row) => num(pick(row)) });

interface Calls {
  calls: number;
  error_rate: number;
  avg_ms: number;
  max_ms: number;
}

/** How many outgoing calls, how many of them failed, and how long they took. */
export const calls = <Row extends Calls>(): [Column<Row>, Column<Row>, Column<Row>, Column<Row>] => [
  { key: "calls", label: "Calls", num: true, by: (row) => row.calls, cell: (row) => count(row.calls) },
  {
    key: "err",
    label: "Err %",
    title: "Share of calls that failed or were answered with 400 or more",
    num: true,
    by: (row) => row.error_rate,
    cell: (row) => <Rate rate={row.error_rate} text={pct(row.error_rate)} />,
  },
  millis("avg", "Avg", "Average duration, milliseconds", (row) => row.avg_ms),
  millis("max", "Max", "Slowest call, milliseconds", (row) => row.max_ms),
];
