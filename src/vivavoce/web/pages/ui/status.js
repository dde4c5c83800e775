// The page of the server's state: the machine, the queue, and what can work, looked at once a second.

import { failure, getJson, send } from "/ui/api.js";
import { Chart } from "/ui/chart.js";
import { Pulse } from "/ui/pulse.js";
import { $, dress, pageLanguage, say, translated, withCommands } from "/ui/shell.js";

const SECOND = 1000;
const numbers = (options) => new Intl.NumberFormat(pageLanguage(), options);
const percent = (value) => numbers({ style: "percent", maximumFractionDigits: 0 }).format(value / 100);
const gigabytes = (bytes) => numbers({ style: "unit", unit: "gigabyte", maximumFractionDigits: bytes < 1e11 ? 1 : 0 }).format(bytes / 1e9);
const degrees = (value) => numbers({ style: "unit", unit: "celsius", maximumFractionDigits: 0 }).format(value);
const ofAll = (used, total) => say("status.of", { used: gigabytes(used), total: gigabytes(total) });

const gauges = new Map();
let measured = null;  // the last answers: {machine, queue, ready}
let heard = [null, 0];
let able = null;  // what can work, as the server tells it

// ---- gauges

/** The gauge of that name, made when it is first needed, in `place`. */
function gauge(name, place, options) {
  if (!gauges.has(name)) {
    const root = $("gaugeTemplate").content.cloneNode(true).firstElementChild;
    const title = root.querySelector("h3");
    title.dataset.t = options.title;
    title.id = `gauge-${gauges.size}`;
    root.setAttribute("aria-labelledby", title.id);
    place.append(root);
    dress(root);
    gauges.set(name, { root, chart: new Chart(root, { ...options, label: () => say(options.title) }), words: options.words });
  }
  return gauges.get(name);
}

function show(name, value, more = "") {
  const { root, words } = gauges.get(name);
  root.querySelector("b").textContent = words(value);
  root.querySelector(".number span").textContent = more;
}

/** Every measure as `[name, value, more]`; the gauges are there afterwards. */
function measures({ machine, queue }) {
  const all = [
    ["cpu", machine.cpu_percent, ""],
    ["memory", machine.memory_percent, ofAll(machine.memory_used, machine.memory_total)],
    ["disk", machine.disk_percent, ""],
    ["queue", queue.queue_size, say(queue.is_processing ? "status.busy" : "status.idle")],
  ];
  gauge("cpu", $("gauges"), { title: "status.cpu", words: percent });
  gauge("memory", $("gauges"), { title: "status.memory", words: percent });
  gauge("disk", $("gauges"), { title: "status.disk", words: percent });
  gauge("queue", $("queue"), { title: "status.queue", words: (n) => numbers().format(n), high: (most) => Math.max(4, 2 * Math.ceil(most / 2)) });
  for (const [n, card] of machine.gpus.entries()) {
    const place = cardOf(n, card.name);
    gauge(`load ${n}`, place, { title: "status.gpu.load", words: percent });
    gauge(`memory ${n}`, place, { title: "status.gpu.memory", words: percent });
    gauge(`heat ${n}`, place, { title: "status.gpu.heat", words: degrees, low: 20, high: 100 });
    all.push([`load ${n}`, card.load, ""], [`heat ${n}`, card.temperature, ""]);
    all.push([`memory ${n}`, (100 * card.memory_used) / card.memory_total, ofAll(card.memory_used, card.memory_total)]);
  }
  return all;
}

function cardOf(n, name) {
  let card = $("cards").children[n];
  if (!card) {
    card = document.createElement("section");
    card.className = "card gpu";
    card.append(document.createElement("h3"), Object.assign(document.createElement("div"), { className: "gauges" }));
    $("cards").append(card);
  }
  const number = $("cards").children.length > 1 || n > 0 ? ` ${n}` : "";
  card.querySelector("h3").textContent = `${say("status.gpu")}${number} · ${name}`;
  return card.lastElementChild;
}

// ---- looking

async function answered(url, signal) {
  const response = await send(url, { signal });
  if (!response.ok) throw await failure(response);
  return response.json();
}

async function isReady(signal) {
  const response = await send("/readyz", { signal });
  return response.ok ? { ok: true } : { ok: false, reason: (await failure(response)).message };
}

async function look(signal) {
  const [machine, queue, ready] = await Promise.all([answered("/api/status", signal), answered("/api/queue_status", signal), isReady(signal)]);
  measured = { machine, queue, ready };
  const time = Date.parse(machine.timestamp) / SECOND;
  for (const [name, value] of measures(measured)) gauges.get(name).chart.add(time, value);
  draw();
  if (ready.ok && !able) fill();
}

function draw() {
  if (!measured) return;
  for (const [name, value, more] of measures(measured)) show(name, value, more);
  $("nocard").hidden = measured.machine.gpus.length > 0;
  $("ready").textContent = say(measured.ready.ok ? "status.ready" : "status.starting");
  $("readyWhat").textContent = measured.ready.ok ? say("status.ready.what") : measured.ready.reason;
}

/** Tell whether the numbers are of now. */
function tell() {
  const [error, wait] = heard;
  const state = error ? "away" : measured ? "live" : "asking";
  $("pulse").dataset.state = state;
  const words = error
    ? `${say(error.code === "network" ? "error.network" : "status.away")}. ${wait < Infinity ? say("status.wait", { n: Math.round(wait / SECOND) }) : ""}`
    : say(measured ? "status.live" : "stage.loading");
  if ($("pulseText").textContent !== words) $("pulseText").textContent = words;
  $("again").hidden = !error;
  $("main").classList.toggle("stale", Boolean(error));
}

const pulse = new Pulse(look, () => SECOND, (error, wait) => {
  if (error) able = null;  // it may come back with other engines
  heard = [error, wait];
  tell();
});
$("again").addEventListener("click", () => pulse.now());

// ---- what can work

/** Ask for what can work, once; what a server does not have is left out. */
async function fill() {
  able = {};
  try {
    const [voices, engines, chat] = await Promise.all([getJson("/v1/voices"), getJson("/v1/audio/engines"), getJson("/v1/chat").catch(() => null)]);
    able = { voices, engines, chat };
    drawWorks();
  } catch {  // the next look tells what is wrong; then it is asked again
    able = null;
  }
}

const languagesOf = (codes) => (codes.length ? say("status.languages", { n: codes.length }) : say("status.languages.all"));

function spoken({ voices }) {
  const engines = Map.groupBy(voices.voices.filter(({ clone }) => !clone), ({ engine }) => engine);
  return [...engines].map(([engine, some]) => {
    const codes = new Set(some.flatMap(({ languages }) => languages));
    return { name: engine, about: [say("status.voices.n", { n: some.length }), languagesOf([...codes])] };
  });
}

const lacks = ({ available = true, missing = "" }) => (available ? "" : missing || say("status.lacking"));

function chats({ chat }) {
  if (!chat) return [];
  const models = chat.models.map((model) => ({ name: model.name, about: [model.engine].filter((engine) => engine !== model.name), network: model.network }));
  return chat.available ? models : [...models, { name: say("status.chat.none"), about: [], lacking: lacks(chat) }];
}

function drawWorks() {
  if (!able?.voices) return;
  const { ears, cleaners, speakers } = able.engines;
  const plain = (engines) => engines.map(({ engine, licence, network, languages }) => (
    { name: engine, about: [languages && languagesOf(languages), licence].filter(Boolean), network }));
  const cloners = (able.voices.cloners ?? []).map((one) => (
    { name: one.engine, about: [one.approximate && say("status.approximate"), one.licence].filter(Boolean), network: one.network, lacking: lacks(one) }));
  const groups = [
    ["status.voices", spoken(able)], ["status.ears", plain(ears)], ["status.cleaners", plain(cleaners)],
    ["status.speakers", plain(speakers)], ["status.cloners", cloners], ["status.chat", chats(able)],
  ];
  $("works").replaceChildren(...groups.filter(([key, rows]) => rows.length || key !== "status.chat" && key !== "status.cloners").map(group));
  $("works").ariaBusy = "false";
}

function group([key, rows]) {
  const root = Object.assign(document.createElement("section"), { className: "card" });
  const list = document.createElement("ul");
  list.append(...rows.map(row));
  const title = Object.assign(document.createElement("h3"), { textContent: say(key) });
  root.append(title, rows.length ? list : Object.assign(document.createElement("p"), { className: "small", textContent: say("status.none") }));
  return root;
}

const sentence = (parts) => parts.join(" · ").replace(/^./u, (first) => first.toLocaleUpperCase(pageLanguage()));

function row({ name, about, network, lacking }) {
  const item = document.createElement("li");
  const head = document.createElement("p");
  head.append(Object.assign(document.createElement("b"), { textContent: name }));
  if (network) head.append(Object.assign(document.createElement("span"), { className: "tag", textContent: say("status.network") }));
  const more = Object.assign(document.createElement("p"), { className: "small" });
  more.append(...(lacking ? withCommands(lacking) : [sentence(about)]));
  item.className = lacking ? "lacking" : "";
  item.append(head, more);
  return item;
}

translated(() => {
  draw();
  for (const { chart } of gauges.values()) chart.describe();
  drawWorks();
  tell();
});
