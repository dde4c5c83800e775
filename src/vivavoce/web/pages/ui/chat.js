// The page of conversation: what is said goes out, what is answered is heard and seen while it is still being written.

import "/vivavoce-avatar.js";
import { failure, getJson, send, storedKey } from "/ui/api.js";
import { exchange, Growing } from "/ui/chat/exchange.js";
import { Push } from "/ui/chat/push.js";
import { Transcript } from "/ui/chat/transcript.js";
import { CallError, isAbort } from "/ui/element/calls.js";
import { called, withSettings } from "/ui/names.js";
import { $, choices, fillAvatars, fillVoices, say, settled, translated, trouble, withCommands } from "/ui/shell.js";
import { canCapture } from "/ui/sound/capture.js";

const SESSION = "vivavoce.conversation";
const IN_VAIN = new Set(["invalid-input", "too-large", "unsupported-media", "engine-unavailable"]);  // what cannot be used now cannot be used then
const WIDE = matchMedia("(min-width: 56.01rem)");
const face = $("face");
const transcript = new Transcript($("turns"), $("scroller"), document.querySelector(".bottom"));

let state = "stage.loading";
let turn = null;  // what is being asked and answered
let heard = null;  // the answer that the avatar is saying
let failed = null;  // what can be asked once more
let offer = null;  // {models, default, available, missing}
let ears = null;  // null until they are known

function tell(key) {
  state = key;
  $("state").textContent = say(key);
  $("stage").classList.toggle("speaking", key === "chat.speaking");
  $("stop").hidden = !["chat.hearing", "chat.thinking", "chat.speaking", "chat.blocked"].includes(key);
}

function wrong(error, again = null) {
  failed = error ? again : null;
  $("retry").hidden = !failed;
  trouble(error);
}

// ---- one turn

/** Say something to it: `fields` has `text` or `audio`. */
async function ask(fields) {
  interrupt();
  wrong(null);
  $("invitation").hidden = true;
  $("fresh").hidden = false;
  const mine = turn = { abort: new AbortController(), feed: new Growing(), question: transcript.mine(fields.text), answer: null, written: false };
  tell(fields.text ? "chat.thinking" : "chat.hearing");
  play(mine);
  try {
    for await (const { name, data } of exchange({ ...fields, ...chosen(), session_id: session() }, mine.abort.signal)) act(mine, name, data);
  } catch (error) {
    if (!isAbort(error)) fail(mine, error, fields);
  } finally {
    mine.written = true;
    mine.feed.end();
    if (turn === mine && !mine.answer) rest();
  }
}

const chosen = () => Object.fromEntries(["avatar", "language", "voice", "model"].map((id) => [id, $(id).value]));

function act(mine, name, data) {
  if (data.session_id) remember(data.session_id);
  if (name === "heard") {
    mine.question.write(data.text, data.language);
    if (state === "chat.hearing") tell("chat.thinking");
  }
  if (name === "chunk") {
    mine.answer ??= transcript.theirs(titled($("avatar").value), replay);
    mine.answer.add(data);
    mine.feed.push(data);
  }
  if (name === "done") mine.answer?.done(data);
}

/** Have the avatar say what comes. */
async function play(mine) {
  try {
    await face.play(mine.feed);
  } catch {  // told by its events
    return;
  }
  mine.answer?.settle();
  if (turn === mine) rest();
}

function fail(mine, error, fields) {
  if (mine.answer) {
    mine.answer.broke("chat.broke", error.code === "network" ? say("error.network.what") : error.message);
    return;
  }
  mine.question.drop();
  if (fields.text && !$("text").value) $("text").value = fields.text;
  $("invitation").hidden = !transcript.empty;
  wrong(error, fields.audio && !IN_VAIN.has(error.code) ? fields : null);
}

function rest() {
  turn = null;
  tell("chat.idle");
}

/** Be silent; what nobody has heard is not said any more. */
function interrupt() {
  const mine = turn;
  const unheard = heard;
  turn = heard = null;
  face.stop();
  mine?.abort.abort();
  if (mine?.answer) mine.answer.cut("chat.cut");
  else mine?.question.unanswered();
  unheard?.mark(-1);
  if (mine || unheard) tell("chat.idle");
}

/** Say an answer once more. */
function replay(answer) {
  interrupt();
  wrong(null);
  heard = answer;
  face.play(answer.chunks, { interrupt: true }).then(() => answer.mark(-1), () => {}).finally(() => { if (heard === answer) rest(); });
}

face.addEventListener("chunk", ({ detail: { index } }) => {
  heard = turn?.answer ?? heard;
  heard?.mark(index);
  transcript.follow();
});
face.addEventListener("start", () => tell("chat.speaking"));
face.addEventListener("blocked", () => tell("chat.blocked"));
face.addEventListener("error", (event) => {
  event.preventDefault();
  (turn?.answer ?? heard)?.settle();
  wrong(event.detail);
  rest();
});

// ---- the conversation

const session = () => sessionStorage.getItem(SESSION) ?? "";

function remember(id) {
  sessionStorage.setItem(SESSION, id);
}

async function forget() {
  interrupt();
  wrong(null);
  const id = session();
  sessionStorage.removeItem(SESSION);
  transcript.clear();
  $("invitation").hidden = false;
  $("fresh").hidden = true;
  $("text").focus();
  if (!id) return;
  const answer = await send(`/v1/chat/${encodeURIComponent(id)}`, { method: "DELETE" });
  if (!answer.ok && answer.status !== 404) throw await failure(answer);
}

/** What was said before the page was loaded again. */
async function recall() {
  if (!session()) return;
  try {
    const { turns } = await getJson(`/v1/chat/${encodeURIComponent(session())}`);
    for (const { role, text } of turns) {
      if (role === "user") transcript.mine(text);
      else transcript.theirs(say("chat.it"), replay).tell(text);
    }
    $("invitation").hidden = turns.length > 0;
    $("fresh").hidden = !turns.length;
  } catch (error) {
    if (error.status !== 404) throw error;
    sessionStorage.removeItem(SESSION);  // forgotten there: a new one begins
  }
}

// ---- what there is

const titled = (name) => (name ? name[0].toUpperCase() + name.slice(1) : "");

function fillModels() {
  const before = $("model").value;
  const named = ({ name, engine }) => (engine === "scripted" ? say("chat.scripted") : name);
  $("model").replaceChildren(...offer.models.map((model) => new Option(named(model), model.name)));
  $("model").value = before || offer.default || offer.models[0]?.name || "";
}

/** What a person should know: who listens along, how well it hears, or why it does not. */
function describe() {
  const names = ["avatar", "language", "model"].map((id) => $(id).selectedOptions[0]?.text).filter(Boolean);
  $("chosen").textContent = names.join(" · ");
  const able = (ears ?? []).filter(({ languages }) => !languages.length || languages.includes($("language").value));
  const deaf = ears !== null && !able.length;
  const model = offer?.models.find(({ name }) => name === $("model").value);
  const notes = [];
  if (!canCapture()) notes.push("chat.no-mic");
  else if (deaf) notes.push("chat.deaf");
  if (model?.network || (able.length && able.every(({ network }) => network))) notes.push("chat.away");
  const language = called($("language").value);
  $("how").replaceChildren(...withCommands(notes.map((key) => say(key, { language })).join(" ")));
  $("how").hidden = !notes.length;
  $("hearsPoorly").replaceChildren(...withCommands(say("mic.ear.poor")));
  $("hearsPoorly").hidden = !able.length || !able.every(({ engine }) => engine === "sphinx");
  $("talk").disabled = !offer?.available || !canCapture() || deaf;
  for (const id of ["text", "send"]) $(id).disabled = !offer?.available;
  $("form").hidden = offer?.available === false;
  $("model").parentElement.hidden = !offer?.models.length;
}

/** Show what can be talked to, or what to do so that there is something. */
async function look() {
  [offer, { ears }] = await Promise.all([getJson("/v1/chat"), getJson("/v1/audio/engines").catch(() => ({ ears: null }))]);
  $("setup").hidden = offer.available;
  $("invitation").hidden = !offer.available || !transcript.empty;
  $("missing").replaceChildren(...withSettings(offer.missing ?? ""));
  fillModels();
  describe();
}

const TALK = { idle: "chat.talk", asking: "cancel", listening: "chat.talk.send" };

/** Follow the microphone: who speaks interrupts. */
function listening(now) {
  document.querySelector(".writing").hidden = now !== "idle";
  $("hearing").hidden = now === "idle";
  $("talk").ariaLabel = say(TALK[now]);
  if (now === "asking") {
    interrupt();
    wrong(null);
    tell("chat.asking");
  }
  if (now === "listening") tell("chat.listening");
  if (now === "idle") tell("chat.idle");
}

const push = new Push({
  state: listening,
  spoken: (audio) => ask({ audio }),
  short: () => tell("chat.short"),
  wrong: (error) => wrong(error),
});

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await settled;
  const text = $("text").value.trim();
  if (state === "chat.blocked" && !text) return face.resume();
  if (!text) return;
  $("text").value = "";
  ask({ text });
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
$("stop").addEventListener("click", () => interrupt());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (push.state === "idle") interrupt();
  else push.discard();
});
$("mute").addEventListener("click", () => {
  face.muted = !face.muted;
  $("mute").ariaPressed = String(face.muted);
  // Who hears the avatar needs nobody else to read it out.
  $("turns").ariaLive = face.muted ? "polite" : "off";
});
$("fresh").addEventListener("click", () => forget().catch(wrong));
$("again").addEventListener("click", () => look().then(() => wrong(null), wrong));
$("retryNow").addEventListener("click", () => ask(failed));
$("avatar").addEventListener("change", () => {
  interrupt();
  face.avatar = $("avatar").value;
});
for (const id of ["avatar", "language", "model"]) $(id).addEventListener("change", describe);
addEventListener("offline", () => wrong(new CallError("network", "")));
addEventListener("online", () => { if (!failed) wrong(null); });
WIDE.addEventListener("change", () => { $("who").open = WIDE.matches; });

$("who").open = WIDE.matches;
$("turns").ariaLive = "off";
translated(() => {
  tell(state);
  $("talk").ariaLabel = say(TALK[push.state]);
  if (offer) {
    fillModels();
    describe();
  }
});
tell("stage.loading");
try {
  const [all] = await Promise.all([choices(), look()]);
  fillAvatars($("avatar"), all.avatars);
  fillVoices(all);
  face.apiKey = storedKey();
  face.avatar = $("avatar").value;
  face.removeAttribute("idle");
  tell("chat.idle");
  describe();
  await recall();
} catch (error) {
  tell("chat.idle");
  wrong(error);
}
