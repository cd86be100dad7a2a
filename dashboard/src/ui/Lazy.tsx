/** A view whose code is fetched when it is first opened. */

import type { FunctionComponent, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Lazy({ load }: { load: () => Promise<{ default: FunctionComponent }> }): JSX.Element {
  const [View, setView] = useState<{ of: FunctionComponent } | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let here = true;
    load().then(
      (module) => {
        if (here) setView({ of: module.default });
      },
      () => {
        if (here) setFailed(true);
      },
    );
    return () => {
      here = false;
    };
  }, [load]);
  if (failed)
    return (
      <div class="empty">
        This part of the page could not be loaded. Reload the page: the agent may have been updated.
      </div>
    );
  return View ? (
    <View.of />
  ) : (
    <div class="empty" role="status">
      Loading…
    </div>
  );
}
