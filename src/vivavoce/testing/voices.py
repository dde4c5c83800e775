"""The promises of ``Synthesizer``."""

import itertools
from collections.abc import Mapping

import numpy as np

from vivavoce.nouns import Mark, Speech
from vivavoce.ports import Synthesizer
from vivavoce.testing.base import check_closing, refused, require

__all__ = ["SENTENCES", "check_synthesizer"]

SENTENCES: Mapping[str, str] = {
    "ru": "Привет! Сегодня 2026 год, и мы говорим.",
    "kk": "Сәлем! Бүгін 2026 жыл, біз сөйлейміз.",
    "en": "Hello there! It is the year 2026, and we speak.",
    "ko": "안녕하세요! 지금은 2026년입니다.",
    "zh": "你好！现在是2026年，我们在说话。",
}
"""What a voice is asked to say, by language; another language is asked to say a number."""

_OTHERWISE = "1 2 3 4 5."
_SLACK = 0.01
"""Seconds by which a mark may reach over the end of the sound."""


def check_synthesizer(engine: Synthesizer, sentences: Mapping[str, str] = SENTENCES) -> None:
    """Every promise of ``Synthesizer``, in each of its languages that ``sentences`` has, else in its first."""
    traits = engine.traits
    require(traits.languages, "A voice engine declares at least one language in its traits.")
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    ids = [voice.id for voice in traits.voices]
    require(len(ids) == len(set(ids)), "Each voice id is declared once.")
    for voice in traits.voices:
        strange = set(voice.languages) - set(traits.languages)
        require(not strange, f"The voice {voice.id} declares languages that the engine lacks: {sorted(strange)}.")
    spoken = [language for language in sentences if language in traits.languages] or [traits.languages[0]]
    for language in spoken:
        text = sentences.get(language, _OTHERWISE)
        _check_speech(text, language, list(engine.synthesize(text, language=language, voice="")), engine)
    language, text = spoken[0], sentences.get(spoken[0], _OTHERWISE)
    for voice in traits.voices:
        if language in (voice.languages or traits.languages):
            _check_speech(text, language, list(engine.synthesize(text, language=language, voice=voice.id)), engine)
            break
    _check_refusals(engine, language, text)
    _check_voices_apart(engine, language, text)
    check_closing(lambda: engine.synthesize(text * 5, language=language, voice=""), "synthesize")


def _check_speech(text: str, language: str, parts: list[Speech], engine: Synthesizer) -> None:
    require("".join(p.text for p in parts) == text, f"The parts' texts joined give the text back ({language}).")
    total = sum(p.audio.seconds for p in parts)
    require(total > 0.2, f"A sentence lasts longer than {total:.2f} s ({language}).")
    for part in parts:
        samples = part.audio.samples
        require(samples.dtype == np.float32 and samples.ndim == 1, "Sound is mono float32, shape (n,).")
        require(np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= 1, "Sound lies between -1 and 1.")
        require(part.audio.rate >= 8000, "Sound has a rate of at least 8000 Hz.")
        for kind in ("word", "phoneme"):
            marks = part.of(kind)
            if kind not in engine.traits.timings:
                require(not marks, f"Marks of kind {kind} come only from an engine that declares them as timings.")
            elif kind == "phoneme" or part.text.strip():
                require(marks, f"An engine that declares {kind} timings gives them ({language}).")
            _check_marks(part, marks)
    loud = max(float(np.abs(p.audio.samples).max(initial=0)) for p in parts)
    require(loud > 0.01, f"A sentence can be heard ({language}).")


def _check_marks(part: Speech, marks: tuple[Mark, ...]) -> None:
    for mark in marks:
        inside = 0 <= mark.start <= mark.end <= part.audio.seconds + _SLACK
        require(inside, f"The mark {mark} lies inside the sound of {part.audio.seconds:.3f} s.")
        if mark.kind == "word" and mark.offset >= 0:
            there = part.text[mark.offset : mark.offset + len(mark.text)]
            require(there == mark.text, f"The mark {mark} points at its word in the text, not at {there!r}.")
    for one, two in itertools.pairwise(marks):
        require(one.end <= two.start + 1e-6, f"Marks are in order and do not overlap: {one}, {two}.")


def _check_refusals(engine: Synthesizer, language: str, text: str) -> None:
    refused(lambda: list(engine.synthesize(" \n", language=language, voice="")), "a blank text")
    refused(lambda: list(engine.synthesize(text, language=language, voice="no such voice")), "an unknown voice")


def _check_voices_apart(engine: Synthesizer, language: str, text: str) -> None:
    """Two streams read in turn say what each says alone."""
    other = text[: max(1, len(text) // 2)] + "."
    first, second = (engine.synthesize(t, language=language, voice="") for t in (text, other))
    heard: tuple[list[Speech], list[Speech]] = ([], [])
    for pair in itertools.zip_longest(first, second):
        for part, parts in zip(pair, heard, strict=True):
            if part is not None:
                parts.append(part)
    for wanted, parts in zip((text, other), heard, strict=True):
        _check_speech(wanted, language, parts, engine)
