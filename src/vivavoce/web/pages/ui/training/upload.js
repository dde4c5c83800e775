// A form on its way to the server, told how far it is: `fetch` cannot tell that.

import { storedKey } from "/ui/api.js";
import { CallError } from "/ui/element/calls.js";

/** The answer of a POST as JSON; `told(fraction)` while it is sent. Raises `CallError`, and the signal's reason. */
export function upload(url, form, signal, told) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    const leave = () => call.abort();
    const refuse = (error) => {
      signal.removeEventListener("abort", leave);
      reject(error);
    };
    signal.throwIfAborted();
    signal.addEventListener("abort", leave, { once: true });
    call.open("POST", url);
    call.responseType = "json";
    if (storedKey()) call.setRequestHeader("X-API-Key", storedKey());
    call.upload.addEventListener("progress", ({ loaded, total }) => told(total ? loaded / total : 0));
    call.addEventListener("load", () => {
      const body = call.response ?? {};
      if (call.status >= 400) return refuse(new CallError(call.getResponseHeader("X-Error-Code") ?? body.code ?? "internal", body.detail ?? call.statusText, call.status));
      signal.removeEventListener("abort", leave);
      return resolve(body);
    });
    call.addEventListener("abort", () => refuse(signal.reason));
    call.addEventListener("error", () => refuse(new CallError("network", "The connection broke.")));
    call.send(form);
  });
}
