"""Recordings of people who are not there, and enrolment over HTTP; the server's cloner is the toy of ``serving``."""

import io
from typing import Any

import av
import numpy as np
import requests

from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.studio.speech import joined

__all__ = ["enrolled", "listed", "recording", "webm"]

SENTENCE = "The old man opened his umbrella and walked to the harbour."


def recording(voice: EspeakVoice, text: str = SENTENCE) -> bytes:
    """A WAV file of some seconds."""
    held = io.BytesIO()
    write_wav(held, joined(voice.synthesize(text, language="en", voice="m1")).audio)
    return held.getvalue()


def webm(seconds: float = 1.0) -> bytes:
    """What a browser records: Opus in WebM, whatever the name says."""
    held = io.BytesIO()
    with av.open(held, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        time = np.arange(round(seconds * 48_000)) / 48_000
        tone = (0.3 * np.sin(2 * np.pi * 440 * time) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return held.getvalue()


def enrolled(server: Served, content: bytes, *, times: int = 1, key: str = "", **fields: str) -> requests.Response:
    """The answer to an enrolment."""
    return requests.post(
        f"{server.url}/v1/voices",
        data={"engine": "toy"} | fields,
        files=[("recording", (f"{n}.wav", content, "audio/wav")) for n in range(times)],
        headers={"X-API-Key": key} if key else {},
        timeout=60,
    )


def listed(server: Served, key: str = "") -> dict[str, Any]:
    """The clones of ``GET /v1/voices`` by id."""
    answer = requests.get(f"{server.url}/v1/voices", headers={"X-API-Key": key} if key else {}, timeout=30).json()
    return {voice["id"]: voice for voice in answer["voices"] if voice["engine"] == "clone"}
