/** What of the agent's status deserves the user's eye. */

import type { ProcessStatus, Status } from "../api/types";

/** The losses that happened. */
export function lost(status: Status): Status["losses"] {
  return status.losses.filter((loss) => loss.count > 0);
}

/** Processes in which something could not attach. */
export function blind(status: Status): ProcessStatus[] {
  return status.processes.filter((process) => process.probes?.some((probe) => !probe.attached));
}
