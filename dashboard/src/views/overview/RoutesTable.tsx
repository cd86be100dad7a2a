/** Routes with their figures and where their time goes. */

import type { JSX } from "preact";
import type { Route } from "../../api/types";
import { count, num, pct } from "../../format";
import { go } from "../../state/view";
import { Rate } from "../../ui/bits";
import { route } from "../../ui/columns";
import { Table, type Column } from "../../ui/Table";
import { AnalyzeButton } from "../analyze/AnalyzeButton";
import { TimeBar } from "../../ui/TimeBar";

/** Queries per request from which a route is marked. */
const MANY_QUERIES = 10;

const figure = (
  key: string,
  label: string,
  title: string,
  pick: (row: Route) => number | null | undefined,
  optional = false,
): Column<Route> => ({
  key,
  label,
  title,
  num: true,
  optional,
  by: pick,
  cell: (row) => {
    const value = pick(row);
    return value ? num(value) : <span class="zero">{num(value)}</span>;
  },
});

const COLUMNS: readonly Column<Route>[] = [
  route(),
  figure("rps", "RPS", "Requests per second", (row) => row.rps),
  {
    key: "err",
    label: "Err %",
    title: "Share of requests that failed",
    num: true,
    by: (row) => row.error_rate,
    cell: (row) => <Rate rate={row.error_rate} text={pct(row.error_rate)} />,
  },
  figure("avg", "Avg", "Average latency, milliseconds", (row) => row.avg_ms),
  figure("p50", "p50", "Half of the requests were faster, milliseconds", (row) => row.p50_ms, true),
  figure("p95", "p95", "95% of the requests were faster, milliseconds", (row) => row.p95_ms),
  figure("p99", "p99", "99% of the requests were faster, milliseconds", (row) => row.p99_ms, true),
  figure("max", "Max", "Slowest request, milliseconds", (row) => row.max_ms, true),
  {
    key: "dbq",
    label: "DB q",
    title: "Database queries per request",
    num: true,
    by: (row) => row.avg_db_queries,
    cell: (row) => (
      <span class={(row.avg_db_queries ?? 0) >= MANY_QUERIES ? "bad" : row.avg_db_queries ? undefined : "zero"}>
        {num(row.avg_db_queries)}
      </span>
    ),
  },
  figure("dbms", "DB ms", "Time in the database per request, milliseconds", (row) => row.avg_db_ms, true),
  figure("out", "Out", "Outgoing calls per request", (row) => row.avg_outgoing, true),
  {
    key: "time",
    label: "Time",
    title: "Average request: own code, database, outgoing calls",
    phone: "line",
    cell: (row) => <TimeBar total={row.avg_ms} db={row.avg_db_ms} out={row.avg_outgoing_ms} />,
  },
  {
    key: "total",
    label: "Total",
    title: "Requests in the window",
    num: true,
    by: (row) => row.total,
    cell: (row) => count(row.total),
  },
];

/** A route is analyzed for one service: the chosen one, else the one that `owner` knows. */
export function RoutesTable({ rows, owner }: { rows: readonly Route[]; owner: (row: Route) => string }): JSX.Element {
  const analyze: Column<Route> = {
    key: "analyze",
    label: "",
    optional: true,
    cell: (row) => {
      const service = owner(row);
      return service ? <AnalyzeButton quiet of={{ service, method: row.method, route: row.route }} /> : null;
    },
  };
  return (
    <Table
      name="routes"
      caption="Routes"
      columns={[...COLUMNS, analyze]}
      rows={rows}
      id={(row) => `${row.method} ${row.route}`}
      sort="-total"
      open={(row) => go({ view: "route", method: row.method, route: row.route })}
    />
  );
}
