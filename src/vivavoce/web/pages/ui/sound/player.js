// Plays one recording, or several of the same length between which one switches without losing the place.

import { drawOutline, outline } from "/ui/sound/waves.js";
import { dress, say, translated } from "/ui/shell.js";

const BODY = Object.assign(document.createElement("template"), { innerHTML: `
  <fieldset class="switch" data-l="mic.which" hidden></fieldset>
  <div class="player">
    <button type="button" class="play"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="go" d="M8 5.2v13.6L19 12z"/><path class="halt" d="M7 5h3.6v14H7zM13.4 5H17v14h-3.6z"/></svg></button>
    <div class="lane" role="slider" tabindex="0" aria-valuemin="0" data-l="mic.position"></div>
    <time></time>
  </div>` });

const DRAWN_BYTES = 80_000_000;  // a larger file is played, and not drawn: it would have to be decoded in memory
const STEP = 5;  // seconds for an arrow key

let sounding = null;

/** 0:07, or 1:02:07. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export class Player {
  /** Called with the seconds played, while it plays and when the place changes. */
  onTime = () => {};
  #root;
  #tracks = [];
  #active = 0;
  #drawing = 0;
  #until = Infinity;

  constructor(root) {
    this.#root = root;
    root.replaceChildren(BODY.content.cloneNode(true));
    dress(root);
    this.#find(".play").addEventListener("click", () => this.toggle());
    const lane = this.#find(".lane");
    lane.addEventListener("keydown", (event) => this.#key(event));
    lane.addEventListener("pointerdown", (event) => this.#grab(event));
    lane.addEventListener("pointermove", (event) => { if (lane.hasPointerCapture(event.pointerId)) this.seek(this.#secondsAt(event)); });
    new ResizeObserver(() => this.#show()).observe(lane);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#show());
    translated(() => this.#name());
  }

  /** Take up recordings, `[{blob, label}]`, `label` being a key of the words. False when the browser cannot play them. */
  async load(recordings) {
    this.unload();
    this.#tracks = recordings.map(({ blob, label }) => {
      const audio = new Audio(URL.createObjectURL(blob));
      audio.addEventListener("ended", () => this.#show());
      for (const kind of ["play", "pause"]) audio.addEventListener(kind, () => this.#turn());
      return { blob, label, audio, peaks: new Float32Array(), canvas: document.createElement("canvas") };
    });
    this.#find(".lane").replaceChildren(...this.#tracks.map(({ canvas }) => canvas));
    this.#offer();
    this.choose(this.#tracks.length - 1);
    const tracks = this.#tracks;
    const known = await Promise.all(tracks.map((track) => this.#measure(track)));
    if (tracks === this.#tracks) this.#show();
    return known.every(Boolean);
  }

  unload() {
    this.pause();
    for (const { audio } of this.#tracks) URL.revokeObjectURL(audio.src);
    this.#tracks = [];
    this.#active = 0;
  }

  get seconds() {
    const [track] = this.#tracks;
    return track?.seconds ?? (Number.isFinite(track?.audio.duration) ? track.audio.duration : 0);
  }

  get #audio() {
    return this.#tracks[this.#active]?.audio;
  }

  /** Go over to another recording, at the same place. */
  choose(index) {
    const before = this.#audio;
    const goesOn = before && !before.paused;
    this.#active = index;
    const audio = this.#audio;
    if (before && audio !== before) {
      audio.currentTime = before.currentTime;
      if (goesOn) audio.play().catch(() => {});
      before.pause();
    }
    this.#tracks.forEach(({ canvas }, n) => canvas.classList.toggle("off", n !== index));
    const radio = this.#root.querySelectorAll(".switch input")[index];
    if (radio) radio.checked = true;
    this.#show();
  }

  toggle() {
    if (this.#audio?.paused) this.play();
    else this.pause();
  }

  /** Play from here, or from `from` seconds; no farther than `until`. */
  play(from = null, until = Infinity) {
    if (!this.#audio) return;
    if (sounding !== this) sounding?.pause();
    sounding = this;
    this.#until = until;
    if (from !== null) this.seek(from);
    this.#audio.play().catch(() => {});
    this.#tick();
  }

  pause() {
    this.#audio?.pause();
  }

  seek(seconds) {
    if (!this.#audio) return;
    this.#audio.currentTime = Math.max(0, Math.min(seconds, this.seconds));
    this.#show();
  }

  // ---- what is seen

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  /** The peaks of a track; whether the browser can play it. */
  async #measure(track) {
    const playable = new Promise((done) => {
      track.audio.addEventListener("loadedmetadata", () => done(true), { once: true });
      track.audio.addEventListener("error", () => done(false), { once: true });
    });
    if (track.blob.size <= DRAWN_BYTES) {
      await outline(track.blob).then((drawn) => Object.assign(track, drawn), () => {});
    }
    return playable;
  }

  #offer() {
    const box = this.#find(".switch");
    const group = crypto.getRandomValues(new Uint32Array(1)).join("");
    box.hidden = this.#tracks.length < 2;
    box.replaceChildren(...this.#tracks.map(({ label }, index) => {
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: `track-${group}`, value: String(index) });
      radio.addEventListener("change", () => this.choose(index));
      const words = document.createElement("span");
      words.dataset.t = label ?? "";
      const choice = document.createElement("label");
      choice.append(radio, words);
      return choice;
    }));
    dress(box);
  }

  #turn() {
    this.#name();
    this.#tick();
  }

  #name() {
    const playing = this.#audio ? !this.#audio.paused : false;
    this.#root.classList.toggle("playing", playing);
    this.#find(".play").ariaLabel = say(playing ? "mic.pause" : "mic.play");
  }

  #tick() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      if (!this.#audio) return;
      if (this.#audio.currentTime >= this.#until) {
        this.#until = Infinity;
        this.pause();
      }
      this.#show();
      if (!this.#audio.paused) this.#tick();
    });
  }

  #show() {
    const at = this.#audio?.currentTime ?? 0;
    const played = this.seconds ? at / this.seconds : 0;
    for (const { canvas, peaks } of this.#tracks) drawOutline(canvas, peaks, played);
    this.#find("time").textContent = `${clock(at)} / ${clock(this.seconds)}`;
    const lane = this.#find(".lane");
    lane.ariaValueMax = this.seconds.toFixed(1);
    lane.ariaValueNow = at.toFixed(1);
    lane.ariaValueText = `${clock(at)} / ${clock(this.seconds)}`;
    this.onTime(at);
  }

  // ---- what a person does

  #secondsAt({ clientX }) {
    const { left, width } = this.#find(".lane").getBoundingClientRect();
    return ((clientX - left) / width) * this.seconds;
  }

  #grab(event) {
    const row = this.#tracks.findIndex(({ canvas }) => canvas === event.target);
    if (row >= 0 && row !== this.#active) this.choose(row);
    this.#find(".lane").setPointerCapture(event.pointerId);
    this.#until = Infinity;
    this.seek(this.#secondsAt(event));
  }

  #key(event) {
    const at = this.#audio?.currentTime ?? 0;
    const to = { ArrowLeft: at - STEP, ArrowDown: at - STEP, ArrowRight: at + STEP, ArrowUp: at + STEP, Home: 0, End: this.seconds }[event.key];
    if (event.key === " ") this.toggle();
    else if (to !== undefined) this.seek(to);
    else return;
    event.preventDefault();
  }
}
