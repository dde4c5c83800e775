// The voices that are always here: folded, and heard with a press.

import { isAbort } from "/ui/element/calls.js";
import { named } from "/ui/names.js";
import { $, pageLanguage, say, translated } from "/ui/shell.js";
import { spoken } from "/ui/voices/speech.js";
import { TONGUES, WORDS } from "/ui/words.js";

export class Builtin {
  #wrong;
  #voices = [];
  #playing = null;  // {button, abort, audio}

  /** `wrong(error, place)` is told failures. */
  constructor(wrong) {
    this.#wrong = wrong;
    $("builtinLanguage").addEventListener("change", () => this.#draw());
    $("builtin").addEventListener("toggle", () => { if (!$("builtin").open) this.leave(); });
    translated(() => this.#draw());
  }

  show(voices) {
    this.#voices = voices;
    $("builtin").hidden = !voices.length;
    this.#draw();
  }

  leave() {
    const playing = this.#playing;
    this.#playing = null;
    playing?.abort.abort();
    playing?.audio?.pause();
    playing?.button.removeAttribute("aria-busy");
    playing?.button.classList.remove("playing");
  }

  #draw() {
    this.leave();
    const before = $("builtinLanguage").value || pageLanguage();
    $("builtinLanguage").replaceChildren(...Object.keys(TONGUES).map((code) => new Option(named(code), code, false, code === before)));
    const language = $("builtinLanguage").value;
    const able = this.#voices.filter(({ languages }) => !languages.length || languages.includes(language));
    $("builtinTitle").textContent = say("voices.builtin", { n: this.#voices.length });
    $("chips").replaceChildren(...able.map((voice) => this.#chip(voice, language)));
  }

  #chip(voice, language) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "hear" });
    const sign = Object.assign(document.createElement("span"), { className: "sign", ariaHidden: "true" });
    const name = Object.assign(document.createElement("b"), { textContent: voice.name });
    const engine = Object.assign(document.createElement("small"), { textContent: voice.engine });
    button.append(sign, name, engine);
    button.addEventListener("click", () => this.#hear(button, voice, language));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  async #hear(button, voice, language) {
    const again = this.#playing?.button === button;
    this.leave();
    if (again) return;
    const mine = this.#playing = { button, abort: new AbortController(), audio: null };
    button.ariaBusy = "true";
    this.#wrong(null);
    try {
      const blob = await spoken(WORDS[language]["voices.sample"], `${voice.engine}/${voice.id}`, language, mine.abort.signal);
      const address = URL.createObjectURL(blob);
      mine.audio = new Audio(address);
      button.removeAttribute("aria-busy");
      button.classList.add("playing");
      mine.audio.addEventListener("pause", () => URL.revokeObjectURL(address), { once: true });
      mine.audio.addEventListener("ended", () => { if (this.#playing === mine) this.leave(); });
      await mine.audio.play();
    } catch (error) {
      if (this.#playing !== mine) return;
      this.leave();
      if (!isAbort(error)) this.#wrong(error, $("builtin"));
    }
  }
}
