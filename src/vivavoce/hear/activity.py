"""Which stretches of a whole recording are speech, for those who want the voice alone and not the pauses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.hear.vad import HOP, RATE, Vad
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio

__all__ = ["Activity", "activity"]

_SPEAKS, _PAUSES = 0.5, 0.35
"""Probabilities at which speech begins and below which it pauses: Silero's own."""
_GAP = 0.2
"""Seconds of a pause that is part of speech: the closure of a stop, a breath."""
_CLICK = 0.1
"""Seconds; a shorter stretch is no speech."""
_EDGE = 0.1
"""Seconds of sound kept on both sides: consonants begin softer than the detector hears."""
_BATCH = 1024
"""Hops judged at once."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A recording at 16 kHz and the stretches ``[first, last)`` of its samples that are speech, in order."""

    audio: Audio
    stretches: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        """How long somebody speaks, without longer pauses."""
        return sum(last - first for first, last in self.stretches) / self.audio.rate

    @property
    def speech(self) -> Audio:
        """The speech alone, one stretch after another, with a tenth of a second around each."""
        edge = round(_EDGE * self.audio.rate)
        samples, done = self.audio.samples, 0
        kept = [samples[:0]]
        for first, last in self.stretches:
            kept.append(samples[max(done, first - edge) : last + edge])
            done = last + edge
        return Audio(np.concatenate(kept), self.audio.rate)


def activity(audio: Audio) -> Activity:
    """Where somebody speaks in a recording of any rate; about 400x real time. Raises ``EngineUnavailable``."""
    audio = resample(audio, RATE)
    hops = np.pad(audio.samples, (0, -len(audio.samples) % HOP)).reshape(-1, HOP)
    vad = Vad()
    likely = [vad.judge(hops[i : i + _BATCH]) for i in range(0, len(hops), _BATCH)]
    runs = _runs(np.concatenate([*likely, np.zeros(0, np.float32)]))
    return Activity(audio, tuple((a * HOP, min(b * HOP, len(audio.samples))) for a, b in runs))


def _runs(likely: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Hops ``[first, last)`` of the stretches: short gaps are filled, then clicks are dropped."""
    runs: list[tuple[int, int]] = []
    for first, last in _above(likely):
        if runs and (first - runs[-1][1]) * HOP <= _GAP * RATE:
            runs[-1] = runs[-1][0], last
        else:
            runs.append((first, last))
    return [(a, b) for a, b in runs if (b - a) * HOP > _CLICK * RATE]


def _above(likely: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Runs above the lower threshold that reach the upper one somewhere."""
    edges = np.flatnonzero(np.diff(likely >= _PAUSES, prepend=False, append=False)).tolist()
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(a, b) for a, b in pairs if float(likely[a:b].max()) >= _SPEAKS]
