/** The project as a tree: services, folders, files and the routes in them, with live figures summed upwards. */

import type { DiscoveredRoute, Route } from "../api/types";

export interface Figures {
  total: number;
  errors: number;
  rps: number;
}

export interface RouteLeaf extends Figures {
  method: string;
  route: string;
  line: number;
  function: string;
  avg: number | null;
}

export interface Node extends Figures {
  name: string;
  service: string;
  /** Path from the scan root; empty for a service. */
  path: string;
  kind: "service" | "folder" | "file";
  children: Node[];
  routes: RouteLeaf[];
}

/** A route found in source serves what was seen under the same template; method `*` stands for any. */
export const serves = (found: DiscoveredRoute, seen: Route) =>
  found.route === seen.route && (found.method === "*" || found.method === seen.method);

/** What `service` has of a route that was seen; nothing of one that only others serve. */
export function share(row: Route, service: string): Route | null {
  if (row.services && !row.services.includes(service)) return null;
  const own = row.by_service?.find((part) => part.service === service);
  return own ? { ...row, ...own, rps: row.total ? (row.rps * own.total) / row.total : 0 } : row;
}

/** Builds one tree per service. Folders come before files, both by name. */
export function tree(discovered: readonly DiscoveredRoute[], seen: readonly Route[]): Node[] {
  const services = new Map<string, Node>();
  for (const found of discovered) {
    let node = services.get(found.service);
    if (!node) services.set(found.service, (node = empty("service", found.service, found.service, "")));
    const parts = found.file.split("/").filter(Boolean);
    parts.forEach((part, i) => {
      node = child(node as Node, part, i === parts.length - 1 ? "file" : "folder");
    });
    const same = seen.flatMap((row) => (serves(found, row) ? (share(row, found.service) ?? []) : []));
    const leaf = sum(same);
    node.routes.push({
      ...leaf,
      method: found.method,
      route: found.route,
      line: found.line,
      function: found.function,
      avg: leaf.total ? same.reduce((time, row) => time + row.avg_ms * row.total, 0) / leaf.total : null,
    });
  }
  const roots = [...services.values()].sort(byName);
  roots.forEach(finish);
  return roots;
}

/** The routes whose handler lies in `folder` of `service`; with no folder, all. */
export function inFolder(
  rows: readonly Route[],
  discovered: readonly DiscoveredRoute[],
  service: string,
  folder: string,
): readonly Route[] {
  if (!folder) return rows;
  const prefix = folder.endsWith("/") ? folder : `${folder}/`;
  const inside = discovered.filter(
    (found) => (!service || found.service === service) && (found.file === folder || found.file.startsWith(prefix)),
  );
  return rows.filter((row) => inside.some((found) => serves(found, row)));
}

function empty(kind: Node["kind"], name: string, service: string, path: string): Node {
  return { kind, name, service, path, children: [], routes: [], total: 0, errors: 0, rps: 0 };
}

function child(parent: Node, name: string, kind: Node["kind"]): Node {
  let node = parent.children.find((known) => known.name === name && known.kind === kind);
  if (!node) {
    node = empty(kind, name, parent.service, parent.path ? `${parent.path}/${name}` : name);
    parent.children.push(node);
  }
  return node;
}

function finish(node: Node): void {
  node.children.forEach(finish);
  node.children.sort((a, b) => (a.kind === b.kind ? byName(a, b) : a.kind === "folder" ? -1 : 1));
  node.routes.sort((a, b) => a.line - b.line);
  Object.assign(node, sum([...node.children, ...node.routes]));
}

function sum(parts: readonly Figures[]): Figures {
  return parts.reduce(
    (all, part) => ({ total: all.total + part.total, errors: all.errors + part.errors, rps: all.rps + part.rps }),
    { total: 0, errors: 0, rps: 0 },
  );
}

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
