"""Speech between its makers: parts joined, silence put around it, and a plain form that crosses a process border."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from vivavoce.errors import VivavoceError
from vivavoce.media import video
from vivavoce.nouns import Audio, Canvas, Mark, Speech

__all__ = ["from_plain", "joined", "padded", "pause_after", "to_plain", "words"]

LEAD = 0.040
"""Seconds of silence before the first sound: the mouth starts at rest, and a cut there cannot click."""
_SILENCE = 10 ** (-50 / 20)
_CLOSERS = "\"'»”’)]}」』）】"


def joined(parts: Iterable[Speech]) -> Speech:
    """One speech of several that follow each other; their texts joined are its text."""
    held = list(parts)
    if not held:
        raise VivavoceError("The voice made no sound.")
    if len(held) == 1:
        return held[0]
    marks: list[Mark] = []
    seconds, characters = 0.0, 0
    for part in held:
        marks += [_moved(m, seconds, characters) for m in part.marks]
        seconds += part.audio.seconds
        characters += len(part.text)
    samples = np.concatenate([p.audio.samples for p in held])
    return Speech("".join(p.text for p in held), held[0].language, Audio(samples, held[0].audio.rate), tuple(marks))


def _moved(mark: Mark, seconds: float, characters: int = 0) -> Mark:
    offset = mark.offset if mark.offset < 0 else mark.offset + characters
    return replace(mark, start=mark.start + seconds, end=mark.end + seconds, offset=offset)


def pause_after(text: str) -> float:
    """Seconds of silence that a speaker leaves after ``text``: a sentence's end, a clause's end, or the middle."""
    last = text.rstrip().rstrip(_CLOSERS)[-1:]
    if last in set(".!?…。！？"):
        return 0.20
    if last in set(",;:—–，、；："):
        return 0.12
    return 0.04


def padded(speech: Speech, canvas: Canvas) -> Speech:
    """The speech with silence around it, as long as a whole number of ``media.video.grid`` frames.

    Films of such speeches join sample-exactly: sound and picture end together, and both ends are silent.
    """
    audio = speech.audio
    heard = np.flatnonzero(np.abs(audio.samples) > _SILENCE)
    first, last = (int(heard[0]), int(heard[-1]) + 1) if len(heard) else (len(audio.samples), len(audio.samples))
    before = max(0, round(LEAD * audio.rate) - first)
    after = max(0, round(pause_after(speech.text) * audio.rate) - (len(audio.samples) - last))
    step = video.grid(canvas.fps)
    frames = -(-canvas.frames((before + len(audio.samples) + after) / audio.rate) // step) * step
    total = frames * audio.rate // canvas.fps
    samples = np.zeros(total, np.float32)
    samples[before : before + len(audio.samples)] = audio.samples[: total - before]
    shift = before / audio.rate
    return replace(speech, audio=Audio(samples, audio.rate), marks=tuple(_moved(m, shift) for m in speech.marks))


def words(speech: Speech) -> list[tuple[str, float, float]]:
    """Each word as it stands in the text, with the punctuation around it, and when it begins and ends in seconds."""
    marks, text = speech.of("word"), speech.text
    starts = [mark.offset for mark in marks]
    known = bool(starts) and all(0 <= a < b for a, b in itertools.pairwise([*starts, len(text)]))
    written = _written(text, starts) if known else [mark.text for mark in marks]
    return [(word, round(m.start, 3), round(m.end, 3)) for word, m in zip(written, marks, strict=True)]


def _written(text: str, starts: list[int]) -> list[str]:
    """The text in words that begin about ``starts``: what is between two parts at the last white space."""
    cuts = [0]
    for before, start in itertools.pairwise(starts):
        space = max(text.rfind(" ", before, start), text.rfind("\n", before, start))
        cuts.append(start if space < 0 else space)
    return [text[a:b].strip() for a, b in itertools.pairwise([*cuts, len(text)])]


def to_plain(speech: Speech) -> dict[str, Any]:
    """The speech as built-in types; the sound as float32 bytes."""
    return {
        "text": speech.text,
        "language": speech.language,
        "rate": speech.audio.rate,
        "samples": speech.audio.samples.astype("<f4").tobytes(),
        "marks": [(m.kind, m.text, m.start, m.end, m.offset) for m in speech.marks],
    }


def from_plain(plain: dict[str, Any]) -> Speech:
    """What ``to_plain`` was given."""
    audio = Audio(np.frombuffer(plain["samples"], "<f4"), plain["rate"])
    return Speech(plain["text"], plain["language"], audio, tuple(Mark(*m) for m in plain["marks"]))
