// A transcript to keep: as text, SRT or WebVTT, or on the clipboard.

import { say } from "/ui/shell.js";

const LONGEST = 7, WIDEST = 84, PAUSE = 0.8;  // seconds, letters (two lines of 42), seconds

const stamp = (seconds, comma) => {
  const ms = Math.round(Math.max(0, seconds) * 1000);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(ms / 3600000)}:${two((ms / 60000) % 60)}:${two((ms / 1000) % 60)}${comma}${String(ms % 1000).padStart(3, "0")}`;
};

/** Pieces that one can read: `{start, end, text}`. A segment, `{start, end, text, words}`, is divided at pauses and where it is too long. */
export function cues(segments) {
  return segments.flatMap(({ start, end, text, words = [] }) => {
    if (end - start <= LONGEST && text.length <= WIDEST || words.length < 2) return text ? [{ start, end, text }] : [];
    const groups = [];
    let at = 0;
    for (const word of words) {
      // the text is cut where its words are, for not every language puts spaces between them
      const found = text.indexOf(word.word.trim(), at);
      const from = found < 0 ? at : found;
      const to = found < 0 ? at : found + word.word.trim().length;
      const last = groups.at(-1);
      const full = last && (word.end - last.start > LONGEST || to - last.from > WIDEST || word.start - last.end > PAUSE);
      if (!last || full) groups.push({ start: word.start, end: word.end, from, to });
      else Object.assign(last, { end: word.end, to });
      at = to;
    }
    return groups.map(({ start: first, end: last, from }, n) => ({ start: first, end: last, text: text.slice(from, groups[n + 1]?.from).trim() }));
  });
}

export const srt = (segments) => cues(segments).map(({ start, end, text }, n) => `${n + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${text}\n`).join("\n");

export const vtt = (segments) => `WEBVTT\n\n${cues(segments)
  .map(({ start, end, text }) => `${stamp(start, ".")} --> ${stamp(end, ".")}\n${text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")}\n`).join("\n")}`;

export const txt = (segments) => `${segments.map(({ text }) => text).join("\n")}\n`;

const KINDS = { txt: [txt, "text/plain"], srt: [srt, "application/x-subrip"], vtt: [vtt, "text/vtt"] };

/** Let the browser keep segments as a file. */
export function save(segments, kind, stem) {
  const [written, type] = KINDS[kind];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([written(segments)], { type: `${type};charset=utf-8` }));
  link.download = `${stem}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Put a text on the clipboard, and say so on the button. */
export async function copied(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no clipboard over plain http
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = say("mic.copied");
  setTimeout(() => { button.textContent = say("mic.copy"); }, 1500);
}
