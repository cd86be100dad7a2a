import type { JSX } from "preact";
import { mark } from "../state/traceback";

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
