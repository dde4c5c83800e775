"""Piper's voices as a synthesizer: whatever lies in the operator's folder, with the times of its sounds."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.engines.network.parts import is_configured, portions, speakable
from vivavoce.engines.piper.marks import Timed, phoneme_marks, timed, word_marks
from vivavoce.engines.piper.process import Process, Sentence
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, TimedOut, WorkerDied
from vivavoce.nouns import Audio, Speech, Voice, VoiceTraits
from vivavoce.text.chunking import words
from vivavoce.text.languages import Language, resolve

__all__ = ["PiperVoice"]

_GROUP = 200
"""Characters that are spoken at once: a cancel waits for no more, and other streams get their turn."""
_PAUSE = 0.15
"""Seconds between two sentences; Piper leaves none."""
_MANY = 40
"""Speakers of one file that are listed; more have numbers that nobody knows by heart."""
_CONFIG_BYTES = 1_000_000
_NAME = re.compile(r"[\w.-]{1,100}")


@dataclass(frozen=True, slots=True)
class _File:
    """A voice's file, and what its description says."""

    model: Path
    language: str
    speakers: Mapping[str, int] = field(default_factory=dict)


class PiperVoice:
    """Piper through a process of its own, which is started at the first use and again whenever it dies.

    A voice id is the name of a file in the folder (``kk_KZ-issai-high``), with a speaker where it has several
    (``kk_KZ-issai-high:ISSAI_KazakhTTS2_M2``).
    """

    def __init__(self, folder: Path | None = None, seconds_limit: float = 30.0) -> None:
        """``folder`` holds ``NAME.onnx`` and ``NAME.onnx.json``; it is read once.

        Raises ``EngineUnavailable`` when Piper is not installed or the folder has no voice.
        """
        if find_spec("piper") is None:
            raise EngineUnavailable('Piper is not installed; install the extra: pip install "vivavoce[piper]".')
        if folder is None:
            raise EngineUnavailable("Piper has no folder of voices; set VIVAVOCE_VOICES__PIPER__DIR.")
        self._files = {path.stem: found for path in sorted(folder.glob("*.onnx")) if (found := _read(path))}
        if not self._files:
            raise EngineUnavailable(
                f"There is no Piper voice in {folder}; put NAME.onnx and NAME.onnx.json of each voice there."
            )
        self._limit = seconds_limit
        self._lock = threading.Lock()
        self._process: Process | None = None
        languages = dict.fromkeys(f.language for f in self._files.values())
        self._traits = VoiceTraits(
            languages=tuple(languages),
            voices=tuple(_offered(self._files)),
            timings=frozenset({"word", "phoneme"} if find_spec("onnx") is not None else ()),
            licence="Piper: GPL-3.0-or-later, run as a separate process; each voice has its own",
        )

    @property
    def traits(self) -> VoiceTraits:
        """The voices of the folder and their languages."""
        return self._traits

    def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
        """Speak ``text``, a few sentences at a time, with word and phoneme marks where the voice's file gives them.

        Closing the iterator, from any thread, ends the work at once. Raises ``InvalidInput`` at once for what cannot be
        spoken; while speaking ``TimedOut``, ``EngineUnavailable``, ``WorkerDied``.
        """
        spoken = speakable(text, language, self._traits.languages, "Piper here")
        file, speaker = self._file(voice, spoken)

        def say(reading: _Reading, part: str, deadline: float) -> Speech:
            return _speech(part, spoken, self._ask(reading, file.model, _spoken(part), speaker, deadline))

        return _Reading(portions(text, spoken, _GROUP), self._limit, say)

    def close(self) -> None:
        """End the process; the next use starts another."""
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None

    def _ask(self, reading: "_Reading", model: Path, text: str, speaker: int | None, deadline: float) -> list[Sentence]:
        """Have a text spoken, after whoever is before."""
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimedOut("The Piper voice is busy with other texts; try again.")
        try:
            for attempt in (1, 2):
                try:
                    self._process = reading.asked = self._process or Process(deadline)
                    if reading.closed.is_set():
                        raise Cancelled("The work was cancelled.")
                    return self._process.ask(model, text, speaker, deadline)
                except (WorkerDied, TimedOut) as e:
                    self._process = None
                    if reading.closed.is_set():
                        raise Cancelled("The work was cancelled.") from None
                    if attempt == 2 or isinstance(e, TimedOut):
                        raise
            raise AssertionError("both attempts return or raise")
        finally:
            reading.asked = None
            self._lock.release()

    def _file(self, voice: str, language: Language) -> tuple[_File, int | None]:
        if is_configured(voice):
            return next(f for f in self._files.values() if f.language == language.code), None
        name, colon, speaker = voice.partition(":")
        file = self._files.get(name)
        if file is None or (colon and speaker not in file.speakers):
            known = ", ".join([v.id for v in self._traits.voices][:12])
            raise InvalidInput(f"There is no Piper voice {voice[:60]!r} here; use one of {known}.")
        if file.language != language.code:
            raise InvalidInput(f"The Piper voice {name} speaks {file.language}, not {language.code}; choose another.")
        return file, file.speakers[speaker] if colon else None


class _Reading(Iterator[Speech]):
    """The parts of a text, spoken when they are asked for; may be closed from any thread."""

    def __init__(self, parts: list[str], limit: float, say: Callable[["_Reading", str, float], Speech]) -> None:
        self.asked: Process | None = None
        """The process that speaks for it just now."""
        self.closed = threading.Event()
        self._parts = iter(parts)
        self._left = limit  # the time in which the listener holds a part is not counted
        self._say = say

    def __next__(self) -> Speech:
        if self.closed.is_set():
            raise StopIteration
        part = next(self._parts)
        begun = time.monotonic()
        try:
            return self._say(self, part, begun + self._left)
        finally:
            self._left -= time.monotonic() - begun

    def close(self) -> None:
        """End whatever runs; nothing comes after."""
        self.closed.set()
        asked = self.asked
        if asked is not None:
            asked.stop()


def _read(model: Path) -> _File | None:
    """What a voice's description says; None for a file without a usable one, or with a name that no id can have."""
    config = model.with_name(model.name + ".json")
    try:
        if not _NAME.fullmatch(model.stem) or config.stat().st_size > _CONFIG_BYTES:
            return None
        told: dict[str, Any] = json.loads(config.read_text("utf-8"))
        code = (told.get("language") or {}).get("code") or told["espeak"]["voice"]
        speakers = {str(k): int(v) for k, v in (told.get("speaker_id_map") or {}).items()}
        return _File(model.absolute(), resolve(str(code)).code, speakers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidInput):
        return None


def _offered(files: Mapping[str, _File]) -> Iterator[Voice]:
    for name, file in files.items():
        yield Voice(name, name.replace("_", " "), (file.language,))
        for speaker in list(file.speakers)[:_MANY] if len(file.speakers) > 1 else ():
            yield Voice(f"{name}:{speaker}", f"{name.replace('_', ' ')}, {speaker}", (file.language,))


def _spoken(text: str) -> str:
    """The text for Piper: its command for raw phonemes, ``[[``, and control characters are read as spaces."""
    return "".join(c if c.isprintable() and c not in "[]" else " " for c in text)


def _speech(text: str, language: Language, sentences: list[Sentence]) -> Speech:
    pieces: list[np.ndarray] = []
    sounds: list[Timed] = []
    rate = sentences[0].rate if sentences else 22050
    told = bool(sentences)
    seconds = 0.0
    for i, sentence in enumerate(sentences):
        samples = np.frombuffer(sentence.sound, "<i2").astype(np.float32) / np.float32(32768)
        if i:
            pieces.append(np.zeros(round(_PAUSE * rate), np.float32))
            seconds += _PAUSE
        told = told and bool(sentence.phonemes)
        sounds += timed(sentence.phonemes, rate, seconds)
        pieces.append(samples)
        seconds += len(samples) / rate
    audio = Audio(np.concatenate(pieces) if pieces else np.zeros(0, np.float32), rate)
    if not len(audio.samples):
        raise InvalidInput(f"Piper finds nothing to say here in {language.name}; write it in words.")
    if not told:
        return Speech(text, language.code, audio)
    marks = word_marks(text, words(text, language), sounds)
    return Speech(text, language.code, audio, (*marks, *phoneme_marks(sounds, audio.seconds)))
