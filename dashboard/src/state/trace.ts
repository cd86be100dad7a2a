/** Finds a request in the tree that it belongs to: the agent answers with the whole tree from its first cause on. */

import type { Trace } from "../api/types";

/** The request `id` in `root`; the root itself for a chain's id, or one that is not in it. */
export function open(root: Trace, id: string): Trace {
  return find(root, id) ?? root;
}

function find(node: Trace, id: string): Trace | null {
  if (node.request_id === id) return node;
  for (const below of caused(node)) {
    const found = find(below, id);
    if (found) return found;
  }
  return null;
}

function caused(node: Trace): Trace[] {
  return [...node.calls.flatMap((call) => call.callee ?? []), ...(node.children ?? [])];
}
