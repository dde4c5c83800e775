// The page of voices: those of people that were learnt here, a new one, and those that are always here.

import { failure, getJson, send, storedKey } from "/ui/api.js";
import { CallError } from "/ui/element/calls.js";
import { named, withSettings } from "/ui/names.js";
import { $, pageLanguage, reveal, say, translated, trouble } from "/ui/shell.js";
import { Work } from "/ui/sound/work.js";
import { Builtin } from "/ui/voices/builtin.js";
import { Person } from "/ui/voices/person.js";
import { Takes } from "/ui/voices/takes.js";

const PLENTY = 60;  // seconds of speech beyond which little is won

const takes = new Takes($("takes"), () => $("language").value, {
  wrong: (error) => wrong(error, $("enrol")),
  changed: () => ready(),
  listening: (judged) => weigh(takes.speech + judged.speech),
});
const work = new Work($("work"));
const builtin = new Builtin(wrong);
let offer = null;  // as the server tells it
let persons = [];
let going = null;  // who may be deleted
let chosen = false;  // whether the user chose a language

/** Tell a failure where it happened; null takes the last one away. */
function wrong(error, place = null) {
  const box = place?.querySelector(".trouble-place");
  if (box) box.append($("trouble"));
  else if (place) place.after($("trouble"));
  trouble(error);
}

// ---- who is here

async function refresh() {
  offer = await getJson("/v1/voices");
  const kept = new Map(persons.map((person) => [person.id, person]));
  const voices = offer.voices.filter(({ clone }) => clone);
  const gone = persons.filter(({ id }) => !voices.some((voice) => voice.id === id));
  for (const person of gone) person.leave();
  persons = voices.map((voice) => kept.get(voice.id) ?? new Person(voice, { wrong, forget: ask }));
  $("persons").replaceChildren(...persons.map(({ root }) => root));
  builtin.show(offer.voices.filter(({ clone }) => !clone));
  fill();
}

function ask(person) {
  going = person;
  $("sureTitle").textContent = say("voices.forget.title", { name: person.name });
  $("sure").returnValue = "no";
  $("sure").showModal();
}

async function forget(person) {
  wrong(null);
  try {
    const answer = await send(`/v1/voices/${encodeURIComponent(person.id)}`, { method: "DELETE" });
    if (!answer.ok && answer.status !== 404) throw await failure(answer);
    const next = persons[persons.indexOf(person) + 1] ?? persons[persons.indexOf(person) - 1];
    await refresh();
    if (next) next.focus();
    else $("takes").querySelector("button, input").focus();
  } catch (error) {
    wrong(error, person.root.parentElement);
  }
}

// ---- a new one

const cloners = () => (offer?.cloners ?? []).filter(({ available }) => available);
const cloner = () => cloners().find(({ engine }) => engine === $("engine").value);

/** What there is to choose from, in words. */
function fill() {
  if (!offer) return;
  const able = cloners();
  $("enrol").hidden = !able.length;
  $("away").hidden = able.length > 0;
  $("mine").hidden = !persons.length;
  $("whose").textContent = say(storedKey() ? "voices.mine.what" : "avatars.shared");
  $("ways").replaceChildren(...(offer.cloners ?? []).filter(({ available }) => !available).map(way));
  const before = $("engine").value;
  $("engine").replaceChildren(...able.map(({ engine, approximate }) => new Option(approximate ? say("voices.engine.approximate", { engine }) : engine, engine)));
  $("engine").value = [before, offer.default_cloner].find((name) => able.some(({ engine }) => engine === name)) ?? able[0]?.engine ?? "";
  $("engineField").hidden = able.length < 2;
  fillLanguages();
  note();
  ready();
}

function fillLanguages() {
  const can = cloner()?.languages ?? [];
  const codes = can.length ? can : offer.languages.map(({ code }) => code);
  const before = $("language").value;
  $("language").replaceChildren(...codes.map((code) => new Option(named(code), code)));
  $("language").value = chosen && codes.includes(before) ? before : codes.includes(pageLanguage()) ? pageLanguage() : codes[0];
}

/** What a person should know of the method, and of consent here. */
function note() {
  const known = cloner();
  if (!known) return;
  const notes = [known.approximate ? say("voices.approximate.what") : "", known.network ? say("voices.network") : ""];
  $("engineNote").textContent = notes.filter(Boolean).join(" ");
  const required = offer.consent === "required";
  $("consent").required = required;
  $("consentNote").textContent = say(required ? "voices.consent.required" : "voices.consent.noted");
}

function way({ engine, missing }) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("b"), { textContent: engine }), " ", ...withSettings(missing ?? ""));
  return item;
}

/** Show how much speech there is: too little, enough, plenty. */
function weigh(speech) {
  const least = cloner()?.least || 15;
  const end = Math.max(PLENTY, least * 2);
  $("gauge").style.setProperty("--have", Math.min(1, speech / end));
  $("gauge").style.setProperty("--least", least / end);
  $("gauge").classList.toggle("well", speech >= least);
  const key = !speech ? "voices.enough.none" : speech < least ? "voices.enough.little" : speech < PLENTY ? "voices.enough.yes" : "voices.enough.plenty";
  const words = say(key, { n: Math.floor(speech), least: Math.round(least) });
  if ($("advice").textContent !== words) $("advice").textContent = words;
}

function ready() {
  weigh(takes.speech);
  $("learn").disabled = work.running || !takes.all.length;
}

async function learn(event) {
  event.preventDefault();
  if (work.running || !takes.all.length) return;
  wrong(null);
  const form = new FormData();
  for (const { file } of takes.all) form.append("recording", file, file.name);
  const fields = { name: $("name").value.trim(), language: $("language").value, engine: $("engine").value };
  if ($("consent").checked) Object.assign(fields, { consent: "true", consent_by: $("by").value.trim(), consent_text: $("consentText").textContent });
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  const learning = work.post("/v1/voices", form, "voices.learn.busy", "audio_clone");
  ready();
  try {
    const voice = await learning;
    if (voice) await welcome(voice);
  } catch (error) {
    wrong(error, $("enrol"));
  } finally {
    ready();
  }
}

/** It is here: show it, ready to be compared. */
async function welcome({ id }) {
  takes.clear();
  for (const field of ["name", "by"]) $(field).value = "";
  $("consent").checked = false;
  $("byField").hidden = true;
  await refresh();
  const person = persons.find((one) => one.id === id);
  person?.open(true);
  person?.focus();
  if (person) reveal(person.root);
}

$("form").addEventListener("submit", learn);
$("engine").addEventListener("change", () => {
  fillLanguages();
  note();
  ready();
});
$("language").addEventListener("change", () => { chosen = true; });
$("consent").addEventListener("change", () => { $("byField").hidden = !$("consent").checked; });
$("again").addEventListener("click", () => refresh().then(() => wrong(null), (error) => wrong(error, $("away"))));
$("sure").addEventListener("close", () => { if ($("sure").returnValue === "yes") forget(going); });
for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());  // a file beside its place opens nothing
addEventListener("offline", () => wrong(new CallError("network", "")));
addEventListener("online", () => wrong(null));

translated(() => {
  for (const person of persons) person.describe();
  fill();
});
try {
  await refresh();
} catch (error) {
  wrong(error);
}
