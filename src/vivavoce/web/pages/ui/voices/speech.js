// A sentence in a voice, and the names of languages.

import { asJson, failure, send } from "/ui/api.js";
import { pageLanguage } from "/ui/shell.js";
import { TONGUES } from "/ui/words.js";

/** The sound of a text in a voice, `engine/id` or `clone/id`. Throws a `CallError`. */
export async function spoken(input, voice, language, signal) {
  const answer = await send("/v1/audio/speech", { ...asJson({ input, voice, language, response_format: "wav" }, "audio/wav"), signal });
  if (!answer.ok) throw await failure(answer);
  return answer.blob();
}

/** A language by its own name, where it is one of the page's, else by its name in the page's language. */
export function named(code) {
  if (TONGUES[code]) return TONGUES[code];
  try {
    return new Intl.DisplayNames([pageLanguage()], { type: "language" }).of(code);
  } catch {  // no code that browsers know
    return code;
  }
}
