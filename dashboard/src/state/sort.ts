/** What a row sorts by; null and undefined are unknown. */
export type By<Row> = (row: Row) => number | string | null | undefined;

/** Sorts a copy of `rows` by `column`; equal values keep their order, unknown ones come last. */
export function sorted<Row>(
  rows: readonly Row[],
  column: { by?: By<Row> } | undefined,
  descending: boolean,
): readonly Row[] {
  const by = column?.by;
  if (!by) return rows;
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [by(a) ?? null, by(b) ?? null];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    if (x === y) return 0;
    return (x < y ? -1 : 1) * sign;
  });
}
