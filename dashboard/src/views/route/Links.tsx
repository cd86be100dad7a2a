/** Who calls a route, and which routes it calls. */

import type { JSX } from "preact";
import type { Chain } from "../../api/types";
import { count, ms } from "../../format";
import { follow, link } from "../../state/view";
import { Empty, Method, Panel } from "../../ui/bits";

export function Links({
  chains,
  method,
  route,
  owner,
}: {
  chains: readonly Chain[];
  method: string;
  route: string;
  /** The service whose route it is: others may have one of that name. */
  owner: string;
}): JSX.Element {
  const isOwn = (service: string | undefined) => !owner || !service || service === owner;
  const callers = chains.filter(
    (row) => row.child_method === method && row.child_route === route && isOwn(row.child_service),
  );
  const callees = chains.filter(
    (row) => row.parent_method === method && row.parent_route === route && isOwn(row.parent_service),
  );
  return (
    <Panel title="Chains" id="chains">
      {callers.length + callees.length === 0 ? (
        <Empty title="It is called by no other watched route, and calls none.">
          Both ends of a call must run on this host, or pass X-Request-ID or traceparent on.
        </Empty>
      ) : (
        <div class="body stack">
          {callers.length > 0 && (
            <List
              title="Called by"
              rows={callers}
              end={(row) => ({ method: row.parent_method, route: row.parent_route, service: row.parent_service })}
            />
          )}
          {callees.length > 0 && (
            <List
              title="Calls"
              rows={callees}
              end={(row) => ({ method: row.child_method, route: row.child_route, service: row.child_service })}
            />
          )}
        </div>
      )}
    </Panel>
  );
}

function List({
  title,
  rows,
  end,
}: {
  title: string;
  rows: readonly Chain[];
  end: (row: Chain) => { method: string; route: string; service: string | undefined };
}): JSX.Element {
  return (
    <div>
      <h3>{title}</h3>
      <ul>
        {rows.map((row) => {
          const { method, route, service } = end(row);
          const to = { view: "route", method, route, service: service ?? "" } as const;
          return (
            <li key={`${service} ${method} ${route}`}>
              <a class="mono" href={link(to)} onClick={follow(to)}>
                <Method name={method} /> {route}
              </a>{" "}
              <span class="muted small">
                {service} {count(row.count)}×, {ms(row.child_avg_ms)}
                {row.child_errors > 0 && <span class="bad"> {count(row.child_errors)} failed</span>}
              </span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
