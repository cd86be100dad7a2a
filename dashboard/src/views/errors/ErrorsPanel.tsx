/** Errors grouped by the code path that raised them; a group opens to its traceback. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { ErrorGroup, ErrorGroups } from "../../api/types";
import { count, plural, windowWords } from "../../format";
import { follow, go, link, view } from "../../state/view";
import { Ago, Copy, Empty, Method, Panel, Waiting } from "../../ui/bits";
import { Doubt, Traceback } from "../../ui/Traceback";

/** Groups on the overview; the errors view shows all. */
const SHORT = 5;

export function ErrorsPanel({ short = false }: { short?: boolean }): JSX.Element {
  const { service, w } = view.value;
  const answer = useApi<ErrorGroups>(url("/api/error_groups", { service, w }), pace(3, w));
  const groups = answer.data?.groups ?? [];
  const shown = short ? groups.slice(0, SHORT) : groups;
  return (
    <Panel
      title="Exceptions"
      id="errors"
      stale={answer.stale}
      extra={
        <>
          <span class="muted small">{answer.data && plural(groups.length, "group")}</span>
          <span class="grow" />
          {short && (
            <a class="small" href={link({ view: "errors" })} onClick={follow({ view: "errors" })}>
              All errors
            </a>
          )}
        </>
      }
    >
      {!answer.data ? (
        <Waiting answer={answer} what="exceptions" />
      ) : shown.length === 0 ? (
        <Empty title={`No exception in ${windowWords(w)}.`}>
          When one is raised while a request is served, it appears here with its traceback.
        </Empty>
      ) : (
        shown.map((group) => <Group key={group.fingerprint} group={group} />)
      )}
    </Panel>
  );
}

function Group({ group }: { group: ErrorGroup }): JSX.Element {
  const open = view.value.error === group.fingerprint;
  return (
    <div class="group">
      <button
        type="button"
        class="line"
        aria-expanded={open}
        onClick={() => go({ error: open ? "" : group.fingerprint }, false)}
      >
        <span>
          <strong class="bad">{group.error_type ?? "Error"}</strong> <span class="small muted">{where(group)}</span>
        </span>
        <span class="num">
          <b>{count(group.count)}</b>×
        </span>
        <span class="clip small">{group.error_message}</span>
        <span class="num small muted">
          <Ago ts={group.last_seen} />
        </span>
      </button>
      {open && <Inside group={group} />}
    </div>
  );
}

function where(group: ErrorGroup): string {
  const first = group.affected_routes[0];
  if (!first) return "";
  const others = group.routes_count - 1;
  return `in ${first.method} ${first.route}${others > 0 ? ` and ${plural(others, "route")} more` : ""}`;
}

function Inside({ group }: { group: ErrorGroup }): JSX.Element {
  const request = group.sample_request_id;
  return (
    <div class="inside">
      <dl class="facts">
        <div>
          <dt>First seen</dt>
          <dd>
            <Ago ts={group.first_seen} />
          </dd>
        </div>
        <div>
          <dt>Last seen</dt>
          <dd>
            <Ago ts={group.last_seen} />
          </dd>
        </div>
        {group.service && (
          <div>
            <dt>Service</dt>
            <dd>{group.service}</dd>
          </div>
        )}
      </dl>
      <ul>
        {group.affected_routes.map((row) => {
          const to = { view: "route", method: row.method, route: row.route } as const;
          return (
            <li key={`${row.method} ${row.route}`}>
              <a class="mono" href={link(to)} onClick={follow(to)}>
                <Method name={row.method} /> {row.route}
              </a>{" "}
              <span class="muted small">{count(row.count)}×</span>
            </li>
          );
        })}
      </ul>
      {group.sample_traceback ? (
        <>
          <Doubt link={group.sample_link} />
          <Traceback text={group.sample_traceback} />
          <div class="strip">
            <Copy label="Copy traceback" text={() => group.sample_traceback ?? ""} />
            {request && (
              <a href={link({ request })} onClick={follow({ request })}>
                Open a request that raised it
              </a>
            )}
          </div>
        </>
      ) : (
        <p class="muted small">No traceback was captured for this group.</p>
      )}
    </div>
  );
}
