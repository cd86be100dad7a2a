/** Serves the mock of the API from Vite's development server. */

import type { Plugin } from "vite";
import { handle } from "./server";

export function mockPlugin(): Plugin {
  return {
    name: "mock-api",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        if (!handle(request, response)) next();
      });
    },
  };
}
