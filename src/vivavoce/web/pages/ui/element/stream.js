// Plays an utterance as one film through Media Source Extensions: each chunk is appended where the one before ends, so
// there is nothing to switch between. A film that grows is shown from its first fragments.

import { Boxes, Index, Unsupported, joined } from "./boxes.js";
import { CallError, call, isAbort, pieces } from "./calls.js";
import { Cue } from "./captions.js";

const AHEAD = 30;  // seconds that are held before the playhead
const BEHIND = 10;  // and behind it
const ENOUGH = 0.2;

/** Where films are put together, if the browser has it; iPhones have the managed kind only. */
export const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

/** The first of these events; raises the signal's reason when that comes before. */
export function once(target, types, signal) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const leave = () => { over.abort(); reject(signal.reason); };
    if (signal.aborted) return leave();
    signal.addEventListener("abort", leave, { signal: over.signal });
    for (const type of types) {
      target.addEventListener(type, (event) => { over.abort(); resolve(event); }, { signal: over.signal });
    }
  });
}

/** Play a video that is there; without leave to sound, wait until somebody presses play. */
export async function start(video, told, signal) {
  if (video.requestVideoFrameCallback) {
    const seen = () => {  // a film that is held back shows its first picture too
      if (video.paused) handle = video.requestVideoFrameCallback(seen);
      else told.picture(video);
    };
    let handle = video.requestVideoFrameCallback(seen);
    signal.addEventListener("abort", () => video.cancelVideoFrameCallback(handle), { once: true });
  } else {
    once(video, ["playing"], signal).then(() => told.picture(video), () => {});
  }
  try {
    await video.play();
  } catch (error) {
    signal.throwIfAborted();
    if (error.name === "NotSupportedError" || video.error) throw new Unsupported("The film cannot be played.");
    const playing = once(video, ["playing"], signal);
    if (error.name === "NotAllowedError") told.blocked(video);
    await playing;
  }
  signal.throwIfAborted();
}

/** Tell the time of each picture that is shown, until the signal. */
export function watch(video, each, signal) {
  video.addEventListener("timeupdate", () => each(video.currentTime), { signal });
  if (!video.requestVideoFrameCallback) return;
  const frame = (_, { mediaTime }) => {
    each(mediaTime);
    handle = video.requestVideoFrameCallback(frame);
  };
  let handle = video.requestVideoFrameCallback(frame);
  signal.addEventListener("abort", () => video.cancelVideoFrameCallback(handle), { once: true });
}

/** Let go of what a video holds. */
export function clear(video) {
  video.pause();
  video.controls = false;
  video.removeAttribute("src");
  video.load();
}

export class StreamShow {
  video;
  cues = [];
  end = 0;
  #feed;
  #base;
  #told;
  #signal;
  #source = null;
  #buffer = null;
  #type = "";
  #began = 0;
  #ready;
  #broken;
  #failed;
  #rest = Infinity;

  /** `told` hears `picture(video)`, `blocked(video)` and `loaded()`; chunk addresses are relative to `base`. */
  constructor(video, feed, base, told, signal) {
    this.video = video;
    this.#feed = feed;
    this.#base = base;
    this.#told = told;
    this.#signal = signal;
    this.#broken = new Promise((_, reject) => { this.#failed = reject; });
    this.#broken.catch(() => {});
  }

  /** Start to fill, before it is this film's turn. */
  prepare() {
    this.#ready ??= new Promise((resolve, reject) => {
      this.#fill(resolve).then(resolve, reject);
    });
    this.#ready.catch(() => {});
    return this.#ready;
  }

  /** Play to the end. Gives the number of the first chunk that could not be played this way; Infinity: all were. */
  async play() {
    const broken = this.#broken;
    await Promise.race([this.prepare(), broken]);
    if (this.#rest === 0) return 0;
    const over = once(this.video, ["ended", "error"], this.#signal);
    over.catch(() => {});
    watch(this.video, (time) => this.#told.clock(this, time), this.#signal);
    await Promise.race([start(this.video, this.#told, this.#signal), broken]);
    const event = await Promise.race([over, broken]);
    if (event.type === "error") throw new CallError("play", "The film cannot be played here.");
    return this.#rest;
  }

  async #fill(ready) {
    let number = 0;
    try {
      this.#began = performance.now();
      for (let chunk = await this.#feed.at(0); chunk; chunk = await this.#feed.at(number)) {
        await this.#room();
        await this.#take(chunk, ready);
        ready();
        number += 1;
      }
      if (number) this.#source.endOfStream();
      else this.#rest = 0;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof Unsupported)) {
        this.#failed(error);
        throw error;
      }
      this.#rest = number;
      this.cues.length = number;
      if (number) this.#source.endOfStream();
    }
  }

  async #take(chunk, ready) {
    const url = new URL(chunk.video_url, this.#base);
    const cue = new Cue(chunk, this.end);
    this.cues.push(cue);
    for (let attempt = 0; ; attempt += 1) {
      try {
        cue.seconds = await this.#append(url, chunk.duration ?? 0, ready);
        break;
      } catch (error) {
        if (isAbort(error) || error.code !== "network" || attempt) throw error;
      }
    }
    this.end += cue.seconds;
  }

  /** Append the film at `url` behind what there is; gives its seconds. */
  async #append(url, expected, ready) {
    const response = await call(url, { signal: this.#signal });
    const boxes = new Boxes();
    const kept = [];
    let index = null;
    let seconds = 0;
    let head = null;
    for await (const piece of pieces(response.body)) {
      if (!index?.fragmented) kept.push(piece);
      for (const { type, whole, body } of boxes.push(piece)) {
        if (type === "moov") {
          index = new Index(body);
          if (index.fragmented) await this.#begin(index, [...kept.splice(0).length ? [head, whole] : [whole]]);
        } else if (type === "ftyp" || type === "moof") {
          head = whole;
          if (type === "moof") seconds = Math.max(seconds, index?.end(body) ?? 0);
        } else if (type === "mdat" && index?.fragmented) {
          await this.#put(joined([head, whole]));
          this.#told.loaded(this.end + seconds);
          if (this.#enough(seconds, expected)) ready();
        }
      }
    }
    if (!index) throw new Unsupported("This is no film.");
    if (index.fragmented && boxes.empty) return seconds;
    if (index.fragmented) throw new CallError("network", "The film broke off.");
    const plain = index.fragment(joined(kept));
    await this.#begin(index, [plain.start]);
    await this.#put(plain.media);
    this.#told.loaded(this.end + plain.seconds);
    return plain.seconds;
  }

  /** Whether a film that still grows can be started without running dry, as fast as it has come so far. */
  #enough(seconds, expected) {
    if (this.end) return true;
    const rate = seconds / ((performance.now() - this.#began) / 1000);
    return seconds >= ENOUGH && (rate >= 1 || (expected - seconds) / rate <= expected - ENOUGH);
  }

  async #begin(index, header) {
    if (!this.#source) await this.#open(index.type);
    this.#buffer.abort();
    if (this.#type !== index.type) {
      if (!Source.isTypeSupported(index.type)) throw new Unsupported(`This browser does not play ${index.type}.`);
      this.#buffer.changeType(index.type);
      this.#type = index.type;
    }
    this.#buffer.timestampOffset = this.end;
    await this.#put(joined(header.filter(Boolean)));
    if (!this.end) this.#source.duration = Infinity;  // a plain film's header says how long its chunk is
  }

  async #open(type) {
    if (!Source?.isTypeSupported(type)) throw new Unsupported(`This browser does not play ${type}.`);
    this.#source = new Source();
    this.#type = type;
    const url = URL.createObjectURL(this.#source);
    const over = new AbortController();
    const signal = AbortSignal.any?.([this.#signal, over.signal]) ?? this.#signal;
    try {
      const opened = once(this.#source, ["sourceopen"], signal);
      const refused = once(this.video, ["error"], signal);
      this.video.disableRemotePlayback = true;  // or the managed kind does not open
      this.video.src = url;
      const event = await Promise.race([opened, refused]);
      if (event.type === "error") throw new Unsupported("Films from memory are not allowed here.");
    } finally {
      over.abort();
      URL.revokeObjectURL(url);
    }
    this.#buffer = this.#source.addSourceBuffer(type);
  }

  /** Append bytes; memory that is short is taken from what has been played. */
  async #put(bytes) {
    for (;;) {
      try {
        await this.#change((buffer) => buffer.appendBuffer(bytes));
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        await once(this.video, ["timeupdate"], this.#signal);
        await this.#forget(1);
      }
    }
  }

  async #room() {
    while (this.end - this.video.currentTime > AHEAD) await once(this.video, ["timeupdate"], this.#signal);
    if (this.video.currentTime > 2 * BEHIND) await this.#forget(BEHIND);
  }

  async #forget(behind) {
    const until = this.video.currentTime - behind;
    if (until > 0) await this.#change((buffer) => buffer.remove(0, until));
  }

  async #change(act) {
    this.#signal.throwIfAborted();
    if (this.#source.readyState === "closed") throw new CallError("play", "The film cannot be played here.");
    const over = once(this.#buffer, ["updateend", "error"], this.#signal);
    over.catch(() => {});
    act(this.#buffer);
    const event = await over;
    if (event.type === "error") throw new Unsupported("The film cannot be read.");
  }
}
