"""Cuts a long recording into pieces of speech, in one pass and at constant memory.

Recognisers want half a minute at most, cut where nobody speaks; what is only silence or noise is best kept from them,
since some invent words for it. Pauses within a piece stay in it, so that its times only have to be shifted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.hear.vad import HOP, RATE, Vad
from vivavoce.nouns import Audio

__all__ = ["Piece", "pieces"]

_SPEAKS, _PAUSES = 0.5, 0.35
"""Probabilities at which speech begins and below which it pauses: Silero's own."""
_BATCH = 32
"""Hops that are judged at once: a second."""
_EDGE = 0.2
"""Seconds of sound kept before and after speech: consonants begin softer than the detector hears."""
_APART = 2.0
"""Seconds of pause that end a piece. Shorter ones are kept: Whisper takes as long for one second as for thirty."""
_LEAST = 0.16
"""Seconds of speech that a piece has at least; less is a click or a cough."""
_EARLIEST = 0.5
"""The part of a full piece behind which it is cut."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording in which somebody speaks."""

    start: float
    """Seconds from the start of the recording."""
    audio: Audio
    """Mono, 16 kHz."""


def pieces(blocks: Iterable[Audio], *, longest: float) -> Iterator[Piece]:
    """The pieces of speech in a stream of mono sound at 16 kHz, in order, without overlap, each when it is complete.

    A piece lasts ``longest`` seconds at most (at least 1). One in which nobody pauses is cut where the voice is least
    likely. Nothing comes out where nobody speaks. Raises ``ValueError`` for another rate, ``EngineUnavailable``.
    """
    vad, cutter = Vad(), _Cutter(longest)
    for hops in _hops(blocks):
        for hop, likely in zip(hops, vad.judge(hops).tolist(), strict=True):
            yield from cutter.push(hop, likely)
    yield from cutter.flush()


def _hops(blocks: Iterable[Audio]) -> Iterator[Samples]:
    """Batches of hops, shape ``(n, HOP)``; the last one is filled up with silence."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        if block.rate != RATE:
            raise ValueError(f"Pieces are cut at {RATE} Hz, not at {block.rate}.")
        held = np.concatenate([held, block.samples])
        while len(held) >= HOP * _BATCH:
            yield held[: HOP * _BATCH].reshape(-1, HOP)
            held = held[HOP * _BATCH :]
    if len(held):
        yield np.pad(held, (0, -len(held) % HOP)).reshape(-1, HOP)


class _Cutter:
    """Holds the hops of the piece that grows; all counts are hops."""

    def __init__(self, longest: float) -> None:
        self._edge, self._apart = _in_hops(_EDGE), _in_hops(_APART)
        self._full = max(_in_hops(1.0), int(longest * RATE) // HOP)
        self._held: list[Samples] = []
        self._likely: list[float] = []
        self._first = 0
        """Number of the first held hop in the recording."""
        self._spoken = -1
        """Index of the last held hop with speech; -1 while nobody has spoken."""

    def push(self, hop: Samples, likely: float) -> Iterator[Piece]:
        self._held.append(hop)
        self._likely.append(likely)
        if likely >= (_SPEAKS if self._spoken < 0 else _PAUSES):
            self._spoken = len(self._held) - 1
        if self._spoken < 0:
            self._forget(len(self._held) - self._edge)
        elif len(self._held) - 1 - self._spoken >= self._apart:
            yield from self._close(self._spoken + 1)
        elif len(self._held) >= self._full:
            yield from self._close(self._quietest())

    def flush(self) -> Iterator[Piece]:
        while self._spoken >= 0:
            yield from self._close(self._spoken + 1)

    def _close(self, end: int) -> Iterator[Piece]:
        """Give out what lies before ``end``, if somebody speaks in it, and look at the rest anew."""
        said = [i for i, likely in enumerate(self._likely[:end]) if likely >= _PAUSES]
        last = min(said[-1] + 1 + self._edge, end if end <= self._spoken else len(self._held))
        if sum(likely >= _SPEAKS for likely in self._likely[:end]) >= _in_hops(_LEAST):
            yield Piece(self._first * HOP / RATE, Audio(np.concatenate(self._held[:last]), RATE))
        done = max(end, last)
        rest = list(zip(self._held[done:], self._likely[done:], strict=True))
        self._held, self._likely, self._spoken = [], [], -1
        self._first += done
        for hop, likely in rest:
            yield from self.push(hop, likely)

    def _quietest(self) -> int:
        """Where to cut a full piece: in its last pause, or where the voice is least likely."""
        likely = np.array(self._likely)
        earliest = int(len(likely) * _EARLIEST)
        smooth = np.convolve(likely, np.ones(5) / 5, mode="same")[earliest:-2]
        paused = np.flatnonzero(smooth < _PAUSES)
        return earliest + int(paused[-1] if len(paused) else smooth.argmin())

    def _forget(self, count: int) -> None:
        if count > 0:
            del self._held[:count], self._likely[:count]
            self._first += count


def _in_hops(seconds: float) -> int:
    return round(seconds * RATE / HOP)
