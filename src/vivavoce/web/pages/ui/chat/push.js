// Push to talk: a short press begins and the next one sends, a long one is as long as the speech.

import { CallError, isAbort } from "/ui/element/calls.js";
import { Capture } from "/ui/sound/capture.js";
import { clock } from "/ui/sound/player.js";
import { wav } from "/ui/sound/recorder.js";
import { Scope } from "/ui/sound/waves.js";
import { $ } from "/ui/shell.js";

const HELD = 500;  // milliseconds: whoever presses longer wants to be heard only as long
const SHORTEST = 0.4, LONGEST = 60;  // seconds

export class Push {
  #scope = new Scope($("scope"));
  #state = "idle";
  #asking = null;
  #capture = null;
  #blocks = [];
  #seconds = 0;
  #pressed = null;
  #told;

  /** `told` has `state(idle | asking | listening)`, `spoken(file)`, `short()` and `wrong(error)`. */
  constructor(told) {
    this.#told = told;
    const talk = $("talk");
    talk.addEventListener("pointerdown", (event) => { if (event.button === 0 && !talk.disabled) this.#press(); });
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => this.#release());
    talk.addEventListener("contextmenu", (event) => event.preventDefault());  // what a long press means elsewhere
    talk.addEventListener("keydown", (event) => {
      if (event.repeat || ![" ", "Enter"].includes(event.key)) return;
      event.preventDefault();
      this.#press();
    });
    talk.addEventListener("keyup", (event) => {
      if (event.key === " ") event.preventDefault();
      this.#release();
    });
    talk.addEventListener("click", ({ detail }) => { if (detail === 0) this.toggle(); });  // a screen reader's
    $("discard").addEventListener("click", () => {
      this.discard();
      talk.focus();
    });
  }

  get state() {
    return this.#state;
  }

  toggle() {
    if (this.#state === "idle") this.#begin();
    else this.#end();
  }

  /** Stop, and send nothing. */
  async discard() {
    this.#asking?.abort();
    const capture = this.#capture;
    if (!capture) return;
    this.#capture = null;
    this.#become("idle");
    await capture.close();
  }

  async #begin() {
    this.#blocks = [];
    this.#seconds = 0;
    this.#scope.clear();
    this.#become("asking");
    const asking = this.#asking = new AbortController();
    try {
      this.#capture = await Capture.open({
        speech: true,
        signal: asking.signal,
        onBlock: (block) => this.#add(block),
        onLost: () => this.#end(),
      });
      this.#become("listening");
    } catch (error) {
      this.#become("idle");
      if (!isAbort(error)) this.#told.wrong(error.code ? error : new CallError("mic-busy", error.message));
    } finally {
      this.#asking = null;
    }
  }

  async #end() {
    if (this.#asking) return this.#asking.abort();
    const capture = this.#capture;
    if (!capture) return;
    this.#capture = null;
    await capture.close();
    this.#become("idle");
    const seconds = this.#blocks.reduce((sum, block) => sum + block.length, 0) / capture.rate;
    if (seconds < SHORTEST) this.#told.short();
    else this.#told.spoken(new File([wav(this.#blocks, capture.rate)], "question.wav", { type: "audio/wav" }));
    this.#blocks = [];
  }

  #add(block) {
    this.#blocks.push(block);
    const level = this.#scope.push(block);
    if (!this.#capture) return;
    $("form").style.setProperty("--level", level.toFixed(2));
    this.#seconds += block.length / this.#capture.rate;
    $("clock").textContent = clock(this.#seconds);
    if (this.#seconds >= LONGEST) this.#end();
  }

  #become(state) {
    this.#state = state;
    $("form").dataset.state = state;
    $("form").style.setProperty("--level", "0");
    $("clock").textContent = clock(0);
    this.#told.state(state);
  }

  #press() {
    this.#pressed = this.#state === "idle" ? performance.now() : null;
    this.toggle();
  }

  #release() {
    const held = this.#pressed !== null && performance.now() - this.#pressed > HELD;
    this.#pressed = null;
    if (held && this.#state === "listening") this.#end();  // while the browser asks, the button cannot be held
  }
}
