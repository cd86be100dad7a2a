/** Where a request's time went, as a stacked bar. */

import type { JSX } from "preact";
import { ms, pct } from "../format";

export interface Split {
  own: number;
  db: number;
  out: number;
}

/**
 * Splits `total` ms into database, outgoing and the rest. Calls that overlap can sum to more than the request took:
 * then the parts are scaled to the whole and the rest is zero, since the overlap cannot be told from sums.
 */
export function split(total: number, db: number | null | undefined, out: number | null | undefined): Split {
  const [d, o] = [Math.max(0, db ?? 0), Math.max(0, out ?? 0)];
  const waited = d + o;
  if (waited <= total) return { own: total - waited, db: d, out: o };
  const scale = waited > 0 ? total / waited : 0;
  return { own: 0, db: d * scale, out: o * scale };
}

/** The split of a request's time; undefined where nothing is known of what it waited for. */
export function knownSplit(
  total: number,
  db: number | null | undefined,
  out: number | null | undefined,
): Split | undefined {
  return db == null && out == null ? undefined : split(total, db, out);
}

const UNKNOWN = "not known: no query and no call was bound to it";

const PARTS = [
  ["own", "own code and other"],
  ["db", "database"],
  ["out", "outgoing calls"],
] as const;

export function TimeBar({
  total,
  db,
  out,
  tall,
}: {
  total: number;
  db: number | null | undefined;
  out: number | null | undefined;
  tall?: boolean;
}): JSX.Element {
  const bar = tall ? "timebar tall" : "timebar";
  if (db == null && out == null) {
    // Nothing was bound to the request: all of it may be its own code, or none.
    return <div class={`${bar} c-unknown`} role="img" title={UNKNOWN} aria-label={UNKNOWN} />;
  }
  const parts = split(total, db, out);
  const say =
    PARTS.filter(([key]) => parts[key] > 0)
      .map(([key, name]) => `${name} ${ms(parts[key])} (${pct(total > 0 ? parts[key] / total : 0)})`)
      .join(", ") + ((db ?? 0) + (out ?? 0) > total ? "; calls overlapped, their shares are scaled to the whole" : "");
  return (
    <div class={bar} role="img" title={say} aria-label={say || "no time"}>
      {PARTS.map(
        ([key]) =>
          parts[key] > 0 && <i key={key} class={`c-${key}`} style={{ flex: `${(100 * parts[key]) / total} 0 0` }} />,
      )}
    </div>
  );
}

/** The bar's key, with each part's time when it is given. */
export function TimeKey({ parts }: { parts?: Split | undefined }): JSX.Element {
  return (
    <div class="keys">
      {PARTS.map(([key, name]) => (
        <span key={key} class="key">
          <i class={`c-${key}`} />
          {name}
          {parts && (
            <>
              {" "}
              <b>{ms(parts[key])}</b>
            </>
          )}
        </span>
      ))}
    </div>
  );
}
