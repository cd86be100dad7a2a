/** All that failed: groups of exceptions, and the latest failed requests. */

import type { JSX } from "preact";
import { url, useApi } from "../../api/hooks";
import type { RecentError, RecentErrors } from "../../api/types";
import { follow, link, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { millis, route, service, status, when } from "../../ui/columns";
import { Table, type Column } from "../../ui/Table";
import { ErrorsPanel } from "./ErrorsPanel";

const COLUMNS: readonly Column<RecentError>[] = [
  when(),
  status(),
  route(),
  {
    key: "error",
    label: "Error",
    class: "route",
    phone: "lead",
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
  service(),
  millis("ms", "ms", "Duration, milliseconds", (row) => row.duration_ms),
];

export function ErrorsView(): JSX.Element {
  const of = view.value.service;
  const recent = useApi<RecentErrors>(url("/api/recent_errors", { service: of, limit: 100 }), 2);
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
            A request fails with a status of 500 or more, with an exception, or when its client goes away. Single
            requests are kept for an hour, or as long as --retention says.
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
