/** One line on whether the agent sees everything: a quiet green dot, or what is missing. */

import type { JSX } from "preact";
import { useApi } from "../api/hooks";
import { reachable, refusal } from "../api/resource";
import type { Status } from "../api/types";
import { count, plural } from "../format";
import { blind, lost, watched } from "../state/health";
import { follow, link } from "../state/view";

export function Health(): JSX.Element {
  const { data } = useApi<Status>("/api/status", 2);
  const [dot, words] = summary(data);
  return (
    <a
      class={dot === "warn" ? "health trouble" : "health"}
      href={link({ view: "agent" })}
      onClick={follow({ view: "agent" })}
      title="What the agent sees and does not see"
      aria-label={words}
    >
      <span class={`dot ${dot}`} />
      <span class="words">{words}</span>
    </a>
  );
}

function summary(status: Status | null): [string, string] {
  if (!reachable.value) return ["bad", "Agent does not answer"];
  if (refusal.value) return ["warn", "Agent refuses"];
  if (!status) return ["", "Agent"];
  const losses = lost(status).length;
  const missing = blind(status).length;
  const seen = plural(watched(status).length, "process", "processes");
  if (status.problems?.length) return ["warn", `${plural(status.problems.length, "problem")} to look at`];
  if (losses === 0 && missing === 0) {
    return watched(status).length > 0 ? ["ok", `${seen}, nothing lost`] : ["", "No process watched yet"];
  }
  const parts = [
    losses > 0 && `${count(losses)} kinds of loss`.replace(/^1 kinds/, "1 kind"),
    missing > 0 && `${plural(missing, "process", "processes")} seen in part`,
  ];
  return ["warn", parts.filter(Boolean).join(", ")];
}
