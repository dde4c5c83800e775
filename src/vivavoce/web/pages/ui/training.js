// The page on which a person is learnt from a film: the film is looked at, learnt, and compared with what came of it.

import { failure, getJson, send } from "/ui/api.js";
import { freeName, showChecks } from "/ui/checks.js";
import { CallError, eventsOf, isAbort } from "/ui/element/calls.js";
import { $, pageLanguage, reveal, say, translated, trouble } from "/ui/shell.js";
import { Course, inWords } from "/ui/training/course.js";
import { Heads, qualityRows } from "/ui/training/heads.js";
import { upload } from "/ui/training/upload.js";

const heads = new Heads();
const course = new Course();
let offer = null;  // what can be asked for, and who is here
let taken = [];  // avatars, whose names are taken
let file = null;  // what is being looked at: {blob, address, report}
let job = null;  // what is being learnt: {abort, id, name}
let made = null;  // what was learnt: the facts of the model
let looking = null;
let said = "";  // what is told of the last one
let sent = null;  // what is said while a file is on its way: [key, fraction]

const titled = (name) => name[0].toUpperCase() + name.slice(1);
const quality = () => document.querySelector("[name=quality]:checked").value;
const TITLES = { ernerf: "ER-NeRF", synctalk: "SyncTalk" };  // engines that learn a radiance field, in many steps
const teacher = () => offer?.engines.find((one) => one.engine === $("engine").value);
const learns = () => teacher()?.learns ?? false;
const takes = (option) => teacher()?.options.includes(option) ?? false;
const refines = () => takes("size") || (takes("quality") && quality() === "best");

/** One of the page's four faces: `choose`, `found`, `course`, `done`. */
function turn(to) {
  $("begin").hidden = !["choose", "found"].includes(to);
  $("drop").hidden = $("tips").hidden = to !== "choose";
  $("found").hidden = to !== "found";
  $("course").hidden = to !== "course";
  $("done").hidden = $("compare").hidden = to !== "done";
  $("stage").hidden = to === "done" || (to === "choose" && !looking) || (to === "course" && !file && $("shown").hidden);
  if (to !== "course") $("strip").hidden = to !== "done" || !$("strip").children.length;
  $("main").classList.toggle("busy", to !== "choose");
}

// ---- a film is looked at

async function look(blob) {
  if (!blob || job) return;
  forget();
  tell("");
  const abort = looking = new AbortController();
  trouble(null);
  const address = URL.createObjectURL(blob);
  $("film").src = address;
  $("film").hidden = false;
  $("shown").hidden = $("shownWhat").hidden = true;
  file = { blob, address, report: null };
  turn("choose");
  $("drop").hidden = $("tips").hidden = true;
  const form = new FormData();
  form.append("file", blob, "file");
  try {
    const seen = await upload("/v1/avatars/check", form, abort.signal, (fraction) => onTheWay(fraction < 1 ? "training.sending" : "training.looking", fraction));
    abort.signal.throwIfAborted();
    if (seen.report.kind !== "video") throw new CallError("unsupported-media", say("training.picture"));
    file.report = seen.report;
    if (seen.preview) $("film").poster = seen.preview;
    looking = null;
    $("name").value = freeName(blob.name ?? "", taken);
    turn("found");
    judge();
    reveal($("begin"));
    $("verdict").focus({ preventScroll: true });
  } catch (error) {
    if (looking === abort || !isAbort(error)) {
      forget();
      turn("choose");
    }
    if (!isAbort(error)) trouble(error);
  } finally {
    onTheWay("");
  }
}

function tell(key) {
  said = key;
  $("said").textContent = key ? say(key) : "";
  $("said").hidden = !key;
}

function onTheWay(key, fraction = 0) {
  sent = key ? [key, fraction] : null;
  $("looking").hidden = !key;
  if (!key) return;
  $("lookingText").textContent = say(key, { percent: Math.round(fraction * 100) });
  if (fraction > 0 && fraction < 1) $("lookingBar").value = fraction;
  else $("lookingBar").removeAttribute("value");
}

/** Say what was found. A long film is no fault here: all of it is learnt from. */
function judge() {
  if (!file?.report) return;
  const findings = file.report.findings.filter(({ check, level }) => check !== "duration" || level !== "ok");
  const level = findings.some((one) => one.level === "refuse") ? "refuse" : findings.some((one) => one.level === "warn") ? "warn" : "ok";
  $("verdict").textContent = say(`training.verdict.${level}`);
  showChecks(findings, $("checks"), $("passed"));
  $("asking").hidden = $("learn").hidden = level === "refuse";
}

function forget() {
  looking?.abort();
  looking = null;
  if (file) URL.revokeObjectURL(file.address);
  file = null;
  for (const what of ["src", "poster"]) $("film").removeAttribute(what);
  $("film").load();
  $("file").value = "";
}

/** The choices that the engine has. */
function choose() {
  if (!offer) return;
  $("qualityField").hidden = !takes("quality");
  $("engineNote").hidden = learns();
  for (const field of document.querySelectorAll(".refining")) field.hidden = !refines();
  for (const field of document.querySelectorAll(".painting")) field.hidden = !takes("size");
  warn();
  $("consent").required = offer.consent === "required";
  $("byField").hidden = !$("consent").checked;
}

/** Say beforehand how many hours a radiance field takes where there is no graphics card. */
function warn() {
  const step = teacher()?.step_seconds;
  $("slow").hidden = !step;
  if (!step) return;
  const pictures = 25 * Math.min(60, $("film").duration || 60);
  const steps = Math.max(20, (Number($("epochs").value) || 100) * pictures / (Number($("batch").value) || 4));
  const seconds = Math.min(steps * step, 60 * (Number($("minutes").value) || Infinity)) + 3 * pictures / 25;
  $("slow").textContent = say("training.slow", { engine: TITLES[teacher().engine] ?? teacher().engine, time: inWords(seconds) });
}

// ---- the person is learnt

function asked() {
  const options = {};
  if (takes("quality") && quality() === "best") options.quality = "best";
  if (refines()) {
    if ($("lr").value.trim()) options.lr = $("lr").value.trim();
    if ($("batch").value) options.batch = Number($("batch").value);
  }
  if (takes("size")) {
    options.ear = $("ear").value;
    if ($("size").value) options.size = Number($("size").value);
  }
  if ($("minutes").value) options.max_minutes = Number($("minutes").value);
  const form = new FormData();
  const fields = { name: $("name").value, engine: $("engine").value, epochs: $("epochs").value || "100", consent: String($("consent").checked), consent_by: $("by").value };
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  if (Object.keys(options).length) form.append("options", JSON.stringify(options));
  form.append("file", file.blob, file.blob.name ?? "film");
  return { form, options, name: $("name").value };
}

async function learn() {
  tell("");
  const { form, options, name } = asked();
  const abort = new AbortController();
  job = { abort, id: null, name };
  trouble(null);
  $("learn").disabled = $("other").disabled = true;
  let begun = null;
  try {
    begun = await upload("/v1/models", form, abort.signal, (fraction) => onTheWay("training.sending", fraction));
  } catch (error) {
    if (!isAbort(error)) trouble(error);
  } finally {
    onTheWay("");
    $("learn").disabled = $("other").disabled = false;
    job = null;
  }
  if (begun) await follow(begun, { learns: learns(), refines: options.quality === "best", engine: $("engine").value });
}

/** Go on with what is being learnt; the page may have been left meanwhile. */
async function resume() {
  for (const state of ["running", "queued"]) {
    const { jobs: [left] } = await getJson(`/v1/jobs?kind=model_training&state=${state}&limit=1`);
    if (!left) continue;
    const { face_engine: engine, options } = left.params;
    follow(left, { learns: offer.engines.find((one) => one.engine === engine)?.learns ?? true, refines: options.quality === "best", engine });
    return;
  }
}

async function follow(begun, about) {
  job = { abort: new AbortController(), id: begun.id, name: begun.params.name };
  course.begin(about);
  $("courseTitle").textContent = say("training.learning", { name: titled(job.name) });
  turn("course");
  reveal($("course"));
  let ended = null;
  try {
    ended = await followed(begun);
  } catch (error) {
    if (!isAbort(error)) trouble(error);
  }
  const { name } = job;
  job = null;
  if (ended?.state === "succeeded") return present(name);
  turn(file ? "found" : "choose");
  if (ended?.state === "failed") trouble(new CallError(ended.error.code, ended.error.message));
  if (ended?.state === "cancelled") tell("training.cancelled");
  return heads.refresh();
}

/** The last state of the job, told from its events; a broken connection is taken up where it broke. */
async function followed(begun) {
  let after = 0;
  let failures = 0;
  for (;;) {
    try {
      const answer = await send(begun.events_url, { headers: { "Last-Event-ID": String(after) }, signal: job.abort.signal });
      if (!answer.ok) throw await failure(answer);
      for await (const { id, name, data } of eventsOf(answer)) {
        failures = 0;
        after = Number(id) || after;
        if (name === "progress") course.hear(data);
        if (name === "state" && ["succeeded", "failed", "cancelled"].includes(data.state)) return data;
      }
    } catch (error) {
      failures += 1;
      if (isAbort(error) || error.code !== "network" || failures > 8) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 500 * 2 ** failures)));
    }
  }
}

// ---- what came of it

async function present(name) {
  offer = await heads.refresh();
  made = await getJson(`/v1/models/${encodeURIComponent(name)}`);
  course.losses(made.losses);
  if (made.losses.length > 1) $("done").insertBefore($("curve"), $("quality"));
  turn("done");
  describe();
  compare();
  reveal($("done"));
  $("doneTitle").focus({ preventScroll: true });
}

function describe() {
  if (!made) return;
  $("doneTitle").textContent = say("training.done", { name: titled(made.name) });
  const took = made.seconds ? say("training.took", { time: inWords(made.seconds) }) : "";
  $("doneWhat").textContent = [took, made.ended && say("training.ended")].filter(Boolean).join(" ");
  $("quality").replaceChildren(...qualityRows(made.quality, made.warnings));
  $("video").href = `/?${new URLSearchParams({ avatar: made.name })}`;
  $("beforeWhat").textContent = say(file ? "training.before" : "training.rest");
}

/** The person's own film, or the model at rest where that is not at hand; beside it the first words of the model. */
async function compare() {
  const { name } = made;
  $("before").src = file ? file.address : made.idle_url;
  $("before").poster = file ? $("film").poster : made.poster_url;
  $("after").hidden = true;
  $("filming").hidden = false;
  try {
    const ask = { text: say("training.greeting"), language: pageLanguage(), avatar: name };
    let answer = await send("/v1/videos", { method: "POST", headers: { "Content-Type": "application/json", Prefer: "wait=120" }, body: JSON.stringify(ask) });
    if (!answer.ok) throw await failure(answer);
    const film = await answer.json();
    if (made?.name !== name) return;
    if (film.state !== "succeeded") throw new CallError(film.error?.code ?? "timed-out", film.error?.message ?? say("training.later"));
    $("after").src = film.result.video_url;
    $("after").hidden = false;
  } catch (error) {
    if (made?.name === name) trouble(error);
  }
  $("filming").hidden = true;
}

function again() {
  made = null;
  for (const id of ["before", "after"]) for (const what of ["src", "poster"]) $(id).removeAttribute(what);
  $("course").insertBefore($("curve"), $("leaving"));
  forget();
  trouble(null);
  turn("choose");
  $("file").focus();
}

// ---- what a person does

$("file").addEventListener("change", () => look($("file").files[0]));
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (!$("drop").hidden) look(event.dataTransfer?.files[0]);
});
$("found").addEventListener("submit", (event) => {
  event.preventDefault();
  if (file && !job) learn();
});
$("found").addEventListener("change", choose);
$("found").addEventListener("input", warn);
$("film").addEventListener("durationchange", warn);
$("leave").addEventListener("click", () => {
  if (job) job.abort.abort();
  else again();
});
$("other").addEventListener("click", again);
$("again").addEventListener("click", again);
$("cancel").addEventListener("click", () => {
  if (job?.id) send(`/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});  // its last event says how it ended
});
$("shown").addEventListener("error", () => { $("shown").hidden = $("shownWhat").hidden = true; });

translated(() => {
  heads.describe();
  judge();
  describe();
  course.describe();
  warn();
  if (job?.id) $("courseTitle").textContent = say("training.learning", { name: titled(job.name) });
  tell(said);
  if (sent) onTheWay(...sent);
});

try {
  turn("choose");
  offer = await heads.refresh();
  taken = (await getJson("/v1/avatars")).avatars;
  $("engine").replaceChildren(...offer.engines.map(({ engine }) => new Option(TITLES[engine] ?? engine, engine, false, engine === offer.default_engine)));
  $("engineField").hidden = offer.engines.length < 2;
  const ears = offer.options.find(({ name }) => name === "ear")?.words ?? [];
  for (const option of [...$("ear").options]) if (!ears.includes(option.value)) option.remove();
  choose();
  await resume();
} catch (error) {
  trouble(error);
}
