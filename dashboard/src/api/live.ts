/**
 * Keeps the page live: the agent's stream says that something changed, and what is on screen is asked for again.
 * Without the stream it polls, and tries the stream again with growing pauses.
 */

import { signal } from "@preact/signals";
import { refresh } from "./resource";

export type Mode = "connecting" | "live" | "polling" | "paused";
export const mode = signal<Mode>("connecting");

/** The page polls at this pace without a stream, milliseconds. */
const POLL_MS = 2000;
/** A quiet stream means that nothing happened, but windows slide on and rates fall: look anyway at this pace. */
const QUIET_MS = 5000;
const RETRY_MS = [2000, 4000, 8000, 16_000, 30_000, 60_000];

let source: EventSource | null = null;
let timer = 0;
let retry = 0;
let failures = 0;
let lastTick = 0;

/** Starts following the agent; called once. */
export function start(): void {
  document.addEventListener("visibilitychange", () => {
    if (mode.peek() === "paused") return;
    if (document.hidden) stop();
    else {
      open();
      refresh();
    }
  });
  open();
}

/** Stops the clock for a user who reads; `resume` catches up at once. */
export function pause(): void {
  stop();
  mode.value = "paused";
}

export function resume(): void {
  open();
  refresh(true);
}

function stop(): void {
  source?.close();
  source = null;
  clearInterval(timer);
  clearTimeout(retry);
}

function open(): void {
  stop();
  if (mode.peek() === "paused") mode.value = "connecting";
  askEvery(POLL_MS);
  const stream = new EventSource("/api/stream");
  source = stream;
  stream.onopen = () => {
    failures = 0;
    mode.value = "live";
    clearInterval(timer);
    timer = window.setInterval(() => {
      if (performance.now() - lastTick >= QUIET_MS - 50) tick();
    }, 1000);
  };
  stream.onmessage = tick;
  stream.addEventListener("tick", tick);
  stream.onerror = () => {
    stream.close();
    if (source !== stream) return;
    mode.value = "polling";
    askEvery(POLL_MS);
    const pause = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? POLL_MS;
    failures += 1;
    retry = window.setTimeout(open, pause);
  };
}

function askEvery(milliseconds: number): void {
  clearInterval(timer);
  timer = window.setInterval(tick, milliseconds);
}

function tick(): void {
  lastTick = performance.now();
  refresh();
}
