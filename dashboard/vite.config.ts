import { defineConfig } from "vite";

// `npm run dev` proxies the API to a running agent.
const agent = process.env["APM_AGENT"] ?? "http://127.0.0.1:9876";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // The agent serves assets under /static, as the API contract says.
    assetsDir: "static",
    // No data: URLs and no inline script: the page runs under a strict Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": agent, "/ingest": agent, "/healthz": agent } },
});
