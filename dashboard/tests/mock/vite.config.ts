import { defineConfig } from "vite";
import { mockPlugin } from "./plugin";

// `npm run mock`: the page on made-up data, without an agent.
export default defineConfig({
  root: new URL("../..", import.meta.url).pathname,
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [mockPlugin()],
});
