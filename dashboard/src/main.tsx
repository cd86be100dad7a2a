import { render } from "preact";
import { App } from "./App";
import { start } from "./api/live";
import { listen } from "./state/keys";

function begin(): void {
  const root = document.getElementById("app");
  if (root) {
    root.replaceChildren();
    render(<App />, root);
  }
  listen();
  start();
}

// The shell that stands in the document is painted first: drawing the page takes longer than a frame. A page that is not
// in sight gets no frame to wait for.
if (document.hidden) begin();
else requestAnimationFrame(() => setTimeout(begin));
