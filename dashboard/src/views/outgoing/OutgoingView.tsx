/** Outgoing calls: by host, and by the route that makes them. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Edge, RouteHostCalls } from "../../api/types";
import { windowWords } from "../../format";
import { view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { calls, host, route } from "../../ui/columns";
import { Table, type Column } from "../../ui/Table";
import { HostsPanel } from "./HostsPanel";

const COLUMNS: readonly Column<Edge>[] = [route(), host(), ...calls<Edge>()];

export function OutgoingView(): JSX.Element {
  const { service, w } = view.value;
  const answer = useApi<RouteHostCalls>(url("/api/route_host_calls", { service, w }), pace(3, w));
  const edges = answer.data?.edges ?? [];
  return (
    <>
      <h1 class="sr">Outgoing calls</h1>
      <HostsPanel />
      <Panel title="Which route calls which host" id="edges" stale={answer.stale}>
        {!answer.data ? (
          <Waiting answer={answer} what="calls by route" />
        ) : edges.length === 0 ? (
          <Empty title={`No call of a known request in ${windowWords(w)}.`}>
            A call made outside any request, by a background task say, counts for its host above but belongs to no
            route.
          </Empty>
        ) : (
          <Table
            name="edges"
            caption="Calls by route and host"
            columns={COLUMNS}
            rows={edges}
            sort="-calls"
            id={(row) => `${row.method} ${row.route} ${row.host}`}
          />
        )}
      </Panel>
    </>
  );
}
