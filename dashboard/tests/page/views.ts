/** Every view of the page: its name, its address, and what is there when it is drawn. */

export const views = (service: string): readonly (readonly [name: string, query: string, ready: string])[] => [
  ["overview", "", "#queries tbody tr"],
  ["overview-folder", `service=${service}&folder=api&q=get`, "#folder .bad"],
  ["requests", "view=requests&kind=slow", "#requests tbody tr"],
  ["route", `view=route&method=POST&route=/checkout&service=${service}`, "#calls tbody tr"],
  ["request", `view=route&method=POST&route=/checkout&service=${service}&request=CHECKOUT`, "#request .wf.call"],
  ["request-n-plus-one", "view=requests&request=ORDERS", "#request .finding"],
  ["errors", "view=errors&error=FIRST", "#errors .trace-text"],
  ["queries", "view=queries", "#n_plus_one tbody tr"],
  ["outgoing", "view=outgoing", "#edges tbody tr"],
  ["map", "view=map", "#map svg"],
  ["agent", "view=agent", "#processes tbody tr"],
];

/** Those of the made-up shop. */
export const VIEWS = views("shop-api");

/** Puts the id of a real request or error in the place of a name. */
export async function named(base: string, query: string): Promise<string> {
  const json = async <T>(path: string) => (await (await fetch(base + path)).json()) as T;
  const slowest = async (route: string) =>
    (await json<{ requests: { request_id: string }[] }>(`/api/requests?w=300&sort=slow&limit=1&route=${route}`))
      .requests[0]?.request_id ?? "";
  if (query.includes("CHECKOUT")) return query.replace("CHECKOUT", await slowest("/checkout"));
  if (query.includes("ORDERS")) return query.replace("ORDERS", await slowest("/orders"));
  if (query.includes("FIRST"))
    return query.replace(
      "FIRST",
      (await json<{ groups: { fingerprint: string }[] }>("/api/error_groups?w=300")).groups[0]?.fingerprint ?? "",
    );
  return query;
}
