// The page of history: the caller's jobs, newest first, kept up to date while the page is seen.

import { failure, send } from "/ui/api.js";
import { GROUPS, Row } from "/ui/history/row.js";
import { Pulse } from "/ui/pulse.js";
import { $, say, translated, trouble } from "/ui/shell.js";

const PAGE = 20;
const MOST = 200;  // rows that one look brings up to date
const SOON = 1000, LATER = 5000;  // milliseconds between two looks: while something is in work, and else
const QUIET = ["idle", "check"];  // nobody asked for these by themselves; they are shown among the avatars

const rows = new Map();
let total = null;  // null until it is known
let away = [null, 0];

// ---- what is shown

const group = () => document.querySelector("[name=group]:checked").value;

function query(limit, offset = 0) {
  const asked = new URLSearchParams({ limit, offset });
  for (const kind of GROUPS[group()] ?? []) asked.append("kind", kind);
  if (group() === "all") for (const kind of QUIET) asked.append("without", kind);
  if ($("state").value) asked.set("state", $("state").value);
  return `/v1/jobs?${asked}`;
}

async function listed(limit, offset, signal) {
  const response = await send(query(limit, offset), { signal });
  if (!response.ok) throw await failure(response);
  const { jobs, total_count } = await response.json();
  total = total_count;
  return jobs;
}

async function look(signal) {
  const limit = Math.min(MOST, Math.max(PAGE, rows.size));
  const jobs = await listed(limit, 0, signal);
  const edge = jobs.length === limit ? jobs.at(-1).created : "";  // what is older is beyond this look, and stays
  show(jobs, [...rows].filter(([id, { job }]) => job.created < edge && !jobs.some((one) => one.id === id)).map(([id]) => id));
}

/** Exactly these jobs, and behind them the rows that are kept as they are; what stays is not moved, so it plays on. */
function show(jobs, kept = []) {
  const now = [...jobs.map(({ id }) => id), ...kept];
  for (const [id, row] of rows) if (!now.includes(id)) drop(id, row);
  const before = new Map(rows);
  rows.clear();
  for (const [n, id] of now.entries()) {
    const row = before.get(id) ?? new Row({ cancel, remove });
    rows.set(id, row);
    if (jobs[n]) row.update(jobs[n]);
    if ($("jobs").children[n] !== row.root) $("jobs").insertBefore(row.root, $("jobs").children[n] ?? null);
  }
  for (const skeleton of $("jobs").querySelectorAll(".wait")) skeleton.remove();
  $("jobs").ariaBusy = "false";
  draw();
}

function drop(id, row) {
  row.leave();
  rows.delete(id);
}

function draw() {
  const known = total !== null;
  const any = rows.size > 0;
  const filtered = group() !== "all" || $("state").value !== "";
  $("blank").hidden = !known || any;
  $("blankTitle").textContent = say(filtered ? "history.none" : "history.empty");
  $("blankWhat").textContent = say(filtered ? "history.none.what" : "history.empty.what");
  $("blankMake").hidden = filtered;
  $("blankAll").hidden = !filtered;
  $("more").hidden = !known || rows.size >= total;
  $("more").textContent = say("history.more", { n: known ? Math.min(PAGE, total - rows.size) : 0 });
  const count = known && any ? say("history.count", { n: rows.size, total }) : "";
  if ($("count").textContent !== count) $("count").textContent = count;
}

function tell() {
  const [error, wait] = away;
  $("away").hidden = !error;
  if (!error) return;
  const what = say(error.code === "network" ? "error.network" : "status.away");
  $("away").querySelector("p").textContent = wait < Infinity ? `${what}. ${say("status.wait", { n: Math.round(wait / 1000) })}` : `${what}.`;
}

// ---- what is done with them

async function done(row, path) {
  trouble(null);
  try {
    const response = await send(`/v1/jobs/${row.job.id}${path}`, { method: "DELETE" });
    if (!response.ok && response.status !== 404) throw await failure(response);
    return response;
  } catch (error) {
    trouble(error);
    return null;
  }
}

async function cancel(row) {
  const button = row.root.querySelector(".cancel-it");
  button.disabled = true;
  const answer = await done(row, "");
  button.disabled = false;
  if (!answer) return pulse.now();  // it may have ended meanwhile
  if (answer.ok) row.update(await answer.json());
  $("said").textContent = say("history.state.cancelled");
  row.focus();
  return pulse.now();
}

async function sure() {
  $("sure").returnValue = "";
  $("sure").showModal();
  await new Promise((closed) => $("sure").addEventListener("close", closed, { once: true }));
  return $("sure").returnValue === "yes";
}

async function remove(row) {
  if (!(await sure()) || !(await done(row, "/record"))) return;
  const ids = [...rows.keys()];
  const at = ids.indexOf(row.job.id);
  const next = rows.get(ids[at + 1] ?? ids[at - 1]);
  drop(row.job.id, row);
  total -= 1;
  draw();
  $("said").textContent = say("history.removed");
  if (next) next.focus();
  else $("groups").querySelector(":checked").focus();
  await pulse.now();
}

async function more() {
  trouble(null);
  $("more").disabled = true;
  try {
    const jobs = await listed(PAGE, rows.size);
    const first = jobs.find(({ id }) => !rows.has(id));
    show([...[...rows.values()].map(({ job }) => job), ...jobs.filter(({ id }) => !rows.has(id))]);
    if (first) rows.get(first.id).focus();
  } catch (error) {
    trouble(error);
  } finally {
    $("more").disabled = false;
  }
}

// ---- the filter, also in the address

function read() {
  const asked = new URLSearchParams(location.search);
  const wanted = document.querySelector(`[name=group][value="${CSS.escape(asked.get("group") ?? "all")}"]`);
  if (wanted) wanted.checked = true;
  $("state").value = asked.get("state") ?? "";
  if ($("state").selectedIndex < 0) $("state").value = "";
}

function filter() {
  const asked = new URLSearchParams();
  if (group() !== "all") asked.set("group", group());
  if ($("state").value) asked.set("state", $("state").value);
  history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
  for (const [id, row] of rows) drop(id, row);
  total = null;
  trouble(null);
  showGroup();
  wait();
  return pulse.now();
}

/** Grey rows until the first answer. */
function wait() {
  $("jobs").ariaBusy = "true";
  $("jobs").replaceChildren(...[1, 2, 3].map(() => Object.assign(document.createElement("li"), { className: "wait" })));
  draw();
}

/** Where the groups are a row that scrolls: the chosen one is seen. */
function showGroup() {
  const label = $("groups").querySelector(":checked").parentElement;
  $("groups").scrollLeft = label.offsetLeft - $("groups").offsetLeft - ($("groups").clientWidth - label.offsetWidth) / 2;
}

read();
wait();
const busy = () => [...rows.values()].some((row) => row.running);
const pulse = new Pulse(look, () => (busy() ? SOON : LATER), (...heard) => {
  away = heard;
  if (heard[0] && total === null) $("jobs").replaceChildren();
  tell();
});
$("groups").addEventListener("change", filter);
$("state").addEventListener("change", filter);
$("blankAll").addEventListener("click", () => {
  document.querySelector("[name=group][value=all]").checked = true;
  $("state").value = "";
  filter();
  $("groups").querySelector(":checked").focus();
});
$("more").addEventListener("click", more);
$("again").addEventListener("click", () => pulse.now());
translated(() => {
  for (const row of rows.values()) row.translate();
  draw();
  tell();
  showGroup();
});
