"""The embedded voice: speaks a hundred languages at once and with marks, and needs no download."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

from vivavoce.engines.espeak.marks import as_heard, phoneme_marks, word_marks
from vivavoce.engines.espeak.process import Process, Request, Utterance
from vivavoce.errors import InvalidInput, TimedOut, WorkerDied
from vivavoce.nouns import Audio, Speech, Voice, VoiceTraits
from vivavoce.text.chunking import sentences, words
from vivavoce.text.languages import LANGUAGES, Language, check_speakable, resolve

__all__ = ["EspeakVoice"]

_DEFAULT_VARIANT = "f3"
_DEFAULT_RATE = 155
"""Words a minute; espeak-ng's own 175 is hurried, and lips that follow it blur."""
_RATES = {"ko": 145, "zh": 150, "kk": 150}
_GROUP = 240
"""Characters; short sentences are spoken together up to this, so that few requests are made and sound comes early."""
_TAIL = 0.05
"""Seconds of silence left after the last sound."""
_SILENT = 0.004
"""Amplitude (1 is full scale) below which a sample counts as silence."""

_VOICE_ID = re.compile(
    r"(?:(?P<accent>[a-z][a-z0-9-]*)\+)?(?P<variant>[\w ]+)?(?P<options>(?:;[a-z]+=\d{1,9})*)", re.IGNORECASE | re.ASCII
)
_FILES = {"en-gb": "en", "fr-fr": "fr"}
"""espeak-ng takes a variant only with the name of a voice's file, and these two have another."""
_LIMITS = {"rate": (80, 300), "pitch": (0, 99)}

_OFFERED: tuple[tuple[str, str, Literal["female", "male"]], ...] = (
    *((f"f{i}", f"Female {i}", "female") for i in (3, 1, 2, 4, 5)),
    *((f"m{i}", f"Male {i}", "male") for i in (3, 1, 2, 4, 5, 6, 7, 8)),
)


class EspeakVoice:
    """espeak-ng through a process of its own, which is started at the first use and again whenever it dies.

    Any number of threads may speak at once; their sentences take turns. A voice id is a variant of espeak-ng ("f3",
    "m1"), with an accent if wanted ("en-gb+f2") and with options ("m3;rate=140;pitch=40": 80-300 words a minute,
    pitch 0-99).
    """

    def __init__(self, seconds_limit: float = 30.0) -> None:
        """``seconds_limit`` is how long the speaking of one text may take, waiting for its turn included."""
        self._limit = seconds_limit
        self._lock = Lock()
        self._process: Process | None = None
        offered = tuple(Voice(id_, name, tuple(LANGUAGES), gender) for id_, name, gender in _OFFERED)
        self._traits = VoiceTraits(
            languages=tuple(LANGUAGES),
            voices=offered,
            timings=frozenset({"word", "phoneme"}),
            licence="espeak-ng: GPL-3.0-or-later, run as a separate process",
        )

    @property
    def traits(self) -> VoiceTraits:
        """Every language of espeak-ng and the usual variants."""
        return self._traits

    def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
        """Speak ``text``, a few sentences at a time, with word and phoneme marks; mono at 22050 Hz.

        The sound ends 50 ms after the last phoneme of the text; pauses between sentences are kept. Markup is read out,
        not obeyed, and control characters are silent.

        Raises ``InvalidInput`` at once for a text, language or voice that cannot be spoken; while speaking
        ``TimedOut``, ``EngineUnavailable``, and ``WorkerDied`` when espeak-ng died twice over one sentence.
        """
        spoken = resolve(language)
        check_speakable(text, spoken)
        return self._speak(text, spoken, _request(voice, spoken))

    def close(self) -> None:
        """End the process; the next use starts another."""
        with self._lock:
            if self._process is not None:
                self._process.stop()
                self._process = None

    def _speak(self, text: str, language: Language, request: Request) -> Iterator[Speech]:
        parts = _groups(text, language)
        left = self._limit  # the time in which the listener holds a part is not counted
        for i, part in enumerate(parts):
            begun = time.monotonic()
            heard = self._ask(replace(request, text=_spoken(part)), begun + left)
            speech = _speech(part, language, heard, last=i == len(parts) - 1)
            left -= time.monotonic() - begun
            yield speech

    def _ask(self, request: Request, deadline: float) -> Utterance:
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimedOut("The embedded voice is busy with other texts; try again.")
        try:
            for attempt in (1, 2):
                if self._process is None:
                    self._process = Process(deadline)
                try:
                    return self._process.ask(request, deadline)
                except (WorkerDied, TimedOut) as e:
                    self._process = None
                    if attempt == 2 or isinstance(e, TimedOut):
                        raise
            raise AssertionError("both attempts return or raise")
        finally:
            self._lock.release()


@cache
def _variants() -> frozenset[str]:
    import espeakng_loader  # the paths only: the library is never loaded into this process

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return frozenset(p.name for p in folder.iterdir())


def _request(voice: str, language: Language) -> Request:
    match = _VOICE_ID.fullmatch(voice.strip())
    variant = (match["variant"] or _DEFAULT_VARIANT) if match else ""
    if match is None or variant not in _variants():
        usual = ", ".join(sorted(id_ for id_, _, _ in _OFFERED))
        raise InvalidInput(
            f"There is no voice {voice[:40]!r}; use one of {usual}, or with options: m3;rate=140;pitch=40."
        )
    accent = match["accent"].lower() if match["accent"] else language.espeak
    accent = _FILES.get(accent, accent)
    if accent.split("-")[0] != language.espeak.lower().split("-")[0]:
        raise InvalidInput(
            f"The accent {accent!r} is not one of {language.name}; leave it out, or choose its language."
        )
    options = {"rate": _RATES.get(language.code, _DEFAULT_RATE), "pitch": 50}
    for option in match["options"].split(";")[1:]:
        name, _, value = option.partition("=")
        if name not in _LIMITS:
            raise InvalidInput(f"A voice has no option {name!r}; it has rate and pitch.")
        low, high = _LIMITS[name]
        if not low <= int(value) <= high:
            raise InvalidInput(f"The {name} of a voice is {low} to {high}, not {value[:9]}.")
        options[name] = int(value)
    return Request("", f"{accent}+{variant}", options["rate"], options["pitch"])


def _groups(text: str, language: Language) -> list[str]:
    """Sentences, put together up to a length; every group has a word, and joined they give the text back."""
    groups: list[str] = []
    for sentence in sentences(text, language):
        sayable = any(c.isalnum() for c in sentence)
        if groups and (not sayable or len(groups[-1]) + len(sentence) <= _GROUP or not words(groups[-1], language)):
            groups[-1] += sentence
        else:
            groups.append(sentence)
    return groups


_EMOJI = re.compile("[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")


def _spoken(text: str) -> str:
    """The text for espeak-ng, character for character: commands (^A), ends (NUL) and emoji become spaces."""
    printable = "".join(c if c.isprintable() or c in "\n\u200c\u200d" else " " for c in text)
    return _EMOJI.sub(" ", printable)


def _speech(text: str, language: Language, heard: Utterance, *, last: bool) -> Speech:
    samples = np.frombuffer(heard.sound, np.int16).astype(np.float32) / np.float32(32768)
    if last:
        sounding = np.flatnonzero(np.abs(samples) > _SILENT)
        samples = samples[: (sounding[-1] + 1 if len(sounding) else 0) + int(_TAIL * heard.rate)]
    audio = Audio(samples, heard.rate)
    phonemes = phoneme_marks(heard.events, heard.rate, audio.seconds)
    if not any(p.text for p in phonemes):
        raise InvalidInput(f"The embedded voice finds nothing to say here in {language.name}; write it in words.")
    said = word_marks(text, words(text, language), heard.events, phonemes, heard.rate)
    return Speech(text, language.code, audio, as_heard((*said, *phonemes), samples, heard.rate))
