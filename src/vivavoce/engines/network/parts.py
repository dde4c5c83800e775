"""Texts cut for a service, and speech made of what it sends: sound of any format, characters with times."""

import re
from collections.abc import Sequence
from contextlib import suppress
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable, InvalidInput, TooLarge
from vivavoce.media import audio as sound
from vivavoce.nouns import Audio, Mark
from vivavoce.text.chunking import sentences, words
from vivavoce.text.languages import Language, check_speakable, resolve

__all__ = ["codes", "decoded", "is_configured", "pcm", "portions", "speakable", "stops_short", "timed_words"]

_CONFIGURED = frozenset({"", "custom"})
_QUIETEST = 1e-3
_ENDLESS = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000})
"""What a WAV header says of its size when it was written before the sound was known."""


def speakable(text: str, language: str, spoken: Sequence[str], service: str) -> Language:
    """The language, when it is one of ``spoken`` and the text can be said in it; raises ``InvalidInput``."""
    known = resolve(language)
    if known.code not in spoken:
        raise InvalidInput(f"{service} does not speak {known.name} ({known.code}); it speaks {', '.join(spoken)}.")
    check_speakable(text, known)
    return known


def codes(languages: Sequence[str]) -> tuple[str, ...]:
    """Language codes as this house writes them, each once; those that it does not know are left out."""
    known = []
    for language in languages:
        with suppress(InvalidInput):
            known.append(resolve(language).code)
    return tuple(dict.fromkeys(known))


def is_configured(voice: str) -> bool:
    """Whether a client asks for the voice that the operator has chosen: by "" or ``Custom``."""
    return voice.strip().lower() in _CONFIGURED


def portions(text: str, language: Language, most: int) -> list[str]:
    """The text in as few pieces of at most ``most`` characters as sentences allow; joined they give it back."""
    made: list[str] = []
    for sentence in sentences(text, language):
        for piece in _pieces(sentence, most):
            silent = not any(c.isalnum() for c in piece)
            if made and (silent or len(made[-1]) + len(piece) <= most or not any(c.isalnum() for c in made[-1])):
                made[-1] += piece
            else:
                made.append(piece)
    return made


def _pieces(sentence: str, most: int) -> list[str]:
    """A sentence that is longer than ``most``, cut after white space or, where there is none, anywhere."""
    pieces = []
    while len(sentence) > most:
        gaps = [m.end() for m in re.finditer(r"\s+|[，、；]", sentence[:most])]
        cut = gaps[-1] if gaps and gaps[-1] < len(sentence) else most
        pieces.append(sentence[:cut])
        sentence = sentence[cut:]
    return [*pieces, sentence]


def pcm(data: bytes, rate: int, service: str) -> Audio:
    """16-bit little-endian mono samples; raises ``EngineUnavailable`` when there is nothing to hear in them."""
    return _heard(
        Audio(np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768), rate), service
    )


def decoded(data: bytes, service: str, max_seconds: float, kind: str = "") -> Audio:
    """A file of any common format; ``kind`` is the content type, for the sentence when it is no sound.

    Raises ``EngineUnavailable`` when it is no sound, silent, cut off or too long: that is the service's fault.
    """
    if _cut_off(data):
        raise EngineUnavailable(f"The answer of {service} broke off; try again.")
    try:
        return _heard(sound.decode(data, max_seconds=max_seconds), service)
    except TooLarge:
        raise EngineUnavailable(f"{service} sent more than {max_seconds:g} s of sound; send a shorter text.") from None
    except InvalidInput:
        named = f" but {kind[:60]}" if kind and kind.isprintable() else ""
        raise EngineUnavailable(f"{service} sent no sound{named}; check its address and its settings.") from None


def _heard(audio: Audio, service: str) -> Audio:
    if not len(audio.samples) or float(np.abs(audio.samples).max()) < _QUIETEST:
        raise EngineUnavailable(f"{service} sent silence; try again, or choose another voice.")
    return audio


def _cut_off(data: bytes) -> bool:
    """Whether a WAV file has less sound than its header says."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data":
            return size not in _ENDLESS and len(data) - at - 8 < size - 1
        at += 8 + size + size % 2
    return True


def timed_words(
    text: str,
    language: Language,
    characters: Sequence[str],
    starts: Sequence[float],
    ends: Sequence[float],
    seconds: float,
) -> tuple[Mark, ...]:
    """Word marks of a service's characters and their times in seconds; none when nothing of the text is found in them.

    A service may leave out, add or change characters: what still matches tells the time, and words between share it.
    """
    times = _times_of(text, characters, starts, ends)
    spans = words(text, language)
    known = [_span(times[a:b]) for a, b in spans]
    if not any(known):
        return ()
    last = max(ends)
    marks: list[Mark] = []
    now = 0.0
    for i, (a, b) in enumerate(spans):
        start, end = known[i] or _between(now, known[i + 1 :], last)
        start = min(max(start, now), seconds)
        now = min(max(end, start), seconds)
        marks.append(Mark("word", text[a:b], start, now, a))
    return tuple(marks)


def stops_short(text: str, characters: Sequence[str]) -> bool:
    """Whether the characters are the text's, but end before its last word does."""
    said = _folded("".join(characters))
    return _folded(text).startswith(said) and any(c.isalnum() for c in text[len(said) :])


def _folded(text: str) -> str:
    """Without capitals, character for character."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _times_of(
    text: str, characters: Sequence[str], starts: Sequence[float], ends: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Start and end of each character of the text, NaN where the service has none; shape ``(len(text), 2)``."""
    said = "".join(characters)
    given = np.array(
        [
            (start + (end - start) * k / len(c), start + (end - start) * (k + 1) / len(c))
            for c, start, end in zip(characters, starts, ends, strict=True)
            for k in range(len(c))
        ]
    ).reshape(-1, 2)
    if said == text:
        return given
    times = np.full((len(text), 2), np.nan)
    for a, b, n in SequenceMatcher(None, _folded(text), _folded(said), autojunk=False).get_matching_blocks():
        times[a : a + n] = given[b : b + n]
    return times


def _span(times: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    if not len(times) or np.isnan(times).all():
        return None
    return float(np.nanmin(times[:, 0])), float(np.nanmax(times[:, 1]))


def _between(now: float, later: Sequence[tuple[float, float] | None], last: float) -> tuple[float, float]:
    """An equal share, for the first of some words without times, of what is left before the next that has one."""
    lacking = next((i for i, span in enumerate(later) if span is not None), None)
    nearest = None if lacking is None else later[lacking]
    until = last if nearest is None else nearest[0]
    return now, now + max(0.0, until - now) / ((len(later) if lacking is None else lacking) + 1)
