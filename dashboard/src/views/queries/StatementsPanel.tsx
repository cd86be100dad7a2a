/** SQL statements by the time they take. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Queries, Statement } from "../../api/types";
import { count, num, plural, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";

const figure = (
  key: string,
  label: string,
  title: string,
  pick: (row: Statement) => number | null | undefined,
  optional = false,
): Column<Statement> => ({ key, label, title, num: true, optional, by: pick, cell: (row) => num(pick(row)) });

const COLUMNS: readonly Column<Statement>[] = [
  {
    key: "sql",
    label: "Statement",
    class: "sql",
    phone: "lead",
    by: (row) => row.sql,
    cell: (row) => (
      <code class="clip" title={row.sql}>
        {row.sql}
      </code>
    ),
  },
  {
    key: "from",
    label: "Sent by",
    title: "The application's code that sends it most often",
    phone: "lead",
    by: (row) => row.call_sites?.[0]?.site,
    cell: (row) => <Sites of={row} />,
  },
  figure("total", "Total ms", "Summed duration, milliseconds", (row) => Math.round(row.total_ms)),
  { key: "calls", label: "Calls", num: true, by: (row) => row.calls, cell: (row) => count(row.calls) },
  figure("avg", "Avg", "Average duration, milliseconds", (row) => row.avg_ms),
  figure("p50", "p50", "Half were faster, milliseconds", (row) => row.p50_ms, true),
  figure("p95", "p95", "95% were faster, milliseconds", (row) => row.p95_ms, true),
  figure("max", "Max", "Slowest, milliseconds", (row) => row.max_ms),
  figure(
    "rows",
    "Rows",
    "Rows per call",
    (row) => (row.rows != null && row.calls > 0 ? row.rows / row.calls : null),
    true,
  ),
  {
    key: "errors",
    label: "Errors",
    num: true,
    optional: true,
    by: (row) => row.errors,
    cell: (row) => <span class={row.errors ? "bad" : "zero"}>{count(row.errors)}</span>,
  },
];
const SHORT = ["sql", "total", "calls", "avg"];

/** The place that sends a statement most often; all that are known, with how often, for those who hover. */
function Sites({ of: { call_sites: sites = [] } }: { of: Statement }): JSX.Element {
  const [first, ...others] = sites;
  if (!first) return <span class="zero">–</span>;
  return (
    <span class="mono small" title={sites.map(({ site, count: times }) => `${site} (${count(times)})`).join("\n")}>
      {first.site.replace(/^.*\//, "")}
      {others.length > 0 && <span class="muted"> +{others.length}</span>}
    </span>
  );
}

export function StatementsPanel({ short = false }: { short?: boolean }): JSX.Element {
  const { service, w } = view.value;
  const answer = useApi<Queries>(url("/api/queries", { service, w }), pace(3, w));
  const rows = answer.data?.queries ?? [];
  return (
    <Panel
      title="Queries"
      id="queries"
      stale={answer.stale}
      extra={
        <>
          <span class="muted small">{answer.data && plural(rows.length, "statement")}</span>
          <span class="grow" />
          {short && (
            <a class="small" href={link({ view: "queries" })} onClick={follow({ view: "queries" })}>
              All queries
            </a>
          )}
        </>
      }
    >
      {!answer.data ? (
        <Waiting answer={answer} what="queries" />
      ) : rows.length === 0 ? (
        <Empty title={`No query in ${windowWords(w)}.`}>
          Statements sent to PostgreSQL and MySQL appear here, with every literal replaced by “?”.
        </Empty>
      ) : (
        <Table
          name={short ? "queries_short" : "queries"}
          caption="Queries"
          rows={rows}
          id={(row) => `${row.system ?? ""} ${row.fingerprint}`}
          sort="-total"
          limit={short ? 6 : 25}
          columns={short ? COLUMNS.filter((column) => SHORT.includes(column.key)) : COLUMNS}
        />
      )}
    </Panel>
  );
}
