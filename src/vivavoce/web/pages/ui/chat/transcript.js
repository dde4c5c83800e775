// What both have said. Sentences of an answer are light until the avatar says them.

import { dress, say, translated } from "/ui/shell.js";
import { clock } from "/ui/sound/player.js";

const NEAR = 80;  // pixels from the end within which somebody reads along

const made = (tag, name, more = {}) => Object.assign(document.createElement(tag), { className: name }, more);

/** An element whose words follow the page's language. */
function worded(tag, name, key, more = {}) {
  const element = made(tag, name, { textContent: say(key), ...more });
  element.dataset.t = key;
  return element;
}

export class Transcript {
  #list;
  #scroller;
  #below;
  #answers = [];
  #reading = false;  // further up

  /** `list` scrolls in `scroller`, or with the page where that does not scroll; `below` then covers the page's end. */
  constructor(list, scroller, below) {
    this.#list = list;
    this.#scroller = scroller;
    this.#below = below;
    for (const box of [scroller, document]) box.addEventListener("scroll", () => { this.#reading = this.#hidden > NEAR; }, { passive: true });
    translated(() => this.#answers.forEach((answer) => answer.describe()));
  }

  get empty() {
    return !this.#list.children.length;
  }

  clear() {
    this.#list.replaceChildren();
    this.#answers = [];
  }

  /** What the user says; without a text it is still being listened to. */
  mine(text) {
    const question = new Question(text);
    this.#add(question.root);
    return question;
  }

  /** What the avatar of this name says. `again` is called with the answer when it is to be heard once more. */
  theirs(name, again) {
    const answer = new Answer(name, again, () => this.follow());
    this.#answers.push(answer);
    this.#add(answer.root);
    return answer;
  }

  /** Scroll to the end, unless somebody reads further up. */
  follow(always = false) {
    if (this.#reading && !always) return;
    if (this.#own) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    else if (this.#hidden > 0) scrollBy(0, this.#hidden);
  }

  get #own() {
    return getComputedStyle(this.#scroller).overflowY === "auto";
  }

  /** Pixels of what was said that lie below what is seen. */
  get #hidden() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (this.#own) return scrollHeight - scrollTop - clientHeight;
    return this.#list.getBoundingClientRect().bottom - this.#below.getBoundingClientRect().top;
  }

  #add(item) {
    this.#list.append(item);
    this.follow(true);
  }
}

class Question {
  root = made("li", "turn mine");
  /** Whether it is still being listened to. */
  pending = true;
  #words = made("p", "words");

  constructor(text) {
    this.root.append(worded("span", "unseen", "chat.you"), this.#words);
    if (text) return this.write(text);
    const dots = made("span", "dots", { ariaHidden: "true" });
    dots.append(...[0, 1, 2].map(() => document.createElement("i")));
    this.#words.append(dots, worded("span", "unseen", "chat.hearing"));
  }

  write(text, language = "") {
    this.pending = false;
    this.#words.textContent = text;
    if (language) this.#words.lang = language;
    return this;
  }

  /** It was taken back before there was an answer. */
  unanswered() {
    if (this.pending) this.drop();
    else this.root.append(worded("p", "note", "chat.cut"));
  }

  drop() {
    this.root.remove();
  }
}

class Answer {
  root = made("li", "turn theirs");
  chunks = [];
  #words = made("p", "words");
  #note = made("p", "note", { hidden: true });
  #tools = made("div", "row tools", { hidden: true });
  #again = worded("button", "link", "chat.again", { type: "button" });
  #film = made("a", "link", { hidden: true });
  #seconds = 0;
  #whole = false;
  #grown;

  constructor(name, again, grown) {
    this.#grown = grown;
    this.#again.addEventListener("click", () => again(this));
    this.#tools.append(this.#again, this.#film);
    this.root.append(made("b", "name", { textContent: name }), this.#words, this.#note, this.#tools);
  }

  /** A text that was said before this page was opened. */
  tell(text) {
    this.#words.append(made("span", "heard", { textContent: text }));
  }

  /** A sentence that will be said. */
  add(chunk) {
    this.chunks.push(chunk);
    const said = chunk.text.trim();
    const sentence = made("span", "sentence", { textContent: said });
    this.#words.append(sentence, chunk.text.slice(chunk.text.indexOf(said) + said.length));  // not every language has spaces
    this.#grown();
  }

  /** The sentence with this number is being said now; -1: none is. */
  mark(number) {
    [...this.#words.querySelectorAll(".sentence")].forEach((sentence, n) => {
      sentence.classList.toggle("heard", n <= number || (number < 0 && sentence.classList.contains("heard")));
      if (n === number) sentence.setAttribute("aria-current", "true");
      else sentence.removeAttribute("aria-current");
    });
  }

  /** It was ended before its end, and `key` says why: what nobody heard goes, unless it was written to the end. */
  cut(key) {
    while (!this.#whole && this.#words.lastChild && !this.#words.lastChild.classList?.contains("heard")) this.#words.lastChild.remove();
    this.chunks.length = this.#words.querySelectorAll(".sentence").length;
    this.mark(-1);
    this.broke(key);
  }

  /** Nothing more comes. */
  broke(key, more = "") {
    this.#note.replaceChildren(worded("span", "", key), ...(more ? [" ", more] : []));
    this.#note.classList.toggle("bad", Boolean(more));
    this.#note.hidden = false;
    this.#tools.hidden = !this.chunks.length;
    this.#grown();
  }

  /** It is whole: its film can be kept. */
  done({ video_url: url, duration = 0 }) {
    this.#whole = true;
    this.#tools.hidden = false;
    this.#film.hidden = !url;
    if (url) this.#film.href = url;
    this.#film.download = "";
    this.#seconds = duration;
    this.describe();
    this.#grown();
  }

  /** Every sentence counts as said, as when the sound is off or the film cannot be played. */
  settle() {
    for (const sentence of this.#words.querySelectorAll(".sentence")) sentence.classList.add("heard");
    this.mark(-1);
  }

  describe() {
    dress(this.root);
    this.#film.textContent = say("chat.film", { length: clock(Math.round(this.#seconds)) });
  }
}
