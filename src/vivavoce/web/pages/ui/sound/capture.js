// The microphone as blocks of 16-bit samples. One part of the page holds it at a time.

import { CallError } from "/ui/element/calls.js";

const BLOCK_SECONDS = 0.05;
const HIGHEST = 48000;  // Hz, of what the server takes
const SPEECH = 16000;  // Hz: more says nothing to a recogniser
/** The sound as it is: what a browser suppresses, nobody can compare or recognise any more. */
const PLAIN = { channelCount: { ideal: 1 }, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
const CODES = { NotAllowedError: "mic-denied", SecurityError: "mic-denied", NotFoundError: "mic-missing", OverconstrainedError: "mic-missing" };

let holder = null;

/** Whether this page can have a microphone at all; a page over plain http from another machine cannot. */
export const canCapture = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.AudioWorkletNode);

/** The microphones, once the user has allowed one; before, browsers do not tell their names. */
export async function microphones() {
  if (!canCapture()) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind, deviceId, label }) => kind === "audioinput" && deviceId && label);
}

/** How many samples become one: as few as the server needs. */
export function thinning(rate, speech) {
  return speech ? Math.max(1, Math.floor(rate / SPEECH)) : Math.ceil(rate / HIGHEST);
}

const aborted = (signal) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));

export class Capture {
  #stream;
  #context;
  #node;
  #rest;
  #onLost;

  /** Ask for a microphone. `speech` thins the sound out to what a recogniser needs. Rejects with a `CallError` mic-…, or what `signal` is aborted with.
   *
   * `onBlock` is called with an Int16Array for every 50 ms, `onLost` when the microphone goes away or another part of the page takes it.
   */
  static async open({ device = "", speech = false, signal, onBlock, onLost }) {
    if (!canCapture()) throw new CallError("mic-unsupported", "The browser lends no microphone to this address.");
    holder?.lose();
    const capture = new Capture();
    const opening = capture.#open(device, speech, onBlock);
    try {
      await Promise.race([opening, aborted(signal)]);
    } catch (error) {
      opening.catch(() => {}).then(() => capture.close());  // the user may allow it after all
      throw error;
    }
    capture.#onLost = onLost;
    capture.#stream.getAudioTracks()[0].addEventListener("ended", () => capture.lose());
    holder = capture;
    return capture;
  }

  /** It is gone, or somebody else's now. */
  lose() {
    if (holder !== this) return;
    holder = null;
    this.#onLost();
  }

  async #open(device, speech, onBlock) {
    const audio = device ? { ...PLAIN, deviceId: { exact: device } } : PLAIN;
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
      throw new CallError(CODES[error.name] ?? "mic-busy", error.message || "The microphone cannot be used.");
    });
    this.#context = new AudioContext();
    const factor = thinning(this.#context.sampleRate, speech);
    this.rate = Math.round(this.#context.sampleRate / factor);
    await this.#context.audioWorklet.addModule("/ui/sound/pcm-worklet.js");
    await this.#context.resume();
    const processorOptions = { factor, block: Math.round(this.rate * BLOCK_SECONDS) };
    this.#node = new AudioWorkletNode(this.#context, "pcm", { processorOptions });
    this.#rest = new Promise((done) => {
      this.#node.port.onmessage = ({ data }) => (data === null ? done() : onBlock(data));
    });
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
    this.#node.connect(this.#context.destination);  // silent; some browsers run only what is connected
  }

  /** Let the microphone go; what it heard until now has been told when the promise is resolved. */
  async close() {
    if (holder === this) holder = null;
    if (this.#node && this.#context.state === "running") {
      this.#node.port.postMessage("end");
      await this.#rest;
    }
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
    this.#node = null;
  }
}
