// Sound that can be seen: the history of a level while it is recorded, and the outline of a whole recording.

const BAR = 3, GAP = 2;  // CSS pixels
const FLOOR = 54;  // dB below full scale that still show
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** How high a peak of 0–1 is drawn, 0–1: loudness is heard in decibels. */
const height = (peak) => Math.max(0, 1 + (20 * Math.log10(Math.max(peak, 1e-6))) / FLOOR) ** 1.6;

function colours() {
  const style = getComputedStyle(document.documentElement);
  return { accent: style.getPropertyValue("--accent"), quiet: style.getPropertyValue("--quiet"), line: style.getPropertyValue("--line") };
}

/** The canvas at the screen's own resolution, cleared; sizes are then CSS pixels. */
function cleared(canvas) {
  const { clientWidth: width, clientHeight: tall } = canvas;
  const fine = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * fine)) canvas.width = Math.round(width * fine);
  if (canvas.height !== Math.round(tall * fine)) canvas.height = Math.round(tall * fine);
  const pen = canvas.getContext("2d");
  pen.setTransform(fine, 0, 0, fine, 0, 0);
  pen.clearRect(0, 0, width, tall);
  return { pen, width, tall };
}

function bar(pen, x, tall, share, colour) {
  const high = Math.max(BAR, share * tall);
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, (tall - high) / 2, BAR, high, BAR / 2);
  pen.fill();
}

function peakOf(samples, from, to) {
  let peak = 0;
  for (let n = from; n < to; n += 1) peak = Math.max(peak, Math.abs(samples[n]));
  return peak;
}

/** The last seconds of what is being recorded, newest at the right; a single moving bar for who wants no motion. */
export class Scope {
  #canvas;
  #levels = [];
  #drawing = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show a block of 16-bit samples; returns its level, 0–1. */
  push(samples) {
    const half = samples.length >> 1;
    const levels = [peakOf(samples, 0, half), peakOf(samples, half, samples.length)].map((peak) => height(peak / 32768));
    this.#levels.push(...levels);
    this.#levels.splice(0, this.#levels.length - 2000);
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
    return Math.max(...levels);
  }

  clear() {
    this.#levels = [];
    this.#draw();
  }

  #draw() {
    this.#drawing = 0;
    const { accent, line } = colours();
    const { pen, width, tall } = cleared(this.#canvas);
    const bars = Math.floor((width + GAP) / (BAR + GAP));
    const offset = (width - bars * (BAR + GAP) + GAP) / 2;
    const level = calm.matches ? Math.max(0, ...this.#levels.slice(-4)) : 0;
    for (let n = 0; n < bars; n += 1) {
      const old = this.#levels[this.#levels.length - bars + n] ?? 0;
      const lit = calm.matches ? n < level * bars : old > 0;
      pen.globalAlpha = lit && !calm.matches ? 0.35 + (0.65 * n) / bars : 1;
      bar(pen, offset + n * (BAR + GAP), tall, calm.matches ? 0.2 : old, lit ? accent : line);
    }
    pen.globalAlpha = 1;
  }
}

/** Peaks of a recording, 0–1, a hundred for each second, and its seconds; rejects what the browser cannot decode. */
export async function outline(blob) {
  const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(await blob.arrayBuffer());
  const step = sound.sampleRate / 100;
  const peaks = new Float32Array(Math.ceil(sound.length / step));
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    const samples = sound.getChannelData(channel);
    for (let n = 0; n < peaks.length; n += 1) peaks[n] = Math.max(peaks[n], peakOf(samples, n * step, Math.min(sound.length, (n + 1) * step)));
  }
  return { peaks, seconds: sound.duration };
}

/** Draw the outline; the share 0–1 that was played is in colour. */
export function drawOutline(canvas, peaks, played) {
  const { accent, quiet } = colours();
  const { pen, width, tall } = cleared(canvas);
  const bars = Math.floor((width + GAP) / (BAR + GAP));
  for (let n = 0; n < bars; n += 1) {
    const from = Math.floor((n / bars) * peaks.length);
    const to = Math.max(from + 1, Math.floor(((n + 1) / bars) * peaks.length));
    const peak = peaks.length ? peakOf(peaks, from, Math.min(to, peaks.length)) : 0;
    bar(pen, n * (BAR + GAP), tall, height(peak), (n + 0.5) / bars <= played ? accent : quiet);
  }
}
