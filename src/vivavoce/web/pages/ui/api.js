// Calls to the server. A failure is always a `CallError` with a stable code and a sentence.

import { CallError, eventsOf, failed as failure, isAbort } from "/ui/element/calls.js";

const KEY = "vivavoce.key";
let askForKey = async () => "";
let asking = null;

export { failure };

/** The key that the user has given, "" before. */
export const storedKey = () => localStorage.getItem(KEY) ?? "";

/** `ask` is called when the server wants a key; it gives a promise of the key. */
export function whenKeyNeeded(ask) {
  askForKey = ask;
}

async function askOnce() {
  asking ??= askForKey().finally(() => { asking = null; });
  return asking;
}

/** `fetch` with the stored key; asks for a key when it is refused. The answer may be a failure. */
export async function send(url, options = {}) {
  const headers = { ...options.headers };
  const key = storedKey();
  if (key) headers["X-API-Key"] = key;
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new CallError("network", error.message);
  }
  if (response.status !== 401) return response;
  const given = await askOnce();
  if (!given) return response;
  localStorage.setItem(KEY, given);
  return send(url, options);
}

export async function getJson(url) {
  const response = await send(url);
  if (!response.ok) throw await failure(response);
  return response.json();
}

export function asJson(body, accept = "application/json") {
  return { method: "POST", headers: { "Content-Type": "application/json", Accept: accept }, body: JSON.stringify(body) };
}

/** The events of a call, as `{name, data}`; throws what the server reports as an error. */
export async function* events(url, body, signal) {
  const response = await send(url, { ...asJson(body, "text/event-stream"), signal });
  if (!response.ok) throw await failure(response);
  yield { name: "open", data: { total: Number(response.headers.get("X-Total-Chunks") ?? 1) } };
  let ended = false;
  for await (const event of eventsOf(response)) {
    if (event.name === "error") throw new CallError(event.data.code ?? "internal", event.data.error);
    ended ||= event.name === "done";
    yield event;
  }
  if (!ended) throw new CallError("network", "The connection broke.");
}
