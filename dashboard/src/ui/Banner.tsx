/** A strip under the header while the page cannot do its work. */

import type { JSX } from "preact";
import { mode, resume } from "../api/live";
import { reachable, refusal } from "../api/resource";

export function Banner(): JSX.Element | null {
  if (!reachable.value) {
    return (
      <div class="banner bad" role="alert">
        The agent does not answer. The figures are the last it gave; the page goes on by itself when it is back.
      </div>
    );
  }
  if (refusal.value) {
    return (
      <div class="banner bad" role="alert">
        The agent refuses: {refusal.value} Some figures are the last it gave, or missing.
      </div>
    );
  }
  if (mode.value === "paused") {
    return (
      <div class="banner" role="status">
        Paused: the figures stand still.
        <button type="button" class="button" onClick={resume}>
          Resume
        </button>
      </div>
    );
  }
  return null;
}
