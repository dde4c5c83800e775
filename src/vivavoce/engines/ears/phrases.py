"""A closed choice for PocketSphinx: a grammar of phrases, and whether what was found in it was really said.

A search that knows only some phrases finds one of them in nearly everything. So what it finds is held against the best
row of phonemes without any words, as keyword spotters do (Rose and Paul 1990), and against where the sound is loud.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio, Word

__all__ = ["Choice", "Phrasebook"]

_MOST = 1000
_FRAMES = 100
"""A second."""
_WORSE = 1.95
"""How much less likely (natural logarithm, a frame) a phrase may be than the best row of phonemes. Phrases that were
said by people were within 1.0, those by synthetic voices within 1.9 but for one in ten; other sentences beyond 2.0."""
_SLOPE = 0.3
_LOUD = -25.0
"""dB below the loudest moment: sound that a phrase has to account for."""
_COVERED = 0.85


class Phrasebook:
    """Phrases as a grammar; what is heard is told in the caller's own spelling of it."""

    def __init__(self, phrases: Sequence[str], knows: Callable[[str], bool]) -> None:
        """``knows`` tells whether a word, in small letters, can be pronounced.

        Raises ``InvalidInput`` for too many phrases, for an empty one, and for words that are not known.
        """
        if len(phrases) > _MOST:
            raise InvalidInput(f"There are {len(phrases)} phrases; at most {_MOST} can be told apart.")
        self.phrases = tuple(phrases)
        said = [re.findall(r"[a-z]+(?:'[a-z]+)*", phrase.lower().replace("’", "'")) for phrase in phrases]
        if not all(said):
            raise InvalidInput("A phrase has no English words; write each in words, numbers too.")
        unknown = sorted({word for words in said for word in words if not knows(word)})
        if unknown:
            raise InvalidInput(f"The recogniser sphinx does not know {', '.join(unknown[:5])}; write other words.")
        self._said = {tuple(words): phrase for words, phrase in zip(said, phrases, strict=True)}

    @property
    def grammar(self) -> str:
        """In JSGF (W3C note of 2000)."""
        choices = " | ".join(" ".join(words) for words in self._said)
        return f"#JSGF V1.0;\ngrammar phrases;\npublic <phrase> = {choices};\n"

    def spelt(self, words: Sequence[Word]) -> list[Word]:
        """The words of a phrase as the caller writes them, with its capitals and signs."""
        written = self._said.get(tuple(w.text for w in words), "").split()
        if len(written) != len(words):  # such as one with a hyphen, which is two words here
            return list(words)
        return [replace(word, text=text) for word, text in zip(words, written, strict=True)]

    def holds(self, words: Sequence[str]) -> bool:
        """Whether the words are a whole phrase: a search that ends too early has half of one."""
        return tuple(words) in self._said


@dataclass(frozen=True, slots=True)
class Choice:
    """A phrase that was found in a piece of sound."""

    words: Sequence[Word]
    score: float
    """Its likelihood, natural logarithm."""
    best: float
    """That of the best row of phonemes."""

    def probability(self, piece: Audio) -> float:
        """How sure it is that the phrase was said, 0-1; 0 when much of the loud sound is none of its words."""
        if not self.words or _covered(self.words, piece) < _COVERED:
            return 0.0
        frames = sum(w.end - w.start for w in self.words) * _FRAMES
        worse = (self.best - self.score) / max(frames, 1.0)
        return 1.0 / (1.0 + math.exp(min(50.0, (worse - _WORSE) / _SLOPE)))


def _covered(words: Sequence[Word], piece: Audio) -> float:
    """The share of the loud sound in which a word is."""
    step = piece.rate // _FRAMES
    n = len(piece.samples) // step
    if not n:
        return 0.0
    levels = np.sqrt((piece.samples[: n * step].reshape(n, step) ** 2).mean(1))
    levels = np.convolve(levels, np.ones(3) / 3, mode="same")
    loud = levels > levels.max() * 10 ** (_LOUD / 20)
    inside = np.zeros(n, bool)
    for word in words:
        inside[int(word.start * _FRAMES) : math.ceil(word.end * _FRAMES)] = True
    return float((loud & inside).sum() / max(1, loud.sum()))
