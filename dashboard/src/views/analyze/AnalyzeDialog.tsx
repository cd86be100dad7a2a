/** Shows the exact text that an assistant would get, sends it on request, and shows the answer as text. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { url, useApi } from "../../api/hooks";
import type { ErrorGroups, FolderSnapshot, RouteSnapshot } from "../../api/types";
import { ask, loadSettings, PROVIDERS, ready } from "../../state/assistant";
import { overlay, type Subject } from "../../state/overlay";
import { folderFacts, rounded, routeFacts, SYSTEM } from "../../state/question";
import { view } from "../../state/view";
import { Copy, Waiting } from "../../ui/bits";
import { Dialog } from "../../ui/Dialog";

export function AnalyzeDialog({ of }: { of: Subject }): JSX.Element {
  const { w } = view.value;
  const settings = useMemo(() => loadSettings(), []);
  const provider = PROVIDERS[settings.provider];
  const isRoute = "route" in of;
  const address = isRoute ? url("/api/route/snapshot", { ...of, w }) : url("/api/folder/snapshot", { ...of, w });
  // Asked once: the text must not change under the reader's eyes.
  const snapshot = useApi<RouteSnapshot & FolderSnapshot>(address, 1e9);
  const groups = useApi<ErrorGroups>(url("/api/error_groups", { service: of.service, w }), 1e9);
  // Others on the page may ask the same, and again.
  const first = useRef<string | null>(null);
  const body = useMemo(() => {
    if (first.current) return first.current;
    if (!snapshot.data || !groups.data) return null;
    const facts = isRoute
      ? routeFacts(snapshot.data, groups.data.groups)
      : folderFacts(snapshot.data, groups.data.groups);
    const facing = provider.body(settings.model, SYSTEM, JSON.stringify(facts, rounded));
    first.current = JSON.stringify(facing, null, 2);
    return first.current;
  }, [snapshot.data, groups.data]);
  const name = isRoute ? `${of.method} ${of.route}` : `${of.folder}/`;

  return (
    <Dialog
      title={
        <>
          Analyze <span class="mono">{name}</span>
        </>
      }
      close={() => {
        overlay.value = null;
      }}
    >
      <div class="dialog-body">
        {!ready(settings) && (
          <p>
            An API key for {provider.name} is needed. It stays in this browser.{" "}
            <button
              type="button"
              class="button"
              onClick={() => {
                overlay.value = { kind: "settings" };
              }}
            >
              Settings
            </button>
          </p>
        )}
        {!body ? (
          <Waiting answer={snapshot.error ? snapshot : groups} what="figures" />
        ) : (
          <Send body={body} settings={settings} />
        )}
      </div>
    </Dialog>
  );
}

type Turn = { state: "before" | "asking" } | { state: "answered" | "failed"; text: string };

function Send({ body, settings }: { body: string; settings: ReturnType<typeof loadSettings> }): JSX.Element {
  const [turn, setTurn] = useState<Turn>({ state: "before" });
  const provider = PROVIDERS[settings.provider];
  const abort = useRef(new AbortController());
  useEffect(() => () => abort.current.abort(), []);

  const send = async () => {
    setTurn({ state: "asking" });
    try {
      setTurn({ state: "answered", text: await ask(settings, body, abort.current.signal) });
    } catch (cause) {
      if (!abort.current.signal.aborted) setTurn({ state: "failed", text: (cause as Error).message });
    }
  };

  return (
    <>
      <p>
        This, and nothing else, goes from your browser to <b>{provider.url}</b>. It holds figures and shapes: no literal
        values, no headers, no bodies, no error messages.
      </p>
      <details open={turn.state === "before"}>
        <summary>The exact request body</summary>
        <pre class="trace-text" id="exact" tabIndex={0} aria-label="Request body">
          {body}
        </pre>
      </details>
      <div class="strip">
        <button
          type="button"
          class="button primary"
          disabled={!ready(settings) || turn.state === "asking"}
          onClick={() => void send()}
        >
          {turn.state === "asking" ? "Asking…" : `Send to ${provider.name}`}
        </button>
        <Copy label="Copy" text={() => body} />
        <span>Model {settings.model}</span>
        <span class="grow" />
        <button
          type="button"
          class="button quiet"
          onClick={() => {
            overlay.value = { kind: "settings" };
          }}
        >
          Settings
        </button>
      </div>
      <div role="status" id="answer">
        {turn.state === "answered" && <pre class="answer">{turn.text}</pre>}
        {turn.state === "failed" && <p class="bad">{turn.text}</p>}
      </div>
    </>
  );
}
