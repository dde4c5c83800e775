// A training that runs: its stages, how long it still takes, the curve of its loss, and pictures of what it looks like.

import { $, say } from "/ui/shell.js";

const { uPlot } = globalThis;
const STAGES = ["examine", "track", "library"];
const FIELDS = { ernerf: ["layers", "head", "lips", "torso"], synctalk: ["layers", "head", "lips"] };  // of their own
const TALL = 132;  // CSS pixels
const SHOWN = 24;  // pictures in the strip

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A number of a loss, short. */
const short = (loss, digits = 3) => loss.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: digits });

/** So many seconds in words. */
export function inWords(seconds) {
  if (seconds < 90) return say("training.seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return say("training.minutes.n", { n: Math.round(seconds / 60) });
  return say("training.hours", { n: (seconds / 3600).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 }) });
}

export class Course {
  #plot = null;
  #data = [[], []];
  #told = {};
  #stages = [];
  #pictures = [];

  constructor() {
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#chart.clientWidth, height: TALL })).observe(this.#chart);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot?.redraw());
  }

  get #chart() {
    return $("curve").querySelector(".chart");
  }

  /** Begin anew; `refines` says whether the mouth is refined, `learns` whether the engine learns at all. */
  begin({ learns, refines, engine }) {
    this.#data = [[], []];
    this.#told = {};
    this.#pictures = [];
    this.#stages = learns ? [...STAGES, ...(FIELDS[engine] ?? (refines ? ["refine"] : []))] : ["prepare"];
    $("curve").hidden = $("strip").hidden = true;
    $("strip").replaceChildren();
    this.describe();
  }

  /** What an event of progress tells. */
  hear(told) {
    this.#told = told;
    if (!["train", ...this.#stages].includes(told.stage)) this.#stages.push(told.stage);
    if (told.loss !== undefined && told.loss !== null) this.#add(told.epoch, told.loss);
    if (told.preview_url && this.#pictures.at(-1)?.url !== told.preview_url) this.#show(told);
    this.describe();
  }

  /** All that is known of the losses, once it has ended. */
  losses(pairs) {
    if (!pairs.length) return;
    this.#data = [pairs.map(([epoch]) => epoch), pairs.map(([, loss]) => loss)];
    this.#draw();
  }

  /** The same in the page's language. */
  describe() {
    const { progress = 0, stage = "", epoch = 0, epochs = 0, remaining } = this.#told;
    const at = this.#stages.indexOf(stage);
    $("stages").replaceChildren(...this.#stages.map((name, n) => {
      const key = `training.stage.${name}`;
      const words = say(key);
      const item = Object.assign(document.createElement("li"), { textContent: words === key ? name : words, className: n < at ? "past" : "" });
      if (n === at) item.ariaCurrent = "step";
      return item;
    }));
    if (stage) $("progress").value = progress;
    else $("progress").removeAttribute("value");
    const percent = say("training.percent", { percent: Math.round(progress * 100) });
    const lap = epochs ? say("training.epoch", { epoch, epochs }) : "";
    $("percent").textContent = !stage ? say("training.waiting") : stage === "train" ? say("training.starting") : [percent, lap].filter(Boolean).join(" · ");
    $("left").textContent = remaining ? say("training.left", { time: inWords(remaining) }) : "";
    this.#describeCurve();
    for (const [n, item] of [...$("strip").children].entries()) item.querySelector("span").textContent = this.#titled(this.#pictures[n]);
  }

  #add(epoch, loss) {
    const [epochs, losses] = this.#data;
    while (epochs.length && epochs.at(-1) >= epoch) {  // it was taken up again further back
      epochs.pop();
      losses.pop();
    }
    epochs.push(epoch);
    losses.push(loss);
    this.#draw();
  }

  #draw() {
    $("curve").hidden = this.#data[0].length < 2;
    if ($("curve").hidden) return;
    const drawn = [this.#data[0], this.#data[1].map((loss) => (loss > 0 ? loss : null))];  // the scale is logarithmic
    this.#plot ??= new uPlot(this.#options(), drawn, this.#chart);
    this.#plot.setData(drawn);
    this.#plot.setSize({ width: this.#chart.clientWidth, height: TALL });
    this.#describeCurve();
  }

  #describeCurve() {
    const [epochs, losses] = this.#data;
    if (!losses.length) return;
    $("lossNow").textContent = short(losses.at(-1));
    this.#chart.ariaLabel = say("training.loss.what", { first: short(losses[0]), last: short(losses.at(-1)), n: epochs.at(-1) });
    const [from, to] = $("curve").querySelector(".ends").children;
    from.textContent = say("training.epoch.n", { n: epochs[0] });
    to.textContent = say("training.epoch.n", { n: epochs.at(-1) });
  }

  #titled(told) {
    return told.epochs ? say("training.epoch.n", { n: told.epoch }) : `${Math.round(told.progress * 100)} %`;
  }

  #show(told) {
    this.#pictures.push({ ...told, url: told.preview_url });
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const picture = Object.assign(document.createElement("img"), { src: told.preview_url, alt: "" });
    picture.addEventListener("error", () => { item.hidden = true; });  // its time is over
    button.append(picture, Object.assign(document.createElement("span"), { textContent: this.#titled(told) }));
    button.addEventListener("click", () => this.#look(told));
    item.append(button);
    $("strip").append(item);
    while ($("strip").children.length > SHOWN) {
      $("strip").firstElementChild.remove();
      this.#pictures.shift();
    }
    $("strip").hidden = false;
    $("strip").scrollLeft = $("strip").scrollWidth;
    this.#look(told);
  }

  #look(told) {
    $("film").pause();
    $("film").hidden = true;
    $("shown").src = told.preview_url;
    $("shown").alt = this.#titled(told);
    $("shownWhat").textContent = this.#titled(told);
    $("shown").hidden = $("shownWhat").hidden = $("stage").hidden = false;
  }

  #options() {
    const accent = () => colour("--accent");
    return {
      width: Math.max(1, this.#chart.clientWidth),
      height: TALL,
      padding: [8, 6, 4, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, width: 2, fill: () => colour("--surface"), stroke: accent } },
      scales: { x: { time: false }, y: { distr: 3, range: (_, least, most) => [least * 0.92, most * 1.08] } },
      axes: [{ show: false }, {
        size: 46, gap: 6, font: `11px ${getComputedStyle(document.body).fontFamily}`, stroke: () => colour("--soft"), ticks: { show: false },
        grid: { stroke: () => colour("--line"), width: 1 },
        filter: (_, splits) => splits,
        splits: (plot) => {
          const { min, max } = plot.scales.y;
          return [min, Math.sqrt(min * max), max];
        },
        values: (_, splits) => splits.map((value) => (value === null ? "" : short(value, 2))),
      }],
      series: [{}, { stroke: accent, width: 2, points: { show: false } }],
    };
  }
}
