/** The routes table with its filter. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Routes } from "../../api/types";
import { plural, windowWords } from "../../format";
import { matches } from "../../state/filter";
import { go, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { TimeKey } from "../../ui/TimeBar";
import { RoutesTable } from "./RoutesTable";

export function RoutesPanel(): JSX.Element {
  const { service, w, q } = view.value;
  const answer = useApi<Routes>(url("/api/routes", { service, w }), pace(2, w));
  const rows = answer.data?.routes ?? [];
  const shown = rows.filter((row) => matches(q, `${row.method} ${row.route}`));
  return (
    <Panel title="Routes" id="routes" stale={answer.stale} extra={<>
      <span class="muted small">{answer.data && (q ? `${shown.length} of ${plural(rows.length, "route")}` : plural(rows.length, "route"))}</span>
      <span class="grow" />
      <TimeKey />
      <input id="filter" class="field" type="search" placeholder="Filter routes   /" aria-label="Filter routes" value={q}
        onInput={(event) => go({ q: event.currentTarget.value }, false)} />
    </>}>
      {!answer.data ? <Waiting answer={answer} what="routes" />
        : shown.length > 0 ? <RoutesTable rows={shown} />
        : rows.length > 0 ? <Empty title={`No route matches “${q}”.`}>Press Esc in the filter box to show all of them.</Empty>
        : <Empty title={`No request in ${windowWords(w)}.`}>
            Send one to a watched server, or choose a longer window. If a server is missing from the list of services, the Agent page says what it sees of each process.
          </Empty>}
    </Panel>
  );
}
