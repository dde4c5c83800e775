// The recordings that a voice is learnt from: taken here or chosen as files, each heard and judged.

import { CallError, isAbort } from "/ui/element/calls.js";
import { dress, say, translated } from "/ui/shell.js";
import { Capture, canCapture } from "/ui/sound/capture.js";
import { clock, Player } from "/ui/sound/player.js";
import { wav } from "/ui/sound/recorder.js";
import { Scope } from "/ui/sound/waves.js";
import { judged, Room } from "/ui/voices/room.js";
import { WORDS } from "/ui/words.js";

const MOST = 10;  // recordings of one voice
const LONGEST = 120;  // seconds of one that is taken here
const MIC = '<svg class="mic" viewBox="0 0 24 24" aria-hidden="true"><rect x="9" y="2.5" width="6" height="11.5" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3.5"/></svg>';
const PLACE = Object.assign(document.createElement("template"), { innerHTML: `
  <ul class="kept"></ul>
  <div class="empty">
    <button type="button" class="button record">${MIC}<span data-t="mic.record">Record</span></button>
    <label class="choose"><input type="file" multiple class="unseen" accept="audio/*,video/*,.flac,.opus,.wma,.amr,.mka"><strong data-t="voices.choose">Choose files</strong>
      <span class="small" data-t="voices.drop">or drop them here · WAV, MP3, FLAC, OGG, M4A, or videos</span></label>
    <p class="small no-mic" hidden></p>
  </div>
  <div class="recording" hidden>
    <p class="small" data-t="voices.read.how">If you do not know what to say, read this:</p>
    <blockquote class="reading"></blockquote>
    <canvas aria-hidden="true"></canvas>
    <p class="small room" role="status"></p>
    <div class="row"><p><span class="dot" aria-hidden="true"></span><span class="says" role="status"></span></p><time></time>
      <button type="button" class="button slim done" data-t="mic.done">Done</button>
      <button type="button" class="button quiet slim discard" data-t="cancel">Cancel</button></div>
  </div>` });
const TAKE = Object.assign(document.createElement("template"), { innerHTML: `
  <li><div class="row"><p class="name"></p><span class="chip"></span>
    <button type="button" class="remove"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="m6 6 12 12M18 6 6 18"/></svg></button></div>
    <div class="tracks"></div></li>` });

export class Takes {
  /** `{file, judged}`: `judged` is null while it is not known, and where the browser cannot decode the file. */
  all = [];
  #root;
  #scope;
  #told;
  #language = () => "";
  #capture = null;
  #asking = null;
  #blocks = [];
  #room = new Room();

  /** `told` has `wrong(error)`, `changed()`, and `listening(judged)`, called while something is recorded; `language()` gives the voice's. */
  constructor(root, language, told) {
    this.#root = root;
    this.#told = told;
    this.#language = language;
    root.replaceChildren(PLACE.content.cloneNode(true));
    dress(root);
    this.#scope = new Scope(this.#find("canvas"));
    const files = this.#find("input[type=file]");
    files.addEventListener("change", () => {
      this.#take([...files.files]);
      files.value = "";
    });
    this.#find(".record").addEventListener("click", () => this.#record());
    this.#find(".done").addEventListener("click", () => this.#end(true));
    this.#find(".discard").addEventListener("click", () => this.#end(false));
    this.#find(".record").hidden = !canCapture();
    this.#find(".no-mic").hidden = canCapture();
    this.#droppable();
    translated(() => this.#describe());
  }

  get full() {
    return this.all.length >= MOST;
  }

  /** Seconds of speech in all of them, as far as it is known. */
  get speech() {
    return this.all.reduce((sum, take) => sum + (take.judged?.speech ?? 0), 0);
  }

  clear() {
    for (const { player } of this.all) player.unload();
    this.all = [];
    this.#find(".kept").replaceChildren();
    this.#changed();
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  #changed() {
    this.#find(".empty").classList.toggle("more", this.all.length > 0);
    this.#find(".empty").hidden = this.full || this.#busy;
    this.#told.changed();
  }

  get #busy() {
    return Boolean(this.#capture || this.#asking);
  }

  // ---- what is kept

  #take(files) {
    const room = MOST - this.all.length;
    if (files.length > room) this.#told.wrong(new CallError("too-many", say("voices.too-many", { n: MOST })));
    else this.#told.wrong(null);
    for (const file of files.slice(0, room)) this.#add(file);
  }

  async #add(file) {
    const item = TAKE.content.firstElementChild.cloneNode(true);
    const player = new Player(item.querySelector(".tracks"));
    const take = { file, judged: null, item, player };
    item.querySelector(".name").textContent = file.name;
    item.querySelector(".remove").addEventListener("click", () => this.#remove(take));
    this.all.push(take);
    this.#find(".kept").append(item);
    this.#describe();
    this.#changed();
    const [playable, verdict] = await Promise.all([player.load([{ blob: file }]), judged(file)]);
    take.judged = verdict;
    take.mute = !playable;
    item.querySelector(".tracks").hidden = !playable;
    this.#describe();
    if (this.all.includes(take)) this.#changed();
  }

  #remove(take) {
    const next = take.item.nextElementSibling ?? take.item.previousElementSibling;
    take.player.unload();
    take.item.remove();
    this.all = this.all.filter((other) => other !== take);
    this.#changed();
    (next?.querySelector(".remove") ?? this.#find(canCapture() ? ".record" : "input[type=file]")).focus();
  }

  #describe() {
    for (const { file, judged: known, item, mute } of this.all) {
      const chip = item.querySelector(".chip");
      chip.className = `chip ${known?.verdict ?? (mute ? "fair" : "")}`;
      chip.textContent = known ? say(`voices.room.${known.verdict}`) : mute ? say("voices.unread") : "…";
      chip.title = known ? say(`voices.room.${known.verdict}.what`, { n: Math.round(known.snr) }) : "";
      item.querySelector(".remove").ariaLabel = say("voices.take.remove", { name: file.name });
    }
    this.#find(".no-mic").textContent = say("mic.error.mic-unsupported.what");
    this.#tell();
  }

  // ---- taken here

  async #record() {
    this.#told.wrong(null);
    this.#blocks = [];
    this.#room = new Room();
    this.#scope.clear();
    const text = WORDS[this.#language()]?.["voices.read"];
    this.#find(".reading").textContent = text ?? "";
    this.#find(".reading").lang = this.#language();
    this.#find(".reading").hidden = this.#find(".reading").previousElementSibling.hidden = !text;
    const asking = this.#asking = new AbortController();
    this.#show(true);
    try {
      this.#capture = await Capture.open({ signal: asking.signal, onBlock: (block) => this.#hear(block), onLost: () => this.#end(true) });
      this.#find(".done").focus();
    } catch (error) {
      this.#show(false);
      this.#find(".record").focus();
      if (!isAbort(error)) this.#told.wrong(error.code ? error : new CallError("mic-busy", error.message));
    } finally {
      this.#asking = null;
      this.#tell();
    }
  }

  #hear(block) {
    this.#blocks.push(block);
    this.#scope.push(block);
    if (!this.#capture) return;
    this.#room.add(block, this.#capture.rate);
    this.#tell();
    if (this.#room.seconds >= LONGEST) this.#end(true);
  }

  async #end(kept) {
    this.#asking?.abort();
    const capture = this.#capture;
    this.#capture = null;
    await capture?.close();
    this.#show(false);
    if (kept && capture && this.#blocks.length) {
      const number = this.all.length + 1;
      this.#add(new File([wav(this.#blocks, capture.rate)], `${say("voices.take", { n: number })}.wav`, { type: "audio/wav" }));
    }
    this.#blocks = [];
    this.#changed();
    this.#find(".record").focus();
  }

  #show(recording) {
    this.#find(".recording").hidden = !recording;
    this.#find(".empty").hidden = recording || this.full;
    this.#tell();
  }

  #tell() {
    const on = Boolean(this.#capture);
    this.#write(".says", say(on ? "mic.recording" : "mic.asking"));
    this.#find(".recording time").textContent = clock(this.#room.seconds);
    this.#find(".done").disabled = !on;
    const known = this.#room.judge();
    this.#write(".room", on && known.seconds > 2 ? say(`voices.room.${known.verdict}.what`, { n: Math.round(known.snr) }) : say("voices.room.wait"));
    if (on) this.#told.listening(known);
  }

  /** Only what has changed is read out again. */
  #write(selector, words) {
    if (this.#find(selector).textContent !== words) this.#find(selector).textContent = words;
  }

  #droppable() {
    const over = (is) => this.#root.classList.toggle("over", is);
    for (const type of ["dragenter", "dragover"]) {
      this.#root.addEventListener(type, (event) => {
        event.preventDefault();
        over(true);
      });
    }
    this.#root.addEventListener("dragleave", (event) => { if (!this.#root.contains(event.relatedTarget)) over(false); });
    this.#root.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (!this.#busy) this.#take([...event.dataTransfer?.files ?? []]);
    });
  }
}
