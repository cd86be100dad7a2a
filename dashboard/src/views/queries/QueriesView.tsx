/** The database as the services use it: N+1, statements, failures. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Queries, SqlErrors } from "../../api/types";
import { count, windowWords } from "../../format";
import { sqlState } from "../../state/sqlstate";
import { view } from "../../state/view";
import { Empty, Panel } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";
import { NPlusOne } from "./NPlusOne";
import { StatementsPanel } from "./StatementsPanel";

const FAILURES: readonly Column<SqlErrors>[] = [
  { key: "code", label: "SQLSTATE", by: (row) => row.code, cell: (row) => <span class="mono">{row.code}</span> },
  { key: "name", label: "Meaning", phone: 3, by: (row) => sqlState(row.code), cell: (row) => sqlState(row.code) },
  {
    key: "count",
    label: "Count",
    num: true,
    by: (row) => row.count,
    cell: (row) => <span class="bad">{count(row.count)}</span>,
  },
  {
    key: "sql",
    label: "Statement",
    title: "The one that takes most time of those that fail so",
    class: "sql",
    phone: "line",
    cell: (row) => (
      <code class="clip" title={row.sample_sql}>
        {row.sample_sql}
      </code>
    ),
  },
];

export function QueriesView(): JSX.Element {
  const { service, w } = view.value;
  const { data } = useApi<Queries>(url("/api/queries", { service, w }), pace(3, w));
  return (
    <>
      <h1 class="sr">Queries</h1>
      {data?.n_plus_one && <NPlusOne groups={data.n_plus_one} />}
      <StatementsPanel />
      {data?.errors && (
        <Panel title="Failed statements" id="sqlstates">
          {data.errors.length === 0 ? (
            <Empty title={`No statement failed in ${windowWords(w)}.`} />
          ) : (
            <Table
              name="sqlstates"
              caption="Errors by SQLSTATE"
              columns={FAILURES}
              rows={data.errors}
              sort="-count"
              id={(row) => row.code}
            />
          )}
        </Panel>
      )}
    </>
  );
}
