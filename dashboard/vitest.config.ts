import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["tests/unit/**/*.test.ts"] } },
      {
        // Needs the built page (`npm run build`) and Chromium.
        test: {
          name: "page",
          include: ["tests/page/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          // A browser on a busy machine: what passes the second time is marked in the output.
          retry: 1,
          // The page asks every two seconds; what is awaited of it may take one more turn.
          expect: { poll: { timeout: 10_000 } },
        },
      },
      {
        // Needs an agent that runs: `cargo xtask test page/shop` starts all that belongs to it.
        test: {
          name: "agent",
          include: ["tests/agent/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          expect: { poll: { timeout: 20_000 } },
        },
      },
    ],
  },
});
