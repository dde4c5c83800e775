// Whether two recordings are of one voice, and voices that are kept by name.

import { failure, getJson, send } from "/ui/api.js";
import { Take } from "/ui/sound/recorder.js";
import { Work } from "/ui/sound/work.js";
import { $, reveal, say, translated } from "/ui/shell.js";

/** The server's warnings, by how they begin. */
const WARNINGS = { "Too short": "mic.warn.short", "Too noisy": "mic.warn.noisy", Clipped: "mic.warn.clipped" };

export class Voices {
  #wrong;
  #reference;
  #probe;
  #enrolling = new Work($("byFile").querySelector(".work"));
  #comparing = new Work($("verifying").querySelector(".work"));
  #known = [];  // who is enrolled, as the server says
  #result = null;
  #enrolled = null;  // the server's answer

  /** `wrong(error, place)` is told failures. */
  constructor(wrong) {
    this.#wrong = wrong;
    const changed = () => this.#changed();
    this.#reference = new Take($("reference"), { wrong: (error) => wrong(error, $("enrolling").closest(".card")), changed: () => { this.#enrolled = null; changed(); } });
    this.#probe = new Take($("probe"), { wrong: (error) => wrong(error, $("verdict")), changed });
    $("against").addEventListener("change", changed);
    $("enrolling").addEventListener("submit", (event) => this.#enrol(event));
    $("verifying").addEventListener("submit", (event) => this.#verify(event));
    $("forget").addEventListener("click", () => {
      $("sureTitle").textContent = say("mic.forget.title", { name: $("speaker").value });
      $("sure").returnValue = "no";
      $("sure").showModal();
    });
    $("sure").addEventListener("close", () => { if ($("sure").returnValue === "yes") this.#forget($("speaker").value); });
    changed();
    translated(() => this.#describe());
  }

  /** Fetch who is enrolled. */
  async refresh() {
    this.#known = (await getJson("/speaker/speakers")).speakers;
    this.#offer();
    this.#ready();
  }

  leave() {
    this.#reference.leave();
    this.#probe.leave();
  }

  get #byName() {
    return $("against").querySelector("input:checked").value === "enrolled";
  }

  #offer() {
    const before = $("speaker").value;
    $("speaker").replaceChildren(...this.#known.map(({ name, recordings }) => new Option(say("mic.speaker.has", { name, n: recordings.length }), name)));
    if (this.#known.some(({ name }) => name === before)) $("speaker").value = before;
    $("nobody").hidden = this.#known.length > 0;
    $("byName").querySelector(".ask").hidden = !this.#known.length;
  }

  #changed() {
    this.#comparing.cancel();
    this.#result = null;
    $("verdict").hidden = true;
    $("byFile").hidden = this.#byName;
    $("byName").hidden = !this.#byName;
    this.#ready();
    this.#describe();
  }

  #ready() {
    $("enrolling").querySelector("button").disabled = !this.#reference.file || this.#enrolling.running;
    $("verify").disabled = !this.#probe.file || !(this.#byName ? this.#known.length : this.#reference.file) || this.#comparing.running;
  }

  async #enrol(event) {
    event.preventDefault();
    const form = new FormData();
    form.append("file", this.#reference.file, this.#reference.file.name);
    const name = $("enrolName").value.trim().toLowerCase();
    if (name) form.append("name", name);
    this.#wrong(null);
    const enrolling = this.#enrolling.post("/speaker/enroll", form, "mic.enrol.busy", "embed");
    this.#ready();
    try {
      const done = await enrolling;
      if (!done) return;
      this.#enrolled = done;
      this.#describe();
      await this.refresh();
      $("speaker").value = done.speaker;
    } catch (error) {
      this.#wrong(error, $("enrolling").closest(".card"));
    } finally {
      this.#ready();
    }
  }

  async #verify(event) {
    event.preventDefault();
    const form = new FormData();
    form.append("probe", this.#probe.file, this.#probe.file.name);
    if (!this.#byName) form.append("reference", this.#reference.file, this.#reference.file.name);
    else form.append("speaker", $("speaker").value);
    this.#wrong(null);
    $("verdict").hidden = true;
    const comparing = this.#comparing.post("/speaker/verify", form, "mic.verify.busy");
    this.#ready();
    try {
      const done = await comparing;
      if (!done) return;
      this.#result = done;
      $("verdict").hidden = false;
      this.#describe();
      reveal($("verdict"));
      $("verdict").focus({ preventScroll: true });
    } catch (error) {
      this.#wrong(error, $("verdict"));
    } finally {
      this.#ready();
    }
  }

  async #forget(name) {
    this.#wrong(null);
    try {
      const answer = await send(`/speaker/speakers/${encodeURIComponent(name)}`, { method: "DELETE" });
      if (!answer.ok) throw await failure(answer);
      if (this.#enrolled?.speaker === name) this.#enrolled = null;
      await this.refresh();
      this.#changed();
      $("against").querySelector("input:checked").focus();
    } catch (error) {
      this.#wrong(error, $("forget").closest(".card"));
    }
  }

  // ---- in words

  #describe() {
    this.#offer();
    $("enrolled").textContent = this.#enrolled ? say("mic.enrolled", { name: this.#enrolled.speaker, n: this.#enrolled.recordings }) : "";
    this.#warn($("enrolWarnings"), this.#enrolled?.warnings ?? []);
    if (!this.#result) return;
    const { score, decision, threshold, warnings = [] } = this.#result;
    const values = { score: score.toFixed(2), threshold: threshold.toFixed(2) };
    $("decision").textContent = say(decision ? "mic.same" : "mic.different");
    $("verdict").classList.toggle("yes", decision);
    $("scoreWords").textContent = say("mic.score", values);
    $("scale").ariaLabel = say("mic.score", values);
    $("scale").querySelector("b").textContent = values.score;
    $("scale").style.setProperty("--score", Math.max(0, Math.min(1, score)));
    $("scale").style.setProperty("--threshold", threshold);
    this.#warn($("warnings"), warnings);
  }

  #warn(list, warnings) {
    list.replaceChildren(...warnings.map((warning) => Object.assign(document.createElement("li"), { textContent: this.#translated(warning) })));
  }

  /** A warning in the page's language; one that is not known here stays as the server says it. */
  #translated(warning) {
    const [, reference, kind, rest] = /^(Reference: )?(Too short|Too noisy|Clipped): (.*)$/.exec(warning) ?? [];
    if (!kind) return warning;
    const words = say(WARNINGS[kind], { n: rest.match(/-?[\d.]+/)?.[0] });
    return reference ? say("mic.warn.reference", { words }) : words;
  }
}
