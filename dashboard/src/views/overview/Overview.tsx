/** The view that people look at all day: the figures, the charts, the routes, and what goes wrong. */

import type { JSX } from "preact";
import { pace, url, useApi } from "../../api/hooks";
import type { Overview as Figures, Services } from "../../api/types";
import { view } from "../../state/view";
import { ErrorsPanel } from "../errors/ErrorsPanel";
import { HostsPanel } from "../outgoing/HostsPanel";
import { StatementsPanel } from "../queries/StatementsPanel";
import { Charts } from "./Charts";
import { RoutesPanel } from "./RoutesPanel";
import { Tiles } from "./Tiles";

export function Overview(): JSX.Element {
  const { service, w } = view.value;
  const overview = useApi<Figures>(url("/api/overview", { service, w }), pace(1, w));
  const services = useApi<Services>("/api/services", 1);
  return (
    <>
      <h1 class="sr">Overview</h1>
      <div class={overview.stale ? "stale" : undefined}>
        <Tiles overview={overview.data} services={services.data?.services ?? null} service={service} />
      </div>
      <Charts service={service} w={w} />
      <RoutesPanel />
      <div class="columns three">
        <ErrorsPanel short />
        <HostsPanel short />
        <StatementsPanel short />
      </div>
    </>
  );
}
