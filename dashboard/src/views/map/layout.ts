/** Places the graph from left to right, callers before callees; dagre keeps crossings few. */

import { Graph as Dagre, layout } from "@dagrejs/dagre";
import type { Graph } from "../../state/graph";

export const BOX = { width: 232, height: 46 };

export interface Placed {
  width: number;
  height: number;
  nodes: Map<string, { x: number; y: number }>;
  paths: string[];
}

export function place(graph: Graph): Placed {
  const dagre = new Dagre();
  dagre.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 110, marginx: 8, marginy: 8 });
  dagre.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes) dagre.setNode(node.id, { ...BOX });
  for (const edge of graph.edges) dagre.setEdge(edge.from, edge.to);
  layout(dagre);
  const nodes = new Map(
    graph.nodes.map((node) => {
      const { x, y } = dagre.node(node.id) as { x: number; y: number };
      return [node.id, { x, y }];
    }),
  );
  const { width = 0, height = 0 } = dagre.graph() as { width?: number; height?: number };
  return { width, height, nodes, paths: graph.edges.map((edge) => curve(nodes.get(edge.from), nodes.get(edge.to))) };
}

/** From the right side of one box to the left side of the next; an edge back (a cycle) swings around. */
function curve(from: { x: number; y: number } | undefined, to: { x: number; y: number } | undefined): string {
  if (!from || !to) return "";
  const [x1, x2] = [from.x + BOX.width / 2, to.x - BOX.width / 2];
  const bend = Math.max(50, Math.abs(x2 - x1) / 2);
  return `M${x1},${from.y} C${x1 + bend},${from.y} ${x2 - bend},${to.y} ${x2},${to.y}`;
}
