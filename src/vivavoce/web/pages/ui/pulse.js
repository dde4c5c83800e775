// Looking again and again at what changes: only while the page is seen, and less often while the server is away.

const PATIENCE = 8000;  // milliseconds for one look
const WAITS = [1000, 2000, 4000, 8000, 15000];  // milliseconds after each failure in a row

export class Pulse {
  #look;
  #every;
  #heard;
  #timer = 0;
  #abort = null;
  #failures = 0;

  /** `look(signal)` is one look; `every()` says how many milliseconds lie between two.
   *
   * `heard(error, wait)` is told what came of each: null, or the failure and the milliseconds until the next look; these are
   * Infinity where only the user can help.
   */
  constructor(look, every, heard) {
    this.#look = look;
    this.#every = every;
    this.#heard = heard;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.now()));
    if (!document.hidden) this.#round();
  }

  /** Look at once; what is under way is given up. */
  now() {
    this.#rest();
    if (!document.hidden) return this.#round();
    return Promise.resolve();
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #round() {
    const abort = this.#abort = new AbortController();
    const began = performance.now();
    let error = null;
    try {
      await this.#look(AbortSignal.any([abort.signal, AbortSignal.timeout(PATIENCE)]));
    } catch (failure) {
      error = failure;
    }
    if (abort.signal.aborted) return;
    this.#failures = error ? this.#failures + 1 : 0;
    const wait = error ? this.#pause(error) : Math.max(100, this.#every() - (performance.now() - began));
    if (wait < Infinity) this.#timer = setTimeout(() => this.#round(), wait);
    this.#heard(error, wait);
  }

  #pause(error) {
    return error.code === "unauthorized" ? Infinity : WAITS[Math.min(this.#failures, WAITS.length) - 1];
  }
}
