// Who was learnt here, and what is known of each.

import { failure, getJson, send } from "/ui/api.js";
import { rowOf } from "/ui/checks.js";
import { dayOf } from "/ui/names.js";
import { $, dress, say, trouble } from "/ui/shell.js";

const titled = (name) => name[0].toUpperCase() + name.slice(1);
const percent = (share) => `${Math.round(share * 100)} %`;

/** What an engine measured of a person's film: how it is shown, and whether it is well. */
const MEASURES = [
  ["speech_seconds", (value) => `${Math.round(value)} s`, (value) => value >= 60],
  ["own_voice", (value) => (value === null ? "–" : value.toFixed(2)), (value) => value !== null && value >= 0.35],
  ["blurred_share", percent, (value) => value <= 0.2],
  ["lost_share", percent, (value) => value <= 0.05],
  ["closed_frames", String, (value) => value >= 20],
  ["rounded_frames", String, (value) => value >= 10],
  ["cuts", String, (value) => value === 0],
  ["psnr", (value) => `${value.toFixed(1)} dB`, (value, { mean_picture_psnr: usual }) => value >= usual + 3],
];

/** The rows of a report on what was learnt: measures where they are known, else the engine's own sentences. */
export function qualityRows(quality, warnings) {
  const known = MEASURES.filter(([name]) => quality && quality[name] !== undefined);
  const rows = known.map(([name, shown, well]) => {
    const good = well(quality[name], quality);
    return [good, rowOf(good ? "ok" : "warn", say(`training.measure.${name}`), shown(quality[name]), say(`training.advice.${name}`))];
  });
  const sorted = [...rows.filter(([good]) => !good), ...rows.filter(([good]) => good)].map(([, row]) => row);
  return known.length < 3 ? [...sorted, ...warnings.map((sentence) => rowOf("warn", sentence, "", ""))] : sorted;
}

export class Heads {
  #known = [];
  #chosen = "";

  constructor() {
    $("sure").addEventListener("close", () => { if ($("sure").returnValue === "yes") this.#remove(); });
  }

  /** Ask again; what else the server told with them. */
  async refresh() {
    const told = await getJson("/v1/models");
    this.#known = told.models;
    this.describe();
    return told;
  }

  describe() {
    $("nobody").hidden = this.#known.length > 0;
    $("heads").replaceChildren(...this.#known.map((head) => this.#card(head)));
  }

  #card(head) {
    const card = $("headTemplate").content.firstElementChild.cloneNode(true);
    dress(card);
    card.dataset.name = head.name;
    card.querySelector("img").src = head.poster_url;
    card.querySelector("h3").textContent = titled(head.name);
    const size = Math.max(0.1, head.size / 1e6).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 });
    const facts = [say(head.learnt ? "training.learnt" : "training.prepared", { engine: head.engine }), head.created && dayOf(head.created), `${size} MB`];
    card.querySelector(".facts").textContent = facts.filter(Boolean).join(" · ");
    const given = head.consent?.given;
    const consented = card.querySelector(".consented");
    consented.textContent = given ? say(head.consent.by ? "training.consented.by" : "training.consented", head.consent) : say("training.consented.not");
    consented.classList.toggle("not", !given);
    card.querySelector("a").href = `/?${new URLSearchParams({ avatar: head.name })}`;
    const button = card.querySelector("button");
    button.hidden = head.default;
    button.addEventListener("click", () => {
      this.#chosen = head.name;
      $("sureTitle").textContent = say("avatars.remove.title", { name: titled(head.name) });
      $("sure").returnValue = "no";
      $("sure").showModal();
    });
    return card;
  }

  async #remove() {
    try {
      const answer = await send(`/v1/models/${encodeURIComponent(this.#chosen)}`, { method: "DELETE" });
      if (!answer.ok) throw await failure(answer);
      await this.refresh();
    } catch (error) {
      trouble(error);
    }
  }
}
