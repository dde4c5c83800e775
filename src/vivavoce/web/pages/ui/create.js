// The page that makes a film of a text.

import "/vivavoce-avatar.js";
import { events, storedKey } from "/ui/api.js";
import { $, choices, fillVoices, pageLanguage, reveal, say, settled, translated, trouble } from "/ui/shell.js";

const face = $("face");
let running = null;
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
  $("count").textContent = say("create.count", { n, max });
  $("count").classList.toggle("over", n > max);
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

const chosen = () => new FormData($("form")).get("avatar");

/** Show the avatar at rest. */
function rest() {
  face.stop();
  $("download").hidden = true;
  $("stage").style.removeProperty("--shape");
  tell("");
}

async function make() {
  const [width, height] = { "512x512": [1, 1], "720p": [16, 9], "720x1280": [9, 16] }[$("size").value];
  const ask = { text: $("text").value, language: $("language").value, resolution: $("size").value };
  if (chosen()) ask.avatar = chosen();
  if ($("voice").value) ask.voice = $("voice").value;
  trouble(null);
  rest();
  running = new AbortController();
  $("make").disabled = true;
  $("progress").removeAttribute("value");
  stage("stage.waiting");
  reveal($("stage"));
  try {
    for await (const { name, data } of events("/api/generate", ask, running.signal)) {
      if (name === "progress") show(data);
      if (name === "done") present(data, width / height);
    }
  } catch (error) {
    if (error.name === "AbortError") tell("stage.cancelled");
    else trouble(error);
  } finally {
    running = null;
    $("make").disabled = false;
    stage("");
  }
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
  if (!running) make();
});
$("cancel").addEventListener("click", () => running?.abort());
$("text").addEventListener("input", () => { untouched = false; count(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
face.addEventListener("error", (event) => {
  event.preventDefault();
  trouble(event.detail);
});

translated(() => {
  if (untouched) $("text").value = say("create.example");
  if (untouched && $("language").options.length) $("language").value = pageLanguage();
  count();
  tell(...state);
});

tell("stage.loading");
try {
  const offer = await choices();
  showFaces(offer.avatars);
  fillVoices(offer);
  max = offer.max_characters;
  count();
  tell("");
} catch (error) {
  tell("");
  trouble(error);
}
