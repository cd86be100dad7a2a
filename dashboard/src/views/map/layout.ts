/** Places the graph from left to right, callers before callees; dagre keeps crossings few. */

import { Graph as Dagre, layout } from "@dagrejs/dagre";
import type { Graph } from "../../state/graph";

export interface Box {
  width: number;
  height: number;
  /** Between callers and callees, pixels. */
  apart: number;
  /** Characters of a name that fit. */
  name: number;
}
export const WIDE: Box = { width: 232, height: 46, apart: 110, name: 29 };
/** Two ranks of these fit beside each other on a phone. */
export const NARROW: Box = { width: 152, height: 46, apart: 36, name: 18 };

export interface Placed {
  box: Box;
  width: number;
  height: number;
  nodes: Map<string, { x: number; y: number }>;
  paths: string[];
}

export function place(graph: Graph, box: Box): Placed {
  const dagre = new Dagre();
  dagre.setGraph({ rankdir: "LR", nodesep: 14, ranksep: box.apart, marginx: 8, marginy: 8 });
  dagre.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes) dagre.setNode(node.id, { width: box.width, height: box.height });
  for (const edge of graph.edges) dagre.setEdge(edge.from, edge.to);
  layout(dagre);
  const nodes = new Map(
    graph.nodes.map((node) => {
      const { x, y } = dagre.node(node.id) as { x: number; y: number };
      return [node.id, { x, y }];
    }),
  );
  const { width = 0, height = 0 } = dagre.graph() as { width?: number; height?: number };
  const paths = graph.edges.map((edge) => curve(nodes.get(edge.from), nodes.get(edge.to), box.width));
  return { box, width, height, nodes, paths };
}

interface Point {
  x: number;
  y: number;
}

/** From the right side of one box to the left side of the next; an edge back (a cycle) swings around. */
function curve(from: Point | undefined, to: Point | undefined, width: number): string {
  if (!from || !to) return "";
  const [x1, x2] = [from.x + width / 2, to.x - width / 2];
  const bend = Math.max(x2 > x1 ? 18 : 50, Math.abs(x2 - x1) / 2);
  return `M${x1},${from.y} C${x1 + bend},${from.y} ${x2 - bend},${to.y} ${x2},${to.y}`;
}
