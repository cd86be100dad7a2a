/** The routes table with its filter, beside the project tree. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Discovered, FolderSnapshot, Route, Routes, Services } from "../../api/types";
import { ms, num, pct, plural, windowWords } from "../../format";
import { matches } from "../../state/filter";
import { inFolder, serves } from "../../state/tree";
import { go, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { TimeKey } from "../../ui/TimeBar";
import { AnalyzeButton } from "../analyze/AnalyzeButton";
import { RoutesTable } from "./RoutesTable";
import { Tree } from "./Tree";

export function RoutesPanel(): JSX.Element {
  const { service, w, q, folder } = view.value;
  const answer = useApi<Routes>(url("/api/routes", { service, w }), pace(2, w));
  const found = useApi<Discovered>("/api/discovered", 15);
  const discovered = found.data?.routes ?? [];
  const rows = answer.data?.routes ?? [];
  const shown = inFolder(rows, discovered, service, folder).filter((row) => matches(q, `${row.method} ${row.route}`));
  const services = useApi<Services>("/api/services", 1);
  const only = services.data?.services.length === 1 ? services.data.services[0]?.service : undefined;
  const owner = (row: Route) =>
    service || row.services?.[0] || only || discovered.find((one) => serves(one, row))?.service || "";
  const narrowed = q !== "" || folder !== "";
  return (
    <div class="with-tree">
      <Tree discovered={discovered} routes={rows} service={service} />
      <Panel
        title="Routes"
        id="routes"
        stale={answer.stale}
        extra={
          <>
            <span class="muted small">
              {answer.data &&
                (narrowed ? `${shown.length} of ${plural(rows.length, "route")}` : plural(rows.length, "route"))}
            </span>
            <span class="grow" />
            <TimeKey />
            <input
              id="filter"
              class="field"
              type="search"
              placeholder="Filter routes   /"
              aria-label="Filter routes"
              aria-keyshortcuts="/"
              value={q}
              onInput={(event) => go({ q: event.currentTarget.value }, false)}
            />
          </>
        }
      >
        {folder && service && <FolderLine service={service} folder={folder} w={w} />}
        {!answer.data ? (
          <Waiting answer={answer} what="routes" />
        ) : shown.length > 0 ? (
          <RoutesTable rows={shown} owner={owner} />
        ) : rows.length > 0 ? (
          <Empty
            title={
              folder && !q
                ? `No request for a route in ${folder} in ${windowWords(w)}.`
                : `No route matches “${q}”${folder && ` in ${folder}`}.`
            }
          >
            Press Esc to drop the filter.
          </Empty>
        ) : (
          <Empty title={`No request in ${windowWords(w)}.`}>
            Send one to a watched server, or choose a longer window. If a server is missing from the list of services,
            the Agent page says what it sees of each process.
          </Empty>
        )}
      </Panel>
    </div>
  );
}

function FolderLine({ service, folder, w }: { service: string; folder: string; w: number }): JSX.Element {
  const { data } = useApi<FolderSnapshot>(url("/api/folder/snapshot", { service, folder, w }), pace(2, w));
  return (
    <div class="strip folder-line" id="folder">
      <b class="mono">{folder}/</b>
      {data && (
        <>
          <span>
            <b>{num(data.rps)}</b> req/s
          </span>
          <span class={data.errors ? "bad" : undefined}>{pct(data.error_rate)} errors</span>
          <span>
            avg <b>{ms(data.avg_duration_ms)}</b>
          </span>
          <span>
            {plural(data.discovered_routes, "route")} in {plural(data.files.length, "file")}
          </span>
        </>
      )}
      <span class="grow" />
      <AnalyzeButton of={{ folder, service }} label="Analyze folder" />
      <button type="button" class="button quiet" onClick={() => go({ folder: "" }, false)}>
        Show all
      </button>
    </div>
  );
}
