/** Which assistant explains routes, with which key. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { loadSettings, PROVIDERS, saveSettings, type ProviderName } from "../../state/assistant";
import { overlay } from "../../state/overlay";
import { Dialog } from "../../ui/Dialog";

const NAMES = Object.keys(PROVIDERS) as ProviderName[];

export function SettingsDialog(): JSX.Element {
  const [settings, setSettings] = useState(() => loadSettings());
  const provider = PROVIDERS[settings.provider];
  const close = () => {
    overlay.value = null;
  };
  const save = (event: Event) => {
    event.preventDefault();
    saveSettings({ ...settings, model: settings.model || provider.model });
    close();
  };
  const choose = (name: ProviderName) =>
    setSettings({ provider: name, model: PROVIDERS[name].model, key: name === settings.provider ? settings.key : "" });

  return (
    <Dialog title="Settings" close={close}>
      <form class="dialog-body form" onSubmit={save}>
        <p>
          “Analyze” asks an assistant about a route or a folder. The question goes from your browser straight to the
          provider, never through the agent, and you see it before it is sent.
        </p>
        <label>
          Provider
          <select
            class="field"
            value={settings.provider}
            onChange={(event) => choose(event.currentTarget.value as ProviderName)}
          >
            {NAMES.map((name) => (
              <option key={name} value={name}>
                {PROVIDERS[name].name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Model
          <input
            class="field"
            value={settings.model}
            placeholder={provider.model}
            onInput={(event) => setSettings({ ...settings, model: event.currentTarget.value })}
          />
        </label>
        {provider.needsKey && (
          <label>
            API key
            <input
              class="field"
              type="password"
              autocomplete="off"
              spellcheck={false}
              value={settings.key}
              onInput={(event) => setSettings({ ...settings, key: event.currentTarget.value })}
            />
            <span class="muted small">Kept in this browser's localStorage only.</span>
          </label>
        )}
        <p class="muted small">Questions go to {provider.url}</p>
        <div class="strip">
          <button type="submit" class="button primary">
            Save
          </button>
          <button
            type="button"
            class="button"
            onClick={() => {
              saveSettings({ ...settings, key: "" });
              setSettings({ ...settings, key: "" });
            }}
          >
            Forget the key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
