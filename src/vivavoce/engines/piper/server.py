"""Piper behind a pipe: the program that ``process.py`` starts.

Piper is under the GPL and we are not, it holds an espeak-ng that stands no threads, and onnxruntime cannot be stopped
in the midst of a sentence: so it runs in a process of its own, which starts this file as a script, needs nothing of
vivavoce, and can be killed. It ends when its standard input closes.

Every message has a length of four bytes, big-endian, ahead of it. A request is JSON: ``model`` (path of the .onnx),
``text``, ``speaker`` (a number, or null). The answer is a row of messages, each with a letter ahead of its length:
R ready (once, at the start), then for each sentence S sound (16-bit little-endian mono) and P phonemes
(``{"rate": Hz, "phonemes": [[text, samples], ...] or null}``), then D done or X (``{"error": sentence}``).
"""

import json
import os
import struct
import sys
from typing import Any, BinaryIO

_KEPT = 2
"""Voices in memory at once: each takes some 100 MB."""


def send(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    """Write one message of the answer."""
    out.write(kind + struct.pack(">I", len(payload)) + payload)
    out.flush()


def receive(source: BinaryIO) -> dict[str, Any] | None:
    """Read one request; None when the other side has gone."""
    head = source.read(4)
    if len(head) < 4:
        return None
    request: dict[str, Any] = json.loads(source.read(struct.unpack(">I", head)[0]))
    return request


class Voices:
    """The voices that were used last."""

    def __init__(self) -> None:
        from piper import PiperVoice

        self._load = PiperVoice.load
        self._held: dict[str, Any] = {}

    def get(self, model: str) -> Any:
        """A voice, loaded if need be; the one that rested longest gives way."""
        voice = self._held.pop(model, None) or self._load(model, include_alignments=True)
        self._held[model] = voice
        while len(self._held) > _KEPT:
            self._held.pop(next(iter(self._held)))
        return voice


def say(voices: Voices, request: dict[str, Any], out: BinaryIO) -> None:
    """Speak one text."""
    from piper import SynthesisConfig

    voice = voices.get(request["model"])
    ipa = voice.config.phoneme_type.value == "espeak"  # others write letters or pinyin
    for chunk in voice.synthesize(request["text"], SynthesisConfig(request["speaker"]), include_alignments=True):
        told = chunk.phoneme_alignments if ipa else None
        phonemes = None if told is None else [[a.phoneme, int(a.num_samples)] for a in told]
        send(out, b"S", chunk.audio_int16_bytes)
        send(out, b"P", json.dumps({"rate": chunk.sample_rate, "phonemes": phonemes}).encode())
    send(out, b"D", b"{}")


def serve(source: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until the source ends."""
    try:
        voices = Voices()
    except Exception as e:  # noqa: BLE001 - whatever a broken installation raises, the other side has to hear
        send(out, b"X", json.dumps({"error": f"{type(e).__name__}: {e}"}).encode())
        return
    send(out, b"R", b"{}")
    while (request := receive(source)) is not None:
        try:
            say(voices, request, out)
        except OSError:
            raise
        except Exception as e:  # noqa: BLE001 - a broken voice must not end the others
            send(out, b"X", json.dumps({"error": f"{type(e).__name__}: {e}"}).encode())


def main() -> None:
    """Serve the pipes that this process was started with; whatever the libraries print cannot disturb them."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, out)
    except (OSError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()
