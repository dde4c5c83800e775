// The page that makes a film of a text, or of a recording.

import "/vivavoce-avatar.js";
import { events, failure, send, storedKey } from "/ui/api.js";
import { CallError, eventsOf, isAbort } from "/ui/element/calls.js";
import { Take } from "/ui/sound/recorder.js";
import { $, choices, fillVoices, pageLanguage, reveal, say, settled, translated, trouble } from "/ui/shell.js";

const face = $("face");
const take = new Take($("take"), { wrong: trouble, changed: () => allow() });
const texts = { text: "", recording: "" };  // what is written in each mode
let mode = "text";
let running = null;  // {abort, job}
let state = ["", {}];
let untouched = true;
let max = 5000;

function tell(key, values = {}) {
  state = [key, values];
  $("state").textContent = key ? say(key, values) : "";
}

function stage(key, values = {}) {
  $("veil").hidden = !key;
  $("stageText").textContent = key ? say(key, values) : "";
}

function count() {
  const n = [...$("text").value.trim()].length;
  $("count").textContent = n || mode === "text" ? say("create.count", { n, max }) : "";
  $("count").classList.toggle("over", n > max);
}

/** A recording is there before a film can be made of it. */
function allow() {
  $("make").disabled = Boolean(running) || (mode === "recording" && !take.file);
}

/** Speak a text, or a recording: then its words help, and are not needed. */
function turn(to) {
  texts[mode] = $("text").value;
  if (to !== mode) $("text").value = texts[to];
  if (to === "text") take.leave();
  mode = to;
  const spoken = mode === "recording";
  $("recorded").hidden = !spoken;
  $("voicePlace").hidden = $("own").hidden = spoken;
  $("text").required = !spoken;
  $("text").rows = spoken ? 2 : 5;
  $("text").classList.toggle("low", spoken);
  $("textLabel").textContent = say(spoken ? "create.words" : "text");
  $("textHint").textContent = say(spoken ? "create.words.hint" : "create.hint");
  count();
  allow();
}

function showFaces(avatars) {
  for (const { name, poster, default: first } of avatars) {
    const label = document.createElement("label");
    label.className = "face";
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "avatar", value: name, checked: first });
    const picture = Object.assign(document.createElement("img"), { src: poster, alt: "", width: 60, height: 60 });
    const caption = document.createElement("span");
    caption.textContent = name;
    label.append(radio, picture, caption);
    $("faces").append(label);
    radio.addEventListener("change", () => {
      face.avatar = name;
      if (!running) rest();
    });
  }
  face.apiKey = storedKey();
  face.avatar = chosen();
  face.removeAttribute("idle");
}

/** Who is asked for in the address, as links of other pages do: `?avatar=anna`, `?voice=clone/me`. */
function wish() {
  const asked = new URLSearchParams(location.search);
  const face = $("faces").querySelector(`[value="${CSS.escape(asked.get("avatar") ?? "")}"]`);
  if (face) face.click();
  const voice = asked.get("voice");
  if (voice && [...$("voice").options].some((option) => option.value === voice)) $("voice").value = voice;
}

const chosen = () => new FormData($("form")).get("avatar");

/** Show the avatar at rest. */
function rest() {
  face.stop();
  $("download").hidden = true;
  $("stage").style.removeProperty("--shape");
  tell("");
}

function asked() {
  const ask = { text: $("text").value, language: $("language").value, resolution: $("size").value };
  if (chosen()) ask.avatar = chosen();
  if ($("voice").value && mode === "text") ask.voice = $("voice").value;
  return ask;
}

async function make() {
  const [width, height] = { "512x512": [1, 1], "720p": [16, 9], "720x1280": [9, 16] }[$("size").value];
  trouble(null);
  rest();
  take.player.pause();
  running = { abort: new AbortController(), job: "" };
  allow();
  $("progress").removeAttribute("value");
  stage(mode === "recording" ? "stage.sending" : "stage.waiting");
  reveal($("stage"));
  try {
    const steps = mode === "recording" ? filmed(asked(), take.file, running) : events("/api/generate", asked(), running.abort.signal);
    for await (const { name, data } of steps) {
      if (name === "progress") show(data);
      if (name === "done") present(data, width / height);
    }
  } catch (error) {
    if (isAbort(error) || error.code === "cancelled") tell("stage.cancelled");
    else trouble(error);
  } finally {
    running = null;
    allow();
    stage("");
  }
}

/** The events of a film of a recording, named as those of a text's are. */
async function* filmed({ text, ...rest }, file, run) {
  const form = new FormData();
  for (const [name, value] of Object.entries(text.trim() ? { text, ...rest } : rest)) form.append(name, value);
  form.append("audio", file, file.name);
  const response = await send("/v1/videos", { method: "POST", headers: { Accept: "text/event-stream" }, body: form, signal: run.abort.signal });
  if (!response.ok) throw await failure(response);
  run.job = response.headers.get("X-Job-ID");
  yield { name: "progress", data: { fraction: 0, stage: "waiting" } };
  for await (const { name, data } of eventsOf(response)) {
    if (name === "progress") yield { name, data: { fraction: data.progress, stage: data.stage === "voice" ? "listening" : data.stage } };
    if (data.state === "failed") throw new CallError(data.error.code, data.error.message);
    if (data.state === "cancelled") throw new CallError("cancelled", "The job was cancelled.");
    if (data.state !== "succeeded") continue;
    yield { name: "done", data: { ...data.result, filename: `${file.name.replace(/\.\w+$/, "") || "avatar"}.mp4` } };
    return;
  }
  throw new CallError("network", "The connection broke.");
}

/** A job goes on without its client: it is told to end. */
function cancel() {
  if (!running) return;
  if (running.job) send(`/v1/jobs/${running.job}`, { method: "DELETE" }).catch(() => {});
  running.abort.abort();
}

function show({ fraction, stage: name }) {
  if (name === "face" && fraction > 0) $("progress").value = fraction;
  stage(`stage.${name}`, { percent: Math.round(fraction * 100) });
}

function present({ video_url: url, filename, duration }, shape) {
  $("stage").style.setProperty("--shape", shape);
  $("download").href = url;
  $("download").download = filename;
  $("download").hidden = false;
  tell("stage.done", { seconds: duration.toFixed(1) });
  face.play(url);  // its troubles are told by its events
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await settled;
  if (!running && !$("make").disabled) make();
});
$("cancel").addEventListener("click", cancel);
$("source").addEventListener("change", () => turn($("source").querySelector(":checked").value));
$("text").addEventListener("input", () => {
  if (mode === "text") untouched = false;
  count();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
face.addEventListener("error", (event) => {
  event.preventDefault();
  trouble(event.detail);
});

translated(() => {
  if (untouched) texts.text = say("create.example");
  if (untouched && mode === "text") $("text").value = texts.text;
  if (untouched && $("language").options.length) $("language").value = pageLanguage();
  turn(mode);
  tell(...state);
});

tell("stage.loading");
try {
  const offer = await choices();
  showFaces(offer.avatars);
  fillVoices(offer);
  wish();
  max = offer.max_characters;
  count();
  tell("");
} catch (error) {
  tell("");
  trouble(error);
}
