// Calls to the server: errors in its own words, event streams, and jobs that are followed over a broken connection.

const PATIENCE = [500, 1000, 2000, 4000, 8000];  // milliseconds before each new attempt

/** A failed call: a stable `code`, the HTTP `status` (0 when there was no answer), and a sentence. */
export class CallError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.name = "CallError";
    this.code = code;
    this.status = status;
  }
}

export const isAbort = (error) => error?.name === "AbortError";

/** `fetch`, whose failures are `CallError`s. */
export async function call(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted || isAbort(error)) throw error;
    throw new CallError("network", "The server cannot be reached.");
  }
  if (!response.ok) throw await failed(response);
  return response;
}

/** The error that a failed answer is. */
export async function failed(response) {
  const body = await response.json().catch(() => ({}));
  const told = body.error?.message ? body.error : body;  // OpenAI's wire format wraps it
  const words = told.error ?? told.detail ?? told.message ?? response.statusText;
  return new CallError(response.headers.get("X-Error-Code") ?? told.code ?? "internal", String(words), response.status);
}

/** The pieces of a body; leaving the loop cancels the rest. Safari cannot iterate over a stream by itself. */
export async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new CallError("network", "The connection broke.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The events of an answer as `{name, id, data}`. */
export async function* eventsOf(response) {
  let held = "";
  for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    held = (held + text).replaceAll("\r\n", "\n");
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const event of whole.map(parsed)) if (event.data !== null) yield event;
  }
}

function parsed(text) {
  const event = { name: "message", id: "", data: null };
  for (const line of text.split("\n")) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value;
    if (field === "id") event.id = value;
    if (field === "data") event.data = JSON.parse(value);
  }
  return event;
}

const keyed = (key) => (key ? { "X-API-Key": key } : {});

/** Have a text spoken: yields `{total}`, then `{chunk}` for each piece as it is ready. */
export async function* spoken(server, key, ask, signal) {
  const response = await call(new URL("/api/stream_chunks", server), {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...keyed(key) },
    body: JSON.stringify(ask),
    signal,
  });
  yield { total: Number(response.headers.get("X-Total-Chunks") ?? 0) };
  let done = false;
  for await (const { name, data } of eventsOf(response)) {
    if (name === "error") throw new CallError(data.code ?? "internal", data.error);
    if (name === "chunk") yield { chunk: data };
    done ||= name === "done";
  }
  if (!done) throw new CallError("network", "The connection broke.");
}

/** Follow a job: yields `{chunk}` and `{made}` (0–1); what broke is taken up again where it was. */
export async function* followed(server, key, id, signal) {
  let last = "";
  let seen = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const resume = last ? { "Last-Event-ID": last } : {};
      const response = await call(new URL(`/v1/jobs/${id}/events`, server), {
        headers: { Accept: "text/event-stream", ...keyed(key), ...resume },
        signal,
      });
      for await (const event of eventsOf(response)) {
        last = event.id || last;
        attempt = 0;
        const { chunks, ended } = told(event, seen);
        for (const chunk of chunks) {
          const index = Math.min(chunk.index ?? seen, seen);  // a job that was begun again tells its first chunks again
          seen = Math.max(seen, index + 1);
          yield { chunk, index };
        }
        if (ended) return;
        const made = event.data.progress ?? event.data.fraction;
        if (typeof made === "number") yield { made };
      }
      throw new CallError("network", "The connection broke.");
    } catch (error) {
      if (error.code !== "network" || attempt >= PATIENCE.length) throw error;
      await passed(PATIENCE[attempt], signal);
    }
  }
}

/** What an event of a job brings: the chunks to play, and whether it was the last one. */
function told({ name, data }, seen) {
  if (name === "chunk" || name === "sound") return { chunks: [data], ended: false };
  const state = data.state ?? name;
  if (state === "failed" || name === "error") {
    const error = data.error ?? {};
    throw new CallError(error.code ?? data.code ?? "internal", error.message ?? String(data.error ?? "The job failed."));
  }
  if (state === "cancelled") throw new CallError("cancelled", "The job was cancelled.");
  if (state !== "succeeded" && state !== "done") return { chunks: [], ended: false };
  const result = data.result ?? data;
  const film = result.video_url ? [{ index: 0, text: "", ...result }] : [];
  return { chunks: seen ? [] : (result.chunks ?? film), ended: true };
}

function passed(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", leave); resolve(); }, milliseconds);
    signal.addEventListener("abort", leave, { once: true });
  });
}

/** The chunks of one utterance: taken as they come, kept, and read by whoever plays them, more than once if need be. */
export class Feed {
  chunks = [];
  total = 0;
  made = 0;
  #source;
  #ended = false;
  #error = null;
  #wake = resolvers();

  constructor(source) {
    this.#source = source;
  }

  /** Start to take what comes; resolves at its end, whatever the end is. A second call changes nothing. */
  async begin() {
    const source = this.#source;
    if (!source) return;
    this.#source = null;
    try {
      for await (const { chunk, index, total, made } of source) {
        if (chunk) this.chunks[index ?? this.chunks.length] = chunk;
        this.total = Math.max(this.total, total ?? 0, this.chunks.length);
        this.made = made ?? this.made;
        this.#stir();
      }
    } catch (error) {
      this.#error ??= error;
    }
    this.#ended = true;
    this.#stir();
  }

  /** Whoever waits for a chunk waits no longer. */
  leave(reason) {
    this.#error ??= reason;
    this.#stir();
  }

  #stir() {
    this.#wake.resolve();
    this.#wake = resolvers();
  }

  /** The chunk with this number when it is there; undefined behind the last. Raises what ended the source. */
  async at(number) {
    while (number >= this.chunks.length) {
      if (this.#error) throw this.#error;
      if (this.#ended) return undefined;
      await this.#wake.promise;
    }
    return this.chunks[number];
  }
}

function resolvers() {
  const held = {};
  held.promise = new Promise((resolve, reject) => Object.assign(held, { resolve, reject }));
  return held;
}
