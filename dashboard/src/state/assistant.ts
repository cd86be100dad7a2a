/**
 * Assistants that can explain a route: where a question goes, in what form, and where the answer stands in the reply.
 * The browser asks the provider itself; nothing of it passes through the agent.
 */

export type ProviderName = "anthropic" | "openai" | "ollama";

export interface Settings {
  provider: ProviderName;
  model: string;
  key: string;
}

export interface Provider {
  name: string;
  /** The Content-Security-Policy of the agent allows these addresses and no other. */
  url: string;
  needsKey: boolean;
  model: string;
  headers: (key: string) => Record<string, string>;
  body: (model: string, system: string, question: string) => unknown;
  /** The answer's text in the reply; undefined when the reply has none. */
  answer: (reply: unknown) => string | undefined;
}

const chat = (model: string, system: string, question: string) => ({
  model,
  stream: false,
  messages: [
    { role: "system", content: system },
    { role: "user", content: question },
  ],
});

export const PROVIDERS: Readonly<Record<ProviderName, Provider>> = {
  // https://docs.anthropic.com/en/api/messages; browsers need the last header.
  anthropic: {
    name: "Anthropic",
    url: "https://api.anthropic.com/v1/messages",
    needsKey: true,
    model: "claude-sonnet-4-5",
    headers: (key) => ({
      "x-api-key": key,
      "anthropic-version": "2023-06-01",
      "anthropic-dangerous-direct-browser-access": "true",
    }),
    body: (model, system, question) => ({
      model,
      max_tokens: 1500,
      system,
      messages: [{ role: "user", content: question }],
    }),
    answer: (reply) =>
      (reply as { content?: { text?: string }[] }).content?.map((part) => part.text ?? "").join("") || undefined,
  },
  // https://platform.openai.com/docs/api-reference/chat
  openai: {
    name: "OpenAI",
    url: "https://api.openai.com/v1/chat/completions",
    needsKey: true,
    model: "gpt-5-mini",
    headers: (key) => ({ authorization: `Bearer ${key}` }),
    body: chat,
    answer: (reply) => (reply as { choices?: { message?: { content?: string } }[] }).choices?.[0]?.message?.content,
  },
  // https://github.com/ollama/ollama/blob/main/docs/api.md
  ollama: {
    name: "Ollama on this computer",
    url: "http://localhost:11434/api/chat",
    needsKey: false,
    model: "llama3.1",
    headers: () => ({}),
    body: chat,
    answer: (reply) => (reply as { message?: { content?: string } }).message?.content,
  },
};

const STORAGE = "apm-agent.assistant";
const DEFAULT: Settings = { provider: "anthropic", model: PROVIDERS.anthropic.model, key: "" };

/** Reads the settings of this browser; what does not parse takes its default. */
export function loadSettings(storage: Pick<Storage, "getItem"> = localStorage): Settings {
  try {
    const held = JSON.parse(storage.getItem(STORAGE) ?? "{}") as Partial<Settings>;
    const provider = held.provider && Object.hasOwn(PROVIDERS, held.provider) ? held.provider : DEFAULT.provider;
    return { provider, model: held.model || PROVIDERS[provider].model, key: held.key ?? "" };
  } catch {
    return DEFAULT;
  }
}

/** Keeps the settings in this browser and nowhere else. */
export function saveSettings(settings: Settings, storage: Pick<Storage, "setItem"> = localStorage): void {
  storage.setItem(STORAGE, JSON.stringify(settings));
}

/** True when a question can be sent. */
export const ready = (settings: Settings): boolean => !PROVIDERS[settings.provider].needsKey || settings.key !== "";

/** Sends `body`, exactly as it was shown. Errors say what the provider said. */
export async function ask(settings: Settings, body: string, signal: AbortSignal): Promise<string> {
  const provider = PROVIDERS[settings.provider];
  let response: Response;
  try {
    response = await fetch(provider.url, {
      method: "POST",
      body,
      signal,
      headers: { "content-type": "application/json", ...provider.headers(settings.key) },
      referrerPolicy: "no-referrer",
      credentials: "omit",
    });
  } catch (cause) {
    if (signal.aborted) throw cause;
    const hint = settings.provider === "ollama" ? ` Is it running, with OLLAMA_ORIGINS=${location.origin} set?` : "";
    throw new Error(`${provider.name} could not be reached.${hint}`);
  }
  const reply: unknown = await response.json().catch(() => ({}));
  if (!response.ok) {
    const said = (reply as { error?: string | { message?: string } }).error;
    throw new Error(
      `${provider.name} answered ${response.status}: ${typeof said === "string" ? said : (said?.message ?? "no reason given")}`,
    );
  }
  const text = provider.answer(reply);
  if (text === undefined) throw new Error(`${provider.name} sent no text.`);
  return text;
}
