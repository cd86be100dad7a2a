/** How figures are written. Every function takes null or undefined for "not known" and answers with a dash. */

export const NONE = "–";

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === "number" && Number.isFinite(value);

/** Three significant digits below 1,000, grouped digits above: `0.42`, `7.5`, `118`, `12,430`. */
export function num(value: Maybe): string {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  if (size >= 10) return trim(value.toFixed(1));
  if (size >= 0.01) return trim(value.toFixed(2));
  if (size > 0 && size < 0.00005) return value > 0 ? "<0.0001" : ">-0.0001";
  return size === 0 ? "0" : trim(value.toFixed(4));
}

function trim(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Whole counts, shortened from 100,000 up: `12,430`, `1.2M`. */
export function count(value: Maybe): string {
  if (!known(value)) return NONE;
  if (Math.abs(value) >= 1e9) return `${trim((value / 1e9).toFixed(2))}G`;
  if (Math.abs(value) >= 1e6) return `${trim((value / 1e6).toFixed(2))}M`;
  if (Math.abs(value) >= 1e5) return `${trim((value / 1e3).toFixed(1))}k`;
  return Math.round(value).toLocaleString("en-US");
}

/** A duration given in milliseconds, with its unit: `0.4 ms`, `1.25 s`, `2 min 5 s`. */
export function ms(value: Maybe): string {
  if (!known(value)) return NONE;
  const [figure, unit] = msParts(value);
  return unit ? `${figure} ${unit}` : figure;
}

/** The duration's figure and its unit apart, for tiles. */
export function msParts(value: Maybe): [string, string] {
  if (!known(value)) return [NONE, ""];
  if (value < 0.995 && value > 0) return [num(value), "ms"];
  if (value < 999.5) return [num(value), "ms"];
  if (value < 59_950) return [num(value / 1000), "s"];
  const seconds = Math.round(value / 1000);
  return [`${Math.floor(seconds / 60)} min ${seconds % 60}`, "s"];
}

/** A duration in the unit that `msParts` gave another one, without naming it. */
export function inUnit(value: Maybe, unit: string): string {
  return known(value) ? num(unit === "s" ? value / 1000 : value) : NONE;
}

/** A rate 0..1 as a percentage. A small rate that is not zero never reads as zero. */
export function pct(rate: Maybe): string {
  if (!known(rate)) return NONE;
  const value = rate * 100;
  if (value === 0) return "0%";
  if (value < 0.01) return "<0.01%";
  if (value > 99.99 && value < 100) return ">99.99%";
  return `${trim(value.toFixed(value >= 10 && value < 99.9 ? 1 : 2))}%`;
}

/** Bytes in binary units. */
export function bytes(value: Maybe): string {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${num(size)} ${units[unit]}`;
}

/** A window's name: `1m`, `6h`, `7d`. */
export function windowName(seconds: number): string {
  if (seconds > 86_400) return `${seconds / 86_400}d`;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return `${seconds / 60}m`;
}

/** A window in words: `the last 5 minutes`. */
export function windowWords(seconds: number): string {
  const [n, unit] =
    seconds > 86_400
      ? [seconds / 86_400, "day"]
      : seconds % 3600 === 0
        ? [seconds / 3600, "hour"]
        : [seconds / 60, "minute"];
  return n === 1 ? `the last ${unit}` : `the last ${n} ${unit}s`;
}

/** How long ago `ts` (Unix seconds) was, coarse: `now`, `12 s ago`, `3 h ago`. */
export function ago(ts: Maybe, now: number): string {
  if (!known(ts) || ts === 0) return NONE;
  const seconds = Math.max(0, now - ts);
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Clock time of a Unix time, with milliseconds, in the browser's zone: `14:03:27.512`. */
export function clock(ts: Maybe): string {
  if (!known(ts)) return NONE;
  const date = new Date(ts * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  return (
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` +
    `.${String(date.getMilliseconds()).padStart(3, "0")}`
  );
}

/** Full date and time for titles. */
export function stamp(ts: Maybe): string {
  return known(ts) ? new Date(ts * 1000).toISOString().replace("T", " ") : NONE;
}

/** `1 error`, `2 errors`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
