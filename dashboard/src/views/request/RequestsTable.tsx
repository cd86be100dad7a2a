/** Requests one by one: the latest, the slowest, the failed. A row opens as a waterfall. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { RequestRow, Requests } from "../../api/types";
import { count, windowWords } from "../../format";
import { matches } from "../../state/filter";
import { REQUEST_KINDS } from "../../state/url";
import { go, view } from "../../state/view";
import { Empty, Method, Panel, Segments, Waiting } from "../../ui/bits";
import { millis, service, status, when } from "../../ui/columns";
import { Table, type Column } from "../../ui/Table";
import { TimeBar } from "../../ui/TimeBar";

const COLUMNS: readonly Column<RequestRow>[] = [
  when(),
  status(),
  {
    key: "path",
    label: "Request",
    class: "route",
    phone: "lead",
    by: (row) => row.path,
    cell: (row) => (
      <span class="mono">
        <Method name={row.method} /> {row.path}
      </span>
    ),
  },
  millis("ms", "ms", "Duration, milliseconds", (row) => row.duration_ms),
  {
    key: "time",
    label: "Time",
    phone: "line",
    cell: (row) => <TimeBar total={row.duration_ms} db={row.db_total_ms} out={row.outgoing_total_ms} />,
  },
  {
    key: "dbq",
    label: "Queries",
    num: true,
    phone: 2,
    by: (row) => row.db_query_count,
    cell: (row) => (
      <>
        {row.n_plus_one && (
          <span class="tag bad" title="The same statement ran ten times or more">
            N+1
          </span>
        )}{" "}
        {count(row.db_query_count)}
      </>
    ),
  },
  {
    key: "out",
    label: "Calls",
    num: true,
    optional: true,
    by: (row) => row.outgoing_count,
    cell: (row) => count(row.outgoing_count),
  },
  {
    key: "error",
    label: "Error",
    class: "route",
    phone: "line",
    by: (row) => row.error,
    cell: (row) => row.error && <span class="clip bad">{row.error}</span>,
  },
  service(),
];

const SORT = { recent: "-ts", slow: "-ms", failed: "-ts" } as const;
const NONE_YET = {
  recent: "Each served request appears here; a click opens it with its queries and outgoing calls.",
  slow: "The slowest requests of the window appear here.",
  failed: "Requests that ended with 500 or more, with an exception, or whose client went away appear here.",
} as const;

/** Figures reach back for a month, what they were made of does not. */
const KEPT = "Single requests are kept for an hour, or as long as --retention says.";

export function RequestsTable({ method = "", route = "" }: { method?: string; route?: string }): JSX.Element {
  const { service: of, w, kind, q } = view.value;
  const answer = useApi<Requests>(
    url("/api/requests", { service: of, w, method, route, sort: kind, limit: 100 }),
    pace(2, w),
  );
  const filter = route ? "" : q;
  const rows = (answer.data?.requests ?? []).filter((row) => matches(filter, `${row.method} ${row.path} ${row.route}`));
  return (
    <Panel
      title="Requests"
      id="requests"
      stale={answer.stale}
      extra={
        <>
          <Segments
            label="Which requests"
            options={REQUEST_KINDS}
            value={kind}
            name={(name) => name[0]?.toUpperCase() + name.slice(1)}
            choose={(next) => go({ kind: next }, false)}
          />
          <span class="grow" />
          {!route && (
            <input
              id="filter"
              class="field"
              type="search"
              placeholder="Filter requests   /"
              aria-label="Filter requests"
              aria-keyshortcuts="/"
              value={q}
              onInput={(event) => go({ q: event.currentTarget.value }, false)}
            />
          )}
        </>
      }
    >
      {!answer.data ? (
        <Waiting answer={answer} what="requests" />
      ) : rows.length === 0 ? (
        <Empty
          title={
            filter
              ? `None of the ${kind} requests listed matches “${filter}”.`
              : `No ${kind === "failed" ? "failed " : ""}request in ${windowWords(w)}.`
          }
        >
          {NONE_YET[kind]} {w > 3600 && KEPT}
        </Empty>
      ) : (
        <Table
          name={`requests_${kind}`}
          caption={`Requests, ${kind}`}
          rows={rows}
          sort={SORT[kind]}
          limit={route ? 10 : 50}
          columns={route ? COLUMNS.slice(0, -1) : COLUMNS}
          id={(row) => row.request_id ?? `${row.ts} ${row.path}`}
          open={(row) => {
            if (row.request_id) go({ request: row.request_id });
          }}
        />
      )}
    </Panel>
  );
}
