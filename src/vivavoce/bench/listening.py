"""Live recognition measured as a client notices it: how late the texts are, and how often they are taken back.

Recordings are sent to a running server at the speed at which they were spoken, so every time on the clock is also a
time in the sound: a text that comes at 3.2 s and holds a word that ended at 2.5 s is 0.7 s late.
"""

import asyncio
import json
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from vivavoce.bench.suite import Measured
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio

__all__ = ["Call", "Spoken", "embedded", "found", "measure", "rows", "word_errors"]

Show = Callable[[float, str], None]
_RATE = 16_000
_PACKET = 0.04
"""Seconds of sound in a message, as a microphone page sends them."""
_QUIET = 1.0
"""Seconds of silence after a recording, so that its last utterance ends by itself."""
_PATIENCE = 30.0
"""Seconds that the last text may take."""
_SENTENCES = (
    "The first hall shows how people built boats a thousand years ago.",
    "Please keep to the left on the stairs.",
    "At noon a fisherman tells stories by the big window.",
    "We wish you all a truly wonderful day.",
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording and, where it is known, what is said in it."""

    name: str
    audio: Audio
    """At 16 kHz."""
    text: str = ""


@dataclass(slots=True)
class Call:
    """What came back of one recording: messages, each with its time in seconds from the start of the sound."""

    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def utterances(self) -> list[tuple[list[tuple[float, dict[str, Any]]], tuple[float, dict[str, Any]]]]:
        """The partial texts and the final one of each utterance in which something was heard."""
        found, partials = [], []
        for at, message in self.messages:
            if message["type"] == "partial":
                partials.append((at, message))
            elif message["type"] == "final":
                if message["text"]:
                    found.append((partials, (at, message)))
                partials = []
        return found

    @property
    def text(self) -> str:
        """All that was heard."""
        return " ".join(m["text"] for _, m in self.messages if m["type"] == "final" and m["text"])


def embedded() -> list[Spoken]:
    """Sentences by the embedded voice, for a machine that has no recordings."""
    voice = EspeakVoice()
    try:
        return [
            Spoken(f"espeak {i}", resample(speech.audio, _RATE), sentence)
            for i, sentence in enumerate(_SENTENCES, 1)
            for speech in voice.synthesize(sentence, language="en", voice="en-us+f3")
        ]
    finally:
        voice.close()


def found(folder: Path, *, most: int = 12) -> list[Spoken]:
    """Recordings in a folder and its folders (``*.wav``, ``*.flac``); a text beside one (``*.txt``) is what it says.

    Raises ``InvalidInput`` when there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))
    if not files:
        raise InvalidInput(f"There is no recording in {folder}; put WAV or FLAC files there.")
    step = max(1, len(files) // most)
    return [Spoken(path.stem, decode(path, max_seconds=60, rate=_RATE), _beside(path)) for path in files[::step][:most]]


def _beside(path: Path) -> str:
    text = path.with_suffix(".txt")
    return text.read_text(encoding="utf-8").strip() if text.is_file() else ""


def measure(
    url: str,
    spoken: Sequence[Spoken],
    *,
    language: str = "en",
    key: str = "",
    phrases: Sequence[str] = (),
    show: Show = lambda *_: None,
) -> dict[str, Any]:
    """Send recordings to the server at ``url`` (``http://…``), one after another; takes as long as they last.

    With ``phrases`` the recogniser only chooses among these.

    Raises ``EngineUnavailable`` with the server's own sentence where it cannot recognise.
    """
    calls = []
    for i, recording in enumerate(spoken):
        show(i / len(spoken), f"Speaking {recording.name}")
        calls.append(asyncio.run(_call(url, recording, language, key, phrases)))
    utterances = [utterance for call in calls for utterance in call.utterances()]
    first, agreed = _lateness(utterances, "text"), _lateness(utterances, "stable_text")
    finals = [at - final["end"] for _, (at, final) in utterances]
    known = [(s, call) for s, call in zip(spoken, calls, strict=True) if s.text]
    return {
        "recordings": len(spoken),
        "seconds": sum(s.audio.seconds for s in spoken),
        "utterances": len(utterances),
        "partials": sum(len(partials) for partials, _ in utterances),
        "partial_latency": _spread(first),
        "agreed_latency": _spread(agreed),
        "final_latency": _spread(finals),
        "agreed_retracted": _retracted(utterances, "stable_text"),
        "shown_retracted": _retracted(utterances, "text"),
        "final_revised": _revised(utterances),
        "word_errors": statistics.mean(word_errors(s.text, c.text) for s, c in known) if known else None,
    }


def rows(measured: dict[str, Any], ear: str) -> list[Measured]:
    """The figures as lines of the table."""
    note = f"{ear}; {measured['utterances']} utterances in {measured['seconds']:.0f} s of speech"
    final, partial, agreed = (measured[f"{name}_latency"] for name in ("final", "partial", "agreed"))
    whole = f"{note}, slowest tenth {final['p90']:.2f}" if final["median"] is not None else note
    texts = f"{measured['partials']} texts; of all shown text {measured['shown_retracted']:.0%} was taken back"
    early = f"agreed on after {agreed['median']:.2f}" if agreed["median"] is not None else note
    return [
        Measured("live: final text after the end of speech, median", final["median"], "s", 1.0, "less", whole),
        Measured("live: a word is shown after it was said, median", partial["median"], "s", 1.5, "less", early),
        Measured("live: agreed text that was taken back", 100 * measured["agreed_retracted"], "%", 0.0, "less", texts),
    ]


async def _call(url: str, spoken: Spoken, language: str, key: str, phrases: Sequence[str]) -> Call:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    call = Call()
    query = urlencode([("language", language), ("sample_rate", _RATE), *(("phrases", phrase) for phrase in phrases)])
    address = f"{url.replace('http', 'ws', 1)}/ws/asr?{query}"
    headers = {"X-API-Key": key} if key else {}
    async with connect(address, additional_headers=headers, proxy=None) as client:
        _heard(json.loads(await client.recv()))
        loop = asyncio.get_running_loop()
        began = loop.time()
        speaking = asyncio.create_task(_speak(client, spoken.audio, began))
        try:
            async with asyncio.timeout(spoken.audio.seconds + _QUIET + _PATIENCE):
                while True:
                    told = _heard(json.loads(await client.recv()))
                    call.messages.append((loop.time() - began, told))
        except ConnectionClosed:
            await speaking
        finally:
            speaking.cancel()
    return call


def _heard(message: dict[str, Any]) -> dict[str, Any]:
    if message["type"] == "error":
        raise EngineUnavailable(message["detail"])
    return message


async def _speak(client: Any, audio: Audio, began: float) -> None:
    """Send each packet when its last sample would have been spoken, then silence, then the end."""
    sound = np.concatenate([audio.samples, np.zeros(int(_QUIET * _RATE), np.float32)])
    pcm = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
    step = int(_PACKET * _RATE) * 2
    loop = asyncio.get_running_loop()
    for i, at in enumerate(range(0, len(pcm), step), 1):
        await asyncio.sleep(max(0.0, began + i * _PACKET - loop.time()))
        await client.send(pcm[at : at + step])
    await client.send(json.dumps({"event": "stop"}))


_Utterance = tuple[list[tuple[float, dict[str, Any]]], tuple[float, dict[str, Any]]]


def _lateness(utterances: Sequence[_Utterance], name: str) -> list[float]:
    """How long after its end each word of a final text was first shown in its place, in the texts called ``name``."""
    late = []
    for partials, (at, final) in utterances:
        shown = [(when, _words(message[name])) for when, message in partials]
        for i, word in enumerate(final["words"]):
            bare = _words(word["word"])
            first = next((when for when, words in shown if bare and words[i : i + 1] == bare), at)
            late.append(first - word["end"])
    return late


def _retracted(utterances: Sequence[_Utterance], name: str) -> float:
    """Share of texts (0-1) that the next one did not go on from."""
    changes = [
        now[: len(before)] != before
        for partials, _ in utterances
        for before, now in pairwise(_words(message[name]) for _, message in partials)
    ]
    return sum(changes) / len(changes) if changes else 0.0


def _revised(utterances: Sequence[_Utterance]) -> float:
    """Share of final texts (0-1) that say otherwise than what had been agreed on."""
    changes = []
    for partials, (_, final) in utterances:
        agreed = _words(partials[-1][1]["stable_text"]) if partials else []
        changes.append(_words(final["text"])[: len(agreed)] != agreed)
    return sum(changes) / len(changes) if changes else 0.0


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"median": None, "p90": None}
    return {"median": float(np.median(values)), "p90": float(np.quantile(values, 0.9))}


def word_errors(wanted: str, heard: str) -> float:
    """Word error rate: substitutions, insertions and deletions to the words that were said (Levenshtein)."""
    a, b = _words(wanted), _words(heard)
    costs = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        diagonal, costs[0] = costs[0], i
        for j, other in enumerate(b, 1):
            diagonal, costs[j] = costs[j], min(costs[j] + 1, costs[j - 1] + 1, diagonal + (word != other))
    return costs[-1] / max(1, len(a))


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
