"""The promises of ``Recognizer``."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from vivavoce.nouns import Audio, Transcript
from vivavoce.ports import Recognizer
from vivavoce.testing.base import check_closing, close, refused, require

__all__ = ["check_recognizer"]

_SLACK = 0.02
"""Seconds by which a time may reach over the end of the sound."""
_PHRASES = ("turn on the light", "good morning")


def check_recognizer(engine: Recognizer, spoken: Mapping[str, Audio] | None = None) -> None:
    """Every promise of ``Recognizer``; ``spoken`` has a few seconds of speech at ``traits.rate`` by language."""
    traits = engine.traits
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    require(traits.rate >= 8000, "A recogniser wants sound of at least 8000 samples a second.")
    require(traits.longest >= 5, "A recogniser takes pieces of at least 5 seconds.")
    language = next(iter(spoken or {}), (traits.languages or ("en",))[0])
    _check_silence(engine, language)
    _check_refusals(engine)
    for code, audio in (spoken or {}).items():
        _check_speech(engine, code, audio)
    some = next(iter((spoken or {}).values()), _quiet(engine, 1.0))
    _check_ears_apart(engine, language, some)
    check_closing(lambda: engine.recognize([some, some], language=language), "recognize")


def _quiet(engine: Recognizer, seconds: float, level: float = 0.0) -> Audio:
    rate = engine.traits.rate
    noise = np.random.default_rng(0).normal(0.0, 1.0, round(seconds * rate))
    return Audio((level * noise).astype(np.float32), rate)


def _check_silence(engine: Recognizer, language: str) -> None:
    require(not list(engine.recognize([], language=language)), "No pieces, no transcripts.")
    longest = engine.traits.longest
    pieces = [_quiet(engine, 0.05), _quiet(engine, 2.0), _quiet(engine, min(longest, 30.0), 1e-4)]
    heard = list(engine.recognize(pieces, language=language))
    require(len(heard) == len(pieces), f"There is one transcript a piece: {len(pieces)} of them, not {len(heard)}.")
    for piece, transcript in zip(pieces, heard, strict=True):
        require(not transcript.segments, f"Silence has no segments, not {transcript.text!r}.")
        _check_transcript(transcript, piece, language)
    if engine.traits.closed:
        for transcript in engine.recognize(pieces, language=language, phrases=_PHRASES):
            require(not transcript.segments, "Silence is none of the phrases.")


def _check_refusals(engine: Recognizer) -> None:
    piece = _quiet(engine, 0.5)
    refused(lambda: list(engine.recognize([piece], language="xx")), "an unknown language")
    known = engine.traits.languages
    lacking = next((code for code in ("en", "ru", "zh") if code not in known), "")
    if known and lacking:
        refused(lambda: list(engine.recognize([piece], language=lacking)), "a language that it does not declare")


def _check_speech(engine: Recognizer, language: str, audio: Audio) -> None:
    alone = next(iter(engine.recognize([audio], language=language)))
    require(alone.segments, f"Speech has segments ({language}).")
    _check_transcript(alone, audio, language)
    together = list(engine.recognize([audio, _quiet(engine, 1.0), audio], language=language))
    require(not together[1].segments, "Silence between two pieces stays silent.")
    for transcript in (together[0], together[2]):
        require(transcript.text == alone.text, "A piece among others says what it says alone.")
    if engine.traits.detects:
        found = next(iter(engine.recognize([audio], language="")))
        require(found.language, "A recogniser that detects languages tells the one that it heard.")
    if engine.traits.closed:
        for chosen in engine.recognize([audio], language=language, phrases=_PHRASES):
            require(not chosen.segments or chosen.text in _PHRASES, f"Only a phrase can be heard, not {chosen.text!r}.")


def _check_transcript(transcript: Transcript, piece: Audio, language: str) -> None:
    require(transcript.language == language, f"The language is the one that was asked for, not {transcript.language}.")
    right = abs(transcript.seconds - piece.seconds) < 1e-3
    require(right, f"A transcript lasts as long as its piece, {piece.seconds:.3f} s, not {transcript.seconds:.3f} s.")
    _check_times([(s.start, s.end) for s in transcript.segments], piece, "Segments")
    _check_times([(w.start, w.end) for w in transcript.words], piece, "Words")
    for segment in transcript.segments:
        require(segment.text and segment.text == segment.text.strip(), "A segment has a text, without space around it.")
    for word in transcript.words:
        require(word.text and word.text == word.text.strip(), "A word has letters, and no white space around them.")
        require(0 <= word.probability <= 1, f"A probability lies between 0 and 1, not {word.probability}.")


def _check_times(times: Sequence[tuple[float, float]], piece: Audio, what: str) -> None:
    for start, end in times:
        inside = 0 <= start <= end <= piece.seconds + _SLACK
        require(inside, f"{what} lie inside the piece of {piece.seconds:.3f} s, not from {start:.3f} to {end:.3f}.")
    for one, two in itertools.pairwise(times):
        require(one[1] <= two[0] + 1e-6, f"{what} are in order and do not overlap: {one}, {two}.")


def _check_ears_apart(engine: Recognizer, language: str, some: Audio) -> None:
    """Two streams read in turn hear what each hears alone."""
    first, second = [some, _quiet(engine, 0.5)], [_quiet(engine, 0.5), some]
    alone = [[t.text for t in engine.recognize(pieces, language=language)] for pieces in (first, second)]
    streams = [iter(engine.recognize(pieces, language=language)) for pieces in (first, second)]
    mixed: list[list[str]] = [[], []]
    for pair in zip(*streams, strict=True):
        for text, transcript in zip(mixed, pair, strict=True):
            text.append(transcript.text)
    for stream in streams:
        close(stream)
    require(mixed == alone, "Two streams read in turn do not mix: state lives in the iterator.")
