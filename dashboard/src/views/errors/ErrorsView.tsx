/** All that failed: groups of exceptions, and the latest failed requests. */

import type { JSX } from "preact";
import { url, useApi } from "../../api/hooks";
import { now } from "../../api/resource";
import type { RecentError, RecentErrors } from "../../api/types";
import { ago, num, stamp } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Method, Panel, StatusCode, Waiting } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";
import { ErrorsPanel } from "./ErrorsPanel";

const COLUMNS: readonly Column<RecentError>[] = [
  {
    key: "ts",
    label: "When",
    by: (row) => row.ts,
    cell: (row) => <span title={stamp(row.ts)}>{ago(row.ts, now())}</span>,
  },
  { key: "status", label: "Status", by: (row) => row.status, cell: (row) => <StatusCode code={row.status} /> },
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
    key: "error",
    label: "Error",
    class: "route",
    by: (row) => row.error,
    cell: (row) =>
      row.request_id ? (
        <a class="clip" href={link({ request: row.request_id })} onClick={follow({ request: row.request_id })}>
          {row.error ?? "open the request"}
        </a>
      ) : (
        <span class="clip">{row.error}</span>
      ),
  },
  { key: "service", label: "Service", optional: true, by: (row) => row.service, cell: (row) => row.service },
  {
    key: "ms",
    label: "ms",
    title: "Duration, milliseconds",
    num: true,
    by: (row) => row.duration_ms,
    cell: (row) => num(row.duration_ms),
  },
];

export function ErrorsView(): JSX.Element {
  const { service } = view.value;
  const recent = useApi<RecentErrors>(url("/api/recent_errors", { service, limit: 100 }), 2);
  const rows = recent.data?.errors ?? [];
  return (
    <>
      <h1 class="sr">Errors</h1>
      <ErrorsPanel />
      <Panel title="Latest failed requests" id="recent_errors" stale={recent.stale}>
        {!recent.data ? (
          <Waiting answer={recent} what="failed requests" />
        ) : rows.length === 0 ? (
          <Empty title="No failed request.">
            A request fails with a status of 500 or more, with an exception, or when its client goes away.
          </Empty>
        ) : (
          <Table
            name="recent"
            caption="Latest failed requests"
            columns={COLUMNS}
            rows={rows}
            sort="-ts"
            id={(row) => `${row.request_id ?? ""}${row.ts}${row.route}`}
          />
        )}
      </Panel>
    </>
  );
}
