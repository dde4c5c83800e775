"""Peaks beyond full scale are turned down before they clip: a limiter that looks ahead and lets go slowly."""

import itertools

import numpy as np
import numpy.typing as npt

__all__ = ["CEILING", "Limiter"]

Samples = npt.NDArray[np.float32]

CEILING = 0.99
"""The loudest that a sample may be."""
_FRAME = 0.005
"""Seconds in which the gain may fall; it starts to fall so long before the peak."""
_RELEASE = 0.15
"""Seconds in which the gain comes back by 63 %."""


class Limiter:
    """Limits one stream, all its channels by the same gain; gives each block out late by two frames of 5 ms.

    Within a frame the gain moves along a line between two nodes, and a node is never higher than what the frames on
    both of its sides allow: so no sample passes the ceiling, and below it nothing is changed.
    """

    def __init__(self, rate: int, channels: int = 1, *, ceiling: float = CEILING) -> None:
        self._ceiling = ceiling
        self._length = max(1, round(_FRAME * rate))
        self._recovery = 1 - float(np.exp(-_FRAME / _RELEASE))
        self._waiting = np.zeros((channels, 0), np.float32)
        self._node: float | None = None
        """The gain where the waiting sound begins."""

    def feed(self, block: Samples) -> Samples:
        """Shape ``(channels, n)`` in, ``(channels, m)`` out."""
        return self._run(block, last=False)

    def finish(self) -> Samples:
        """The rest."""
        return self._run(np.zeros((len(self._waiting), 0), np.float32), last=True)

    def _run(self, block: Samples, *, last: bool) -> Samples:
        sound = np.concatenate([self._waiting, block], axis=1)
        size, length = sound.shape[1], self._length
        frames = -(-size // length) + 1 if last else size // length  # one of silence after the end
        if frames < 2:
            self._waiting = sound
            return sound[:, :0]
        padded = np.zeros((len(sound), frames * length), np.float32)
        padded[:, : min(size, frames * length)] = sound[:, : frames * length]
        peaks = np.abs(padded).reshape(len(sound), frames, length).max(axis=(0, 2))
        allowed = self._ceiling / np.maximum(peaks, self._ceiling)
        gain = self._line(allowed)
        done = (frames - 1) * length
        self._waiting = sound[:, done:]
        return padded[:, :done][:, :size] * gain[:size]

    def _line(self, allowed: npt.NDArray[np.float64]) -> Samples:
        """The gain of each sample of all frames but the last, whose far node depends on what follows."""
        nodes = [float(allowed[0]) if self._node is None else self._node]
        for here, after in itertools.pairwise(allowed):
            rising = nodes[-1] + (1 - nodes[-1]) * self._recovery
            nodes.append(min(rising, here, after))
        ramp = np.arange(self._length, dtype=np.float32) / self._length
        starts, ends = np.array(nodes[:-1], np.float32), np.array(nodes[1:], np.float32)
        self._node = nodes[-1]
        return np.asarray(starts[:, None] + (ends - starts)[:, None] * ramp, np.float32).ravel()
