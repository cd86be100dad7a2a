/** What the agent sees and what it does not. */

import type { JSX } from "preact";
import { useApi } from "../../api/hooks";
import type { Discovered, ProcessStatus, Status } from "../../api/types";
import { bytes, count, num } from "../../format";
import { lost } from "../../state/health";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { Table, type Column } from "../../ui/Table";

/** Kinds of loss shown while none is above zero. */
const QUIET = 8;

type Loss = Status["losses"][number];
type Link = NonNullable<Status["links"]>[number];
type Source = Discovered["scan_roots"][number];

const PROCESSES: readonly Column<ProcessStatus>[] = [
  { key: "pid", label: "Pid", num: true, by: (row) => row.pid, cell: (row) => row.pid },
  { key: "service", label: "Service", by: (row) => row.service, cell: (row) => row.service },
  {
    key: "state",
    label: "State",
    by: (row) => row.state,
    cell: (row) => <span class={row.state === "watched" ? undefined : "muted"}>{row.state}</span>,
  },
  { key: "python", label: "Python", phone: 1, by: (row) => row.python, cell: (row) => row.python ?? "" },
  { key: "probes", label: "What attached", phone: "line", cell: (row) => <Probes of={row} /> },
  {
    key: "command",
    label: "Command",
    class: "route",
    phone: "line",
    cell: (row) => (
      <span class="mono small clip" title={row.command ?? undefined}>
        {/* Which directory the interpreter lies in says less than what it runs. */}
        {row.command?.replace(/^\/\S*\//, "")}
      </span>
    ),
  },
];

const LOSSES: readonly Column<Loss>[] = [
  {
    key: "name",
    label: "Loss",
    phone: 3,
    by: (row) => row.name,
    cell: (row) => <span class="mono">{row.name}</span>,
  },
  {
    key: "count",
    label: "Count",
    num: true,
    by: (row) => row.count,
    cell: (row) => <span class={row.count ? "warn" : "zero"}>{count(row.count)}</span>,
  },
  { key: "meaning", label: "What it means", phone: "line", cell: (row) => <span class="muted">{row.meaning}</span> },
];

/** What each kind of link rests on. None is a guess. */
const GROUNDS: Readonly<Record<string, string>> = {
  context: "The Python context that made the call was created for the request.",
  thread: "The thread that made the call served the request and nothing else at that time.",
  handover: "A work item handed the request from one thread to another.",
  response: "The unit that made the call later wrote the request's response.",
  header: "The app passed a request id or trace context on.",
  "socket pair": "Both ends of the connection are on this host.",
  none: "Made outside any request, or not known: counted, but given to no request.",
};

const LINKS: readonly Column<Link>[] = [
  { key: "kind", label: "Known by", phone: 3, by: (row) => row.kind, cell: (row) => row.kind },
  { key: "count", label: "Count", num: true, by: (row) => row.count, cell: (row) => count(row.count) },
  { key: "grounds", label: "Grounds", phone: "line", cell: (row) => <span class="muted">{GROUNDS[row.kind]}</span> },
];

const SOURCES: readonly Column<Source>[] = [
  { key: "service", label: "Service", by: (row) => row.service, cell: (row) => row.service },
  { key: "routes", label: "Routes", num: true, by: (row) => row.routes, cell: (row) => count(row.routes) },
  {
    key: "root",
    label: "Directory",
    phone: "line",
    cell: (row) => (
      <span class="mono small clip" title={row.scan_root}>
        {row.scan_root}
      </span>
    ),
  },
  {
    key: "met",
    label: "What was read, and what is not known from it",
    phone: "line",
    cell: (row) => (
      <span class="keys">
        {Object.entries(row.counters ?? {}).map(([name, times]) => (
          <span key={name} class="tag">
            {name.replaceAll("_", " ")}: {count(times)}
          </span>
        ))}
      </span>
    ),
  },
];

export function AgentView(): JSX.Element {
  const answer = useApi<Status>("/api/status", 2);
  const found = useApi<Discovered>("/api/discovered", 15);
  const status = answer.data;
  if (!status)
    return (
      <>
        <h1>What the agent sees</h1>
        <Waiting answer={answer} what="status" />
      </>
    );
  return (
    <>
      <h1>What the agent sees</h1>
      {status.problems?.map((problem) => (
        <div key={problem} class="banner" role="alert">
          {problem}
        </div>
      ))}
      <OwnCost status={status} />
      <Panel title="Processes" id="processes">
        {status.processes.length === 0 ? (
          <Empty title="No Python process is watched.">
            Start a server, or check with <code>apm-agent check</code> what this machine allows.
          </Empty>
        ) : (
          <Table
            name="processes"
            caption="Processes"
            columns={PROCESSES}
            rows={status.processes}
            id={(row) => String(row.pid)}
            sort="service"
          />
        )}
      </Panel>
      {status.links && (
        <Panel title="How queries and calls were given to requests" id="links">
          {status.links.length === 0 ? (
            <Empty title="None was attributed yet." />
          ) : (
            <Table
              name="links"
              caption="Links by kind"
              columns={LINKS}
              rows={status.links}
              id={(row) => row.kind}
              sort="-count"
            />
          )}
        </Panel>
      )}
      {found.data && found.data.scan_roots.length > 0 && (
        <Panel title="Routes from source" id="sources">
          <Table
            name="sources"
            caption="Source trees"
            columns={SOURCES}
            rows={found.data.scan_roots}
            id={(row) => row.service}
            sort="service"
          />
        </Panel>
      )}
      <Panel
        title="Losses"
        id="losses"
        extra={
          <span class="muted small">
            {lost(status).length ? "since the agent started" : "nothing was lost since the agent started"}
          </span>
        }
      >
        <Table
          name="losses"
          caption="Losses"
          columns={LOSSES}
          rows={status.losses}
          id={(row) => row.name}
          sort="-count"
          limit={Math.max(QUIET, lost(status).length)}
        />
      </Panel>
    </>
  );
}

function OwnCost({ status }: { status: Status }): JSX.Element {
  const { agent, ring } = status;
  return (
    <dl class="facts panel own">
      {status.version && (
        <div>
          <dt>Version</dt>
          <dd>{status.version}</dd>
        </div>
      )}
      {agent?.cpu_pct != null && (
        <div>
          <dt>Agent's CPU</dt>
          <dd>{num(agent.cpu_pct)} %</dd>
        </div>
      )}
      {agent?.mem_mb != null && (
        <div>
          <dt>Agent's memory</dt>
          <dd>{num(agent.mem_mb)} MiB</dd>
        </div>
      )}
      {agent?.db_bytes != null && (
        <div>
          <dt>Database</dt>
          <dd>{bytes(agent.db_bytes)}</dd>
        </div>
      )}
      {ring?.size_bytes && (
        <div>
          <dt>Ring buffer, most used</dt>
          <dd>
            {bytes(ring.max_used_bytes ?? ring.used_bytes)} of {bytes(ring.size_bytes)}
          </dd>
        </div>
      )}
    </dl>
  );
}

function Probes({ of }: { of: ProcessStatus }): JSX.Element {
  return (
    <span class="keys">
      {of.probes?.map((probe) => (
        <span key={probe.name} class={probe.attached ? "tag" : "tag warn"} title={probe.reason ?? undefined}>
          {probe.name}
          {!probe.attached && `: ${probe.reason ?? "not attached"}`}
        </span>
      ))}
    </span>
  );
}
