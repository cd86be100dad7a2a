/** What lies over the page besides a request (which is in the URL): the settings, or an analysis. */

import { signal } from "@preact/signals";

export type Subject = { service: string; method: string; route: string } | { service: string; folder: string };

export const overlay = signal<{ kind: "settings" } | { kind: "analyze"; of: Subject } | null>(null);
