/** The waterfall drawn: a label, a bar on the common time axis, a duration. A row opens to all that is known of it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { count, ms, plural } from "../../format";
import type { Row, Waterfall } from "../../state/waterfall";
import { follow, link } from "../../state/view";
import { Method, StatusCode } from "../../ui/bits";

/** Rows drawn before "show all". */
const LIMIT = 200;

export function WaterfallRows({ of }: { of: Waterfall }): JSX.Element {
  const [all, setAll] = useState(false);
  const shown = all ? of.rows : of.rows.slice(0, LIMIT);
  return (
    <div class="waterfall">
      <div class="axis" aria-hidden="true">
        <span />
        <span class="marks">
          {[0, 0.25, 0.5, 0.75, 1].map((share) => (
            <i key={share} style={{ left: `${share * 100}%` }}>
              {ms(of.span * share)}
            </i>
          ))}
        </span>
        <span />
      </div>
      {shown.map((row) => (
        <Line key={row.key} row={row} span={of.span} />
      ))}
      {of.rows.length > LIMIT && (
        <button type="button" class="more" onClick={() => setAll(!all)}>
          {all ? `Show the first ${LIMIT}` : `Show all ${of.rows.length}`}
        </button>
      )}
    </div>
  );
}

function Line({ row, span }: { row: Row; span: number }): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <div class={`wf ${row.kind}`}>
      <button type="button" class="wf-line" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="wf-label" style={{ paddingLeft: `${Math.min(row.depth, 8) * 12}px` }}>
          <Label row={row} />
        </span>
        <span class="wf-bar" aria-hidden="true">
          {row.pieces.length > 1 && <i class="wf-extent" style={place(row.at, row.ms, span)} />}
          {row.pieces.slice(0, 300).map((piece, i) => (
            <i key={i} class={piece.failed ? "c-bad" : COLOUR[row.kind]} style={place(piece.at, piece.ms, span)} />
          ))}
          {row.queue > 0 && <i class="c-queue" style={place(row.at, row.queue, span)} />}
        </span>
        <span class="num">{ms(row.busy)}</span>
      </button>
      {open && <Details row={row} />}
    </div>
  );
}

const COLOUR = { request: "c-own", sql: "c-db", call: "c-out" } as const;

const place = (at: number, length: number, span: number) => ({
  left: `${(100 * at) / span}%`,
  width: `${(100 * length) / span}%`,
});

function Label({ row }: { row: Row }): JSX.Element {
  if (row.request)
    return (
      <>
        <b>{row.request.service}</b>{" "}
        <span class="mono">
          <Method name={row.request.method} /> {row.request.route}
        </span>{" "}
        {row.depth > 0 && <StatusCode code={row.request.status} />}
      </>
    );
  if (row.call)
    return (
      <>
        <span class="mono">
          <Method name={row.call.method} /> {row.call.host}
          {row.call.path}
        </span>{" "}
        <StatusCode code={row.call.status} />
      </>
    );
  return (
    <>
      {row.pieces.length > 1 && (
        <b class={row.nPlusOne ? "tag bad" : "tag"}>
          {row.pieces.length} ×{row.nPlusOne && " N+1"}
        </b>
      )}{" "}
      <code>{row.query?.sql}</code>
      {row.query?.error_code && <span class="tag bad">{row.query.error_code}</span>}
    </>
  );
}

function Details({ row }: { row: Row }): JSX.Element {
  const { query, call, request } = row;
  const site = query?.call_site ?? call?.call_site;
  const how = query?.link ?? call?.link;
  return (
    <div class="wf-details">
      {query && <pre>{query.sql}</pre>}
      <dl class="facts">
        <div>
          <dt>Starts after</dt>
          <dd>{ms(row.at)}</dd>
        </div>
        <div>
          <dt>{row.pieces.length > 1 ? `${count(row.pieces.length)} runs took` : "Took"}</dt>
          <dd>{ms(row.busy)}</dd>
        </div>
        {row.kind === "sql" && row.rows !== null && (
          <div>
            <dt>Rows</dt>
            <dd>{count(row.rows)}</dd>
          </div>
        )}
        {query?.table && (
          <div>
            <dt>Table</dt>
            <dd>{query.table}</dd>
          </div>
        )}
        {query?.error_code && (
          <div>
            <dt>SQLSTATE</dt>
            <dd class="bad">{query.error_code}</dd>
          </div>
        )}
        {(query?.error ?? call?.error) && (
          <div>
            <dt>Failed</dt>
            <dd class="bad">{query?.error ?? call?.error}</dd>
          </div>
        )}
        {site && (
          <div>
            <dt>Sent from</dt>
            <dd class="mono small">{site}</dd>
          </div>
        )}
        {how && (
          <div>
            <dt>Belongs to the request by</dt>
            <dd>{how}</dd>
          </div>
        )}
        {request && row.depth > 0 && request.request_id && (
          <div>
            <dt>Request</dt>
            <dd>
              <a href={link({ request: request.request_id })} onClick={follow({ request: request.request_id })}>
                Open {plural(request.queries.length, "query", "queries")} and {plural(request.calls.length, "call")} on
                its own
              </a>
            </dd>
          </div>
        )}
      </dl>
    </div>
  );
}
