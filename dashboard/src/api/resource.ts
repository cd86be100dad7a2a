/**
 * What the page has asked the agent for, kept fresh while something on screen shows it.
 *
 * One entry per URL, counted by its users and dropped with the last of them, so that an hour of ticks holds what one
 * tick holds. An answer equal to the last one changes nothing.
 */

import { signal, type Signal } from "@preact/signals";

export interface Answer<T> {
  /** The last good answer; null until the first. */
  data: T | null;
  /** Why the latest request failed; null when it did not. */
  error: string | null;
  /** HTTP status of the latest failure; 0 when the agent could not be reached. */
  status: number;
}

interface Entry {
  answer: Signal<Answer<unknown>>;
  users: number;
  every: number;
  asked: number;
  text: string;
  abort: AbortController | null;
}

const entries = new Map<string, Entry>();

/** False while the agent does not answer at all. */
export const reachable = signal(true);
/** What the agent answers in place of figures, to something on screen; null while it gives them. */
export const refusal = signal<string | null>(null);
/** Counts the moments at which the page looked; what slides with time reads it. */
export const beat = signal(0);
/** Clock of the agent minus clock of the browser, in seconds; zero within the precision of a `Date` header. */
let skew = 0;

/** Unix seconds now, by the agent's clock. */
export const now = (): number => Date.now() / 1000 + skew;

export const EMPTY_ANSWER: Answer<unknown> = { data: null, error: null, status: 200 };

/** Starts using `url`; refreshed at most every `every` seconds. Returns its answer and the function that ends the use. */
export function use<T>(url: string, every: number): { answer: Signal<Answer<T>>; release: () => void } {
  let entry = entries.get(url);
  if (!entry) {
    entry = { answer: signal(EMPTY_ANSWER), users: 0, every, asked: 0, text: "", abort: null };
    entries.set(url, entry);
  }
  entry.users += 1;
  entry.every = Math.min(entry.every, every);
  if (entry.asked === 0) void ask(url, entry);
  const held = entry;
  let released = false;
  return {
    answer: held.answer as Signal<Answer<T>>,
    release() {
      if (released) return;
      released = true;
      held.users -= 1;
      if (held.users > 0) return;
      held.abort?.abort();
      if (entries.get(url) === held) entries.delete(url);
      noteRefusal();
    },
  };
}

/** Asks again for everything on screen that is old enough; all of it when `force`. */
export function refresh(force = false): void {
  const at = performance.now();
  beat.value += 1;
  for (const [url, entry] of entries) {
    // A tick comes every second, give or take: an entry due in a fraction of that is due now.
    const due = force || at - entry.asked >= entry.every * 1000 - 300;
    if (due && !entry.abort) void ask(url, entry);
  }
}

/** How many URLs are in use, for the test that nothing grows. */
export const inUse = (): number => entries.size;

async function ask(url: string, entry: Entry): Promise<void> {
  const abort = new AbortController();
  entry.abort = abort;
  entry.asked = performance.now();
  const timer = setTimeout(() => abort.abort(), 15_000);
  try {
    const response = await fetch(url, { signal: abort.signal, headers: { accept: "application/json" } });
    noteClock(response);
    const text = await response.text();
    reachable.value = true;
    if (!response.ok) {
      fail(entry, reason(text) ?? `The agent answered ${response.status}.`, response.status);
    } else if (text !== entry.text || entry.answer.peek().error) {
      entry.text = text;
      entry.answer.value = { data: JSON.parse(text), error: null, status: 200 };
    }
    noteRefusal();
  } catch {
    if (entry.users === 0) return;
    if (!abort.signal.aborted) reachable.value = false;
    fail(entry, abort.signal.aborted ? "The agent took too long to answer." : "The agent does not answer.", 0);
    noteRefusal();
  } finally {
    clearTimeout(timer);
    entry.abort = null;
  }
}

function fail(entry: Entry, error: string, status: number): void {
  const last = entry.answer.peek();
  if (last.error !== error) entry.answer.value = { data: last.data, error, status };
}

/** Nothing there (404), or a question it does not take (400, 422), is told where it was asked. */
function noteRefusal(): void {
  const told = [200, 400, 404, 422];
  const answers = [...entries.values()].map((entry) => entry.answer.peek());
  refusal.value = answers.find((answer) => answer.error && !told.includes(answer.status))?.error ?? null;
}

/** The agent's errors are JSON bodies with an `error` or `message`. */
function reason(text: string): string | null {
  try {
    const body = JSON.parse(text) as { error?: unknown; message?: unknown; detail?: unknown };
    const said = body.error ?? body.message ?? body.detail;
    return typeof said === "string" ? said : null;
  } catch {
    return null;
  }
}

function noteClock(response: Response): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(date)) return;
  const off = date / 1000 + 0.5 - Date.now() / 1000;
  skew = Math.abs(off) > 2 ? off : 0;
}
