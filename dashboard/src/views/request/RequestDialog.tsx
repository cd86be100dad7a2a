/** One request, opened: its facts, its waterfall, its exception. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useApi } from "../../api/hooks";
import type { SlowSql, Trace } from "../../api/types";
import { bytes, clock, ms, plural, stamp } from "../../format";
import { curl, json } from "../../state/copy";
import { follow, go, link } from "../../state/view";
import { open } from "../../state/trace";
import { waterfall } from "../../state/waterfall";
import { Copy, Empty, Method, StatusCode } from "../../ui/bits";
import { Dialog } from "../../ui/Dialog";
import { TimeBar, TimeKey, knownSplit } from "../../ui/TimeBar";
import { Doubt, Traceback } from "../../ui/Traceback";
import { WaterfallRows } from "./WaterfallRows";

export function RequestDialog({ id }: { id: string }): JSX.Element {
  // A request that has been served does not change: asked once.
  const answer = useApi<Trace>(`/api/trace/${encodeURIComponent(id)}`, 1e9);
  const close = () => go({ request: "" });
  const data = answer.stale ? null : answer.data;
  const trace = useMemo(() => data && open(data, id), [data, id]);
  return (
    <Dialog
      side
      title={
        trace ? (
          <>
            <Method name={trace.method} /> <span class="mono">{trace.path}</span>
          </>
        ) : (
          "Request"
        )
      }
      close={close}
    >
      <div class="dialog-body" id="request">
        {trace ? (
          <Body trace={trace} />
        ) : answer.error && answer.status === 404 ? (
          <Empty title="This request is no longer stored.">
            Raw requests are kept for the time given by --retention; figures and error groups stay longer.
          </Empty>
        ) : answer.error ? (
          <Empty title="Could not load the request.">{answer.error}</Empty>
        ) : (
          <div class="empty" role="status">
            Loading the request…
          </div>
        )}
      </div>
    </Dialog>
  );
}

function Body({ trace }: { trace: Trace }): JSX.Element {
  const to = { view: "route", method: trace.method, route: trace.route, request: "" } as const;
  const parts = waterfall(trace);
  const repeats = parts.rows.filter((row) => row.nPlusOne);
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Status</dt>
          <dd>
            <StatusCode code={trace.status} />
          </dd>
        </div>
        <div>
          <dt>Took</dt>
          <dd>
            <b>{ms(trace.duration_ms)}</b>
          </dd>
        </div>
        {trace.queue_ms != null && (
          <div>
            <dt>Waited in queue</dt>
            <dd>{ms(trace.queue_ms)}</dd>
          </div>
        )}
        {trace.ttfb_ms != null && (
          <div>
            <dt>First byte after</dt>
            <dd>{ms(trace.ttfb_ms)}</dd>
          </div>
        )}
        <div>
          <dt>Ended</dt>
          <dd title={stamp(trace.ts)}>{clock(trace.ts)}</dd>
        </div>
        <div>
          <dt>Route</dt>
          <dd>
            <a class="mono" href={link(to)} onClick={follow(to)}>
              {trace.route}
            </a>
          </dd>
        </div>
        <div>
          <dt>Service</dt>
          <dd>
            {trace.service}
            {trace.pid ? ` (pid ${trace.pid})` : ""}
          </dd>
        </div>
        {trace.client && (
          <div>
            <dt>Client</dt>
            <dd>{trace.client}</dd>
          </div>
        )}
        {trace.user_agent && (
          <div>
            <dt>User agent</dt>
            <dd>{trace.user_agent}</dd>
          </div>
        )}
        {trace.protocol && (
          <div>
            <dt>Protocol</dt>
            <dd>
              {trace.protocol}
              {trace.tls ? " over TLS" : ""}
            </dd>
          </div>
        )}
        {trace.response_bytes != null && (
          <div>
            <dt>Bytes in, out</dt>
            <dd>
              {bytes(trace.request_bytes)}, {bytes(trace.response_bytes)}
            </dd>
          </div>
        )}
        {trace.parent_id && (
          <div>
            <dt>Called by</dt>
            <dd>
              <a
                class="mono small"
                href={link({ request: trace.parent_id })}
                onClick={follow({ request: trace.parent_id })}
              >
                {trace.parent_id}
              </a>
            </dd>
          </div>
        )}
        {trace.request_id && (
          <div>
            <dt>Request id</dt>
            <dd class="mono small">{trace.request_id}</dd>
          </div>
        )}
      </dl>
      <div>
        <TimeBar tall total={trace.duration_ms} db={trace.db_total_ms} out={trace.outgoing_total_ms} />
        <TimeKey parts={knownSplit(trace.duration_ms, trace.db_total_ms, trace.outgoing_total_ms)} />
      </div>
      {repeats.map((row) => (
        <div key={row.key} class="finding">
          <p>
            <b>N+1 query:</b> the same statement ran {row.pieces.length} times in this request, {ms(row.busy)} in all.
            Fetch the rows in one statement, by a join or an IN list.
          </p>
          <code class="clip">{row.query?.sql}</code>
        </div>
      ))}
      <section aria-label="Waterfall">
        <h3>
          Waterfall{" "}
          <span class="muted">
            {plural(trace.queries.length, "query", "queries")}, {plural(trace.calls.length, "outgoing call")}
          </span>
        </h3>
        <WaterfallRows of={parts} />
        {trace.queries.length === 0 && trace.calls.length === 0 && (
          <p class="muted small">No query and no outgoing call is known to belong to this request.</p>
        )}
        {trace.truncated && <p class="warn small">More requests belong to it than are shown.</p>}
        {trace.queries.length === 0 && <Slowest of={trace.db_slow ?? []} />}
      </section>
      {(trace.error ?? trace.error_type) && <Exception trace={trace} />}
      <div class="strip">
        <Copy label="Copy as curl" text={() => curl(trace)} />
        <Copy label="Copy as JSON" text={() => json(trace)} />
      </div>
    </>
  );
}

function Exception({ trace }: { trace: Trace }): JSX.Element {
  const locals = trace.error_locals;
  return (
    <section aria-label="Exception">
      <h3 class="bad">{trace.error_type ?? "Error"}</h3>
      <p>{trace.error_message ?? trace.error}</p>
      <Doubt link={trace.error_link} />
      {trace.error_traceback && <Traceback text={trace.error_traceback} />}
      {locals != null && (
        <details>
          <summary>Local variables of the raising frame</summary>
          <pre class="trace-text">{JSON.stringify(locals, null, 2)}</pre>
        </details>
      )}
    </section>
  );
}

/** Statements that a request came with, without their place in time. */
function Slowest({ of }: { of: readonly SlowSql[] }): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <>
      <h3>Slowest statements</h3>
      <ul class="stack">
        {of.map((one, i) => (
          <li key={i} class="slow">
            <code>{one.sql}</code>
            <span class="num">{ms(one.ms)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
