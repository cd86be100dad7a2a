/** Outgoing calls: by host, and by the route that makes them. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Edge, RouteHostCalls } from "../../api/types";
import { count, num, pct, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Method, Panel, Rate, Waiting } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";
import { HostsPanel } from "./HostsPanel";

const COLUMNS: readonly Column<Edge>[] = [
  {
    key: "route",
    label: "Route",
    class: "route",
    by: (row) => row.route,
    cell: (row) => {
      const to = { view: "route", method: row.method, route: row.route } as const;
      return (
        <a class="mono" href={link(to)} onClick={follow(to)}>
          <Method name={row.method} /> {row.route}
        </a>
      );
    },
  },
  {
    key: "host",
    label: "Host",
    class: "route",
    by: (row) => row.host,
    cell: (row) => <span class="mono">{row.host}</span>,
  },
  { key: "calls", label: "Calls", num: true, by: (row) => row.calls, cell: (row) => count(row.calls) },
  {
    key: "err",
    label: "Err %",
    num: true,
    by: (row) => row.error_rate,
    cell: (row) => <Rate rate={row.error_rate} text={pct(row.error_rate)} />,
  },
  {
    key: "avg",
    label: "Avg",
    title: "Average duration, milliseconds",
    num: true,
    by: (row) => row.avg_ms,
    cell: (row) => num(row.avg_ms),
  },
  {
    key: "max",
    label: "Max",
    title: "Slowest call, milliseconds",
    num: true,
    by: (row) => row.max_ms,
    cell: (row) => num(row.max_ms),
  },
];

export function OutgoingView(): JSX.Element {
  const { service, w } = view.value;
  const answer = useApi<RouteHostCalls>(url("/api/route_host_calls", { service, w }), pace(3, w));
  const edges = answer.data?.edges ?? [];
  return (
    <>
      <h1 class="sr">Outgoing calls</h1>
      <HostsPanel />
      <Panel title="Which route calls which host" id="edges" stale={answer.stale}>
        {!answer.data ? (
          <Waiting answer={answer} what="calls by route" />
        ) : edges.length === 0 ? (
          <Empty title={`No call of a known request in ${windowWords(w)}.`}>
            A call made outside any request, by a background task say, counts for its host above but belongs to no
            route.
          </Empty>
        ) : (
          <Table
            name="edges"
            caption="Calls by route and host"
            columns={COLUMNS}
            rows={edges}
            sort="-calls"
            id={(row) => `${row.method} ${row.route} ${row.host}`}
          />
        )}
      </Panel>
    </>
  );
}
