// One measure over the last minutes: a line with a wash below it, drawn by uPlot in the page's colours.

import { say } from "/ui/shell.js";

const { uPlot } = globalThis;
const SPAN = 120;  // seconds that are shown
const TALL = 104;  // CSS pixels

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = () => `11px ${getComputedStyle(document.body).fontFamily}`;

export class Chart {
  #root;
  #ends;
  #plot;
  #words;
  #label;
  #data = [[], []];
  #at = null;  // the point beneath the pointer

  /** `root` holds `.chart` and `.ends`; values run from `low` to `high`, `words(value)` says one, `label()` names the measure. */
  constructor(root, { low = 0, high = 100, words, label }) {
    this.#root = root.querySelector(".chart");
    this.#ends = root.querySelector(".ends");
    this.#words = words;
    this.#label = label;
    const y = high instanceof Function ? (_, __, most) => [low, high(most)] : [low, high];
    this.#plot = new uPlot(this.#options(y), this.#data, this.#root);
    new ResizeObserver(() => this.#plot.setSize({ width: this.#root.clientWidth, height: TALL })).observe(this.#root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.redraw());
  }

  /** One more value at `time` (seconds); null where nothing is known. */
  add(time, value) {
    const [times, values] = this.#data;
    const last = times.at(-1) ?? -Infinity;
    if (time <= last) return;  // the same measurement, told again
    if (value !== null && time - last > 10) {  // nobody looked meanwhile: no line across what was not seen
      times.push(time - 0.5);
      values.push(null);
    }
    times.push(time);
    values.push(value);
    const old = times.findIndex((one) => one > time - SPAN - 10);
    times.splice(0, old);
    values.splice(0, old);
    this.#plot.setData(this.#data);
    this.describe();
  }

  /** The same in words, for whoever does not see it; again when the language has changed. */
  describe() {
    const known = this.#data[1].filter((value) => value !== null);
    const range = { low: this.#words(Math.min(...known)), high: this.#words(Math.max(...known)) };
    this.#root.ariaLabel = known.length ? `${this.#label()}. ${say("status.range", range)}` : this.#label();
    this.#point();
  }

  #point() {
    const value = this.#at === null ? null : this.#data[1][this.#at];
    const [from, to] = this.#ends.children;
    from.textContent = say("status.from");
    to.textContent = say("status.now");
    if (value === null || value === undefined) return;
    from.textContent = new Date(this.#data[0][this.#at] * 1000).toLocaleTimeString(document.documentElement.lang);
    to.textContent = this.#words(value);
  }

  #options(range) {
    const accent = () => colour("--accent");
    return {
      width: Math.max(1, this.#root.clientWidth),
      height: TALL,
      padding: [8, 4, 4, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, width: 2, fill: () => colour("--surface"), stroke: accent } },
      scales: { x: { time: false, range: (_, __, newest) => [newest - SPAN, newest] }, y: { range } },
      axes: [{ show: false }, {
        size: 34, gap: 6, font: font(), stroke: () => colour("--soft"), ticks: { show: false },
        grid: { stroke: () => colour("--line"), width: 1 },
        splits: (plot) => [plot.scales.y.min, (plot.scales.y.min + plot.scales.y.max) / 2, plot.scales.y.max],
        values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? String(value) : "")),
      }],
      series: [{}, { stroke: accent, width: 2, fill: () => `${accent()}24`, points: { show: false } }],
      hooks: { setCursor: [(plot) => { this.#at = plot.cursor.idx ?? null; this.#point(); }] },
    };
  }
}
