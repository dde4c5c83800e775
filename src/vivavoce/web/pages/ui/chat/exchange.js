// One question and its answer on the wire: events that come while the answer is still being written.

import { failure, send } from "/ui/api.js";
import { CallError, eventsOf } from "/ui/element/calls.js";

const LOOK = 250, PATIENCE = 5000;  // milliseconds: the turn that was interrupted may still be ending

/** Ask; yields `{name, data}` of `start`, `heard`, `chunk`, `done`. Throws a `CallError` for what the server reports, and when the line breaks. */
export async function* exchange(fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof File) form.append(name, value, value.name);
    else if (value) form.append(name, value);
  }
  for (const began = performance.now(); ;) {
    try {
      yield* answered(form, signal);
      return;
    } catch (error) {
      if (error.code !== "conflict" || performance.now() - began > PATIENCE) throw error;
    }
    await new Promise((passed) => setTimeout(passed, LOOK));
    signal.throwIfAborted();
  }
}

async function* answered(form, signal) {
  const answer = await send("/v1/chat", { method: "POST", headers: { Accept: "text/event-stream" }, body: form, signal });
  if (!answer.ok) throw await failure(answer);
  let ended = false;
  for await (const { name, data } of eventsOf(answer)) {
    if (name === "error") throw new CallError(data.code ?? "internal", data.message ?? data.error);
    ended ||= name === "done";
    yield { name, data };
  }
  if (!ended) throw new CallError("network", "The connection broke.");
}

/** Chunks that somebody else still writes, to be looped over by who plays them. */
export class Growing {
  #waiting = [];
  #ended = false;
  #wake = () => {};

  push(chunk) {
    this.#waiting.push(chunk);
    this.#wake();
  }

  end() {
    this.#ended = true;
    this.#wake();
  }

  async* [Symbol.asyncIterator]() {
    for (;;) {
      if (this.#waiting.length) yield this.#waiting.shift();
      else if (this.#ended) return;
      else await new Promise((wake) => { this.#wake = wake; });
    }
  }
}
