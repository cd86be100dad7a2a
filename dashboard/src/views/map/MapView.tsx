/** The dependency graph: routes to the left, what they call to the right, edges by volume and error rate. */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { pace, url, useApi } from "../../api/hooks";
import type { Chains, RouteHostCalls, Routes } from "../../api/types";
import { count, ms, pct, plural, windowWords } from "../../format";
import { graph, width, type Graph, type GraphEdge, type GraphNode } from "../../state/graph";
import { follow, link, view } from "../../state/view";
import { Empty, Panel, Waiting } from "../../ui/bits";
import { NARROW, place, WIDE, type Box as Size } from "./layout";

export default function MapView(): JSX.Element {
  const { service, w } = view.value;
  const routes = useApi<Routes>(url("/api/routes", { service, w }), pace(2, w));
  const hosts = useApi<RouteHostCalls>(url("/api/route_host_calls", { service, w }), pace(3, w));
  const chains = useApi<Chains>(url("/api/route_chains", { service, w }), pace(3, w));
  const drawn = useMemo(
    () => (hosts.data && chains.data ? graph(routes.data?.routes ?? [], hosts.data.edges, chains.data.chains) : null),
    [routes.data, hosts.data, chains.data],
  );
  return (
    <>
      <h1 class="sr">Dependency graph</h1>
      <Panel
        title="Who calls whom"
        id="map"
        stale={hosts.stale}
        extra={
          <>
            <span class="muted small">
              {drawn &&
                drawn.edges.length > 0 &&
                `${plural(drawn.edges.length, "edge")}${drawn.hidden > 0 ? `, ${drawn.hidden} quieter ones left out` : ""}`}
            </span>
            <span class="grow" />
            <span class="keys">
              <span class="key">
                <i class="stroke k-fine" />
                no error
              </span>
              <span class="key">
                <i class="stroke c-bad" />
                errors
              </span>
              <span>wider: more calls</span>
            </span>
          </>
        }
      >
        {!drawn ? (
          <Waiting answer={hosts.error ? hosts : chains} what="calls" />
        ) : drawn.edges.length === 0 ? (
          <Empty title={`No call between routes and hosts in ${windowWords(w)}.`}>
            When a request calls another host or another watched service, both appear here, joined by a line.
          </Empty>
        ) : (
          <Drawing of={drawn} />
        )}
      </Panel>
    </>
  );
}

function Drawing({ of }: { of: Graph }): JSX.Element {
  const [over, setOver] = useState<string | null>(null);
  // The layout depends on the shape alone: figures change every second, boxes must not jump.
  const shape = useMemo(
    () =>
      JSON.stringify([
        of.nodes.map((node) => node.id).sort(),
        of.edges.map((edge) => `${edge.from}\n${edge.to}`).sort(),
      ]),
    [of],
  );
  const box = useNarrow() ? NARROW : WIDE;
  const places = useMemo(
    () => place({ ...of, nodes: [...of.nodes].sort(byId), edges: [...of.edges].sort(byEnds) }, box),
    [shape, box],
  );
  const edges = useMemo(() => [...of.edges].sort(byEnds), [of]);
  const most = Math.max(...edges.map((edge) => edge.count));
  const near =
    over === null
      ? null
      : new Set(edges.flatMap((edge) => (edge.from === over || edge.to === over ? [edge.from, edge.to] : [])));
  return (
    <div class="scroll map">
      <svg
        width={places.width}
        height={places.height}
        viewBox={`0 0 ${places.width} ${places.height}`}
        role="group"
        aria-label="Dependency graph"
      >
        {edges.map((edge, i) => (
          <path
            key={`${edge.from}\n${edge.to}`}
            d={places.paths[i]}
            stroke-width={width(edge.count, most)}
            class={edgeClass(edge, over)}
          >
            <title>{sayEdge(edge)}</title>
          </path>
        ))}
        {of.nodes.map((node) => {
          const at = places.nodes.get(node.id);
          return (
            at && (
              <Box
                key={node.id}
                node={node}
                size={box}
                x={at.x}
                y={at.y}
                dim={near !== null && !near.has(node.id)}
                hover={setOver}
              />
            )
          );
        })}
      </svg>
    </div>
  );
}

const byId = (a: GraphNode, b: GraphNode) => (a.id < b.id ? -1 : 1);
const byEnds = (a: GraphEdge, b: GraphEdge) => (`${a.from}\n${a.to}` < `${b.from}\n${b.to}` ? -1 : 1);
const edgeClass = (edge: GraphEdge, over: string | null) =>
  ["edge", edge.errors > 0 && "failing", over !== null && edge.from !== over && edge.to !== over && "dim"]
    .filter(Boolean)
    .join(" ");
const sayEdge = (edge: GraphEdge) =>
  `${edge.from} → ${edge.to}: ${count(edge.count)} calls, ${pct(edge.errors / edge.count)} failed, ${ms(edge.avg)} on average`;

function Box({
  node,
  size,
  x,
  y,
  dim,
  hover,
}: {
  node: GraphNode;
  size: Size;
  x: number;
  y: number;
  dim: boolean;
  hover: (id: string | null) => void;
}): JSX.Element {
  const inside = (
    <g
      transform={`translate(${x - size.width / 2},${y - size.height / 2})`}
      class={`box ${node.kind}${dim ? " dim" : ""}`}
      onPointerEnter={() => hover(node.id)}
      onPointerLeave={() => hover(null)}
    >
      <title>{`${node.method} ${node.label}`.trim()}</title>
      <rect width={size.width} height={size.height} rx="6" />
      <text x="12" y="19" class="name">
        {clip(node.method ? `${node.method} ${node.label}` : node.label, size.name)}
      </text>
      <text x="12" y="36" class="figures">
        {size === WIDE && node.service && `${clip(node.service, 14)} · `}
        {count(node.total)} {node.kind === "host" ? "calls" : size === WIDE ? "requests" : "req"}
        {node.errorRate > 0 && <tspan class="failing">{`  ${pct(node.errorRate)} failed`}</tspan>}
      </text>
    </g>
  );
  if (node.kind === "host") return inside;
  const to = { view: "route", method: node.method, route: node.label, service: node.service } as const;
  return (
    <a href={link(to)} onClick={follow(to)} onFocus={() => hover(node.id)} onBlur={() => hover(null)}>
      {inside}
    </a>
  );
}

const PHONE = matchMedia("(max-width: 640px)");

/** Whether the screen is a phone's; changes as it is turned. */
function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(PHONE.matches);
  useEffect(() => {
    const turned = () => setNarrow(PHONE.matches);
    PHONE.addEventListener("change", turned);
    return () => PHONE.removeEventListener("change", turned);
  }, []);
  return narrow;
}

/** SVG text does not clip itself; the full name is in the box's title. */
function clip(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
