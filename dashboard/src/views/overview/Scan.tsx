/** Asks for the project's directory where no source was found, and has the agent scan it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useApi } from "../../api/hooks";
import { refresh } from "../../api/resource";
import type { Services } from "../../api/types";
import { plural } from "../../format";

export function Scan({ service }: { service: string }): JSX.Element {
  const { data } = useApi<Services>("/api/services", 1);
  const names = data?.services.map((row) => row.service) ?? [];
  const [path, setPath] = useState("");
  const [chosen, setChosen] = useState("");
  const [said, setSaid] = useState("");
  const target = service || chosen || names[0] || "";

  const scan = async (event: Event) => {
    event.preventDefault();
    setSaid("Scanning…");
    try {
      const response = await fetch("/api/scan", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ service: target, path }),
      });
      const body = (await response.json()) as { routes?: number; error?: string };
      setSaid(
        response.ok
          ? `Found ${plural(body.routes ?? 0, "route")}.`
          : (body.error ?? `The agent answered ${response.status}.`),
      );
      refresh(true);
    } catch {
      setSaid("The agent does not answer.");
    }
  };

  return (
    <form class="empty" onSubmit={(event) => void scan(event)}>
      <strong>No source found yet.</strong>
      <p>Name the project's directory on the agent's machine, and the routes are shown by folder and file.</p>
      {!service && names.length > 1 && (
        <select
          class="field"
          aria-label="Service of the source"
          value={target}
          onChange={(event) => setChosen(event.currentTarget.value)}
        >
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      )}
      <input
        class="field"
        aria-label="Project directory"
        placeholder="/srv/shop/src"
        required
        value={path}
        onInput={(event) => setPath(event.currentTarget.value)}
      />
      <button type="submit" class="button" disabled={!target || !path}>
        Scan
      </button>
      <span role="status">{said}</span>
    </form>
  );
}
