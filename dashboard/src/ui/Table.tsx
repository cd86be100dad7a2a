/**
 * A table with sortable columns and rows that the keyboard walks. The sort is part of the URL. On a phone each row is a
 * card of labelled figures, and a field in place of the header chooses the sort.
 */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { sorted } from "../state/sort";
import { go, view } from "../state/view";

/** Rows that need no choice of their order on a phone: all are seen at once. */
const FEW = 4;

export interface Column<Row> {
  /** Name of the column in the URL. */
  key: string;
  label: string;
  /** What the column says, in full, for those who hover or listen. */
  title?: string;
  /** A right-aligned figure. */
  num?: boolean;
  /** Left out on a phone where the row opens to it. */
  optional?: boolean;
  /**
   * Where it goes on a phone, whose rows are cards: the first line, a line of its own at the end, or so many sixths of a
   * line. Without it a figure takes one sixth, anything else two.
   */
  phone?: "lead" | "line" | 1 | 2 | 3;
  /** Class of the cells. */
  class?: string;
  /** What the column sorts by; a column without it does not sort. Null sorts last either way. */
  by?: (row: Row) => number | string | null | undefined;
  cell: (row: Row) => ComponentChildren;
}

interface Props<Row> {
  /** Name of the table in the URL. */
  name: string;
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  id: (row: Row) => string;
  /** Default sort, as in the URL: a column, a leading `-` for descending. */
  sort: string;
  /** Rows shown before "show all". */
  limit?: number;
  open?: (row: Row) => void;
}

export function Table<Row>({ name, caption, columns, rows, id, sort, limit = 25, open }: Props<Row>): JSX.Element {
  const [all, setAll] = useState(false);
  const order = view.value.sort[name] ?? sort;
  const descending = order.startsWith("-");
  const by = columns.find((column) => column.key === order.replace("-", ""));
  const ordered = sorted(rows, by, descending);
  const shown = all ? ordered : ordered.slice(0, limit);

  const sortBy = (column: Column<Row> | undefined) => {
    if (!column) return;
    // Figures are first wanted from the top, names from A.
    const next =
      column !== by ? (column.num ? `-${column.key}` : column.key) : descending ? column.key : `-${column.key}`;
    const others = { ...view.peek().sort };
    delete others[name];
    go({ sort: next === sort ? others : { ...others, [name]: next } }, false);
  };

  return (
    <>
      {rows.length > FEW && (
        <div class="sorter">
          <select
            class="field"
            aria-label={`Sort ${caption} by`}
            value={by?.key}
            onChange={(event) => sortBy(columns.find((column) => column.key === event.currentTarget.value))}
          >
            {columns
              .filter((column) => column.by)
              .map((column) => (
                <option key={column.key} value={column.key}>
                  by {column.label}
                </option>
              ))}
          </select>
          <button
            type="button"
            class="button"
            aria-label={descending ? "Descending; turn the order" : "Ascending; turn the order"}
            onClick={() => sortBy(by)}
          >
            {descending ? "▼" : "▲"}
          </button>
        </div>
      )}
      <div class="scroll">
        <table>
          <caption class="sr">{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.key}
                  scope="col"
                  title={column.title}
                  class={classes(column)}
                  aria-sort={column === by ? (descending ? "descending" : "ascending") : undefined}
                >
                  {column.by ? (
                    <button type="button" onClick={() => sortBy(column)}>
                      {column.num && (
                        <span class="arrow" aria-hidden="true">
                          {column === by ? (descending ? "▼" : "▲") : ""}
                        </span>
                      )}
                      {column.label}
                      {!column.num && (
                        <span class="arrow" aria-hidden="true">
                          {column === by ? (descending ? " ▼" : " ▲") : ""}
                        </span>
                      )}
                    </button>
                  ) : (
                    column.label
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody onKeyDown={walk}>
            {shown.map((row) => (
              <tr
                key={id(row)}
                class={open ? "open" : undefined}
                tabIndex={open ? 0 : undefined}
                onClick={
                  open &&
                  ((event) => {
                    if (!onControl(event)) open(row);
                  })
                }
                onKeyDown={
                  open &&
                  ((event) => {
                    if (event.key === "Enter" && event.target === event.currentTarget) open(row);
                  })
                }
              >
                {columns.map((column) => (
                  <td key={column.key} class={classes(column, column === by)} data-label={column.label}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {ordered.length > limit && (
        <button type="button" class="more" onClick={() => setAll(!all)}>
          {all ? `Show the first ${limit}` : `Show all ${ordered.length}`}
        </button>
      )}
    </>
  );
}

function classes<Row>(column: Column<Row>, sorted = false): string | undefined {
  const { num, optional, phone } = column;
  const place = typeof phone === "number" ? `span${phone}` : phone;
  const names = [num && "num", optional && "opt", sorted && "sorted", place, column.class];
  return names.filter(Boolean).join(" ") || undefined;
}

/** A click on a link or button inside a row, or one that ends a selection of text, does not open the row. */
function onControl(event: MouseEvent): boolean {
  return (event.target as Element).closest("a, button") !== null || String(getSelection()) !== "";
}

function walk(event: KeyboardEvent): void {
  const row = (event.target as Element).closest("tr");
  const next =
    event.key === "ArrowDown" ? row?.nextElementSibling : event.key === "ArrowUp" ? row?.previousElementSibling : null;
  if (!next) return;
  event.preventDefault();
  (next as HTMLElement).focus();
}
