// What every page has: its language, the choices of avatar, voice and language, and a place for trouble.

import { TONGUES, WORDS } from "/ui/words.js";
import { getJson, whenKeyNeeded } from "/ui/api.js";

const STORED = "vivavoce.language";
const listeners = [];
let tongue = document.documentElement.lang;

export const $ = (id) => document.getElementById(id);

export function say(key, values = {}) {
  const words = WORDS[tongue]?.[key] ?? WORDS.en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Call `listener` now and whenever the page's language changes. */
export function translated(listener) {
  listeners.push(listener);
  listener();
}

export const pageLanguage = () => tongue;

/** Write the page's words into what `root` contains; what is added later needs it too. */
export function dress(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  for (const element of root.querySelectorAll("[data-l]")) element.setAttribute("aria-label", say(element.dataset.l));
  for (const element of root.querySelectorAll("[data-p]")) element.placeholder = say(element.dataset.p);
}

function apply() {
  document.documentElement.lang = tongue;
  document.title = `${say(document.body.dataset.title)} – vivavoce`;
  dress(document);
  for (const listener of listeners) listener();
}

function startTongue() {
  const remembered = localStorage.getItem(STORED);
  if (remembered in TONGUES) tongue = remembered;
  const select = $("tongue");
  for (const [code, name] of Object.entries(TONGUES)) {
    const option = new Option(name, code, false, code === tongue);
    option.lang = code;
    select.add(option);
  }
  select.addEventListener("change", () => {
    tongue = select.value;
    localStorage.setItem(STORED, tongue);
    apply();
  });
  apply();
}

/** Bring an element into view where it is not. */
export function reveal(element) {
  const { top, bottom } = element.getBoundingClientRect();
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const behavior = calm ? "auto" : "smooth";
  if (top < 0 || bottom > innerHeight) element.scrollIntoView({ behavior, block: bottom - top > innerHeight ? "start" : "center" });
}

/** Show what went wrong, in the page's language, with the server's own sentence below; `null` hides it.
 *
 * A page may have words of its own for an error, under its name; `error.….what` says more than the server can.
 */
export function trouble(error) {
  const box = $("trouble");
  if (!box) return;
  box.hidden = !error;
  if (!error) return;
  const [page] = document.body.dataset.title.split(".");
  const key = [`${page}.error.${error.code}`, `error.${error.code}`, `mic.error.${error.code}`].find((one) => one in WORDS.en) ?? "error.internal";
  box.querySelector("strong").textContent = say(key);
  const more = `${key}.what`;
  box.querySelector("span").replaceChildren(...withCommands(more in WORDS.en ? say(more) : error.message));
  reveal(box);
}

/** A sentence as nodes, in which `commands` stand out. */
export function withCommands(sentence) {
  return sentence.split(/`([^`]+)`/).map((part, n) => (n % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part));
}

/** What there is to choose from, once the server is ready. */
export async function choices() {
  try {
    const [voices, avatars] = await Promise.all([getJson("/v1/voices"), getJson("/v1/avatars")]);
    return { ...voices, avatars: avatars.avatars };
  } catch (error) {
    settle();
    throw error;
  }
}

let settle;
/** Resolved when the choices are shown, or cannot be had: what is asked for before would lack its language. */
export const settled = new Promise((done) => { settle = done; });

/** Fill the selects of language and voice; the voices follow the language. */
export function fillVoices(offer) {
  const language = $("language");
  const voice = $("voice");
  for (const { code, name } of offer.languages) language.add(new Option(name, code));
  language.value = offer.languages.some((l) => l.code === pageLanguage()) ? pageLanguage() : offer.default_language;
  const refill = () => {
    const kept = voice.value;
    const fitting = offer.voices.filter((v) => !v.languages.length || v.languages.includes(language.value));
    const cloned = Object.assign(document.createElement("optgroup"), { label: say("voice.cloned") });
    voice.replaceChildren(new Option(say("voice.default"), ""));
    for (const v of fitting) {
      const name = v.clone?.approximate ? say("voice.approximate", { name: v.name }) : v.name;
      (v.clone ? cloned : voice).append(new Option(name, `${v.engine}/${v.id}`));
    }
    if (cloned.children.length) voice.append(cloned);
    voice.value = fitting.some((v) => `${v.engine}/${v.id}` === kept) ? kept : "";
  };
  language.addEventListener("change", refill);
  translated(refill);
  settle();
}

export function fillAvatars(select, avatars) {
  for (const { name, default: first } of avatars) select.add(new Option(name[0].toUpperCase() + name.slice(1), name, first, first));
}

function askForKey() {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `<form method="dialog" class="stack"><h2></h2><div><label for="key"></label>
    <input id="key" type="password" autocomplete="current-password" required></div><button class="button"></button></form>`;
  dialog.querySelector("h2").textContent = say("key.title");
  dialog.querySelector("label").textContent = say("key.label");
  dialog.querySelector("button").textContent = say("key.save");
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const key = dialog.querySelector("input").value;
      dialog.remove();
      resolve(key);
    });
    dialog.showModal();
  });
}

/** Where the way to the other pages is a row that scrolls, begin it at this page. */
function showWhere() {
  const here = document.querySelector(".head nav [aria-current]");
  const row = here?.parentElement;
  if (row) row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
}

startTongue();
translated(showWhere);
whenKeyNeeded(askForKey);
