"""What Whisper writes down, and how much of it is worth keeping."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from vivavoce.nouns import Segment, Word

__all__ = ["Draft", "segments"]

_ENDS = ".!?…。！？"
_CLOSERS = "\"'»”’)]}」』）】"
_OPENERS = "\"'“¿([{-«„‘"
_PAUSE = 1.0
"""Seconds between two words that part two segments."""
_WORST = -1.6
"""Mean log-probability of a token below which a draft is a guess: a fifth."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One attempt at a piece."""

    tokens: list[int]
    likely: float
    """Mean log-probability of a token."""
    silent: float
    """Probability that nobody speaks."""
    compression: float
    """Bytes of the text to bytes when compressed: high when it goes in circles."""

    @classmethod
    def of(cls, tokens: Sequence[int], score: float, silent: float, text: str) -> Self:
        """``score`` is CTranslate2's: the mean over the tokens, without the one that ends the text."""
        written = text.strip().encode()
        likely = score * len(tokens) / (len(tokens) + 1) if tokens else 0.0
        return cls(list(tokens), likely, silent, len(written) / len(zlib.compress(written)) if written else 0.0)

    def is_good(self, silent: float, unsure: float, repeats: float) -> bool:
        """Whether no other draft is needed."""
        if self.silent > silent and self.likely < unsure:
            return True  # it is silence, and another draft would not change that
        return self.compression <= repeats and self.likely >= unsure

    def is_kept(self, silent: float, unsure: float, repeats: float) -> bool:
        """Whether it is a text at all: neither made of silence, nor in circles, nor a guess."""
        nothing = self.silent > silent and self.likely < unsure
        return not nothing and self.compression <= repeats and self.likely >= _WORST


def segments(timed: Sequence[Mapping[str, Any]], seconds: float) -> tuple[Segment, ...]:
    """Sentences of faster-whisper's aligned words, which have ``word``, ``start``, ``end`` and ``probability``.

    Signs that stand alone join the word that they belong to; times are in order and within ``seconds``.
    """
    made: list[Segment] = []
    held: list[tuple[str, Word]] = []

    def close() -> None:
        if held:
            words = tuple(word for _, word in held)
            made.append(Segment("".join(text for text, _ in held).strip(), words[0].start, words[-1].end, words))
            held.clear()

    now = 0.0
    for text, start, end, probability in _joined(timed):
        if held and start - held[-1][1].end > _PAUSE:
            close()
        start = min(max(start, now), seconds)
        now = min(max(end, start), seconds)
        held.append((text, Word(text.strip(), start, now, min(1.0, max(0.0, probability)))))
        if text.rstrip().rstrip(_CLOSERS)[-1:] in tuple(_ENDS):
            close()
    close()
    return tuple(made)


def _joined(timed: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, float]]:
    """``(text, start, end, probability)`` of each word, signs joined to it, with the white space before it."""
    made: list[tuple[str, float, float, float]] = []
    opening = ""
    for word in timed:
        text = opening + str(word["word"])
        opening = ""
        if not any(c.isalnum() for c in text):
            if made and not (text.startswith(" ") and text.strip() in _OPENERS):
                before = made[-1]
                made[-1] = (before[0] + text.rstrip(), *before[1:])
            else:
                opening = text
            continue
        made.append((text, float(word["start"]), float(word["end"]), float(word["probability"])))
    return made
