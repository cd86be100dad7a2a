/** Name, service, window, live state, health, and the tabs. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useApi, url, pace } from "../api/hooks";
import { mode, pause, resume } from "../api/live";
import type { Overview, Services } from "../api/types";
import { count, windowName } from "../format";
import icon from "../icon.svg";
import { overlay } from "../state/overlay";
import { follow, go, link, view } from "../state/view";
import { WINDOWS, type View } from "../state/url";
import { Segments } from "./bits";
import { Health } from "./Health";

const TABS: readonly (readonly [View, string])[] = [
  ["overview", "Overview"],
  ["requests", "Requests"],
  ["errors", "Errors"],
  ["queries", "Queries"],
  ["outgoing", "Outgoing"],
  ["map", "Map"],
  ["agent", "Agent"],
];

export function Header(): JSX.Element {
  const { w } = view.value;
  return (
    <header class="top">
      <div class="bar">
        <a class="brand" href={link({ view: "overview" })} onClick={follow({ view: "overview" })}>
          <img src={icon} alt="" />
          <span class="words">apm-agent</span>
        </a>
        <ServiceSelect />
        <span class="grow" />
        <Health />
        <button
          type="button"
          class="button"
          onClick={() => {
            overlay.value = { kind: "settings" };
          }}
        >
          Settings
        </button>
        <LiveButton />
        <Segments
          label="Window"
          options={WINDOWS}
          value={w}
          name={windowName}
          choose={(seconds) => go({ w: seconds })}
        />
      </div>
      <Tabs />
    </header>
  );
}

function ServiceSelect(): JSX.Element {
  const { service } = view.value;
  const { data } = useApi<Services>("/api/services", 1);
  const names = data?.services.map((row) => row.service) ?? [];
  // A service in the URL that is not known (yet) stays chosen, and is named as such.
  const absent = service && !names.includes(service);
  return (
    <select
      class="field"
      aria-label="Service"
      value={service}
      onChange={(event) => go({ service: event.currentTarget.value, folder: "" })}
    >
      <option value="">All services</option>
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
      {absent && <option value={service}>{service} (not seen)</option>}
    </select>
  );
}

const MODES = {
  connecting: ["", "Live", "Connecting to the agent's stream. Press to pause."],
  live: ["ok", "Live", "Figures follow the agent's stream. Press to pause."],
  polling: ["warn", "Polling", "The live stream is not there; the page asks every two seconds. Press to pause."],
  paused: ["", "Paused", "Figures stand still. Press to go on."],
} as const;

function LiveButton(): JSX.Element {
  const [dot, name, title] = MODES[mode.value];
  const paused = mode.value === "paused";
  return (
    <button
      type="button"
      class="button"
      title={title}
      aria-pressed={paused}
      aria-label={`${name}. ${paused ? "Resume" : "Pause"}`}
      onClick={paused ? resume : pause}
    >
      <span class={`dot ${dot}`} /> {name}
    </button>
  );
}

function Tabs(): JSX.Element {
  const { view: current, service, w } = view.value;
  const { data } = useApi<Overview>(url("/api/overview", { service, w }), pace(1, w));
  const tabs = useRef<HTMLElement>(null);
  // On a phone the tabs are wider than the screen: the chosen one is brought into it.
  useLayoutEffect(() => {
    const here = tabs.current?.querySelector<HTMLElement>("[aria-current]");
    if (here) tabs.current?.scrollTo({ left: here.offsetLeft - (tabs.current.clientWidth - here.offsetWidth) / 2 });
  }, [current]);
  return (
    <nav class="tabs" aria-label="Views" ref={tabs}>
      {TABS.map(([key, name]) => {
        const here = key === current || (key === "overview" && current === "route");
        return (
          <a
            key={key}
            href={link({ view: key })}
            aria-current={here ? "page" : undefined}
            onClick={follow({ view: key })}
          >
            {name}
            {key === "errors" && data && data.errors > 0 && (
              <span class="count" aria-label={`${data.errors} failed requests`}>
                {count(data.errors)}
              </span>
            )}
          </a>
        );
      })}
    </nav>
  );
}
