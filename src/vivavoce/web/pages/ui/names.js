// Names in sentences: of languages, of days, and of the settings that a server's sentence tells to set.

import { pageLanguage, withCommands } from "/ui/shell.js";
import { TONGUES } from "/ui/words.js";

/** A language's name in the page's own, as it stands in a sentence. */
export function called(code) {
  try {
    const name = new Intl.DisplayNames([pageLanguage()], { type: "language" }).of(code);
    return name === code ? (TONGUES[code] ?? code) : name;  // not every browser knows Kazakh
  } catch {  // no code that browsers know
    return code;
  }
}

/** A language by its own name, where it is one of the page's, else by its name in the page's language. */
export const named = (code) => TONGUES[code] ?? called(code);

/** A day in numbers, in the order that the page's language has. */
export const dayOf = (date) => new Date(date).toLocaleDateString({ en: "en-GB", kk: "ru" }[pageLanguage()] ?? pageLanguage(), { year: "numeric", month: "2-digit", day: "2-digit" });

/** A sentence as nodes, in which commands and the names of settings stand out. */
export const withSettings = (sentence) => withCommands(sentence.replace(/`[^`]*`|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b/g, (name) => (name[0] === "`" ? name : `\`${name}\``)));
