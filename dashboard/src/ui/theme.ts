/** The colours of the style sheet for what is drawn on canvas, renewed when the system turns light or dark. */

import { signal } from "@preact/signals";

const NAMES = [
  "surface",
  "ink",
  "muted",
  "line",
  "accent",
  "bad",
  "warn",
  "ok",
  "own",
  "db",
  "out",
  "p50",
  "p95",
  "p99",
  "heat",
  "sans",
] as const;

export type Colour = (typeof NAMES)[number];
export type Palette = Readonly<Record<Colour, string>>;

function read(): Palette {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Palette;
}

export const colours = signal<Palette>(read());

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours.value = read();
});
