// The page where photos and films become avatars, and avatars are tried and removed.

import "/vivavoce-avatar.js";
import { CallError, eventsOf, isAbort } from "/ui/element/calls.js";
import { failure, getJson, send, storedKey } from "/ui/api.js";
import { freeName, showChecks } from "/ui/checks.js";
import { Points } from "/ui/points.js";
import { $, choices, fillVoices, pageLanguage, reveal, say, settled, translated, trouble } from "/ui/shell.js";

const face = $("face");
const points = new Points();
let known = [];
let chosen = "";
let file = null;  // what is being looked at: {blob, address, report, kind}
let job = null;  // what is being made: {abort, id, name}
let looking = null;
let state = ["", {}];
let untouched = true;

const titled = (name) => name[0].toUpperCase() + name.slice(1);

function tell(key, values = {}) {
  state = [key, values];
  $("state").textContent = key ? say(key, values) : "";
}

// ---- who is here

async function refresh() {
  known = (await getJson("/v1/avatars")).avatars;
  drawGallery();
}

function drawGallery() {
  const focused = $("gallery").contains(document.activeElement);
  $("gallery").replaceChildren(...known.map((avatar) => {
    const button = Object.assign(document.createElement("button"), { type: "button", ariaPressed: String(avatar.name === chosen) });
    const picture = Object.assign(document.createElement("img"), { src: avatar.poster_url, alt: "", loading: "lazy", width: 112, height: 112 });
    const name = Object.assign(document.createElement("b"), { textContent: titled(avatar.name) });
    const kind = Object.assign(document.createElement("small"), { textContent: say(avatar.builtin ? "avatars.builtin" : `avatars.${avatar.kind}`) });
    button.append(picture, name, kind);
    button.addEventListener("click", () => {
      choose(avatar.name);
      reveal($("stage"));
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  if (focused) $("gallery").querySelector("[aria-pressed=true]")?.focus({ preventScroll: true });
}

/** Show an avatar at rest, ready to speak. */
function choose(name, key = "", values = {}) {
  if (job) return;
  chosen = name;
  forget();
  face.stop();
  face.apiKey = storedKey();
  face.avatar = name;
  face.removeAttribute("idle");
  const avatar = known.find((one) => one.name === name);
  $("who").textContent = titled(name);
  $("remove").hidden = !avatar || avatar.builtin || avatar.default;
  tell(key, values);
  drawGallery();
}

async function remove() {
  const name = chosen;
  try {
    const answer = await send(`/v1/avatars/${encodeURIComponent(name)}`, { method: "DELETE" });
    if (!answer.ok) throw await failure(answer);
    await refresh();
    choose(known.find((one) => one.default)?.name ?? known[0].name, "avatars.removed", { name: titled(name) });
  } catch (error) {
    trouble(error);
  }
}

// ---- a file is looked at

async function look(blob) {
  if (!blob || job) return;
  looking?.abort();
  forget();
  const abort = looking = new AbortController();
  trouble(null);
  face.stop();
  $("drop").hidden = true;
  $("looking").hidden = false;
  const form = new FormData();
  form.append("file", blob, "file");
  try {
    const answer = await send("/v1/avatars/check", { method: "POST", body: form, signal: abort.signal });
    if (!answer.ok) throw await failure(answer);
    const seen = await answer.json();
    abort.signal.throwIfAborted();
    file = { blob, report: seen.report, kind: seen.report.kind, given: false };
    await present(seen);
  } catch (error) {
    if (isAbort(error)) return;
    forget();
    trouble(error);
  } finally {
    if (looking === abort) $("looking").hidden = true;
  }
}

/** The picture itself where the browser sees it as the server does, else the server's copy, which is smaller. */
async function picture(seen) {
  const own = URL.createObjectURL(file.blob);
  file.address = own;
  const image = new Image();
  image.src = own;
  const whole = await image.decode().then(() => image.naturalWidth === seen.width && image.naturalHeight === seen.height, () => false);
  return whole ? own : seen.preview;
}

async function present(seen) {
  const source = seen.report.kind === "picture" ? await picture(seen) : seen.preview;
  if (source) points.show(source, seen.width, seen.height, seen.landmarks);
  $("stage").classList.add("fit");
  $("about").hidden = $("try").hidden = true;
  $("name").value = freeName(file.blob.name ?? "", known);
  $("found").hidden = false;
  $("main").classList.add("pointing");
  judge();
  reveal($("stage"));
  $("verdict").focus({ preventScroll: true });
}

/** Say what was found, what first is wrong. */
function judge() {
  if (!file) return;
  const { findings, level } = file.report;
  const faceless = findings.some((finding) => finding.check === "face" && finding.level === "refuse");
  const byHand = file.kind === "picture" && faceless;
  $("verdict").textContent = say(`avatars.verdict.${file.given ? "given" : level}`);
  showChecks(findings, $("checks"), $("passed"));
  $("place").hidden = !byHand || file.given;
  $("prepare").hidden = $("naming").hidden = level === "refuse" && !file.given;
}

/** Away with the file; the avatar is seen again. */
function forget() {
  if (file?.address) URL.revokeObjectURL(file.address);
  file = null;
  looking?.abort();
  looking = null;
  points.hide();
  $("file").value = "";
  $("stage").classList.remove("fit");
  $("main").classList.remove("pointing");
  $("looking").hidden = $("found").hidden = true;
  $("drop").hidden = $("about").hidden = $("try").hidden = false;
}

// ---- an avatar is made

function make() {
  const form = new FormData();
  const moved = points.moved;
  form.append("name", $("name").value);
  if (moved) form.append("landmarks", JSON.stringify(moved));
  form.append("file", file.blob, "file");
  trouble(null);
  return making($("name").value, async (signal) => {
    const answer = await send("/v1/avatars", { method: "POST", body: form, signal });
    if (!answer.ok) throw await failure(answer);
    return answer.json();
  });
}

/** Go on with what was being made when the page was left. */
async function resume() {
  for (const state of ["running", "queued"]) {
    const { jobs: [left] } = await getJson(`/v1/jobs?kind=prepare&state=${state}&limit=1`);
    if (left) return making(left.params.name, async () => left);
  }
  return null;
}

async function making(name, begin) {
  job = { abort: new AbortController(), id: null };
  working(true);
  veil("avatars.sending");
  reveal($("stage"));
  let ended = null;
  try {
    const begun = await begin(job.abort.signal);
    job.id = begun.id;
    ended = await followed(begun);
  } catch (error) {
    if (!isAbort(error)) trouble(error);
  }
  const cancelled = !ended && job.abort.signal.aborted;
  job = null;
  working(false);
  veil("");
  if (cancelled || ended?.state === "cancelled") {
    choose(chosen, "avatars.cancelled");
  } else if (ended?.state === "failed") {
    trouble(new CallError(ended.error.code, ended.error.message));
  } else if (ended) {
    await refresh();
    choose(name, "avatars.ready", { name: titled(name) });
    reveal($("stage"));
    $("text").focus({ preventScroll: true });
  }
}

/** The last state of a job, told from its events; a broken connection is taken up where it broke. */
async function followed(begun) {
  let after = 0;
  let failures = 0;
  veil("avatars.queued");
  for (;;) {
    try {
      const answer = await send(begun.events_url, { headers: { "Last-Event-ID": String(after) }, signal: job.abort.signal });
      if (!answer.ok) throw await failure(answer);
      for await (const { id, name, data } of eventsOf(answer)) {
        failures = 0;
        after = Number(id) || after;
        if (name === "progress") veil("avatars.preparing", data.progress);
        if (name === "state" && ["succeeded", "failed", "cancelled"].includes(data.state)) return data;
      }
    } catch (error) {
      failures += 1;
      if (isAbort(error) || error.code !== "network" || failures > 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** failures));
    }
  }
}

function working(is) {
  for (const id of ["prepare", "other", "name", "place"]) $(id).disabled = is;
  for (const id of ["photo", "gallery", "drop"]) $(id).inert = is;
}

function veil(key, fraction) {
  $("veil").hidden = !key;
  if (!key) return;
  $("stageText").textContent = say(key, { percent: Math.round((fraction ?? 0) * 100) });
  if (fraction) $("progress").value = fraction;
  else $("progress").removeAttribute("value");
}

function cancel() {
  if (job?.id) send(`/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});  // its last event says how it ended
  else job?.abort.abort();
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
  look(event.dataTransfer?.files[0]);
});
$("found").addEventListener("submit", (event) => {
  event.preventDefault();
  if (file && !job) make();
});
$("other").addEventListener("click", () => {
  choose(chosen);
  $("file").focus();
});
$("place").addEventListener("click", () => {
  points.place();
  file.given = true;
  judge();
  reveal($("stage"));
});
$("reset").addEventListener("click", () => points.reset());
$("cancel").addEventListener("click", cancel);
$("remove").addEventListener("click", () => {
  $("sureTitle").textContent = say("avatars.remove.title", { name: titled(chosen) });
  $("sure").returnValue = "no";
  $("sure").showModal();
});
$("sure").addEventListener("close", () => { if ($("sure").returnValue === "yes") remove(); });
$("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  await settled;
  trouble(null);
  tell("live.thinking");
  face.speak($("text").value, { language: $("language").value, voice: $("voice").value, interrupt: true });
});
$("text").addEventListener("input", () => { untouched = false; });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("try").requestSubmit();
  }
});
face.addEventListener("chunk", ({ detail }) => tell("live.speaking", { n: detail.index + 1, total: detail.total }));
face.addEventListener("end", () => tell("live.done"));
face.addEventListener("blocked", () => tell("live.blocked"));
face.addEventListener("error", (event) => {
  event.preventDefault();
  tell("");
  trouble(event.detail);
});

translated(() => {
  if (untouched) $("text").value = say("create.example");
  if (untouched && $("language").options.length) $("language").value = pageLanguage();
  drawGallery();
  judge();
  tell(...state);
});

tell("stage.loading");
try {
  const offer = await choices();
  known = offer.avatars;
  fillVoices(offer);
  choose(known.find((one) => one.default)?.name ?? known[0].name);
  await resume();
} catch (error) {
  tell("");
  trouble(error);
}
