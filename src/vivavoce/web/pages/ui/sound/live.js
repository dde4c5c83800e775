// The microphone's words while they are spoken: sound goes out over a WebSocket, texts come back.

import { storedKey } from "/ui/api.js";
import { CallError, isAbort } from "/ui/element/calls.js";
import { Capture, microphones } from "/ui/sound/capture.js";
import { copied, save } from "/ui/sound/keep.js";
import { clock } from "/ui/sound/player.js";
import { Scope } from "/ui/sound/waves.js";
import { $, say, translated } from "/ui/shell.js";

const HELD = 500;  // milliseconds: whoever presses longer wants to be heard only as long
const BEHIND = 3, TOO_FAR_BEHIND = 60;  // seconds of sound that wait to be sent
const WAIT = 60_000;  // milliseconds for the last words
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** The server's address for a language and a rate, and the subprotocols that carry the key. */
function door(language, rate) {
  const url = new URL("/ws/asr", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ language, sample_rate: String(rate) });
  const key = storedKey();
  if (key && !TOKEN.test(key)) url.searchParams.set("key", key);
  return [url, key && TOKEN.test(key) ? ["vivavoce", `key.${key}`] : []];
}

/** One connection. Resolves `ended` when the server has told everything, rejects it with a `CallError`. */
class Line {
  #socket;
  #error = null;
  #waiting = [];

  constructor(language, rate, heard) {
    this.rate = rate;
    this.#socket = new WebSocket(...door(language, rate));
    this.ended = new Promise((done, fail) => {
      this.#socket.addEventListener("message", ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "error") this.#error = new CallError(message.code ?? "internal", message.detail);
        else heard(message);
      });
      this.#socket.addEventListener("open", () => {
        for (const data of this.#waiting.splice(0)) this.#socket.send(data);
      });
      this.#socket.addEventListener("close", ({ code }) => {
        if (code === 1000) done();
        else fail(this.#error ?? new CallError("mic-broken", "The connection broke."));
      });
    });
    this.ended.catch(() => {});  // it is awaited later, or not at all
  }

  /** Seconds of sound that have not left yet. */
  get behind() {
    return this.#socket.bufferedAmount / 2 / this.rate;
  }

  /** Send sound, or an event; what comes before the connection stands is sent then. */
  send(data) {
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#waiting.push(data);
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  close() {
    this.#socket.close();
  }
}

export class Live {
  #wrong;
  #scope = new Scope($("scope"));
  #state = "idle";
  #words = "mic.idle";
  #capture = null;
  #line = null;
  #asking = null;
  #lines = [];  // what was said: {start, end, text, words}, in seconds since the first word of all
  #before = 0;  // seconds of the connections before this one
  #seconds = 0;
  #pressed = null;

  /** `wrong` is told a failure, or null. */
  constructor(wrong) {
    this.#wrong = wrong;
    const talk = $("talk");
    talk.addEventListener("pointerdown", (event) => { if (event.button === 0) this.#press(); });
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => this.#release());
    talk.addEventListener("keydown", (event) => {
      if (event.repeat || ![" ", "Enter"].includes(event.key)) return;
      event.preventDefault();
      this.#press();
    });
    talk.addEventListener("keyup", (event) => {
      if (event.key === " ") event.preventDefault();
      this.#release();
    });
    talk.addEventListener("click", ({ detail }) => { if (detail === 0) this.toggle(); });  // a screen reader's
    addEventListener("keydown", (event) => { if (event.key === "Escape") this.stop(); });
    $("clear").addEventListener("click", () => this.clear());
    $("copy").addEventListener("click", () => this.#copy());
    $("saveText").addEventListener("click", () => save(this.#lines, "txt", "speech"));
    $("saveVtt").addEventListener("click", () => save(this.#lines, "vtt", "speech"));
    $("language").addEventListener("change", () => this.stop());
    $("device").addEventListener("change", () => this.stop());
    translated(() => {
      this.#tell(this.#state, this.#words);
      for (const id of ["saveText", "saveVtt"]) $(id).ariaLabel = say("mic.save", { kind: $(id).textContent });
      if ($("device").options.length) $("device").options[0].textContent = say("mic.device.default");
    });
  }

  toggle() {
    if (this.#state === "idle") this.start();
    else this.stop();
  }

  async start() {
    this.#wrong(null);
    this.#tell("asking", "mic.asking");
    const asking = this.#asking = new AbortController();
    this.#seconds = 0;
    const early = [];  // what is heard before there is a connection
    try {
      const capture = await Capture.open({
        device: $("device").value,
        speech: true,
        signal: asking.signal,
        onBlock: (block) => (this.#line ? this.#send(block) : early.push(block)),
        onLost: () => this.stop(),
      });
      this.#capture = capture;
      this.#scope.clear();
      this.#tell("connecting", "mic.connecting");
      const line = this.#line = new Line($("language").value, capture.rate, (message) => this.#heard(message));
      for (const block of early.splice(0)) this.#send(block);
      this.#offerDevices();
      await line.ended;
      this.#end("mic.stopped");
    } catch (error) {
      this.#end("mic.idle");
      if (!isAbort(error)) this.#wrong(error.code ? error : new CallError("mic-busy", error.message));
    }
  }

  /** No more sound; what was said is still written. */
  async stop() {
    if (this.#state === "asking") this.#asking.abort();
    if (!["connecting", "listening"].includes(this.#state)) return;
    this.#tell("finishing", "mic.finishing");
    const [capture, line] = [this.#capture, this.#line];
    this.#capture = null;
    await capture.close();
    line.send(JSON.stringify({ event: "stop" }));
    setTimeout(() => line.close(), WAIT);
  }

  /** Forget what was said. */
  clear() {
    this.#lines = [];
    this.#before = 0;
    $("lines").replaceChildren();
    this.#show();
    $("talk").focus();
  }

  // ---- what goes out and what comes back

  #send(block) {
    this.#line.send(block.buffer);
    this.#seconds += block.length / this.#line.rate;
    $("booth").style.setProperty("--level", this.#scope.push(block).toFixed(2));
    $("clock").textContent = clock(this.#seconds);
    if (this.#state !== "listening") return;
    const behind = this.#line.behind;
    if (behind > TOO_FAR_BEHIND) this.#line.close();
    this.#tell("listening", behind > BEHIND ? "mic.behind" : "mic.listening");
  }

  #heard(message) {
    if (message.type === "ready" && this.#state === "connecting") this.#tell("listening", "mic.listening");
    if (message.type === "partial") {
      const firm = message.stable_text ?? "";
      $("stable").textContent = firm;
      $("unstable").textContent = message.text.startsWith(firm) ? message.text.slice(firm.length) : (message.unstable_text ?? message.text);
      this.#show();
    }
    if (message.type === "final") {
      if (message.text) this.#write(message);
      this.#forget();
    }
  }

  #write({ text, start, end, words = [], language }) {
    const moved = ({ start: from, end: to, ...rest }) => ({ ...rest, start: from + this.#before, end: to + this.#before });
    const line = { ...moved({ start, end }), text, words: words.map(moved) };
    this.#lines.push(line);
    const item = document.createElement("li");
    const time = Object.assign(document.createElement("time"), { textContent: clock(line.start) });
    const said = Object.assign(document.createElement("span"), { textContent: text, lang: language ?? "" });
    item.append(time, said);
    $("lines").append(item);
    $("lines").scrollTop = $("lines").scrollHeight;
  }

  #forget() {
    $("stable").textContent = $("unstable").textContent = "";
    this.#show();
  }

  #end(words) {
    this.#before += this.#seconds;
    this.#capture?.close();
    this.#line?.close();
    this.#capture = this.#line = this.#asking = null;
    this.#forget();
    this.#scope.clear();
    $("booth").style.setProperty("--level", "0");
    this.#tell("idle", words);
  }

  // ---- what is seen

  #show() {
    const partial = $("stable").textContent + $("unstable").textContent;
    $("now").hidden = !partial;
    $("tools").hidden = !this.#lines.length;
    $("nothing").hidden = Boolean(partial || this.#lines.length);
  }

  #tell(state, words) {
    this.#state = state;
    this.#words = words;
    $("booth").dataset.state = state;
    $("clock").hidden = !["listening", "finishing"].includes(state);
    const told = say(words);
    if ($("state").textContent !== told) $("state").textContent = told;
    $("talk").ariaLabel = say(["idle", "finishing"].includes(state) ? "mic.talk" : "mic.stop");
    $("talk").disabled = state === "finishing";
  }

  async #offerDevices() {
    const found = await microphones();
    const chosen = $("device").value;
    $("device").hidden = found.length < 2;
    $("device").replaceChildren(new Option(say("mic.device.default"), ""), ...found.filter(({ deviceId }) => deviceId !== "default").map((one) => new Option(one.label, one.deviceId)));
    $("device").value = chosen;
  }

  async #copy() {
    await copied(this.#lines.map(({ text }) => text).join("\n"), $("copy"));
  }

  // ---- what a person does: a short press begins and ends, a long one is as long as the speech

  #press() {
    this.#pressed = this.#state === "idle" ? performance.now() : null;
    this.toggle();
  }

  #release() {
    const held = this.#pressed !== null && performance.now() - this.#pressed > HELD;
    this.#pressed = null;
    if (held && this.#state !== "asking") this.stop();  // while the browser asks, the button cannot be held
  }
}
