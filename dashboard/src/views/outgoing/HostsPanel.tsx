/** Hosts that the services call. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Host, Outgoing } from "../../api/types";
import { count, plural, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { calls, host, millis } from "../../ui/columns";
import { Table, type Column } from "../../ui/Table";

const [COUNT, FAILED, AVERAGE, LONGEST] = calls<Host>();
const COLUMNS: readonly Column<Host>[] = [
  host(),
  COUNT,
  FAILED,
  AVERAGE,
  millis("p50", "p50", "Half of the calls were faster, milliseconds", (row) => row.p50_ms, true),
  millis("p95", "p95", "95% of the calls were faster, milliseconds", (row) => row.p95_ms, true),
  LONGEST,
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

const SHORT = COLUMNS.slice(0, 4);

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
          columns={short ? SHORT : COLUMNS}
          rows={hosts}
          id={(row) => row.host}
          sort="-calls"
          limit={short ? 6 : 25}
        />
      )}
    </Panel>
  );
}
