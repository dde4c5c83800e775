// The page where the avatar speaks at once what is typed.

import "/vivavoce-avatar.js";
import { storedKey } from "/ui/api.js";
import { $, choices, fillAvatars, fillVoices, say, settled, translated, trouble } from "/ui/shell.js";

const face = $("face");
let state = ["live.thinking", {}];

function tell(key, values = {}) {
  state = [key, values];
  $("state").textContent = say(key, values);
  $("stage").classList.toggle("speaking", key === "live.speaking");
  $("stop").hidden = !["live.thinking", "live.speaking", "live.blocked"].includes(key);
}

function speak() {
  trouble(null);
  $("said").replaceChildren();
  face.speak($("text").value, { language: $("language").value, voice: $("voice").value, interrupt: true });
  tell("live.thinking");
}

/** Write down what is being said. */
function add({ text, index, total }) {
  mark(null);
  const line = document.createElement("li");
  line.textContent = text;
  $("said").append(line);
  mark(line);
  tell("live.speaking", { n: index + 1, total });
}

function mark(line) {
  for (const other of $("said").children) other.removeAttribute("aria-current");
  line?.setAttribute("aria-current", "true");
}

face.addEventListener("chunk", ({ detail }) => add(detail));
face.addEventListener("blocked", () => tell("live.blocked"));
face.addEventListener("end", () => {
  mark(null);
  tell("live.done");
  if (document.activeElement === $("text")) $("text").select();
});
face.addEventListener("stop", () => { mark(null); tell("live.idle"); });
face.addEventListener("error", (event) => {
  event.preventDefault();
  mark(null);
  tell("live.idle");
  trouble(event.detail);
});

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await settled;
  if (state[0] === "live.blocked") face.resume();
  else speak();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
$("stop").addEventListener("click", () => face.stop());
document.addEventListener("keydown", (event) => { if (event.key === "Escape") face.stop(); });
$("avatar").addEventListener("change", () => {
  face.stop();
  face.avatar = $("avatar").value;
});

translated(() => tell(...state));

tell("stage.loading");
try {
  const offer = await choices();
  fillAvatars($("avatar"), offer.avatars);
  fillVoices(offer);
  face.apiKey = storedKey();
  face.avatar = $("avatar").value;
  face.removeAttribute("idle");
  tell("live.idle");
} catch (error) {
  tell("live.idle");
  trouble(error);
}
