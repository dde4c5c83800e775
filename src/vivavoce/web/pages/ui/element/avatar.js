// The element: its attributes and methods, the queue of what is to be said, and what is seen while nothing is.

import { Feed, call, followed, isAbort, spoken } from "./calls.js";
import { FilesShow } from "./files.js";
import { Stage } from "./stage.js";
import { Source, StreamShow } from "./stream.js";

const HOME = new URL(".", import.meta.url).origin;
const JOB = /\/v1\/jobs\/([\w-]+)(?:\/events)?\/?$/;
const CHUNK = 12;
const FIRST = 5;  // a short beginning is ready sooner

const OPTIONS = ["avatar", "voice", "language", "resolution", "engine"];

/** What is to be said or shown: its chunks, and the promise of its end. */
class Turn {
  abort = new AbortController();
  show = null;
  spoke = false;

  constructor(source, { film = false } = {}) {
    this.feed = new Feed(source(this.abort.signal));
    this.film = film;
    this.promise = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.promise.catch(() => {});  // who does not wait for it has the events
  }

  leave() {
    this.abort.abort(new DOMException("The avatar was stopped.", "AbortError"));
    this.feed.leave(this.abort.signal.reason);
    this.reject(this.abort.signal.reason);
  }
}

export class VivavoceAvatar extends HTMLElement {
  static observedAttributes = ["server", "avatar", "poster", "idle", "api-key", "muted", "captions", "controls", "resolution"];

  #stage = new Stage(this, { stop: () => this.stop() });
  #queue = [];
  #now = null;
  #running = false;
  #looks = null;
  #looking = false;
  #state = "idle";
  #cue = null;

  connectedCallback() {
    this.#stage.enter();
    this.#look();
  }

  /** Everything ends: work on the server, downloads, films, and what was held in memory. */
  disconnectedCallback() {
    this.stop();
    this.#looks?.abort();
    this.#stage.leave();
  }

  attributeChangedCallback(name, before, after) {
    if (before === after || !this.isConnected) return;
    if (["server", "avatar", "poster", "idle", "api-key"].includes(name)) this.#look();
    this.#stage.arrange();
  }

  /** `idle`, `loading`, `speaking` or `error`. */
  get state() {
    return this.#state;
  }

  /** Where the server is. */
  get server() {
    return new URL(this.getAttribute("server") || HOME, document.baseURI).origin;
  }

  set server(value) {
    this.setAttribute("server", value);
  }

  get muted() {
    return this.hasAttribute("muted");
  }

  set muted(value) {
    this.toggleAttribute("muted", Boolean(value));
  }

  /** How many utterances wait behind the one that is spoken. */
  get waiting() {
    return this.#queue.length;
  }

  /**
   * Speak a text. Utterances of several calls are spoken one after another; `interrupt: true` ends what is spoken and
   * forgets what waits. Options stand above the attributes: `avatar`, `voice`, `language`, `resolution`, `engine`,
   * `chunkSize`, `firstChunkSize`. Resolves when the last word has been shown; rejects with an `AbortError` after
   * `stop()`, and with the server's sentence when it cannot be spoken.
   */
  speak(text, options = {}) {
    if (options.interrupt) this.stop();
    const ask = this.#ask(text, options);
    return this.#add(new Turn((signal) => spoken(this.server, this.getAttribute("api-key"), ask, signal)));
  }

  /**
   * Play what exists already or is being made: a list of chunks or the answer that holds them, an (async) iterable of
   * chunks, the address of a job (`/v1/jobs/{id}`), or the address of a film. Queued as `speak()` is. What is looped
   * over may still be growing: between two chunks that are late the avatar listens; `stop()` closes its iterator.
   */
  play(source, { interrupt = false } = {}) {
    if (interrupt) this.stop();
    if (typeof source === "string" || source instanceof URL) return this.#address(new URL(source, this.server));
    const chunks = source?.chunks ?? source;
    if (!chunks?.[Symbol.iterator] && !chunks?.[Symbol.asyncIterator]) {
      throw new TypeError("play() takes chunks, the address of a job, or the address of a film.");
    }
    return this.#add(new Turn((signal) => listed(chunks, signal)));
  }

  /** Go on after the browser held the sound back (event `blocked`). Call it in a click. */
  resume() {
    this.#stage.answer();
  }

  /** Be silent now, and forget what waits; the server's work for it ends. */
  stop() {
    const turns = [this.#now, ...this.#queue.splice(0)].filter(Boolean);
    for (const turn of turns) turn.leave();
    this.#cue = null;
    this.#stage.silence();
    if (!turns.length) return;
    this.#now = null;
    this.#become("idle");
    this.#tell("stop");
  }

  #ask(text, options) {
    const ask = { text, chunk_size: Number(options.chunkSize ?? this.getAttribute("chunk-size") ?? CHUNK) };
    ask.first_chunk_size = Number(options.firstChunkSize ?? this.getAttribute("first-chunk-size") ?? Math.min(FIRST, ask.chunk_size));
    for (const name of OPTIONS) {
      const value = options[name] ?? this.getAttribute(name);
      if (value) ask[name] = value;
    }
    return ask;
  }

  #address(url) {
    const [, job] = JOB.exec(url.pathname) ?? [];
    const key = this.getAttribute("api-key");
    if (job) return this.#add(new Turn((signal) => followed(url.origin, url.origin === this.server ? key : null, job, signal)));
    return this.#add(new Turn((signal) => listed([{ index: 0, text: "", video_url: url.href }], signal), { film: true }));
  }

  #add(turn) {
    this.#queue.push(turn);
    if (this.isConnected) this.#run();
    else this.stop();
    return turn.promise;
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    for (let turn = this.#queue.shift(); turn; turn = this.#queue.shift()) {
      this.#now = turn;
      try {
        await this.#perform(turn);
        this.#tell("end");
        turn.resolve();
      } catch (error) {
        turn.reject(error);
        if (!turn.abort.signal.aborted) this.#fail(error);
      }
      turn.abort.abort();
      if (this.#now === turn) this.#now = null;
    }
    this.#running = false;
    if (this.#state !== "error") this.#become("idle");
  }

  async #perform(turn) {
    const { signal } = turn.abort;
    this.#become("loading");
    this.#stage.trouble("");
    turn.feed.begin().then(() => signal.aborted || this.#ahead());
    const told = this.#told(turn);
    let from = 0;
    if (!turn.film && Source && this.getAttribute("playback") !== "files") {
      turn.show ??= new StreamShow(this.#stage.free(), turn.feed, this.server, told, signal);
      from = await turn.show.play();
    }
    if (from !== Infinity) {
      const first = this.#stage.free();
      const videos = turn.film ? [first] : [first, ...this.#stage.films.filter((film) => film !== first)];
      turn.show = new FilesShow(videos, turn.feed, this.server, told, signal);
      await turn.show.play(from);
    }
    signal.throwIfAborted();
    if (this.#cue) this.#words(this.#cue, Infinity);
    this.#cue = null;
    this.#stage.caption(null);
    if (!this.#queue.length && !(turn.film && this.hasAttribute("controls"))) this.#stage.rest();
  }

  /** Have the next utterance made while this one is spoken: the server is free for it now. */
  #ahead() {
    const [next] = this.#queue;
    if (!next || next.film) return;
    next.feed.begin();
    const films = this.#now?.show instanceof StreamShow && Source && this.getAttribute("playback") !== "files";
    if (!films || next.show) return;
    next.show = new StreamShow(this.#stage.free(this.#now.show.video), next.feed, this.server, this.#told(next), next.abort.signal);
    next.show.prepare();
  }

  /** What a show tells: of `turn` only, and only while it is its turn. */
  #told(turn) {
    const mine = (act) => (...given) => { if (this.#now === turn && !turn.abort.signal.aborted) act(...given); };
    return {
      picture: mine((video) => {
        this.#stage.front(video, { film: turn.film });
        video.addEventListener("waiting", mine(() => this.#stall(video, true)), { signal: turn.abort.signal });
        video.addEventListener("playing", mine(() => this.#stall(video, false)), { signal: turn.abort.signal });
        this.#spoke(turn);
      }),
      blocked: mine((video) => {
        this.#stage.ask(video);
        this.#tell("blocked");
      }),
      loaded: mine((seconds) => this.#progress(turn, { loaded: seconds })),
      clock: mine((show, time) => this.#clock(turn, show, time)),
    };
  }

  #spoke(turn) {
    this.#become("speaking");
    if (turn.spoke) return;
    turn.spoke = true;
    this.#tell("start", { total: turn.feed.total });
  }

  #stall(video, dry) {
    if (video.ended || video.seeking) return;
    this.#stage.stall(dry);
    this.#become(dry ? "loading" : "speaking");
  }

  #clock(turn, show, time) {
    let cue = show.cues.findLast((held) => held.start <= time + 0.001) ?? show.cues[0];
    if (!cue || !turn.spoke) return;
    // A picture is shown a moment after the clock has passed it: behind a border it would lead back.
    if (this.#cue?.start > cue.start && show.cues.includes(this.#cue)) cue = this.#cue;
    if (cue !== this.#cue) {
      if (this.#cue) this.#words(this.#cue, Infinity);
      this.#cue = cue;
      const { index, text, duration } = cue.chunk;
      this.#tell("chunk", { index, text, duration: duration ?? cue.seconds, total: turn.feed.total });
    }
    this.#words(cue, time);
    this.#stage.caption(cue.line(time));
    this.#progress(turn, { played: time });
  }

  #words(cue, time) {
    for (const word of cue.begun(time)) this.#tell("word", word);
  }

  #progress(turn, { played = turn.played ?? 0, loaded = turn.loaded ?? 0 }) {
    const fresh = loaded !== turn.loaded || Math.abs(played - (turn.played ?? -1)) >= 0.2;
    if (!fresh) return;
    Object.assign(turn, { played, loaded });
    this.#tell("progress", { played, loaded, total: turn.feed.total, made: turn.feed.made });
  }

  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#stage.become(state);
  }

  #tell(type, detail = {}, more = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, composed: true, ...more }));
  }

  #fail(error) {
    this.#stage.rest();
    this.#become("error");
    const detail = { message: error.message, code: error.code ?? "internal", status: error.status ?? 0 };
    if (this.#tell("error", detail, { cancelable: true })) this.#stage.trouble(error.message);
  }

  /** Show the avatar at rest; several changes at once are one. */
  #look() {
    if (this.#looking) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      this.#looks?.abort();
      if (!this.isConnected) return;
      this.#looks = new AbortController();
      this.#rest(this.#looks.signal).catch((error) => {
        if (!isAbort(error)) this.#fail(error);
      });
    });
  }

  async #rest(signal) {
    const name = this.getAttribute("avatar");
    const own = this.getAttribute("poster");
    const poster = own ? new URL(own, document.baseURI) : new URL(`/api/avatar${name ? `?name=${encodeURIComponent(name)}` : ""}`, this.server);
    const shown = await this.#stage.poster(poster.href, signal);
    if (!shown && !own) await call(poster, { signal });  // tells why there is none
    signal.throwIfAborted();
    this.#stage.name(name);
    this.#tell("ready", { avatar: name });
    if (this.getAttribute("idle") === "off" || this.#stage.calm) return this.#stage.listen(null);
    await this.#listen(name, signal).catch((error) => {  // an ornament: speech works without
      if (isAbort(error)) throw error;
    });
  }

  async #listen(name, signal) {
    const headers = this.hasAttribute("api-key") ? { "X-API-Key": this.getAttribute("api-key") } : {};
    const chosen = name ?? (await (await call(new URL("/v1/avatars", this.server), { headers, signal })).json()).avatars.find((a) => a.default)?.name;
    const url = new URL(`/v1/avatars/${encodeURIComponent(chosen)}/idle`, this.server);
    if (this.hasAttribute("resolution")) url.searchParams.set("resolution", this.getAttribute("resolution"));
    const film = await (await call(url, { headers, signal })).blob();
    signal.throwIfAborted();
    this.#stage.listen(film);
  }
}

/** The chunks of what can be looped over; left early, it is told so at once, whatever it waits for. */
function listed(chunks, signal) {
  const iterator = chunks[Symbol.asyncIterator]?.() ?? chunks[Symbol.iterator]();
  const close = async () => iterator.return?.();
  signal.addEventListener("abort", () => close().catch(() => {}), { once: true });
  return each(iterator, chunks.length);
}

async function* each(iterator, total) {
  if (total) yield { total };
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield { chunk: await next.value };
}

for (const [name, attribute] of Object.entries({ avatar: "avatar", voice: "voice", language: "language", resolution: "resolution", apiKey: "api-key", poster: "poster", chunkSize: "chunk-size" })) {
  Object.defineProperty(VivavoceAvatar.prototype, name, {
    configurable: true,
    enumerable: true,
    get() { return this.getAttribute(attribute); },
    set(value) { if (value === null || value === undefined || value === "") this.removeAttribute(attribute); else this.setAttribute(attribute, value); },
  });
}

if (!customElements.get("vivavoce-avatar")) customElements.define("vivavoce-avatar", VivavoceAvatar);
