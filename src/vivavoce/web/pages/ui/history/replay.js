// What a job has made, played where it lies in the list: a film, films one after the other, or a sound.

import { say } from "/ui/shell.js";

let playing = null;

/** What can be played of a job's result, in order: `[{kind: "video"|"audio", url, captions}]`. */
export function playable({ kind, result }) {
  if (!result || result.expired) return [];
  const film = result.video_url ?? result.video_path;
  if (film) return [{ kind: "video", url: film, captions: result.captions_url }];
  if (result.chunks?.length) return result.chunks.map((chunk) => ({ kind: "video", url: chunk.video_url }));
  const sound = result.audio_url ?? result.audio_path ?? result.cloned_audio_path;
  if (sound) return [{ kind: "audio", url: sound }];
  if (!result.id) return [];
  return [kind === "idle" ? { kind: "video", url: `/v1/media/${result.id}.mp4` } : { kind: "audio", url: `/v1/media/${result.id}.wav` }];
}

/** Players in `root`; one of the page sounds at a time. */
export class Replay {
  #root;
  #items;
  #language;
  #index = 0;

  /** `failed()` is told when it cannot be played; `turned(item)` which one is playing. */
  constructor(root, items, { language, failed, turned }) {
    this.#root = root;
    this.#items = items;
    this.#language = language;
    const [{ kind }] = items;
    const player = this.player = Object.assign(document.createElement(kind), { controls: true, playsInline: true });
    player.addEventListener("play", () => {
      if (playing !== player) playing?.pause();
      playing = player;
    });
    player.addEventListener("ended", () => { if (this.#index + 1 < items.length) this.turn(this.#index + 1); });
    player.addEventListener("error", () => { if (player.hasAttribute("src")) failed(); });
    this.turned = turned;
    root.replaceChildren(player);
    if (items.length > 1) root.append(this.#chips());
    this.turn(0);
    player.focus({ preventScroll: true });
  }

  turn(index) {
    this.#index = index;
    const item = this.#items[index];
    this.player.replaceChildren();
    if (item.captions) {
      const track = Object.assign(document.createElement("track"), { kind: "captions", src: item.captions, srclang: this.#language, label: say("text") });
      this.player.append(track);
    }
    this.player.src = item.url;
    this.player.ariaLabel = say("history.part", { n: index + 1, total: this.#items.length });
    this.player.play().catch(() => {});  // the browser holds it back until the user presses its own button
    for (const [n, chip] of [...this.#root.querySelectorAll(".chips button")].entries()) {
      chip.toggleAttribute("aria-current", n === index);
    }
    this.turned(item);
  }

  close() {
    if (playing === this.player) playing = null;
    this.player.pause();
    this.player.removeAttribute("src");
    this.player.load();
    this.#root.replaceChildren();
  }

  #chips() {
    const list = Object.assign(document.createElement("ol"), { className: "chips" });
    for (let n = 0; n < this.#items.length; n += 1) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: n + 1 });
      button.ariaLabel = say("history.part", { n: n + 1, total: this.#items.length });
      button.addEventListener("click", () => this.turn(n));
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    }
    return list;
  }
}
