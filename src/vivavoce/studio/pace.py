"""How long a recogniser takes for a piece of sound, learned while it works."""

from collections import deque

import numpy as np

__all__ = ["Pace"]

_KEPT = 12
"""Recognitions that are remembered: the machine may be busier than a minute ago."""
_SLOPE = 0.02
"""Seconds a second below which the length of a piece makes no difference worth a cut."""


class Pace:
    """A line through what was measured: a fixed part, and one that grows with the sound."""

    def __init__(self) -> None:
        self._measured: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def add(self, seconds: float, took: float) -> None:
        """A piece of ``seconds`` was recognised in ``took`` seconds."""
        self._measured.append((seconds, took))

    def affordable(self, budget: float, *, most: float) -> float:
        """Seconds of sound that are recognised in ``budget`` seconds, ``most`` at most.

        ``most`` too where shorter pieces would not help, as with a recogniser that pads all of them to one length.
        """
        if not self._measured:
            return most
        seconds, took = np.array(self._measured).T
        spread = float(np.var(seconds))
        if spread > 0.25:
            slope = float(np.mean((seconds - seconds.mean()) * (took - took.mean()))) / spread
            fixed = max(0.0, float(took.mean() - slope * seconds.mean()))
        else:  # all alike: nothing can be told of a fixed part
            slope, fixed = float(took.mean() / max(seconds.mean(), 0.1)), 0.0
        if slope < _SLOPE or fixed >= budget:
            return most
        return min(most, (budget - fixed) / slope)
