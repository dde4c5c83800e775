// What is seen: the picture, the avatar that listens, two films of which one is in front, captions, and the buttons.

import { SHEET, button, make, picture, shapeOf, wordsFor } from "./look.js";
import { clear } from "./stream.js";

const FADE = 200;  // milliseconds

export class Stage {
  #host;
  #internals;
  #shape = new CSSStyleSheet();
  #frame = make("div", "frame", { part: "frame" });
  #poster = make("img", "layer poster", { alt: "", hidden: true, part: "poster" });
  #idle = make("video", "layer idle", { muted: true, loop: true, autoplay: true, playsInline: true, ariaHidden: "true", tabIndex: -1, disableRemotePlayback: true });
  #captions = make("div", "captions", { part: "captions" });
  #thinking = make("div", "bars", { hidden: true });
  #trouble = make("div", "trouble", { part: "trouble", role: "alert", hidden: true });
  #status = make("div", "unseen", { role: "status" });
  #tools = make("div", "tools", { hidden: true });
  #play;
  #stop;
  #mute;
  #asked = null;
  #line = null;
  #film = "";
  #state = "idle";
  films = [0, 1].map(() => make("video", "layer film", { playsInline: true, preload: "auto", tabIndex: -1, part: "film" }));

  constructor(host, { stop }) {
    this.#host = host;
    this.#internals = host.attachInternals();
    this.#internals.role = "group";
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(SHEET);
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet, this.#shape];
    this.#play = button("play", "play", () => this.answer());
    this.#stop = button("stop", "stop", stop);
    this.#mute = button("mute", "sound", () => { host.muted = !host.muted; });
    this.#play.hidden = true;
    this.#thinking.append(make("i", ""), make("i", ""), make("i", ""));
    this.#tools.append(this.#stop, this.#mute);
    const over = make("div", "over");
    over.append(this.#thinking, this.#captions, this.#trouble, this.#play, this.#tools, this.#status);
    this.#frame.append(this.#poster, this.#idle, ...this.films, over);
    root.append(this.#frame);
    host.addEventListener("keydown", (event) => { if (event.key === "Escape" && this.#state !== "idle") stop(); });
    for (const film of this.films) film.addEventListener("volumechange", () => { if (film.controls) host.muted = film.muted; });
  }

  enter() {
    this.arrange();
    this.name(this.#host.getAttribute("avatar"));
  }

  /** Nothing is held any more. */
  leave() {
    this.silence();
    this.listen(null);
    for (const film of this.films) this.#hide(film);
    this.#poster.removeAttribute("src");
  }

  /** Whether less motion is wished for. */
  get calm() {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /** Take over what the attributes say about the look. */
  arrange() {
    const words = wordsFor(this.#host);
    const shape = shapeOf(this.#host.getAttribute("resolution"));
    this.#shape.replaceSync(shape && `:host { aspect-ratio: ${shape}; }`);
    for (const film of this.films) film.muted = this.#host.muted;
    picture(this.#mute, this.#host.muted ? "mute" : "sound");
    this.#mute.ariaLabel = this.#host.muted ? words.sound : words.mute;
    this.#stop.ariaLabel = words.stop;
    this.#play.ariaLabel = words.play;
    this.#tools.hidden = !this.#host.hasAttribute("controls") || Boolean(this.#film);
    this.#stop.hidden = this.#state !== "speaking" && this.#state !== "loading";
    this.#mute.hidden = this.#stop.hidden && !this.#host.muted;
    this.#captions.hidden = !this.#host.hasAttribute("captions");
  }

  name(avatar) {
    this.#internals.ariaLabel = [wordsFor(this.#host).name, avatar].filter(Boolean).join(": ");
  }

  /** Show the picture; gives whether there is one. */
  async poster(url, signal) {
    const fresh = new Image();
    fresh.src = url;
    const there = await fresh.decode().then(() => true, () => false);
    if (signal.aborted) return there;
    if (there) this.#poster.src = url;
    this.#poster.hidden = !there;
    return there;
  }

  /** Show the avatar listening, over its picture; `null` ends it. */
  listen(film) {
    const before = this.#idle.src;
    this.#idle.classList.remove("on");
    if (before) {
      clear(this.#idle);
      URL.revokeObjectURL(before);
    }
    if (!film) return;
    this.#idle.onloadeddata = () => {
      this.#idle.classList.add("on");
      if (!this.calm) this.#idle.animate({ opacity: [0, 1] }, FADE);
    };
    this.#idle.src = URL.createObjectURL(film);
  }

  /** A film that is neither `taken` nor in front; rather one that is not seen at all. */
  free(taken) {
    const others = this.films.filter((film) => film !== taken && !film.classList.contains("front"));
    const video = others.find((film) => !film.classList.contains("on")) ?? others[0];
    this.#hide(video);
    return video;
  }

  /** Bring a film to the front, where its first picture has come. */
  front(video, { film }) {
    const other = this.films.find((held) => held !== video);
    const before = other.classList.contains("on");
    this.stall(false);
    this.#film = film ? "film" : "";
    video.controls = film && this.#host.hasAttribute("controls");
    video.classList.add("on", "front");
    other.classList.remove("front");
    other.controls = false;
    this.#idle.pause();
    this.ask(null);
    this.arrange();
    const over = () => { if (!other.classList.contains("front")) other.classList.remove("on"); };
    this.#faded(video, before ? FADE / 2 : FADE, [0, 1], over);
  }

  /** Back to listening: the film's last picture gives way. */
  rest() {
    this.#film = "";
    this.ask(null);
    this.stall(false);
    this.caption(null);
    this.arrange();
    for (const film of this.films) {
      film.classList.remove("front");
      if (film.classList.contains("on")) this.#faded(film, FADE, [1, 0], () => this.#hide(film));
    }
    if (this.#idle.src) this.#idle.play().catch(() => {});
  }

  /** Silence first, then rest. */
  silence() {
    for (const film of this.films) film.pause();
    this.rest();
  }

  #hide(film) {
    for (const fade of film.getAnimations()) fade.cancel();
    film.classList.remove("on", "front");
    if (film.src) clear(film);
  }

  #faded(film, milliseconds, opacity, over) {
    for (const fade of film.getAnimations()) fade.cancel();
    if (this.calm || !film.isConnected) return over();
    const fade = film.animate({ opacity }, { duration: milliseconds, fill: "forwards" });
    fade.finished.then(() => { over(); fade.cancel(); }, () => {});
  }

  /** The film has run dry: behind it the avatar listens. */
  stall(dry) {
    this.#frame.classList.toggle("stalled", dry && this.#idle.classList.contains("on"));
    if (dry && this.#idle.src) this.#idle.play().catch(() => {});
  }

  /** The browser wants a click before there is sound. */
  ask(video) {
    this.#asked = video;
    this.#play.hidden = !video;
    this.#thinking.hidden = Boolean(video) || this.#state !== "loading";
  }

  /** Play what was held back. */
  answer() {
    this.#asked?.play().catch(() => {});
    this.ask(null);
  }

  become(state) {
    this.#state = state;
    const words = wordsFor(this.#host);
    for (const other of ["idle", "loading", "speaking", "error"]) this.#internals.states?.delete(other);
    this.#internals.states?.add(state);
    this.#internals.ariaBusy = String(state === "loading");
    this.#thinking.hidden = state !== "loading" || Boolean(this.#asked);
    this.#status.textContent = words[state] ?? "";
    this.arrange();
  }

  trouble(sentence) {
    this.#trouble.textContent = this.#trouble.title = sentence;
    this.#trouble.hidden = !sentence;
  }

  /** Show a line of captions and mark what is being said; null shows none. */
  caption(said) {
    const line = said?.line ?? null;
    if (line !== this.#line) {
      this.#line = line;
      this.#captions.replaceChildren(...(line?.parts ?? []).map(({ text }) => make("span", "", { textContent: text })));
    }
    if (!line) return;
    this.#captions.classList.toggle("plain", said.current < 0);
    [...this.#captions.children].forEach((part, i) => part.classList.toggle("now", i === said.current));
  }
}
