// Captions: which words are said when, in lines that fit under a face. Without times of the words they are guessed from
// the lengths of the words; guessed times move the caption, but never become an event.

const LINE = 46;  // columns; a Chinese or Korean letter takes two

const WIDE = /[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff00-\uff60]/gu;
const width = (text) => text.length + (text.match(WIDE)?.length ?? 0);

/** The text of a chunk in parts that join to it: `[{text, from, to}]`, seconds from the chunk's start. */
function partsOf(text, words, seconds) {
  if (words?.length) return timed(text, words);
  const said = /\s/.test(text.trim()) ? text.match(/\S+\s*/g) : [...segments(text)];
  const whole = Math.max(1, width(text));
  let from = 0;
  return (said ?? []).map((part) => {
    const to = from + (width(part) / whole) * seconds;
    const held = { text: part, from, to };
    from = to;
    return held;
  });
}

function segments(text) {
  if (!Intl.Segmenter) return text.match(/.{1,4}/gu) ?? [];
  return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)].map(({ segment }) => segment);
}

function timed(text, words) {
  const parts = [];
  let at = 0;
  for (const [word, from, to] of words) {
    const found = text.indexOf(word, at);
    if (found < 0) {
      parts.push({ text: `${word} `, from, to });
      continue;
    }
    if (parts.length) parts.at(-1).text += text.slice(at, found);
    parts.push({ text: (parts.length ? "" : text.slice(at, found)) + word, from, to });
    at = found + word.length;
  }
  if (parts.length) parts.at(-1).text += text.slice(at);
  return parts;
}

/** The captions of a chunk in lines: `[{from, parts}]`; a line ends where it is full, or behind a sentence. */
export function linesOf(text, words, seconds) {
  const lines = [];
  let columns = Infinity;
  for (const part of partsOf(text, words, seconds)) {
    const full = columns + width(part.text.trimEnd()) > LINE * 2;
    const over = columns > LINE && /[.!?,;:…。！？，；]["”»’)]?\s*$/u.test(lines.at(-1)?.parts.at(-1).text ?? "");
    if (full || over) {
      lines.push({ from: part.from, parts: [] });
      columns = 0;
    }
    lines.at(-1).parts.push(part);
    columns += width(part.text);
  }
  return lines;
}

/** One chunk on the clock of the film that is played. */
export class Cue {
  #lines;
  #told = 0;

  constructor(chunk, start) {
    this.chunk = chunk;
    this.start = start;
    this.seconds = chunk.duration ?? 0;
    this.#lines = linesOf(chunk.text ?? "", chunk.words, this.seconds);
  }

  /** The words that have begun since the last call, as `{text, start, end}` on the film's clock. */
  begun(time) {
    const words = this.chunk.words ?? [];
    const fresh = [];
    while (this.#told < words.length && this.start + words[this.#told][1] <= time) {
      const [text, start, end] = words[this.#told];
      fresh.push({ text, start: this.start + start, end: this.start + end });
      this.#told += 1;
    }
    return fresh;
  }

  /** The line at a time, and which of its parts is being said: -1 when that is only guessed. */
  line(time) {
    const here = time - this.start;
    const line = this.#lines.findLast?.(({ from }) => from <= here) ?? this.#lines[0];
    const current = line && this.chunk.words?.length ? line.parts.findIndex(({ from, to }) => from <= here && here < to) : -1;
    return { line, current };
  }
}
