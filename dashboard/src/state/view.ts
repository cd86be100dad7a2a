/** The view's state as a signal, kept equal to the URL. */

import { signal } from "@preact/signals";
import { format, parse, type ViewState } from "./url";

export const view = signal<ViewState>(parse(location.search));

addEventListener("popstate", () => {
  view.value = parse(location.search);
});

/** The link to the present state with `patch` applied. */
export function link(patch: Partial<ViewState>): string {
  return location.pathname + format({ ...view.peek(), ...patch });
}

/**
 * Changes the state. `push` makes a history entry (a place the user went to), otherwise the present one is replaced
 * (a filter being typed, a sort).
 */
export function go(patch: Partial<ViewState>, push = true): void {
  const next = { ...view.peek(), ...patch };
  const url = location.pathname + format(next);
  if (url === location.pathname + location.search) return;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  const moved = next.view !== view.peek().view || next.route !== view.peek().route;
  view.value = next;
  if (moved) scrollTo(0, 0);
}

/** Click handler that follows an in-page link without a load; modified clicks keep their meaning. */
export function follow(patch: Partial<ViewState>): (event: MouseEvent) => void {
  return (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(patch);
  };
}
