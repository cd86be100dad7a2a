/** Keys that work on the whole page: `/` to filter, Esc to step back. Dialogs handle their own Esc. */

import { go, view } from "./view";

export function listen(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof Element && event.target.matches("input, textarea, select");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      toFilter();
    } else if (event.key === "Escape") {
      back(event.target as HTMLElement);
    } else if (event.key === "ArrowDown" && (event.target as Element).id === "filter") {
      event.preventDefault();
      document.querySelector<HTMLElement>("#routes tbody tr")?.focus();
    }
  });
}

/** The filter stands on the overview: from elsewhere the page goes there first. */
function toFilter(): void {
  const take = () => {
    const box = document.querySelector<HTMLInputElement>("#filter");
    box?.focus();
    box?.select();
    return box !== null;
  };
  // At once where it is there: what is typed next is for it.
  if (take()) return;
  go({ view: "overview" });
  requestAnimationFrame(take);
}

/** One step: a filter is dropped, then an open error closed, then a route left. */
function back(target: HTMLElement): void {
  const { q, folder, error, view: at } = view.peek();
  if (q) go({ q: "" }, false);
  else if (folder && at === "overview") go({ folder: "" }, false);
  else if (error) go({ error: "" }, false);
  else if (at === "route") go({ view: "overview", method: "", route: "" });
  else target.blur();
}
