/** From the agent's answer, a forest of requests, to the request that was asked for with its callees put into its calls. */

import type { CallRow, RequestDetail, Trace, TraceNode } from "../api/types";

export interface Opened extends Omit<RequestDetail, "calls"> {
  calls: (CallRow & { callee: Opened | null })[];
  /** Requests that it caused and that none of its listed calls carried. */
  loose: Opened[];
}

/** Finds the request `id`; a chain's id opens its first request. Null for an empty trace. */
export function open(trace: Trace, id: string): Opened | null {
  const node = find(trace.roots, id) ?? trace.roots[0];
  return node ? join(node) : null;
}

function find(nodes: readonly TraceNode[], id: string): TraceNode | null {
  for (const node of nodes) {
    const found = node.request.request_id === id ? node : find(node.children, id);
    if (found) return found;
  }
  return null;
}

/** Clocks are one, but both ends stamp for themselves: a callee may seem to lie this far outside its call, seconds. */
const SLACK = 0.005;

/** That a child belongs to the request is known; which of its calls carried it is read from method, path and time. */
function join({ request, children }: TraceNode): Opened {
  const left = children.map(join);
  const calls = request.calls.map((call) => {
    const end = call.start + call.duration_ms / 1000;
    const at = left.findIndex(
      (child) =>
        child.method === call.method &&
        child.path === call.path &&
        child.start >= call.start - SLACK &&
        child.start + child.duration_ms / 1000 <= end + SLACK,
    );
    return { ...call, callee: at < 0 ? null : (left.splice(at, 1)[0] ?? null) };
  });
  return { ...request, calls, loose: left };
}
