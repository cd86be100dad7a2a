/** Statements that one request runs over and over. */

import type { JSX } from "preact";
import type { NPlusOne as Group } from "../../api/types";
import { count, ms, num, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Method, Panel } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";

const COLUMNS: readonly Column<Group>[] = [
  {
    key: "route",
    label: "Route",
    class: "route",
    phone: "lead",
    by: (row) => row.route,
    cell: (row) => {
      const to = { view: "route", service: row.service, method: row.method, route: row.route } as const;
      return (
        <a class="mono" href={link(to)} onClick={follow(to)}>
          <Method name={row.method} /> {row.route}
        </a>
      );
    },
  },
  {
    key: "sql",
    label: "Repeated statement",
    class: "sql",
    phone: "lead",
    by: (row) => row.sql,
    cell: (row) =>
      row.sql ? (
        <code class="clip" title={row.sql}>
          {row.sql}
        </code>
      ) : (
        <span class="muted mono">{row.fingerprint}</span>
      ),
  },
  {
    key: "requests",
    label: "Requests",
    title: "Requests that ran it ten times or more",
    num: true,
    by: (row) => row.requests,
    cell: (row) => <b class="bad">{count(row.requests)}</b>,
  },
  {
    key: "avg",
    label: "ms each",
    title: "Time in the database per such request, milliseconds",
    num: true,
    by: (row) => row.avg_ms,
    cell: (row) => num(row.avg_ms),
  },
  {
    key: "total",
    label: "Total ms",
    title: "Time of all of them in the database, milliseconds",
    num: true,
    optional: true,
    by: (row) => row.total_ms,
    cell: (row) => count(row.total_ms),
  },
  {
    key: "open",
    label: "Worst",
    cell: (row) =>
      row.sample_request_id ? (
        <a
          href={link({ request: row.sample_request_id })}
          onClick={follow({ request: row.sample_request_id })}
          aria-label={`Open the worst request of ${row.route}`}
        >
          open
        </a>
      ) : null,
  },
];

export function NPlusOne({ groups }: { groups: readonly Group[] }): JSX.Element {
  const cost = groups.reduce((sum, row) => sum + row.total_ms, 0);
  return (
    <Panel
      title="N+1 queries"
      id="n_plus_one"
      extra={<span class="muted small">{cost > 0 && `${ms(cost)} in the database`}</span>}
    >
      {groups.length === 0 ? (
        <Empty title={`No N+1 query in ${windowWords(view.value.w)}.`}>
          A statement that runs ten times or more within one request is named here, with the route that does it.
        </Empty>
      ) : (
        <Table
          name="n_plus_one"
          caption="N+1 queries"
          columns={COLUMNS}
          rows={groups}
          sort="-total"
          id={(row) => `${row.service} ${row.method} ${row.route} ${row.fingerprint}`}
        />
      )}
    </Panel>
  );
}
