import type { JSX } from "preact";
import { RequestsTable } from "./RequestsTable";

/** Requests of all routes. */
export function RequestsView(): JSX.Element {
  return (
    <>
      <h1 class="sr">Requests</h1>
      <RequestsTable />
    </>
  );
}
