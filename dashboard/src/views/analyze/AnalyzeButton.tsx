import type { JSX } from "preact";
import { overlay, type Subject } from "../../state/overlay";

/** Opens the analysis of a route or a folder. Nothing is sent before the reader says so there. */
export function AnalyzeButton({
  of,
  label = "Analyze",
  quiet = false,
}: {
  of: Subject;
  label?: string;
  quiet?: boolean;
}): JSX.Element {
  const what = "route" in of ? `${of.method} ${of.route}` : of.folder;
  return (
    <button
      type="button"
      class={quiet ? "button quiet" : "button"}
      aria-label={`${label} ${what}`}
      onClick={() => {
        overlay.value = { kind: "analyze", of };
      }}
    >
      {label}
    </button>
  );
}
