// A call that takes a while: told with the seconds it takes and how far it is, and cancelled with a button.

import { failure, getJson, send } from "/ui/api.js";
import { eventsOf, isAbort } from "/ui/element/calls.js";
import { dress, say, translated } from "/ui/shell.js";

const BODY = Object.assign(document.createElement("template"), { innerHTML: `
  <div class="row"><p role="status"></p><button type="button" class="button quiet slim" data-t="cancel">Cancel</button></div>
  <progress max="1" data-l="progress"></progress>` });

const LOOK = 700;  // milliseconds between two looks at how far a job is

export class Work {
  #root;
  #words = ["", 0];
  #abort = null;

  constructor(root) {
    this.#root = root;
    root.replaceChildren(BODY.content.cloneNode(true));
    root.hidden = true;
    dress(root);
    root.querySelector("button").addEventListener("click", () => this.cancel());
    translated(() => this.#tell());
  }

  get running() {
    return this.#abort !== null;
  }

  cancel() {
    this.#abort?.abort();
  }

  /** Post a form; the answer's JSON, or null when the user cancelled. `words` is a key with {seconds}; `kind` the job that it becomes. */
  async post(url, form, words, kind = "") {
    const abort = this.#abort = new AbortController();
    const began = performance.now();
    const seconds = () => Math.floor((performance.now() - began) / 1000);
    this.#words = [words, 0];
    this.#root.hidden = false;
    this.#root.querySelector("progress").removeAttribute("value");
    this.#tell();
    const ticking = setInterval(() => {
      this.#words = [words, seconds()];
      this.#tell();
    }, 1000);
    if (kind) this.#watch(kind, abort.signal);
    try {
      const answer = await send(url, { method: "POST", body: form, signal: abort.signal });
      if (!answer.ok) throw await failure(answer);
      return await answer.json();
    } catch (error) {
      if (isAbort(error)) return null;
      throw error;
    } finally {
      clearInterval(ticking);
      abort.abort();
      this.#abort = null;
      this.#root.hidden = true;
    }
  }

  #tell() {
    const [words, seconds] = this.#words;
    this.#root.querySelector("p").textContent = words ? say(words, { seconds: seconds || "" }).trim() : "";
  }

  /** How far the job is, which the call itself does not tell: the first new one of its kind is ours. */
  async #watch(kind, signal) {
    try {
      const listed = async () => (await getJson(`/v1/jobs?kind=${kind}&limit=20`)).jobs;
      const old = new Set((await listed()).map(({ id }) => id));
      let job;
      while (!job && !signal.aborted) {
        await new Promise((passed) => setTimeout(passed, LOOK));  // it begins when all of the file has arrived
        job = (await listed()).findLast(({ id }) => !old.has(id));
      }
      if (signal.aborted) return;
      for await (const { name, data } of eventsOf(await send(job.events_url, { signal }))) {
        if (name === "progress" && data.progress && !signal.aborted) this.#root.querySelector("progress").value = data.progress;
      }
    } catch {  // it is only shown; the call itself tells what is wrong
      return;
    }
  }
}
