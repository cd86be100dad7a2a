/** The API as hooks: each returns the freshest answer and keeps it fresh while its component is on screen. */

import { useEffect, useState } from "preact/hooks";
import { EMPTY_ANSWER, type Answer, use } from "./resource";

type Params = Record<string, string | number | undefined>;

/** `path` with its query; parameters that are undefined or empty are left out. */
export function url(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** How often a figure over `w` seconds is worth asking for, when `base` is right for five minutes. Seconds. */
export function pace(base: number, w: number): number {
  if (w <= 900) return base;
  if (w <= 3600) return base * 3;
  if (w <= 21_600) return base * 8;
  return Math.max(base * 20, 20);
}

/**
 * The answer at `address`, refreshed at most every `every` seconds; nothing is asked while `address` is null.
 * While a new address loads, the answer of the last one stays, so that nothing flickers.
 */
export function useApi<T>(address: string | null, every: number): Answer<T> & { stale: boolean } {
  const [held, setHeld] = useState<{ from: string | null; answer: Answer<T> }>({
    from: null,
    answer: EMPTY_ANSWER as Answer<T>,
  });
  useEffect(() => {
    if (address === null) return undefined;
    const { answer, release } = use<T>(address, every);
    const unsubscribe = answer.subscribe((value) => {
      if (value.data !== null || value.error !== null) setHeld({ from: address, answer: value });
    });
    return () => {
      unsubscribe();
      release();
    };
  }, [address, every]);
  if (address === null) return { ...(EMPTY_ANSWER as Answer<T>), stale: false };
  return { ...held.answer, stale: held.from !== address };
}
