// The page of the microphone: live text, a recording cleaned and written down, voices compared.

import { getJson } from "/ui/api.js";
import { canCapture } from "/ui/sound/capture.js";
import { Live } from "/ui/sound/live.js";
import { Recording } from "/ui/sound/file.js";
import { Voices } from "/ui/sound/voices.js";
import { CallError } from "/ui/element/calls.js";
import { $, pageLanguage, say, translated, trouble, withCommands } from "/ui/shell.js";
import { TONGUES } from "/ui/words.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
let offer = null;  // what the server has; null until it is known
let chosen = false;  // whether the user chose a language

/** Tell a failure where it happened; null takes the last one away. */
function wrong(error, place = null) {
  const box = place?.querySelector(".trouble-place") ?? place?.parentElement.querySelector(":scope > .trouble-place");
  if (box) box.append($("trouble"));
  else if (place) place.after($("trouble"));
  trouble(error);
}

// ---- the three rooms

const live = new Live((error) => wrong(error, $("live")));
const rooms = { live: { leave: () => live.stop() }, file: new Recording(wrong, named), voice: new Voices(wrong) };

function enter(name, focus = false) {
  trouble(null);
  for (const tab of tabs) {
    const is = tab.id === `tab-${name}`;
    if (!is && !$(tab.getAttribute("aria-controls")).hidden) rooms[tab.getAttribute("aria-controls")].leave();
    tab.ariaSelected = String(is);
    tab.tabIndex = is ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !is;
    if (is && focus) tab.focus();
  }
  history.replaceState(null, "", name === "live" ? location.pathname : `#${name}`);
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => enter(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    enter(tabs.at(to % tabs.length).getAttribute("aria-controls"), true);
  });
}
for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());  // a file beside its place opens nothing

// ---- what the server has

/** A language by its own name, where it is one of the page's, else by its name in the page's language. */
function named(code) {
  if (TONGUES[code]) return TONGUES[code];
  try {
    return new Intl.DisplayNames([pageLanguage()], { type: "language" }).of(code);
  } catch {  // no code that browsers know
    return code;
  }
}

function fillLanguages() {
  const ears = offer?.ears ?? [];
  const every = ears.some(({ languages }) => !languages.length);
  const covered = new Set(ears.flatMap(({ languages }) => languages));
  const others = [...covered].filter((code) => !(code in TONGUES)).map((code) => [code, named(code)]).sort((a, b) => a[1].localeCompare(b[1], pageLanguage()));
  for (const id of ["language", "spoken"]) {
    const before = $(id).value;
    const words = (code) => (!offer || every || covered.has(code) ? named(code) : say("mic.unheard", { name: named(code) }));
    const options = [...Object.keys(TONGUES).map((code) => [code, words(code)]), ...others];
    if (id === "spoken") options.unshift(["auto", say("mic.detect")]);
    $(id).replaceChildren(...options.map(([code, name]) => new Option(name, code)));
    $(id).value = chosen && before ? before : pageLanguage();
  }
}

function fillCleaners() {
  const before = $("cleaner").value;
  const engines = offer?.cleaners.map(({ engine }) => engine) ?? ["auto"];
  const ordered = [...new Set(["auto", "speex", "rnnoise", "gtcrn", ...engines])].filter((engine) => engines.includes(engine));
  const words = (engine) => {
    const told = say(`mic.cleaner.${engine}`);
    return told === `mic.cleaner.${engine}` ? engine : told;
  };
  $("cleaner").replaceChildren(...ordered.map((engine) => new Option(words(engine), engine)));
  $("cleaner").value = ordered.includes(before) ? before : ordered[0];
}

/** What a person should know of the recogniser that will hear this language: that it is a poor one, or not of this machine. */
function aboutEars() {
  for (const note of document.querySelectorAll(".about-ear")) {
    const language = $(note.dataset.for).value;
    const able = (offer?.ears ?? []).filter(({ languages }) => language === "auto" || !languages.length || languages.includes(language));
    const poor = able.length > 0 && able.every(({ engine }) => engine === "sphinx");
    const away = able.length > 0 && able.every(({ engine, network }) => network || engine === "sphinx") && !poor;
    note.hidden = !poor && !away;
    note.replaceChildren(...withCommands(say(away ? "mic.ear.away" : "mic.ear.poor")));
  }
}

function fill() {
  fillLanguages();
  fillCleaners();
  aboutEars();
}

for (const id of ["language", "spoken"]) {
  $(id).addEventListener("change", () => {
    chosen = true;
    aboutEars();
  });
}
translated(fill);
const wanted = () => (location.hash.slice(1) in rooms ? location.hash.slice(1) : "live");
enter(wanted());
addEventListener("hashchange", () => enter(wanted()));
if (!canCapture()) {
  $("talk").disabled = true;
  wrong(new CallError("mic-unsupported", ""), $("live"));
}
try {
  offer = await getJson("/v1/audio/engines");
  fill();
  await rooms.voice.refresh();
} catch (error) {
  if (error.code === "network") wrong(error, $(document.querySelector("[role=tab][aria-selected=true]").getAttribute("aria-controls")));
}
