import type { JSX } from "preact";
import { mark } from "../state/traceback";

/** Says so where an exception need not be what the request failed with. */
export function Doubt({ link }: { link: string | null | undefined }): JSX.Element | null {
  if (link !== "raised") return null;
  return (
    <p class="warn small">
      Not certain: this exception left the application’s code while the request was served, and what handled it was not
      seen.
    </p>
  );
}

/** A traceback as text; frames of libraries are muted, the exception itself stands out. */
export function Traceback({ text }: { text: string }): JSX.Element {
  return (
    <pre class="trace-text" tabIndex={0} aria-label="Traceback">
      {mark(text).map((line, i) => (
        <div key={i} class={line.kind}>
          {line.text || " "}
        </div>
      ))}
    </pre>
  );
}
