// Whether two recordings are of one voice, and voices that are kept by name.

import { Take } from "/ui/sound/recorder.js";
import { Work } from "/ui/sound/work.js";
import { $, reveal, say, translated } from "/ui/shell.js";

const KEPT = "vivavoce.speakers";
/** The server's warnings, by how they begin. */
const WARNINGS = { "Too short": "mic.warn.short", "Too noisy": "mic.warn.noisy", Clipped: "mic.warn.clipped" };

const known = () => JSON.parse(localStorage.getItem(KEPT) ?? "[]");

export class Voices {
  #wrong;
  #reference;
  #probe;
  #enrolling = new Work($("byFile").querySelector(".work"));
  #comparing = new Work($("verifying").querySelector(".work"));
  #result = null;
  #enrolled = null;

  /** `wrong(error, place)` is told failures. */
  constructor(wrong) {
    this.#wrong = wrong;
    const changed = () => this.#changed();
    this.#reference = new Take($("reference"), { wrong: (error) => wrong(error, $("enrolling").closest(".card")), changed: () => { this.#enrolled = null; changed(); } });
    this.#probe = new Take($("probe"), { wrong: (error) => wrong(error, $("verdict")), changed });
    $("against").addEventListener("change", changed);
    $("enrolling").addEventListener("submit", (event) => this.#enrol(event));
    $("verifying").addEventListener("submit", (event) => this.#verify(event));
    this.#offer();
    changed();
    translated(() => this.#describe());
  }

  leave() {
    this.#reference.leave();
    this.#probe.leave();
  }

  get #byName() {
    return $("against").querySelector("input:checked").value === "enrolled";
  }

  #offer() {
    $("speakers").replaceChildren(...known().map((name) => new Option(name)));
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
    $("verify").disabled = !this.#probe.file || !(this.#byName || this.#reference.file) || this.#comparing.running;
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
      this.#enrolled = done.name ?? name;
      localStorage.setItem(KEPT, JSON.stringify([...new Set([this.#enrolled || "default", ...known()])].slice(0, 20)));
      $("speaker").value = this.#enrolled;
      this.#offer();
      this.#describe();
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
    else if ($("speaker").value.trim()) form.append("name", $("speaker").value.trim().toLowerCase());
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

  // ---- in words

  #describe() {
    $("enrolled").textContent = this.#enrolled === null ? "" : say("mic.enrolled", { name: this.#enrolled || "default" });
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
    $("warnings").replaceChildren(...warnings.map((warning) => Object.assign(document.createElement("li"), { textContent: this.#translated(warning) })));
  }

  /** A warning in the page's language; one that is not known here stays as the server says it. */
  #translated(warning) {
    const [, reference, kind, rest] = /^(Reference: )?(Too short|Too noisy|Clipped): (.*)$/.exec(warning) ?? [];
    if (!kind) return warning;
    const words = say(WARNINGS[kind], { n: rest.match(/-?[\d.]+/)?.[0] });
    return reference ? say("mic.warn.reference", { words }) : words;
  }
}
