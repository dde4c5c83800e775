"""A transcription service on this machine: OpenAI's wire format, and the moods of ``vendors``.

It reads the upload as the real ones do, and hears the same sentence in every sound, evenly spread over it; silence is
nothing. What servers of this format do differently can be switched.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import numpy as np

from vendors import Asked, Vendor, _Answer, _Handler
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio

TEXT = "Hello there, my friends. How are you?"
SENTENCES = ("Hello there, my friends.", "How are you?")


class Listener(Vendor):
    """The service, on a free port."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # it has no voice
        self.RequestHandlerClass = _Listening
        self.plain = False
        """Whether the model tells no times, and refuses the question for them."""
        self.nested = False
        """Whether words lie in their segments, with probabilities, as servers of one's own have it."""
        self.extra: dict[str, Any] = {}
        """What every segment has besides."""
        self.heard: list[Audio] = []
        self.fields: list[dict[str, list[str]]] = []


@contextmanager
def listener() -> Iterator[Listener]:
    """A service for as long as a ``with`` block lasts."""
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def form(asked: Asked) -> tuple[dict[str, list[str]], dict[str, bytes]]:
    """Fields and files of a ``multipart/form-data`` body."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    fields: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + asked.body).iter_parts():
        disposition = part["content-disposition"].params
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if disposition.get("filename"):
            files[disposition["name"]] = data
        else:
            fields.setdefault(disposition["name"], []).append(data.decode())
    return fields, files


class _Listening(_Handler):
    server: Listener

    def _spoken(self, asked: Asked) -> _Answer:
        fields, files = form(asked)
        audio = decode(files["file"], max_seconds=60)
        self.server.fields.append(fields)
        self.server.heard.append(audio)
        silent = float(np.abs(audio.samples).max()) < 1e-3
        answer: dict[str, Any] = {"text": "" if silent else TEXT}
        if fields["response_format"] == ["verbose_json"]:
            answer |= self._verbose(audio.seconds, silent=silent)
        return _Answer("application/json", [json.dumps(answer).encode()])

    def _verbose(self, seconds: float, *, silent: bool) -> dict[str, Any]:
        said = [] if silent else TEXT.split()
        step = seconds / max(1, len(said))
        words: list[dict[str, Any]] = [
            {"word": w, "start": i * step, "end": (i + 1) * step, "probability": 0.9} for i, w in enumerate(said)
        ]
        segments, at = [], 0
        for number, sentence in enumerate(() if silent else SENTENCES):
            own = words[at : at + len(sentence.split())]
            at += len(own)
            made = {"id": number, "start": own[0]["start"], "end": own[-1]["end"], "text": f" {sentence}"}
            segments.append(made | ({"words": own} if self.server.nested else {}) | self.server.extra)
        told: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": seconds, "segments": segments}
        if not self.server.nested:
            bare = [{"word": w["word"].strip(".,?"), "start": w["start"], "end": w["end"]} for w in words]
            told["words"] = bare
        return told

    def _answer(self, mood: str, asked: Asked) -> None:
        if mood == "ok" and self.server.plain and b"verbose_json" in asked.body:
            refusal = {"error": {"message": "response_format 'verbose_json' is not compatible with this model"}}
            return self._send(400, "application/json", json.dumps(refusal).encode())
        return super()._answer(mood, asked)
