/** What of the agent's status deserves the user's eye. */

import type { ProcessStatus, Status } from "../api/types";

/** What is counted but need not worry anybody: an attempt at `localhost` over IPv6 that IPv4 made good, for instance. */
const HARMLESS = new Set(["connects_retried"]);

/** The losses that happened. */
export function lost(status: Status): Status["losses"] {
  return status.losses.filter((loss) => loss.count > 0 && !HARMLESS.has(loss.name));
}

/** The processes that are watched now; the agent also tells of those that have ended or that it leaves alone. */
export function watched(status: Status): ProcessStatus[] {
  return status.processes.filter((process) => !process.state || process.state === "watched");
}

/** Watched processes in which something could not attach. */
export function blind(status: Status): ProcessStatus[] {
  return watched(status).filter((process) => process.probes?.some((probe) => !probe.attached));
}
