"""Cloning services on this machine, in the wire formats of real ones, with espeak inside; they misbehave as vendors do.

=====================================  ==================================================================
``POST /v1/voices/add``                ElevenLabs: a form with ``name`` and ``files`` gives a ``voice_id``
``DELETE /v1/voices/ID``               ElevenLabs
``POST /inference_cross_lingual``      CosyVoice: a form with ``tts_text`` and ``prompt_wav`` gives raw samples
``POST /tts``                          GPT-SoVITS: JSON with ``ref_audio_path``, a file of the same disk
``POST /speak``                        JSON with the recording in base64 gives JSON with sound in base64
=====================================  ==================================================================
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import numpy as np

import vendors
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import resample

__all__ = ["CloningService", "Form", "cloning", "form_of"]

Form = dict[str, bytes]


class CloningService(vendors.Vendor):
    """The services, on one free port."""

    def __init__(self, voice: EspeakVoice) -> None:
        super().__init__(voice)
        self.RequestHandlerClass = _Handler
        self.voices: dict[str, Form] = {}
        """ElevenLabs' voices by id, as they were sent."""
        self.references: list[bytes] = []
        """Recordings that came with a text."""


@contextmanager
def cloning(voice: EspeakVoice) -> Iterator[CloningService]:
    """The services for as long as a ``with`` block lasts."""
    server = CloningService(voice)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def form_of(asked: vendors.Asked) -> Form:
    """The parts of a ``multipart/form-data`` body by name."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    return {
        str(part.get_param("name", header="content-disposition")): bytes(part.get_payload(decode=True))
        for part in message.iter_parts()
    }


class _Handler(vendors._Handler):
    server: CloningService

    def do_DELETE(self) -> None:  # noqa: N802 - the name is http.server's
        self._serve()

    def _answer(self, mood: str, asked: vendors.Asked) -> None:
        known = asked.path.rpartition("/")[2] in self.server.voices
        if mood == "ok" and asked.path.startswith("/v1/voices/") and asked.method == "DELETE" and not known:
            detail = {"status": "voice_does_not_exist", "message": "A voice with that id does not exist."}
            return self._send(400, "application/json", json.dumps({"detail": detail}).encode())
        if mood == "lost":  # it does what it is asked, and nobody hears of it
            self._spoken(asked)
            self.close_connection = True
            return None
        return super()._answer(mood, asked)

    def _spoken(self, asked: vendors.Asked) -> vendors._Answer:
        if asked.path == "/v1/voices/add":
            id_ = f"made{len(self.server.voices):016d}"
            self.server.voices[id_] = form_of(asked)
            return _json({"voice_id": id_, "requires_verification": False})
        if asked.path.startswith("/v1/voices/"):
            del self.server.voices[asked.path.rpartition("/")[2]]
            return _json({"status": "ok"})
        if asked.path == "/inference_cross_lingual":
            form = form_of(asked)
            speech = self._say(form["tts_text"].decode(), form["prompt_wav"])
            samples = resample(speech.audio, 24_000).samples
            return vendors._Answer("application/octet-stream", [np.rint(samples * 32767).astype("<i2").tobytes()])
        if asked.path == "/tts":
            path = Path(asked.json["ref_audio_path"])
            return vendors._Answer("audio/wav", [vendors.wav(self._say(asked.json["text"], path.read_bytes()).audio)])
        if asked.path == "/speak":
            speech = self._say(asked.json["text"], base64.b64decode(asked.json["reference"]))
            return _json({"data": {"audio": base64.b64encode(vendors.wav(speech.audio)).decode()}})
        return super()._spoken(asked)

    def _say(self, text: str, reference: bytes) -> Any:
        self.server.references.append(reference)
        return self.server.say(text, vendors.language_of(text))


def _json(content: dict[str, Any]) -> vendors._Answer:
    return vendors._Answer("application/json", [json.dumps(content).encode()])
