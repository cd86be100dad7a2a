/** The database as the services use it: N+1, statements, failures. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Queries } from "../../api/types";
import { count, windowWords } from "../../format";
import { failures, type Failures } from "../../state/nplusone";
import { sqlState } from "../../state/sqlstate";
import { view } from "../../state/view";
import { Empty, Panel } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";
import { NPlusOne } from "./NPlusOne";
import { StatementsPanel } from "./StatementsPanel";

const FAILURES: readonly Column<Failures>[] = [
  { key: "code", label: "SQLSTATE", by: (row) => row.code, cell: (row) => <span class="mono">{row.code}</span> },
  { key: "name", label: "Meaning", by: (row) => sqlState(row.code), cell: (row) => sqlState(row.code) },
  { key: "count", label: "Count", num: true, by: (row) => row.count, cell: (row) => <span class="bad">{count(row.count)}</span> },
  { key: "sql", label: "Statements", class: "sql", cell: (row) => row.statements.slice(0, 3).map((one) => <code key={one.sql} class="clip" title={one.sql}>{count(one.count)}× {one.sql}</code>) },
];

export function QueriesView(): JSX.Element {
  const { service, w } = view.value;
  const { data } = useApi<Queries>(url("/api/queries", { service, w }), pace(3, w));
  const failed = failures(data?.queries ?? []);
  return (
    <>
      <h1 class="sr">Queries</h1>
      {data && <NPlusOne statements={data.queries} />}
      <StatementsPanel />
      {data && (
        <Panel title="Failed statements" id="sqlstates">
          {failed.length === 0 ? <Empty title={`No statement failed in ${windowWords(w)}.`} />
            : <Table name="sqlstates" caption="Errors by SQLSTATE" columns={FAILURES} rows={failed} sort="-count" id={(row) => row.code} />}
        </Panel>
      )}
    </>
  );
}
