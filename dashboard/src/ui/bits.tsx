/** Small shared pieces. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { beat, now, type Answer } from "../api/resource";
import { ago, stamp } from "../format";

/** A titled panel. */
export function Panel({
  title,
  extra,
  children,
  id,
  stale,
}: {
  title: string;
  extra?: ComponentChildren;
  children: ComponentChildren;
  id?: string;
  stale?: boolean;
}): JSX.Element {
  return (
    <section class="panel" id={id} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {extra}
      </header>
      <div class={stale ? "stale" : undefined}>{children}</div>
    </section>
  );
}

/** How long ago something was; it slides on while nothing new comes. */
export function Ago({ ts }: { ts: number | null | undefined }): JSX.Element {
  void beat.value;
  return <span title={stamp(ts)}>{ago(ts, now())}</span>;
}

/** Says that nothing is there, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

/** What stands where an answer is not there yet, failed, or is of an endpoint that this agent does not have. */
export function Waiting({ answer, what }: { answer: Answer<unknown>; what: string }): JSX.Element {
  if (!answer.error)
    return (
      <div class="empty" role="status">
        Loading {what}…
      </div>
    );
  if (answer.status === 404)
    return <Empty title={`This agent has no ${what}.`}>It is older than this page. Update the agent.</Empty>;
  return (
    <Empty title={`Could not load ${what}.`}>
      {answer.error} {answer.status === 0 ? "Is apm-agent still running? The page tries again by itself." : ""}
    </Empty>
  );
}

/** Copies `text()` to the clipboard and says so. */
export function Copy({ label, text }: { label: string; text: () => string }): JSX.Element {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setSaid("Copied");
    } catch {
      setSaid("The browser refused");
    }
    setTimeout(() => setSaid(""), 1500);
  };
  return (
    <button type="button" class="button" onClick={() => void copy()} aria-live="polite">
      {said || label}
    </button>
  );
}

export function Method({ name }: { name: string }): JSX.Element {
  return <span class="method">{name}</span>;
}

/** An HTTP status, coloured when it failed; 0 is an answer that never came. */
export function StatusCode({ code }: { code: number }): JSX.Element {
  const kind = code >= 500 || code === 0 ? "tag bad" : code >= 400 ? "tag warn" : "tag";
  return <span class={kind}>{code === 0 ? "no answer" : code}</span>;
}

/** A share of errors: quiet at zero, red above. */
export function Rate({ rate, text }: { rate: number; text: string }): JSX.Element {
  return <span class={rate > 0 ? "bad" : "zero"}>{text}</span>;
}

/** Buttons of which one is chosen. */
export function Segments<T extends string | number>({
  label,
  options,
  value,
  name,
  choose,
}: {
  label: string;
  options: readonly T[];
  value: T;
  name: (option: T) => string;
  choose: (option: T) => void;
}): JSX.Element {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => choose(option)}>
          {name(option)}
        </button>
      ))}
    </div>
  );
}
