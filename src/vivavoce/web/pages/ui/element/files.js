// Plays chunks as files, where they cannot be put together: two video elements lie on each other; while one plays, the
// other loads the next file and takes its place when it shows its first picture. Between two files some pictures' time
// may pass, which a chunk's quiet ends hide.

import { CallError, call } from "./calls.js";
import { Cue } from "./captions.js";
import { once, start, watch } from "./stream.js";
import { Unsupported } from "./boxes.js";

export class FilesShow {
  cues = [];
  end = 0;
  #videos;
  #feed;
  #base;
  #told;
  #signal;
  #loaded = new Map();

  constructor(videos, feed, base, told, signal) {
    this.#videos = videos;
    this.#feed = feed;
    this.#base = base;
    this.#told = told;
    this.#signal = signal;
  }

  /** Play the chunks from this number on, to the end. */
  async play(from = 0) {
    for (let number = from; ; number += 1) {
      const chunk = await this.#feed.at(number);
      this.#signal.throwIfAborted();
      if (!chunk) return;
      await this.#one(chunk, number);
    }
  }

  async #one(chunk, number) {
    const turn = new AbortController();
    const leave = () => turn.abort(this.#signal.reason);
    this.#signal.addEventListener("abort", leave, { once: true });
    try {
      const video = this.#load(chunk, number);
      const cue = new Cue(chunk, 0);
      this.cues = [cue];
      const over = once(video, ["ended", "error"], turn.signal);
      over.catch(() => {});
      watch(video, (time) => this.#told.clock(this, time), turn.signal);
      await this.#started(video, turn.signal, chunk);
      this.#ahead(number + 1);
      this.#told.loaded(video.duration);
      if ((await over).type === "error") throw new CallError("play", "The film cannot be played here.");
      this.end = video.duration;
    } finally {
      this.#signal.removeEventListener("abort", leave);
      turn.abort();
    }
  }

  async #started(video, signal, chunk) {
    try {
      await start(video, this.#told, signal);
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      const answer = await call(new URL(chunk.video_url, this.#base), { method: "HEAD", signal });  // says why, if the server does
      throw new CallError("play", answer.ok ? "The film cannot be played here." : error.message);
    }
  }

  #load(chunk, number) {
    const video = this.#loaded.get(number) ?? this.#videos[number % this.#videos.length];
    if (!this.#loaded.has(number)) {
      video.src = new URL(chunk.video_url, this.#base);
      this.#loaded.set(number, video);
    }
    return video;
  }

  /** Load the next file while this one plays, as soon as it is known. */
  #ahead(number) {
    if (this.#videos.length < 2) return;
    this.#feed.at(number).then((chunk) => chunk && !this.#signal.aborted && this.#load(chunk, number), () => {});
  }
}
