// The page where every call can be tried.

import "/vivavoce-avatar.js";
import { asJson, events, failure, send, storedKey } from "/ui/api.js";
import { $, choices, fillVoices, say, translated } from "/ui/shell.js";

const CALLS = {
  chunks: { method: "POST", path: "/api/stream_chunks" },
  events: { method: "POST", path: "/api/stream_chunks", accept: "text/event-stream" },
  generate: { method: "POST", path: "/api/generate", media: true },
  stream: { method: "POST", path: "/api/generate_stream", media: true },
  health: { method: "GET", path: "/api/health" },
  avatar: { method: "GET", path: "/api/avatar", media: true },
  video: { method: "GET", path: "/api/chunk/video/", media: true },
  audio: { method: "GET", path: "/api/chunk/audio/", media: true },
  cleanup: { method: "POST", path: "/api/cleanup" },
};
const face = $("face");
let running = null;
let made = [];
let untouched = true;

const name = () => $("call").value;

function body() {
  if (!["chunks", "events", "generate", "stream"].includes(name())) return null;
  const ask = { text: $("text").value, language: $("language").value };
  const size = $("chunk_size").value;
  if (name() === "chunks" || name() === "events") ask.chunk_size = size.trim() === "" ? size : Number(size);
  for (const field of ["avatar", "voice", "resolution"]) if ($(field).value) ask[field] = $(field).value;
  return ask;
}

function address() {
  const { path } = CALLS[name()];
  return path.endsWith("/") ? path + encodeURIComponent($("id").value.trim()) : path;
}

function curl() {
  const { method, accept, media } = CALLS[name()];
  const parts = [`curl -X ${method} ${location.origin}${address()}`];
  if (body()) parts.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(body()).replaceAll("'", "'\\''")}'`);
  if (accept) parts.push(`-N -H "Accept: ${accept}"`);
  if (media) parts.push(`-o ${{ avatar: "avatar.jpg", audio: "chunk.wav" }[name()] ?? "chunk.mp4"}`);
  $("curl").textContent = parts.join(" \\\n  ");
}

function arrange() {
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(name());
  $("about").textContent = say(`api.about.${name()}`);
  curl();
}

function report(status, text, good) {
  $("status").textContent = status;
  $("status").className = `status ${good ? "good" : "bad"}`;
  $("json").textContent = text;
}

async function call() {
  running = new AbortController();
  $("cancel").hidden = false;
  $("send").disabled = true;
  report("…", "", true);
  const began = performance.now();
  const took = () => `${Math.round(performance.now() - began)} ms`;
  try {
    if (name() === "events") await callEvents(took);
    else await callOnce(took);
  } catch (error) {
    if (error.name === "AbortError") report(say("stage.cancelled"), "", false);
    else report(error.status ? `${error.status}` : say("error.network"), pretty({ success: false, error: error.message }), false);
  } finally {
    running = null;
    $("cancel").hidden = true;
    $("send").disabled = false;
  }
}

const pretty = (value) => JSON.stringify(value, null, 2);

async function callOnce(took) {
  const { method, media } = CALLS[name()];
  const options = body() ? asJson(body()) : { method };
  const response = await send(address(), { ...options, signal: running.signal });
  if (!response.ok) throw await failure(response);
  if (media) {
    const blob = await response.blob();
    report(`${response.status} · ${took()}`, `${blob.type}, ${blob.size} bytes\n${response.headers.get("Content-Disposition") ?? ""}`, true);
    showMedia(blob);
    return;
  }
  const data = await response.json();
  report(`${response.status} · ${took()}`, pretty(data), true);
  if (data.chunks) showChunks(data.chunks);
}

async function callEvents(took) {
  const heard = [];
  showChunks([]);
  for await (const { name: kind, data } of events(address(), body(), running.signal)) {
    if (kind === "open") continue;
    heard.push(`event: ${kind}\ndata: ${pretty(data)}`);
    report(`200 · ${took()}`, heard.join("\n\n"), true);
    if (kind === "chunk") showChunks([...made, data]);
  }
}

function showMedia(blob) {
  const url = URL.createObjectURL(blob);
  const [kind] = blob.type.split("/");
  made = [];
  $("play").hidden = false;
  $("pieces").replaceChildren();
  $("stage").hidden = kind === "audio";
  $("sound").hidden = kind !== "audio";
  $("all").hidden = kind === "image";
  face.stop();
  face.poster = kind === "image" ? url : null;
  if (kind === "audio") $("sound").src = url;
  if (kind === "video") face.play(url, { interrupt: true });
}

function showChunks(chunks) {
  made = chunks;
  $("play").hidden = !chunks.length;
  $("stage").hidden = $("all").hidden = false;
  $("sound").hidden = true;
  $("pieces").replaceChildren(...chunks.map((chunk) => {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const text = document.createElement("span");
    const time = document.createElement("time");
    text.textContent = chunk.text;
    time.textContent = `${chunk.duration.toFixed(2)} s`;
    button.append(text, time);
    button.addEventListener("click", () => playAll([chunk]));
    item.append(button);
    return item;
  }));
  if (chunks.length) $("id").value = chunks[0].video_url.split("/").pop();
}

function playAll(chunks) {
  const { avatar, resolution } = body() ?? {};
  face.avatar = avatar;
  face.resolution = resolution;
  face.play(chunks, { interrupt: true });
}

function mark(index) {
  [...$("pieces").children].forEach((item, i) => item.toggleAttribute("aria-current", i === index));
}

face.addEventListener("chunk", ({ detail }) => mark(detail.index));
face.addEventListener("end", () => mark(-1));
$("all").addEventListener("click", () => (made.length ? playAll(made) : face.resume()));
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) call();
});
$("ask").addEventListener("input", curl);
$("call").addEventListener("change", arrange);
$("text").addEventListener("input", () => { untouched = false; });
$("cancel").addEventListener("click", () => running?.abort());

translated(() => {
  if (untouched) $("text").value = say("create.example");
  arrange();
});
const offer = await choices().catch(() => null);
if (offer) {
  $("avatar").add(new Option("–", ""));
  for (const { name: avatar } of offer.avatars) $("avatar").add(new Option(avatar, avatar));
  fillVoices(offer);
  curl();
}
