/** A stand-in for the agent while the page is being worked on: the contract's endpoints over a made-up shop. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { Answers } from "./answers";
import { makeShop } from "./data";
import { extras } from "./extras";

/**
 * The shop's traffic is made once and then slides along with the clock: every answer about "the last n seconds" stays the
 * same, so that a test can compare figures, while charts move.
 */
const start = Math.floor(Date.now() / 1000);
const answers = new Answers(makeShop(start, 900, 24), start);
/** These answers are cut into buckets after the slide. */
const MADE_TO_MEASURE = new Set(["/api/timeseries", "/api/heatmap"]);
const TIMES = new Set(["ts", "start", "first_seen", "last_seen", "scanned_at"]);

/** Answers a request for the API; false when the path is not one of its. */
export function handle(request: IncomingMessage, response: ServerResponse): boolean {
  const url = new URL(request.url ?? "/", "http://localhost");
  const text = (name: string) => url.searchParams.get(name) ?? "";
  const number = (name: string, fallback: number) => Number(url.searchParams.get(name) ?? fallback);
  const [service, w] = [text("service"), number("w", 300)];
  const at = url.pathname;
  const body =
    at === "/api/services"
      ? answers.services()
      : at === "/api/overview"
        ? answers.overview(service, w)
        : at === "/api/timeseries"
          ? answers.timeseries(service, w, number("bucket", 5), slid(), `${text("method")} ${text("route")}`.trim())
          : at === "/api/routes"
            ? answers.routes(service, w)
            : at === "/api/recent_errors"
              ? answers.recentErrors(service, number("limit", 20))
              : at === "/api/error_groups"
                ? answers.errorGroups(service, number("w", 600))
                : at === "/api/outgoing"
                  ? answers.outgoing(service, number("w", 600))
                  : at === "/api/route_host_calls"
                    ? answers.routeHostCalls(service, w)
                    : at === "/api/route_chains"
                      ? answers.chains(service, w)
                      : at === "/api/discovered"
                        ? answers.discovered()
                        : extras(answers, url, slid());
  if (at === "/api/stream") {
    stream(request, response);
    return true;
  }
  if (body === undefined) {
    if (!at.startsWith("/api/")) return false;
    response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify({ error: "no such endpoint" }));
    return true;
  }
  response
    .writeHead(200, { "content-type": "application/json" })
    .end(JSON.stringify(body, MADE_TO_MEASURE.has(at) ? undefined : slide));
  return true;
}

/** Whole seconds since the shop was made. */
const slid = () => Math.floor(Date.now() / 1000) - start;

function slide(key: string, value: unknown): unknown {
  return TIMES.has(key) && typeof value === "number" ? value + slid() : value;
}

function stream(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.flushHeaders();
  const timer = setInterval(() => response.write(`event: tick\ndata: {"ts":${Date.now() / 1000}}\n\n`), 1000);
  request.on("close", () => clearInterval(timer));
}
