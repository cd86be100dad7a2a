import { render } from "preact";
import { App } from "./App";
import { listen } from "./state/keys";
import { start } from "./api/live";
import "./style/tokens.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/table.css";
import "./style/parts.css";
import "./style/dialog.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
listen();
start();
