/** One route: its figures, where its time goes, its requests, what it calls and who calls it. */

import type { ComponentChildren, JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Chains, Discovered, RouteSnapshot, Routes, Services } from "../../api/types";
import { count, ms, msParts, NONE, num, pct, plural, windowWords } from "../../format";
import { follow, link, view } from "../../state/view";
import { Empty, Method, Panel, StatusCode, Waiting } from "../../ui/bits";
import { host, millis } from "../../ui/columns";
import { Table } from "../../ui/Table";
import { TimeBar, TimeKey, knownSplit } from "../../ui/TimeBar";
import { AnalyzeButton } from "../analyze/AnalyzeButton";
import { Charts } from "../overview/Charts";
import { Tile } from "../overview/Tiles";
import { RequestsTable } from "../request/RequestsTable";
import { Links } from "./Links";

export function RouteView(): JSX.Element {
  const { service, w, method, route } = view.value;
  const services = useApi<Services>("/api/services", 1);
  const found = useApi<Discovered>("/api/discovered", 15);
  const routes = useApi<Routes>(url("/api/routes", { service, w }), pace(2, w));
  const row = routes.data?.routes.find((one) => one.method === method && one.route === route);
  // The snapshot is of one service: the chosen one, else the one that serves it, else the one whose source has the route, else
  // the only one.
  const serving = row?.services ?? [];
  const source = found.data?.routes.find(
    (row) =>
      row.route === route && (row.method === method || row.method === "*") && (!service || row.service === service),
  );
  const names = services.data?.services.map((row) => row.service) ?? [];
  const only = (of: readonly string[]) => (of.length === 1 ? (of[0] ?? "") : "");
  const owner = service || (serving.length > 0 ? only(serving) : routes.data ? (source?.service ?? only(names)) : "");
  const snapshot = useApi<RouteSnapshot>(
    owner ? url("/api/route/snapshot", { service: owner, method, route, w }) : null,
    pace(2, w),
  );
  const chains = useApi<Chains>(url("/api/route_chains", { w }), pace(4, w));
  const data = snapshot.data;

  return (
    <>
      <div class="title">
        <a
          href={link({ view: "overview", method: "", route: "" })}
          onClick={follow({ view: "overview", method: "", route: "" })}
        >
          Routes
        </a>
        <span class="muted" aria-hidden="true">
          ›
        </span>
        <h1 class="grow">
          <span class="mono">
            <Method name={method} /> {route}
          </span>
        </h1>
        {source && (
          <span class="muted mono small">
            {source.file}:{source.line} {source.function}
          </span>
        )}
        {owner && !service && names.length > 1 && <span class="muted small">of {owner}</span>}
        {owner && <AnalyzeButton of={{ service: owner, method, route }} />}
      </div>
      {!owner && services.data && routes.data && <Choose names={serving.length > 0 ? serving : names} />}
      {owner &&
        (data && data.route === route ? <RouteTiles of={data} /> : <Waiting answer={snapshot} what="figures" />)}
      {row && (
        <Panel
          title="Where the time goes"
          id="split"
          extra={<span class="muted small">average request, {ms(row.avg_ms)}</span>}
        >
          <div class="body">
            <TimeBar tall total={row.avg_ms} db={row.avg_db_ms} out={row.avg_outgoing_ms} />
            <TimeKey parts={knownSplit(row.avg_ms, row.avg_db_ms, row.avg_outgoing_ms)} />
          </div>
        </Panel>
      )}
      <Charts service={owner} w={w} method={method} route={route} />
      <RequestsTable method={method} route={route} />
      {data && (
        <div class="columns">
          <Database of={data} />
          <Calls of={data} />
          <Failures of={data} />
          <Links chains={chains.data?.chains ?? []} method={method} route={route} owner={owner} />
        </div>
      )}
    </>
  );
}

function Choose({ names }: { names: readonly string[] }): JSX.Element {
  return (
    <Empty title="Which service?">
      {names.length === 0 ? (
        "No service is known yet."
      ) : (
        <>
          Figures of a route are per service:{" "}
          {names.map((name) => (
            <a key={name} class="chip" href={link({ service: name })} onClick={follow({ service: name })}>
              {name}
            </a>
          ))}
        </>
      )}
    </Empty>
  );
}

function RouteTiles({ of }: { of: RouteSnapshot }): JSX.Element {
  const any = of.total_requests > 0;
  const latency = (id: string, name: string, value: number | null | undefined, under: ComponentChildren) => {
    const [figure, unit] = msParts(any ? value : null);
    return <Tile id={id} name={name} figure={figure} unit={unit} under={under} />;
  };
  return (
    <dl class="tiles" aria-label="Key figures of the route">
      <Tile id="rps" name="Requests per second" figure={num(of.rps)} under={plural(of.total_requests, "request")} />
      <Tile
        id="error_rate"
        name="Error rate"
        figure={any ? pct(of.error_rate) : NONE}
        alarm={of.errors > 0}
        under={plural(of.errors, "error")}
      />
      {latency(
        "avg",
        "Average latency",
        of.avg_duration_ms,
        any && (
          <>
            min <b>{ms(of.min_duration_ms)}</b>
          </>
        ),
      )}
      {latency("p50", "p50", of.p50_ms, "half are faster")}
      {latency("p95", "p95", of.p95_ms, "95% are faster")}
      {latency("p99", "p99", of.p99_ms, "99% are faster")}
      {latency("max", "Max latency", of.max_duration_ms, "slowest request")}
    </dl>
  );
}

function Database({ of }: { of: RouteSnapshot }): JSX.Element {
  const { db } = of;
  const worst = db.worst_request;
  return (
    <Panel title="Database" id="db">
      {db.avg_queries_per_request === null ? (
        <Empty title="No query is known of this route.">Statements sent while it is served are counted here.</Empty>
      ) : (
        <div class="body stack">
          <dl class="facts">
            <div>
              <dt>Queries per request</dt>
              <dd>
                {num(db.avg_queries_per_request)}, at most {num(db.max_queries_per_request)}
              </dd>
            </div>
            <div>
              <dt>Time per request</dt>
              <dd>
                {ms(db.avg_db_ms)}, at most {ms(db.max_db_ms)}
              </dd>
            </div>
            {worst && (
              <div>
                <dt>Worst request</dt>
                <dd>
                  {plural(worst.queries, "query", "queries")}, {ms(worst.db_total_ms)} of {ms(worst.request_total_ms)}
                </dd>
              </div>
            )}
          </dl>
          {worst && worst.slowest.length > 0 && (
            <ul class="stack">
              {worst.slowest.map((one, i) => (
                <li key={i} class="slow">
                  <code>{one.sql}</code>
                  <span class="num">{ms(one.ms)}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Panel>
  );
}

function Calls({ of }: { of: RouteSnapshot }): JSX.Element {
  return (
    <Panel title="Outgoing calls" id="calls">
      {of.outgoing.length === 0 ? (
        <Empty title={`It called no other host in ${windowWords(of.window_seconds)}.`} />
      ) : (
        <Table
          name="route_hosts"
          caption="Outgoing calls of the route"
          rows={of.outgoing}
          id={(row) => row.host}
          sort="-calls"
          columns={[
            host(),
            { key: "calls", label: "Calls", num: true, by: (row) => row.calls, cell: (row) => count(row.calls) },
            {
              key: "errors",
              label: "Errors",
              num: true,
              by: (row) => row.errors,
              cell: (row) => <span class={row.errors ? "bad" : "zero"}>{count(row.errors)}</span>,
            },
            millis<RouteSnapshot["outgoing"][number]>(
              "avg",
              "Avg ms",
              "Average duration, milliseconds",
              (row) => row.avg_ms,
            ),
            millis<RouteSnapshot["outgoing"][number]>(
              "max",
              "Max ms",
              "Slowest call, milliseconds",
              (row) => row.max_ms,
            ),
          ]}
        />
      )}
    </Panel>
  );
}

function Failures({ of }: { of: RouteSnapshot }): JSX.Element {
  return (
    <Panel title="Failures" id="breakdown">
      {of.error_breakdown.length === 0 ? (
        <Empty title={`None failed in ${windowWords(of.window_seconds)}.`} />
      ) : (
        <Table
          name="breakdown"
          caption="Failures of the route"
          rows={of.error_breakdown}
          id={(row) => `${row.status} ${row.error ?? ""}`}
          sort="-count"
          columns={[
            {
              key: "status",
              label: "Status",
              by: (row) => row.status,
              cell: (row) => <StatusCode code={row.status} />,
            },
            {
              key: "error",
              label: "Error",
              class: "route",
              phone: "lead",
              by: (row) => row.error,
              cell: (row) => row.error ?? <span class="muted">answered by the app, no exception seen</span>,
            },
            { key: "count", label: "Count", num: true, by: (row) => row.count, cell: (row) => count(row.count) },
          ]}
        />
      )}
    </Panel>
  );
}
