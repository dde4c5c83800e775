// What was found in a photo or a film, as rows in the page's language: each check, what was measured, and advice.

import { say } from "/ui/shell.js";

/** How a measure is shown that says something to a person. */
const SHOWN = { resolution: "{}", duration: "{} s", "frame-rate": "{}", face: "{}", faces: "{}", "face-size": "{} px", "side-light": "{}", tilt: "{}°" };

/** One finding as a list item. */
export function checkRow({ check, level, value, advice }) {
  const number = value.match(/[\d.]+(x\d+|%)?/)?.[0];
  const shown = number && check in SHOWN ? SHOWN[check].replace("{}", number) : "";
  const key = `advice.${check}.${level}`;
  const words = say(key);
  return rowOf(level, say(`check.${check}`), shown, words === key ? advice : words, value);
}

/** A list item: `level` is `ok`, `warn` or `refuse`; only what is not well has advice. */
export function rowOf(level, label, shown, advice, value = shown) {
  const item = Object.assign(document.createElement("li"), { className: level });
  const name = Object.assign(document.createElement("b"), { textContent: label });
  const measured = Object.assign(document.createElement("data"), { value, title: value, textContent: shown });
  item.append(name, measured);
  if (level !== "ok" && advice) item.append(Object.assign(document.createElement("p"), { textContent: advice }));
  return item;
}

/** Show the findings: what is not well in `bad`, the rest in `details`, whose summary counts them. */
export function showChecks(findings, bad, details) {
  const wrong = findings.filter((finding) => finding.level !== "ok").sort((a, b) => (a.level > b.level ? 1 : -1));
  bad.replaceChildren(...wrong.map(checkRow));
  const good = findings.filter((finding) => finding.level === "ok");
  details.hidden = !good.length;
  details.querySelector("summary").textContent = say("avatars.passed", { n: good.length });
  details.querySelector("ul").replaceChildren(...good.map(checkRow));
}

/** A name that nobody of `known` has, after a file's. */
export function freeName(given, known) {
  const plain = given.replace(/\.\w+$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "avatar";
  const taken = (name) => known.some((one) => one.name === name);
  let name = plain;
  for (let n = 2; taken(name); n += 1) name = `${plain}-${n}`;
  return name;
}
