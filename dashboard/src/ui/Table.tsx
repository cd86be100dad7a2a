/** A table with sortable columns and rows that the keyboard walks. The sort is part of the URL. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { sorted } from "../state/sort";
import { go, view } from "../state/view";

export interface Column<Row> {
  /** Name of the column in the URL. */
  key: string;
  label: string;
  /** What the column says, in full, for those who hover or listen. */
  title?: string;
  /** A right-aligned figure. */
  num?: boolean;
  /** Left out on a phone. */
  optional?: boolean;
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

  const sortBy = (column: Column<Row>) => {
    // Figures are first wanted from the top, names from A.
    const next =
      column !== by ? (column.num ? `-${column.key}` : column.key) : descending ? column.key : `-${column.key}`;
    const others = { ...view.peek().sort };
    delete others[name];
    go({ sort: next === sort ? others : { ...others, [name]: next } }, false);
  };

  return (
    <>
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
                  <td key={column.key} class={classes(column)}>
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

function classes<Row>(column: Column<Row>): string | undefined {
  return [column.num && "num", column.optional && "opt", column.class].filter(Boolean).join(" ") || undefined;
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
