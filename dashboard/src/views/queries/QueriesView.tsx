/** The database as the services use it. */

import type { JSX } from "preact";
import { StatementsPanel } from "./StatementsPanel";

export function QueriesView(): JSX.Element {
  return <><h1 class="sr">Queries</h1><StatementsPanel /></>;
}
