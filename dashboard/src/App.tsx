/** The frame: header, tabs, the chosen view, and what lies over it. */

import type { JSX } from "preact";
import { view } from "./state/view";
import type { View } from "./state/url";
import { Header } from "./ui/Header";
import { Banner } from "./ui/Banner";
import { AgentView } from "./views/agent/AgentView";
import { ErrorsView } from "./views/errors/ErrorsView";
import { OutgoingView } from "./views/outgoing/OutgoingView";
import { Overview } from "./views/overview/Overview";
import { QueriesView } from "./views/queries/QueriesView";

const PAGES: Partial<Record<View, () => JSX.Element>> = {
  overview: Overview,
  errors: ErrorsView,
  queries: QueriesView,
  outgoing: OutgoingView,
  agent: AgentView,
};

export function App(): JSX.Element {
  const Page = PAGES[view.value.view] ?? Overview;
  return (
    <>
      <a class="skip" href="#main">Skip to content</a>
      <Header />
      <Banner />
      <main id="main"><Page /></main>
    </>
  );
}
