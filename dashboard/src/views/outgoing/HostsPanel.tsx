/** Hosts that the services call. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Host, Outgoing } from "../../api/types";
import { count, num, pct, plural, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Panel, Rate, Waiting } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";

const COLUMNS: readonly Column<Host>[] = [
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
    title: "Share of calls that failed or were answered with 400 or more",
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
  {
    key: "total",
    label: "Total ms",
    title: "Summed duration, milliseconds",
    num: true,
    optional: true,
    by: (row) => row.total_ms,
    cell: (row) => count(row.total_ms),
  },
];

export function HostsPanel({ short = false }: { short?: boolean }): JSX.Element {
  const { service, w } = view.value;
  const answer = useApi<Outgoing>(url("/api/outgoing", { service, w }), pace(3, w));
  const hosts = answer.data?.hosts ?? [];
  return (
    <Panel
      title="Outgoing hosts"
      id="outgoing"
      stale={answer.stale}
      extra={
        <>
          <span class="muted small">{answer.data && plural(hosts.length, "host")}</span>
          <span class="grow" />
          {short && (
            <a class="small" href={link({ view: "outgoing" })} onClick={follow({ view: "outgoing" })}>
              All calls
            </a>
          )}
        </>
      }
    >
      {!answer.data ? (
        <Waiting answer={answer} what="outgoing calls" />
      ) : hosts.length === 0 ? (
        <Empty title={`No outgoing call in ${windowWords(w)}.`}>
          HTTP calls that a watched service makes, over TLS too, are listed here by host.
        </Empty>
      ) : (
        <Table
          name={short ? "hosts_short" : "hosts"}
          caption="Outgoing hosts"
          columns={short ? COLUMNS.slice(0, 4) : COLUMNS}
          rows={hosts}
          id={(row) => row.host}
          sort="-calls"
          limit={short ? 6 : 25}
        />
      )}
    </Panel>
  );
}
