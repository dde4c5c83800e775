// One voice of a person: what is known of it, and its clone beside the recording.

import { failure, send } from "/ui/api.js";
import { isAbort } from "/ui/element/calls.js";
import { dayOf, named } from "/ui/names.js";
import { dress, pageLanguage, say } from "/ui/shell.js";
import { Player } from "/ui/sound/player.js";
import { spoken } from "/ui/voices/speech.js";
import { WORDS } from "/ui/words.js";

const BODY = Object.assign(document.createElement("template"), { innerHTML: `
  <li class="card person">
    <div class="about">
      <span class="initial" aria-hidden="true"></span>
      <div class="known"><h3></h3><p class="small facts"></p></div>
      <span class="chip approximate" data-t="voices.approximate" hidden>approximate</span>
    </div>
    <div class="row told"><p class="small consented"></p><button type="button" class="link forget" data-t="voices.forget">Delete</button></div>
    <ul class="warnings"></ul>
    <div class="row acts">
      <button type="button" class="button quiet slim compare" aria-expanded="false" data-t="voices.compare">Listen and compare</button>
      <a class="button quiet slim film" data-t="voices.film">Make a video</a>
    </div>
    <div class="beside" hidden>
      <form class="bar"><textarea rows="1" required maxlength="500" data-l="voices.sentence"></textarea><button class="button" data-t="live.speak">Speak</button></form>
      <div class="pair">
        <div class="side"><div class="row"><h4 data-t="voices.original">The recording</h4><select class="which" data-l="voices.which" hidden></select></div><div class="tracks"></div></div>
        <div class="side"><div class="row"><h4 data-t="voices.clone">The clone</h4><a class="link keep" data-t="mic.download" hidden>Download</a></div>
          <p class="small wait" role="status"></p><div class="tracks" hidden></div></div>
      </div>
      <div class="trouble-place"></div>
    </div>
  </li>` });

/** The server's warnings, by how they begin. */
const WARNINGS = { "Little speech": "voices.warn.short", Noisy: "voices.warn.noisy" };

export class Person {
  root = BODY.content.firstElementChild.cloneNode(true);
  #voice;
  #told;
  #original = null;
  #clone = null;
  #abort = null;
  #untouched = true;
  #state = "";

  /** `voice` is as in the server's list; `told` has `wrong(error, place)` and `forget(person)`. */
  constructor(voice, told) {
    this.#voice = voice;
    this.#told = told;
    this.root.dataset.id = voice.id;
    this.#find(".compare").addEventListener("click", () => this.open(this.#find(".beside").hidden));
    this.#find(".forget").addEventListener("click", () => told.forget(this));
    this.#find(".film").href = `/?${new URLSearchParams({ voice: `clone/${voice.id}` })}`;
    this.#find("textarea").addEventListener("input", () => { this.#untouched = false; });
    this.#find("textarea").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#find("form").requestSubmit();
    });
    this.#find("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#abort) this.#abort.abort();
      else this.#speak();
    });
    this.#find(".which").addEventListener("change", () => this.#recording());
    this.describe();
  }

  get id() {
    return this.#voice.id;
  }

  get name() {
    return this.#voice.name;
  }

  get #language() {
    return this.#voice.clone.language || pageLanguage();
  }

  #find(selector) {
    return this.root.querySelector(selector);
  }

  /** Show the two beside each other, or not. */
  open(is) {
    this.#find(".beside").hidden = !is;
    this.root.classList.toggle("open", is);
    this.#find(".compare").ariaExpanded = String(is);
    if (!is) {
      this.leave();
      return;
    }
    this.#original ??= new Player(this.#find(".side .tracks"));
    if (!this.#original.seconds) this.#recording();
  }

  focus() {
    this.#find(".compare").focus();
  }

  /** Be silent, and ask for nothing more. */
  leave() {
    this.#abort?.abort();
    this.#original?.pause();
    this.#clone?.pause();
  }

  async #recording() {
    try {
      const answer = await send(this.#voice.clone.recordings[Number(this.#find(".which").value) || 0]);
      if (!answer.ok) throw await failure(answer);
      await this.#original.load([{ blob: await answer.blob() }]);
    } catch (error) {
      this.#told.wrong(error, this.#find(".beside"));
    }
  }

  async #speak() {
    this.#told.wrong(null);
    const abort = this.#abort = new AbortController();
    const side = this.#find(".wait").closest(".side");
    this.#tell("voices.busy");
    side.querySelector(".tracks").hidden = this.#find(".keep").hidden = true;
    try {
      const blob = await spoken(this.#find("textarea").value, `clone/${this.#voice.id}`, this.#language, abort.signal);
      this.#clone ??= new Player(side.querySelector(".tracks"));
      side.querySelector(".tracks").hidden = false;
      const keep = this.#find(".keep");
      if (keep.href) URL.revokeObjectURL(keep.href);
      Object.assign(keep, { href: URL.createObjectURL(blob), download: `${this.#voice.name}.wav`, hidden: false });
      await this.#clone.load([{ blob }]);
      this.#tell("");
      this.#clone.play(0);
    } catch (error) {
      this.#tell(this.#clone ? "" : "voices.silent");
      if (!isAbort(error)) this.#told.wrong(error, this.#find(".beside"));
    } finally {
      this.#abort = null;
      this.#button();
    }
  }

  #tell(key) {
    this.#state = key;
    this.#find(".wait").textContent = key ? say(key) : "";
    this.#find(".wait").hidden = !key;
    this.#button();
  }

  #button() {
    this.#find("form .button").dataset.t = this.#abort ? "cancel" : "live.speak";
    this.#find("form .button").textContent = say(this.#find("form .button").dataset.t);
  }

  /** Put all of it into the page's language. */
  describe() {
    const { name, clone } = this.#voice;
    dress(this.root);
    this.#find(".initial").textContent = [...name][0]?.toUpperCase() ?? "";
    this.#find("h3").textContent = name;
    this.#find(".facts").textContent = [named(this.#language), clone.engine, dayOf(clone.created)].join(" · ");
    this.#find(".approximate").hidden = !clone.approximate;
    this.#find(".approximate").title = say("voices.approximate.what");
    const { given, by } = clone.consent ?? {};
    this.#find(".consented").textContent = say(given ? (by ? "voices.consented.by" : "voices.consented") : "voices.unconsented", { by });
    this.#find(".consented").classList.toggle("not", !given);
    this.#find(".warnings").replaceChildren(...(clone.warnings ?? []).map((warning) => Object.assign(document.createElement("li"), { textContent: worded(warning) })));
    this.#find(".compare").ariaLabel = say("voices.compare.of", { name });
    this.#find(".forget").ariaLabel = say("voices.forget.of", { name });
    const which = this.#find(".which");
    const before = which.value;
    which.hidden = clone.recordings.length < 2;
    which.replaceChildren(...clone.recordings.map((_, n) => new Option(say("voices.take", { n: n + 1 }), String(n))));
    which.value = before || "0";
    if (this.#untouched) this.#find("textarea").value = WORDS[this.#language]?.["voices.sample"] ?? "";
    if (this.#state) this.#tell(this.#state);
    else if (!this.#clone) this.#tell("voices.silent");
  }
}

/** A warning in the page's language; one that is not known here stays as the server says it. */
function worded(warning) {
  const [, kind, rest] = /^(Little speech|Noisy): (.*)$/.exec(warning) ?? [];
  return kind ? say(WARNINGS[kind], { n: rest.match(/-?[\d.]+/)?.[0] }) : warning;
}
