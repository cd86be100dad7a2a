/** The real agent, started for a test: needs its binary in `APM_AGENT_BIN` and the right to load probes. */

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeShop } from "../mock/data";

export const BINARY = process.env["APM_AGENT_BIN"];

/**
 * A port that nothing listens on. It lies below those that Linux gives to clients (32768 and up): one of them would else take
 * it before the server does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_240 + Math.floor(Math.random() * 22_000);
    const server = createServer();
    const bound = await new Promise<boolean>((done) => {
      server.once("error", () => done(false));
      server.listen(port, "127.0.0.1", () => done(true));
    });
    if (!bound) continue;
    await new Promise((closed) => server.close(closed));
    return port;
  }
}

/** Starts a process and waits until `ready` answers true; its log is told when it does not. */
async function start(
  command: string,
  args: string[],
  env: Record<string, string>,
  ready: (said: string) => Promise<boolean>,
) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  const until = Date.now() + 30_000;
  while (!(await ready(said).catch(() => false))) {
    if (child.exitCode === null && Date.now() > until) await stop(child);
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${command} did not start:\n${said}`);
    await new Promise((next) => setTimeout(next, 50));
  }
  return child;
}

export async function stop(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await gone;
}

/** A service of `app.py` under `name`. */
export function startApp(name: string, port: number, other?: number): Promise<ChildProcess> {
  const script = new URL("./app.py", import.meta.url).pathname;
  return start(
    "python3",
    [script, String(port), ...(other ? [String(other)] : [])],
    { OTEL_SERVICE_NAME: name },
    (said) => Promise.resolve(said.includes("ready")),
  );
}

export interface Agent {
  base: string;
  close: () => Promise<void>;
}

/** The agent watching `pids`, with a database of its own. */
export async function startAgent(pids: readonly number[], options: readonly string[] = []): Promise<Agent> {
  if (!BINARY) throw new Error("APM_AGENT_BIN is not set");
  const directory = mkdtempSync(join(tmpdir(), "apm-page-"));
  const base = `http://127.0.0.1:${await freePort()}`;
  const args = [
    "--port",
    new URL(base).port,
    "--db",
    join(directory, "apm.db"),
    ...pids.flatMap((pid) => ["--pid", String(pid)]),
    ...options,
  ];
  const child = await start(BINARY, args, {}, async () => (await fetch(`${base}/healthz`)).ok);
  return {
    base,
    close: async () => {
      await stop(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * Posts the made-up shop as SDKs would, `suffix` added to every text that an app can choose; returns the number of
 * requests.
 */
export async function feed(base: string, suffix: string): Promise<number> {
  const shop = makeShop(Date.now() / 1000 - 2, 120, 10);
  const services = [...new Set(shop.events.map((row) => row.service))];
  for (const service of services) {
    const events = shop.events
      .filter((row) => row.service === service)
      .map(({ exception, start: _, ...row }) => ({
        ...row,
        route: row.route + suffix,
        path: row.path + suffix,
        error: row.error && row.error + suffix,
        ...exception,
        ...(exception && {
          error_message: exception.error_message + suffix,
          error_type: exception.error_type + suffix,
          error_traceback: exception.error_traceback + suffix,
        }),
        db_slow: shop.queries
          .filter((query) => query.request === row.request_id)
          .slice(0, 3)
          // A name in quotes is no literal: the agent keeps it.
          .map(({ sql, duration_ms }) => ({ sql: `${sql} AS "${suffix.replaceAll('"', "")}"`, ms: duration_ms })),
      }));
    const outgoing_calls = shop.calls
      .filter((row) => row.service === service)
      .map(({ request, start: _, ...row }) => ({
        ...row,
        host: row.host + suffix,
        path: row.path + suffix,
        source_request_id: request,
      }));
    const body = JSON.stringify({
      service: service + suffix,
      host: "test",
      pid: 1,
      cpu_pct: 12.5,
      mem_mb: 100,
      in_flight: 2,
      events,
      outgoing_calls,
    });
    const response = await fetch(`${base}/ingest`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    if (!response.ok) throw new Error(`/ingest answered ${response.status}: ${await response.text()}`);
  }
  return shop.events.length;
}
