// A sentence in a voice.

import { asJson, failure, send } from "/ui/api.js";

/** The sound of a text in a voice, `engine/id` or `clone/id`. Throws a `CallError`. */
export async function spoken(input, voice, language, signal) {
  const answer = await send("/v1/audio/speech", { ...asJson({ input, voice, language, response_format: "wav" }, "audio/wav"), signal });
  if (!answer.ok) throw await failure(answer);
  return answer.blob();
}
