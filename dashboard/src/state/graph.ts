/** Who calls whom, as a graph that a layout can take: routes and hosts, joined by calls. */

import type { Chain, Edge, Route } from "../api/types";
import { share } from "./tree";

export interface GraphNode {
  id: string;
  kind: "route" | "host";
  label: string;
  method: string;
  service: string;
  total: number;
  errorRate: number;
}
export interface GraphEdge {
  from: string;
  to: string;
  count: number;
  errors: number;
  avg: number;
}
export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  /** Edges left out beyond the cap. */ hidden: number;
}

/** Edges drawn; a graph with more is a hairball, and the quiet ones are left out first. */
export const MAX_EDGES = 80;

/** A call and the request that it became are dated some milliseconds apart: so much may lie on two sides of a window's edge. */
const ASTRIDE = 0.02;

/**
 * Is each call of this edge known by the route that answered it? Then the route says all that the host would, and the host
 * is no other place. Calls that failed must have failed there, too: one that nobody answered is not to be lost.
 */
export function answered(edge: Edge, chains: readonly Chain[]): boolean {
  let [known, failed] = [0, 0];
  for (const chain of chains) {
    if (chain.parent_method !== edge.method || chain.parent_route !== edge.route) continue;
    for (const asked of chain.hosts ?? []) {
      if (asked.host !== edge.host) continue;
      known += asked.count;
      failed += chain.child_errors;
    }
  }
  return known > 0 && known >= edge.calls - Math.max(1, ASTRIDE * edge.calls) && failed >= edge.errors;
}

/** Routes that call nothing and are not called are left out: the graph shows dependencies. */
export function graph(routes: readonly Route[], hosts: readonly Edge[], chains: readonly Chain[]): Graph {
  const all: (GraphEdge & { ends: [GraphNode, GraphNode] })[] = [];
  const known = new Map(routes.map((row) => [`${row.method} ${row.route}`, row]));
  const serving = new Map(routes.map((row) => [`${row.method} ${row.route}`, new Set(row.services)]));
  for (const row of chains) {
    for (const [name, service] of [
      [`${row.parent_method} ${row.parent_route}`, row.parent_service],
      [`${row.child_method} ${row.child_route}`, row.child_service],
    ] as const) {
      if (service) serving.set(name, (serving.get(name) ?? new Set()).add(service));
    }
  }
  const routeNode = (method: string, route: string, service: string): GraphNode => {
    const name = `${method} ${route}`;
    // Routes of one name in several services are several places; which one a host was called from is not told.
    const one = service && (serving.get(name)?.size ?? 0) > 1 ? service : "";
    const all = known.get(name);
    const row = all && one ? share(all, one) : all;
    return {
      id: one ? `route ${name} of ${one}` : `route ${name}`,
      kind: "route",
      label: route,
      method,
      service,
      total: row?.total ?? 0,
      errorRate: row?.error_rate ?? 0,
    };
  };
  for (const row of hosts) {
    if (answered(row, chains)) continue;
    const from = routeNode(row.method, row.route, "");
    const to: GraphNode = {
      id: `host ${row.host}`,
      kind: "host",
      label: row.host,
      method: "",
      service: "",
      total: 0,
      errorRate: 0,
    };
    all.push({ from: from.id, to: to.id, count: row.calls, errors: row.errors, avg: row.avg_ms, ends: [from, to] });
  }
  for (const row of chains) {
    const from = routeNode(row.parent_method, row.parent_route, row.parent_service ?? "");
    const to = routeNode(row.child_method, row.child_route, row.child_service ?? "");
    all.push({
      from: from.id,
      to: to.id,
      count: row.count,
      errors: row.child_errors,
      avg: row.child_avg_ms,
      ends: [from, to],
    });
  }
  const kept = all.sort((a, b) => b.count - a.count).slice(0, MAX_EDGES);
  const nodes = new Map<string, GraphNode>();
  for (const { ends, count, errors } of kept) {
    for (const end of ends) {
      const held = nodes.get(end.id);
      if (!held) nodes.set(end.id, end);
      else if (!held.service) held.service = end.service;
    }
    const to = nodes.get(ends[1].id);
    // A host's figures are the sum of the calls to it.
    if (to?.kind === "host") {
      to.errorRate = (to.errorRate * to.total + errors) / (to.total + count);
      to.total += count;
    }
  }
  return {
    nodes: [...nodes.values()],
    edges: kept.map(({ ends: _, ...edge }) => edge),
    hidden: all.length - kept.length,
  };
}

/** Stroke width of an edge, 1.25 to 7: by the logarithm of its share of the busiest. */
export function width(count: number, most: number): number {
  return most <= 1 ? 1.5 : 1.25 + 5.75 * (Math.log1p(count) / Math.log1p(most)) ** 2;
}
