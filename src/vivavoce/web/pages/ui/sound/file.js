// A recording: cleaned and compared with itself, or written down with the time of every word.

import { failure, send } from "/ui/api.js";
import { copied, save } from "/ui/sound/keep.js";
import { clock, Player } from "/ui/sound/player.js";
import { Take } from "/ui/sound/recorder.js";
import { Work } from "/ui/sound/work.js";
import { $, reveal, say, translated } from "/ui/shell.js";

const QUIET = 60;  // dB; more is nothing that anybody hears

const part = (form, selector) => $(form).closest(".card").querySelector(selector);
const stemOf = (name) => name.replace(/\.\w+$/, "") || "recording";

export class Recording {
  #wrong;
  #take;
  #before = new Player($("cleaned").querySelector(".tracks"));
  #cleaning = new Work(part("cleaning", ".work"));
  #writing = new Work(part("writing", ".work"));
  #cleaned = null;  // the server's answer
  #written = null;
  #languages = () => "";

  /** `wrong(error, place)` is told failures; `named(code)` gives a language's name. */
  constructor(wrong, named) {
    this.#wrong = wrong;
    this.#languages = named;
    this.#take = new Take($("recording"), { wrong: (error) => wrong(error, $("recording")), changed: () => this.#changed() });
    this.#take.player.onTime = (seconds) => this.#follow(seconds);
    $("cleaning").addEventListener("submit", (event) => this.#ask(event, () => this.#clean()));
    $("writing").addEventListener("submit", (event) => this.#ask(event, () => this.#write()));
    $("copyWords").addEventListener("click", () => copied(this.#written.text, $("copyWords")));
    for (const button of $("written").querySelectorAll("[data-save]")) {
      button.addEventListener("click", () => save(this.#written.raw.segments, button.dataset.save, stemOf(this.#take.file.name)));
    }
    $("words").addEventListener("keydown", (event) => this.#step(event));
    translated(() => {
      this.#describe();
      for (const button of $("written").querySelectorAll("[data-save]")) button.ariaLabel = say("mic.save", { kind: button.textContent });
    });
  }

  leave() {
    this.#take.leave();
    this.#before.pause();
  }

  #changed() {
    this.#cleaning.cancel();
    this.#writing.cancel();
    this.#before.unload();
    this.#cleaned = this.#written = null;
    $("cleaned").hidden = $("written").hidden = true;
    this.#ready();
  }

  #ready() {
    $("cleaning").querySelector("button").disabled = !this.#take.file || this.#cleaning.running;
    $("writing").querySelector("button").disabled = !this.#take.file || this.#writing.running;
  }

  async #ask(event, work) {
    event.preventDefault();
    if (!this.#take.file) return;
    const place = event.target.closest(".card");
    this.#wrong(null);
    const doing = work();
    this.#ready();
    try {
      await doing;
    } catch (error) {
      this.#wrong(error, place);
    } finally {
      this.#ready();
    }
  }

  #form() {
    const form = new FormData();
    form.append("file", this.#take.file, this.#take.file.name);
    return form;
  }

  // ---- without noise

  async #clean() {
    $("cleaned").hidden = true;
    const before = this.#take.file;
    const engine = $("cleaner").value;
    const done = await this.#cleaning.post(`/audio/enhance?${new URLSearchParams({ engine })}`, this.#form(), "mic.clean.busy", "enhance");
    if (!done) return;
    const answer = await send(`/files/download/${encodeURIComponent(done.output_filename)}`);
    if (!answer.ok) throw await failure(answer);
    const after = await answer.blob();
    if (this.#take.file !== before) return;
    this.#cleaned = done;
    if ($("download").href) URL.revokeObjectURL($("download").href);
    $("download").href = URL.createObjectURL(after);
    $("download").download = done.output_filename;
    $("cleaned").hidden = false;
    this.#describe();
    const playable = await this.#before.load([{ blob: before, label: "mic.before" }, { blob: after, label: "mic.after" }]);
    if (!playable) await this.#before.load([{ blob: after, label: "mic.after" }]);
    reveal($("cleaned"));
  }

  // ---- as text

  async #write() {
    $("written").hidden = true;
    const language = $("spoken").value;
    const file = this.#take.file;
    const done = await this.#writing.post(`/audio/transcribe?${new URLSearchParams({ language })}`, this.#form(), "mic.write.busy", "transcribe");
    if (!done || this.#take.file !== file) return;
    this.#written = done;
    $("words").lang = done.raw.language;
    $("words").replaceChildren(...done.raw.segments.map((segment) => this.#paragraph(segment)));
    const first = $("words").querySelector("button");
    if (first) first.tabIndex = 0;
    for (const button of $("written").querySelectorAll(".tools button")) button.disabled = !done.text;
    $("written").hidden = false;
    this.#describe();
    reveal($("written"));
  }

  /** The segment's own text, in which every word that has a time can be pressed. */
  #paragraph({ text, words }) {
    const paragraph = document.createElement("p");
    let at = 0;
    for (const { word, start, end } of words) {
      const plain = word.trim();
      const found = plain ? text.indexOf(plain, at) : -1;
      if (found < 0) continue;
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: plain, tabIndex: -1, title: clock(start) });
      Object.assign(button.dataset, { start, end });
      button.addEventListener("click", () => {
        this.#rove(button);
        this.#take.player.play(start);
      });
      paragraph.append(text.slice(at, found), button);
      at = found + plain.length;
    }
    paragraph.append(text.slice(at));
    return paragraph;
  }

  #follow(seconds) {
    for (const button of $("words").querySelectorAll("button")) {
      const now = Number(button.dataset.start) <= seconds && seconds < Number(button.dataset.end) && seconds > 0;
      if (now !== button.hasAttribute("aria-current")) button.toggleAttribute("aria-current", now);
    }
  }

  #step(event) {
    const buttons = [...$("words").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || !buttons[to]) return;
    event.preventDefault();
    this.#rove(buttons[to]);
  }

  /** Only one word is reached with Tab; the arrow keys reach the others. */
  #rove(button) {
    for (const other of $("words").querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }

  // ---- in words

  #describe() {
    if (this.#cleaned) {
      const { snr_before: before, snr_after: after, duration, engine } = this.#cleaned;
      const decibels = (value) => (value >= QUIET ? `> ${QUIET}` : value.toFixed(value < 10 ? 1 : 0));
      $("snr").parentElement.hidden = before === null;  // nobody speaks in it
      if (before !== null) $("snr").textContent = say("mic.snr.both", { before: decibels(before), after: decibels(after) });
      $("length").textContent = say("mic.seconds", { n: duration.toFixed(1) });
      $("method").textContent = say(`mic.cleaner.${engine}`, { engine });
    }
    if (this.#written) {
      const { text, raw, engine } = this.#written;
      const values = { language: this.#languages(raw.language), engine, n: raw.duration.toFixed(1) };
      $("heard").textContent = text ? say("mic.heard", values) : say("mic.silent", values);
    }
  }
}
