// The microphone's sound as 16-bit samples, off the page's thread: down-mixed, low-passed, thinned out, in blocks.

const TAPS = 32;  // of the low-pass, for each sample that is dropped

/** Windowed sinc (Hamming) that keeps what is below 0.46 of the new rate; its gain is 1. */
function lowPass(factor) {
  if (factor === 1) return Float32Array.of(1);
  const length = TAPS * factor + 1;
  const taps = Float32Array.from({ length }, (_, n) => {
    const x = n - (length - 1) / 2;
    const cut = 0.92 / factor;
    const sinc = x === 0 ? cut : Math.sin(Math.PI * cut * x) / (Math.PI * x);
    return sinc * (0.54 - 0.46 * Math.cos((2 * Math.PI * n) / (length - 1)));
  });
  const gain = taps.reduce((sum, tap) => sum + tap, 0);
  return taps.map((tap) => tap / gain);
}

class Pcm extends AudioWorkletProcessor {
  constructor({ processorOptions: { factor, block } }) {
    super();
    this.factor = factor;
    this.taps = lowPass(factor);
    this.line = new Float32Array(this.taps.length);  // the newest samples, a ring
    this.at = 0;
    this.phase = 0;
    this.block = block;
    this.fresh();
    this.ended = false;
    this.port.onmessage = () => this.end();
  }

  fresh() {
    this.samples = new Int16Array(this.block);
    this.filled = 0;
  }

  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let n = 0; n < length && !this.ended; n += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      this.take(sum / channels.length);
    }
    return !this.ended;
  }

  take(sample) {
    this.line[this.at] = sample;
    this.at = (this.at + 1) % this.line.length;
    this.phase = (this.phase + 1) % this.factor;
    if (this.phase) return;
    let value = 0;
    for (let n = 0, from = this.at; n < this.taps.length; n += 1) {
      value += this.taps[n] * this.line[from];
      from = from + 1 === this.line.length ? 0 : from + 1;
    }
    this.samples[this.filled] = Math.round(Math.max(-1, Math.min(1, value)) * 32767);
    this.filled += 1;
    if (this.filled === this.block) {
      this.port.postMessage(this.samples, [this.samples.buffer]);
      this.fresh();
    }
  }

  /** The rest, and `null` as the last of all. */
  end() {
    this.ended = true;
    this.port.postMessage(this.samples.slice(0, this.filled));
    this.port.postMessage(null);
  }
}

registerProcessor("pcm", Pcm);
