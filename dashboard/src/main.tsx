import { render } from "preact";
import { App } from "./App";
import { start } from "./api/live";
import { listen } from "./state/keys";

const root = document.getElementById("app");
if (root) {
  // The shell that stands in the document is painted before any script has come.
  root.replaceChildren();
  render(<App />, root);
}
listen();
start();
