/** The project tree beside the routes: live figures on every level, and a filter chip on each folder. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { DiscoveredRoute, Route } from "../../api/types";
import { num, pct } from "../../format";
import { tree, type Figures, type Node } from "../../state/tree";
import { follow, go, link, view } from "../../state/view";
import { Method, Panel } from "../../ui/bits";
import { Scan } from "./Scan";

export function Tree({
  discovered,
  routes,
  service,
}: {
  discovered: readonly DiscoveredRoute[];
  routes: readonly Route[];
  service: string;
}): JSX.Element {
  const roots = tree(
    discovered.filter((row) => !service || row.service === service),
    routes,
  );
  const { folder } = view.value;
  return (
    <Panel
      title="Project"
      id="tree"
      extra={
        <>
          <span class="grow" />
          {folder && (
            <button type="button" class="chip" aria-pressed="true" onClick={() => go({ folder: "" }, false)}>
              {folder} <span aria-label="clear">×</span>
            </button>
          )}
        </>
      }
    >
      {roots.length > 0 ? (
        <ul class="tree" aria-label="Project">
          {roots.map((root) =>
            roots.length === 1 ? <Inside key={root.name} node={root} /> : <Branch key={root.name} node={root} />,
          )}
        </ul>
      ) : (
        <Scan service={service} />
      )}
    </Panel>
  );
}

function Inside({ node }: { node: Node }): JSX.Element {
  return (
    <>
      {node.children.map((child) => (
        <Branch key={`${child.kind} ${child.name}`} node={child} />
      ))}
      {node.routes.map((leaf) => {
        const to = { view: "route", method: leaf.method, route: leaf.route, service: node.service } as const;
        return (
          <li
            key={`${leaf.method} ${leaf.route}`}
            class="leaf"
            title={`${leaf.method} ${leaf.route}\n${node.path}:${leaf.line} ${leaf.function}`}
          >
            <a class="mono" href={link(to)} onClick={follow(to)}>
              <Method name={leaf.method} /> {leaf.route}
            </a>
            <Live of={leaf} />
          </li>
        );
      })}
    </>
  );
}

function Branch({ node }: { node: Node }): JSX.Element {
  const [open, setOpen] = useState(true);
  const chosen = view.value.folder === node.path && node.path !== "";
  return (
    <li>
      <div class="branch">
        <button type="button" class="twist" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span class="arrow" aria-hidden="true">
            {open ? "▾" : "▸"}
          </span>
          {node.name}
          {node.kind === "folder" && "/"}
        </button>
        {node.kind === "folder" && (
          <button
            type="button"
            class="chip"
            aria-pressed={chosen}
            aria-label={`Filter routes by ${node.path}`}
            onClick={() => go({ folder: chosen ? "" : node.path, service: node.service }, false)}
          >
            filter
          </button>
        )}
        <Live of={node} />
      </div>
      {open && (
        <ul>
          <Inside node={node} />
        </ul>
      )}
    </li>
  );
}

function Live({ of }: { of: Figures }): JSX.Element {
  if (of.total === 0) return <span class="live zero">–</span>;
  return (
    <span class="live" title={`${num(of.rps)} requests per second, ${pct(of.errors / of.total)} failed`}>
      {of.errors > 0 && <span class="bad">{pct(of.errors / of.total)}</span>} {num(of.rps)}
      <span class="muted">/s</span>
    </span>
  );
}
