/** True when every word of `filter` occurs in `text`, letter case ignored. An empty filter matches all. */
export function matches(filter: string, text: string): boolean {
  const hay = text.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => hay.includes(word));
}
