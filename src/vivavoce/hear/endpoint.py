"""When somebody begins and stops to speak, judged hop by hop from the probabilities of a detector (``hear.vad``)."""

from math import inf, isinf
from typing import Literal

from vivavoce.hear.vad import HOP, RATE

__all__ = ["Endpointer", "Turn"]

Turn = Literal["started", "paused", "resumed", "ended"]
"""``paused``: silent for a moment, the utterance may be over; ``ended``: silent for long enough, or far too long."""

_ONSET = 2
"""Hops in a row that make a beginning: 64 ms. One alone is as often a click."""
_HUSH = 0.16
"""Seconds of silence that are a pause; the gaps inside words are shorter."""
_RELEASE = 0.7
"""Of the threshold: speech goes on down to there. At 0.5 that is 0.35, which found every end in our trials."""
_ENDLESS = 5
"""Times the longest utterance, after which none can be: nobody speaks so long without a breath."""


class Endpointer:
    """A state machine over one stream. Positions are counted in hops of ``vad.HOP`` samples from its start.

    ``silence`` seconds end an utterance; with ``inf`` only ``close`` does. One that lasts longer than ``longest``
    seconds is ended by its next pause; after several times that, as with music, in the middle of a word.
    """

    def __init__(self, *, silence: float = 0.5, threshold: float = 0.5, longest: float = inf) -> None:
        self._silence, self._longest = _hops(silence), _hops(longest)
        self._hush = _hops(min(_HUSH, silence / 2))
        self._threshold = threshold
        self.hops = 0
        """How many hops were judged."""
        self.speaking = False
        self.began = 0
        """The first hop of the utterance, in which or since which somebody speaks."""
        self.last = 0
        """The hop after the last one with speech in it."""
        self._run = 0

    @property
    def paused(self) -> bool:
        """Whether the utterance has come to a pause."""
        return self.speaking and self.hops - self.last >= self._hush

    def push(self, probability: float) -> Turn | None:
        """Judge the next hop; what changed with it, if anything did."""
        self.hops += 1
        return self._go_on(probability) if self.speaking else self._wait(probability)

    def close(self) -> None:
        """End the utterance, wherever it is; the next one may begin with the next hop."""
        self.speaking, self._run = False, 0

    def _wait(self, probability: float) -> Turn | None:
        self._run = self._run + 1 if probability >= self._threshold else 0
        if self._run < _ONSET:
            return None
        self.speaking, self.began, self.last = True, self.hops - self._run, self.hops
        return "started"

    def _go_on(self, probability: float) -> Turn | None:
        was_paused = self.hops - 1 - self.last >= self._hush
        if probability >= self._threshold * _RELEASE:
            self.last = self.hops
        silent, length = self.hops - self.last, self.hops - self.began
        enough = self._hush if length >= self._longest else self._silence
        if silent >= enough or length >= _ENDLESS * self._longest:
            self.close()
            return "ended"
        if silent == self._hush:
            return "paused"
        return "resumed" if was_paused and not silent else None


def _hops(seconds: float) -> float:
    return inf if isinf(seconds) else max(1, round(seconds * RATE / HOP))
