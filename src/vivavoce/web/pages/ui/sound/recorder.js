// A place for one recording: taken with the microphone, chosen or dropped as a file, heard, and exchanged for another.

import { Capture, canCapture } from "/ui/sound/capture.js";
import { clock, Player } from "/ui/sound/player.js";
import { Scope } from "/ui/sound/waves.js";
import { isAbort, CallError } from "/ui/element/calls.js";
import { dress, say, translated } from "/ui/shell.js";

const LONGEST = 600;  // seconds; more is better recorded with a program for it
const PLACE = Object.assign(document.createElement("template"), { innerHTML: `
  <div class="empty">
    <button type="button" class="button record"><svg class="mic" viewBox="0 0 24 24" aria-hidden="true"><rect x="9" y="2.5" width="6" height="11.5" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3.5"/></svg><span data-t="mic.record">Record</span></button>
    <label class="choose"><input type="file" class="unseen" accept="audio/*,video/*,.flac,.opus,.wma,.amr,.mka"><strong data-t="mic.choose">Choose a file</strong>
      <span class="small" data-t="mic.drop">or drop it here · WAV, MP3, FLAC, OGG, M4A, or a video</span></label>
    <p class="small no-mic" hidden></p>
  </div>
  <div class="recording" hidden>
    <canvas aria-hidden="true"></canvas>
    <div class="row"><p role="status"><span class="dot" aria-hidden="true"></span><span class="says"></span></p><time></time>
      <button type="button" class="button slim done" data-t="mic.done">Done</button>
      <button type="button" class="button quiet slim discard" data-t="cancel">Cancel</button></div>
  </div>
  <div class="taken" hidden>
    <div class="row"><p class="name" tabindex="-1"></p><button type="button" class="button quiet slim another" data-t="mic.another">Another one</button></div>
    <div class="tracks"></div>
    <p class="small mute" data-t="mic.unplayable" hidden>This browser cannot play this format; the server may read it all the same.</p>
  </div>` });

/** A WAV file of mono 16-bit samples. */
export function wav(blocks, rate) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const letters = (at, text) => [...text].forEach((letter, n) => head.setUint8(at + n, letter.charCodeAt(0)));
  letters(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  letters(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);  // PCM
  head.setUint16(22, 1, true);  // channels
  head.setUint32(24, rate, true);
  head.setUint32(28, rate * 2, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  letters(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, ...blocks], { type: "audio/wav" });
}

export class Take {
  /** The recording as a file, or null. */
  file = null;
  player;
  #root;
  #scope;
  #wrong;
  #changed;
  #capture = null;
  #asking = null;
  #blocks = [];
  #seconds = 0;

  /** `wrong` is told a failure, or null; `changed` is called when there is another recording, or none. */
  constructor(root, { wrong, changed }) {
    this.#root = root;
    this.#wrong = wrong;
    this.#changed = changed;
    root.replaceChildren(PLACE.content.cloneNode(true));
    dress(root);
    this.player = new Player(this.#find(".tracks"));
    this.#scope = new Scope(this.#find("canvas"));
    const file = this.#find("input[type=file]");
    file.addEventListener("change", () => {
      if (file.files[0]) this.take(file.files[0]);
      file.value = "";
    });
    this.#find(".record").addEventListener("click", () => this.#record());
    this.#find(".done").addEventListener("click", () => this.#end(true));
    this.#find(".discard").addEventListener("click", () => this.#end(false));
    this.#find(".another").addEventListener("click", () => {
      this.clear();
      this.#find(canCapture() ? ".record" : "input[type=file]").focus();
    });
    this.#droppable();
    this.#find(".record").hidden = !canCapture();
    this.#find(".no-mic").hidden = canCapture();
    translated(() => {
      this.#find(".no-mic").textContent = say("mic.error.mic-unsupported.what");
      this.#tell();
    });
  }

  /** Take up a file. */
  async take(file) {
    this.file = file;
    this.#wrong(null);
    this.#stage("taken");
    this.#find(".name").textContent = file.name;
    this.#find(".mute").hidden = true;
    this.#changed();
    const playable = await this.player.load([{ blob: file }]);
    if (this.file !== file) return;
    this.#find(".tracks").hidden = !playable;
    this.#find(".mute").hidden = playable;
  }

  clear() {
    this.player.unload();
    this.file = null;
    this.#stage("empty");
    this.#find(".tracks").hidden = false;
    this.#changed();
  }

  /** Stop recording, and keep nothing, when the place is left. */
  leave() {
    if (this.#capture || this.#asking) this.#end(false);
    this.player.pause();
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  #stage(name) {
    for (const stage of ["empty", "recording", "taken"]) this.#find(`.${stage}`).hidden = stage !== name;
  }

  #tell() {
    this.#find(".says").textContent = say(this.#capture ? "mic.recording" : "mic.asking");
    this.#find(".recording time").textContent = clock(this.#seconds);
    this.#find(".done").disabled = !this.#capture;
  }

  async #record() {
    this.#wrong(null);
    this.#blocks = [];
    this.#seconds = 0;
    this.#stage("recording");
    this.#scope.clear();
    this.#tell();
    const asking = this.#asking = new AbortController();
    try {
      const onLost = () => this.#end(true);
      const capture = await Capture.open({ signal: asking.signal, onBlock: (block) => this.#add(block), onLost });
      this.#capture = capture;
      this.#tell();
      this.#find(".done").focus();
    } catch (error) {
      if (!isAbort(error)) this.#fail(error);
    } finally {
      this.#asking = null;
    }
  }

  #add(block) {
    this.#blocks.push(block);
    this.#scope.push(block);
    if (!this.#capture) return;
    this.#seconds += block.length / this.#capture.rate;
    this.#tell();
    if (this.#seconds >= LONGEST) this.#end(true);
  }

  async #end(kept) {
    this.#asking?.abort();
    const capture = this.#capture;
    this.#capture = null;
    await capture?.close();
    if (kept && capture && this.#blocks.length) {
      const when = new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
      this.take(new File([wav(this.#blocks, capture.rate)], `recording-${when}.wav`, { type: "audio/wav" }));
      this.#find(".name").focus();
    } else {
      this.#stage("empty");
      this.#find(".record").focus();
    }
    this.#blocks = [];
  }

  #fail(error) {
    this.#stage("empty");
    this.#wrong(error.code ? error : new CallError("mic-busy", error.message));
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
      const [file] = event.dataTransfer?.files ?? [];
      if (file && !this.#capture) this.take(file);
    });
  }
}
