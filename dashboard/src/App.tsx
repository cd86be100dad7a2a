/** The frame: header, the chosen view, and what lies over it. */

import type { FunctionComponent, JSX } from "preact";
import { overlay } from "./state/overlay";
import type { View } from "./state/url";
import { view } from "./state/view";
import { Banner } from "./ui/Banner";
import { Header } from "./ui/Header";
import { Lazy } from "./ui/Lazy";
import { AgentView } from "./views/agent/AgentView";
import { AnalyzeDialog } from "./views/analyze/AnalyzeDialog";
import { ErrorsView } from "./views/errors/ErrorsView";
import { OutgoingView } from "./views/outgoing/OutgoingView";
import { Overview } from "./views/overview/Overview";
import { QueriesView } from "./views/queries/QueriesView";
import { RequestDialog } from "./views/request/RequestDialog";
import { RequestsView } from "./views/request/RequestsView";
import { RouteView } from "./views/route/RouteView";
import { SettingsDialog } from "./views/settings/SettingsDialog";

const loadMap = () => import("./views/map/MapView");

const PAGES: Readonly<Record<View, FunctionComponent>> = {
  overview: Overview,
  requests: RequestsView,
  errors: ErrorsView,
  queries: QueriesView,
  outgoing: OutgoingView,
  map: () => <Lazy load={loadMap} />,
  agent: AgentView,
  route: RouteView,
};

export function App(): JSX.Element {
  const Page = PAGES[view.value.view];
  const { request } = view.value;
  const over = overlay.value;
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Header />
      <Banner />
      <main id="main" tabIndex={-1}>
        <Page />
      </main>
      {request && <RequestDialog key={request} id={request} />}
      {over?.kind === "settings" && <SettingsDialog />}
      {over?.kind === "analyze" && <AnalyzeDialog of={over.of} />}
    </>
  );
}
