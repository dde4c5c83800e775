// One job as a row: what was asked for, how far it is, what came of it, and what can be done with it.

import { framed } from "/ui/history/thumbs.js";
import { playable, Replay } from "/ui/history/replay.js";
import { clock } from "/ui/sound/player.js";
import { $, dress, pageLanguage, say } from "/ui/shell.js";
import { TONGUES, WORDS } from "/ui/words.js";

const PATHS = {
  films: "M4 7.5A2.5 2.5 0 0 1 6.5 5h11A2.5 2.5 0 0 1 20 7.5v9a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 4 16.5zM10 9v6l5-3z",
  talks: "M5 5.5h14v10h-8L6.5 19v-3.5H5z",
  sounds: "M4 10v4M8 7v10M12 4v16M16 8v8M20 10.5v3",
  avatars: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0",
};
const SECOND = 1000;

/** Kinds of jobs that belong together, as the filter shows them. */
export const GROUPS = {
  films: ["video", "chunks", "stream", "video_generation"],
  talks: ["chat", "chat_system"],
  sounds: ["audio_clone", "speech", "enhance", "transcribe", "convert", "record", "embed"],
  avatars: ["prepare", "model_training", "check", "idle"],
};

export const ended = ({ state }) => !["queued", "running"].includes(state);
const groupOf = (kind) => Object.keys(GROUPS).find((name) => GROUPS[name].includes(kind)) ?? "films";
const worded = (key, otherwise) => (key in WORDS.en ? say(key) : otherwise);
const seconds = (value) => new Intl.NumberFormat(pageLanguage(), { style: "unit", unit: "second", unitDisplay: "narrow", maximumFractionDigits: 1 }).format(value);
const titled = (name) => name[0].toUpperCase() + name.slice(1);

function when(iso) {
  const words = (options) => new Date(iso).toLocaleString(pageLanguage(), { ...options, timeStyle: "short" });
  const medium = words({ dateStyle: "medium" });
  return /M\d\d/.test(medium) ? words({ dateStyle: "short" }) : medium;  // a browser without the month's name in this language
}

/** What was asked for, in its own words where it had some. */
function asked({ kind, params, result }) {
  const words = [params.text, params.target_text, params.generate_text, params.said, result?.heard, params.file, params.name, result?.name];
  return words.find(Boolean) || worded(`history.asked.${kind}`, "");
}

function facts(job) {
  const { params, result, timings, created, expires } = job;
  const size = params.canvas ? `${params.canvas[0]}×${params.canvas[1]}` : "";
  const voice = [params.voice_engine, params.voice].filter(Boolean).join("/");
  const kept = playable(job).length && expires && Date.parse(expires) > Date.now();
  return [
    when(created),
    params.avatar && job.kind !== "prepare" && titled(params.avatar), params.language && (TONGUES[params.language] ?? params.language), (params.text !== "" && voice) || params.engine, size,
    job.state === "succeeded" && timings.total !== undefined && say("history.took", { n: seconds(timings.total) }),
    kept && say("history.kept", { time: new Date(expires).toLocaleTimeString(pageLanguage(), { timeStyle: "short" }) }),
    result?.expired && say("history.expired"),
  ].filter(Boolean).join(" · ");
}

export class Row {
  root;
  job = null;
  #replay = null;
  #gone = false;  // its film cannot be played any more
  #pictured = "";

  /** `cancel(row)` and `remove(row)` are what its buttons ask for. */
  constructor({ cancel, remove }) {
    this.root = $("jobTemplate").content.cloneNode(true).firstElementChild;
    dress(this.root);
    this.#find(".thumb").addEventListener("click", () => this.#toggle());
    this.#find(".play-it").addEventListener("click", () => this.#toggle());
    this.#find(".cancel-it").addEventListener("click", () => cancel(this));
    this.#find(".remove-it").addEventListener("click", () => remove(this));
  }

  /** The page speaks another language now. */
  translate() {
    dress(this.root);
    this.update(this.job);
  }

  /** Show the job as it is now. */
  update(job) {
    this.job = job;
    const { state, kind } = job;
    this.root.dataset.state = state;
    this.root.dataset.id = job.id;
    this.#write(".kind", worded(`history.kind.${kind}`, kind));
    this.#write(".top .state", say(`history.state.${state}`));
    this.#write(".asked", asked(job));
    this.#write(".answer", job.result?.response ?? "");
    this.#write(".meta", facts(job));
    this.#progress();
    this.#fault();
    this.#actions();
    this.#picture();
  }

  /** Whether it can be waited for. */
  get running() {
    return !ended(this.job);
  }

  focus() {
    (this.#find(".acts :is(button, a):not([hidden])") ?? this.#find(".thumb")).focus();
  }

  leave() {
    this.#replay?.close();
    this.root.remove();
  }

  #find(selector) {
    return this.root.querySelector(selector);
  }

  #write(selector, text) {
    const place = this.#find(selector);
    if (place.textContent !== text) place.textContent = text;
    place.hidden = !text;
  }

  #progress() {
    const { state, progress, position } = this.job;
    this.#find(".work").hidden = !this.running;
    if (!this.running) return;
    const bar = this.#find("progress");
    if (state === "running" && progress > 0) bar.value = progress;
    else bar.removeAttribute("value");
    const waits = position ? say("history.ahead", { n: position }) : say("stage.waiting");
    const percent = Math.round(100 * progress);
    this.#write(".says", state === "queued" ? waits : percent ? say("history.working", { percent }) : say("history.begun"));
  }

  #fault() {
    const { state, error } = this.job;
    const place = this.#find(".fault");
    place.hidden = !(state === "failed" && error) && !this.#gone;
    if (place.hidden) return;
    const title = document.createElement("b");
    title.textContent = this.#gone ? say("history.gone") : worded(`history.error.${error.code}`, worded(`error.${error.code}`, say("error.internal")));
    place.replaceChildren(title, this.#gone ? "" : ` ${error.message}`);
  }

  #actions() {
    const items = this.#gone ? [] : playable(this.job);
    const thumb = this.#find(".thumb");
    const length = this.job.result?.duration;
    thumb.disabled = !items.length;
    thumb.ariaLabel = this.#replay ? say("history.close") : say("history.play.what", { what: asked(this.job).slice(0, 60) });
    this.#find(".play-it").hidden = !items.length;
    this.#find(".play-it").textContent = say(this.#replay ? "history.close" : "history.play");
    this.#find(".play-it").ariaExpanded = String(Boolean(this.#replay));
    this.#find(".save-it").hidden = !items.length || this.running;
    if (items.length && !this.#replay) this.#offer(items[0]);
    this.#find(".cancel-it").hidden = !this.running;
    this.#find(".remove-it").hidden = this.running;
    this.#find(".long").hidden = !length;
    if (length) this.#find(".long").textContent = length < 1 ? seconds(length) : clock(Math.round(length));
  }

  /** What the download is of. */
  #offer({ url }) {
    this.#find(".save-it").href = url;
    this.#find(".save-it").download = `vivavoce-${url.slice(url.lastIndexOf("/") + 1)}`;
  }

  #picture() {
    const [film] = playable(this.job).filter(({ kind }) => kind === "video");
    const [image, canvas] = [this.#find(".thumb > img"), this.#find(".thumb > canvas")];
    this.#find(".sign path").setAttribute("d", PATHS[groupOf(this.job.kind)]);
    const poster = this.job.result?.poster_url ?? (this.job.params.avatar && `/api/avatar?name=${encodeURIComponent(this.job.params.avatar)}`);
    if (film && ended(this.job)) {
      if (this.#pictured === film.url) return;
      this.#pictured = film.url;
      framed(this.root, canvas, film.url, (is) => {
        canvas.hidden = !is;
        if (is || !poster) return;
        this.#lose();
      });
    }
    if (poster && image.getAttribute("src") !== poster) {
      image.addEventListener("load", () => { image.hidden = false; }, { once: true });
      image.addEventListener("error", () => { image.hidden = true; }, { once: true });
      image.loading = "lazy";
      image.hidden = false;
      image.src = poster;
    }
  }

  /** The film is not there any more, whatever the record says. */
  #lose() {
    this.#gone = true;
    this.#close();
    this.update(this.job);
  }

  #toggle() {
    if (this.#replay) this.#close();
    else {
      this.#find(".replay").hidden = false;
      this.root.classList.add("open");
      this.#replay = new Replay(this.#find(".replay"), playable(this.job), {
        language: this.job.params.language ?? "", failed: () => this.#lose(), turned: (item) => this.#offer(item),
      });
    }
    this.#actions();
  }

  #close() {
    this.#replay?.close();
    this.#replay = null;
    this.#find(".replay").hidden = true;
    this.root.classList.remove("open");
  }
}
