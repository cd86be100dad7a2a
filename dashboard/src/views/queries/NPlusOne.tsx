/** Statements that one request runs over and over. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Requests, Statement } from "../../api/types";
import { count, ms, num, plural } from "../../format";
import { repeats, type Repeats } from "../../state/nplusone";
import { follow, link, view } from "../../state/view";
import { Empty, Method, Panel } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";

/** Latest requests that are looked through. */
const LOOKED = 500;

const COLUMNS: readonly Column<Repeats>[] = [
  { key: "route", label: "Route", class: "route", by: (row) => row.route, cell: (row) => {
    const to = { view: "route", method: row.method, route: row.route } as const;
    return <a class="mono" href={link(to)} onClick={follow(to)}><Method name={row.method} /> {row.route}</a>;
  } },
  { key: "sql", label: "Repeated statement", class: "sql", by: (row) => row.sql, cell: (row) => row.sql ? <code class="clip" title={row.sql}>{row.sql}</code> : <span class="muted mono">{row.fingerprint}</span> },
  { key: "requests", label: "Requests", title: "Requests that ran it ten times or more", num: true, by: (row) => row.requests, cell: (row) => count(row.requests) },
  { key: "queries", label: "Queries each", title: "Queries per such request, on average", num: true, by: (row) => row.queries, cell: (row) => <b class="bad">{num(row.queries)}</b> },
  { key: "db", label: "DB ms", title: "Their time in the database, milliseconds", num: true, optional: true, by: (row) => row.dbMs, cell: (row) => num(row.dbMs) },
  { key: "open", label: "Worst", cell: ({ worst }) => worst.request_id
    ? <a href={link({ request: worst.request_id })} onClick={follow({ request: worst.request_id })} aria-label={`Open the worst request of ${worst.route}`}>open</a> : null },
];

export function NPlusOne({ statements }: { statements: readonly Statement[] }): JSX.Element | null {
  const { service, w } = view.value;
  const { data } = useApi<Requests>(url("/api/requests", { service, w, sort: "recent", limit: LOOKED }), pace(5, w));
  if (!data) return null;
  const groups = repeats(data.requests, statements);
  const cost = groups.reduce((sum, row) => sum + row.dbMs, 0);
  return (
    <Panel title="N+1 queries" id="n_plus_one" extra={<span class="muted small">among the latest {plural(data.requests.length, "request")}{cost > 0 && `: ${ms(cost)} in the database`}</span>}>
      {groups.length === 0 ? <Empty title="No N+1 query.">A statement that runs ten times or more within one request is named here, with the route that does it.</Empty>
        : <Table name="n_plus_one" caption="N+1 queries" columns={COLUMNS} rows={groups} sort="-db" id={(row) => `${row.worst.service} ${row.method} ${row.route} ${row.fingerprint}`} />}
    </Panel>
  );
}
