/** The view's state lives in the URL, so that a link reproduces what its sender saw. */

export const VIEWS = ["overview", "requests", "errors", "queries", "outgoing", "map", "agent", "route"] as const;
export type View = (typeof VIEWS)[number];

/** Windows that the page offers, in seconds. */
export const WINDOWS = [60, 300, 900, 3600, 21_600, 86_400, 604_800] as const;
export type Window = (typeof WINDOWS)[number];

export type RequestKind = "recent" | "slow" | "failed";
export const REQUEST_KINDS: readonly RequestKind[] = ["recent", "slow", "failed"];

export interface ViewState {
  view: View;
  /** Empty = all services. */
  service: string;
  /** Window back from now, seconds. */
  w: Window;
  /** Filter text over routes. */
  q: string;
  /** Folder of the project tree that narrows the routes; empty = whole project. */
  folder: string;
  /** The opened route, in the route view. */
  method: string;
  route: string;
  /** The request opened as a waterfall. */
  request: string;
  /** Which requests a list shows. */
  kind: RequestKind;
  /** The error group that is open. */
  error: string;
  /** Sort of each table: table name to column, a leading `-` for descending. */
  sort: Readonly<Record<string, string>>;
}

export const DEFAULTS: ViewState = {
  view: "overview",
  service: "",
  w: 300,
  q: "",
  folder: "",
  method: "",
  route: "",
  request: "",
  kind: "recent",
  error: "",
  sort: {},
};

const TEXT_KEYS = ["service", "q", "folder", "method", "route", "request", "error"] as const;

function oneOf<T>(allowed: readonly T[], value: unknown, fallback: T): T {
  return allowed.includes(value as T) ? (value as T) : fallback;
}

/** Reads the state from a query string. What it does not know or cannot parse takes its default. */
export function parse(search: string): ViewState {
  const params = new URLSearchParams(search);
  const state: ViewState = { ...DEFAULTS, sort: {} };
  for (const key of TEXT_KEYS) state[key] = params.get(key) ?? "";
  state.view = oneOf(VIEWS, params.get("view"), DEFAULTS.view);
  state.w = oneOf(WINDOWS, Number(params.get("w")), DEFAULTS.w);
  state.kind = oneOf(REQUEST_KINDS, params.get("kind"), DEFAULTS.kind);
  const sort: Record<string, string> = {};
  for (const [key, value] of params) {
    if (key.startsWith("sort.") && value) sort[key.slice(5)] = value;
  }
  state.sort = sort;
  if (state.view === "route" && (!state.route || !state.method)) state.view = "overview";
  return state;
}

/** Writes the state as a query string, defaults left out; `""` when all is default. */
export function format(state: ViewState): string {
  const params = new URLSearchParams();
  if (state.view !== DEFAULTS.view) params.set("view", state.view);
  for (const key of TEXT_KEYS) if (state[key]) params.set(key, state[key]);
  if (state.w !== DEFAULTS.w) params.set("w", String(state.w));
  if (state.kind !== DEFAULTS.kind) params.set("kind", state.kind);
  for (const [table, column] of Object.entries(state.sort)) params.set(`sort.${table}`, column);
  const text = params.toString();
  return text ? `?${text}` : "";
}
