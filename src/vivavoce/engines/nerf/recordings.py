"""The recording that came with an imported head: recognised when it is to be spoken, or a part of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.errors import VivavoceError
from vivavoce.media import audio
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio

__all__ = ["Recording"]

F32 = npt.NDArray[np.float32]

_RATE, _HOP = 8000, 80
"""Hz; samples from one loudness to the next: 10 ms."""
_SAME = 0.95
"""Correlation of the loudness of two sounds that are one."""
_LEAST = 30
"""Rows that can be told from others."""
_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Recording:
    """By how loud it is."""

    level: F32
    """``(n,)``: decibels, 100 a second."""

    @classmethod
    def load(cls, path: Path) -> "Recording | None":
        """None where the file is no sound."""
        try:
            return cls(_level(audio.decode(path, max_seconds=_SECONDS, rate=_RATE)))
        except (VivavoceError, OSError):
            return None

    def found_in(self, sound: Audio) -> float | None:
        """Seconds of the recording at which ``sound`` begins; None where it is another sound."""
        wanted = _level(resample(sound, _RATE))
        n, m = len(self.level), len(wanted)
        if m > n:  # a little silence may have been put behind it
            wanted, m = wanted[:n], n
        if m < _LEAST:
            return None
        own = np.concatenate([[0.0], np.cumsum(self.level, dtype=np.float64)])
        squares = np.concatenate([[0.0], np.cumsum(self.level.astype(np.float64) ** 2)])
        mean = (own[m:] - own[:-m]) / m
        spread = np.sqrt(np.maximum((squares[m:] - squares[:-m]) / m - mean**2, 1e-9))
        part = (wanted - wanted.mean()) / max(float(wanted.std()), 1e-6)
        size = 1 << (n + m).bit_length()
        product = np.fft.irfft(np.fft.rfft(self.level, size) * np.conj(np.fft.rfft(part, size)), size)[: n - m + 1]
        alike = product / m / spread
        best = int(alike.argmax())
        return best * _HOP / _RATE if float(alike[best]) >= _SAME else None


def _level(sound: Audio) -> F32:
    samples = sound.samples[: len(sound.samples) // _HOP * _HOP].reshape(-1, _HOP)
    power = (samples.astype(np.float64) ** 2).mean(axis=1)
    return np.asarray(10 * np.log10(power + 1e-6), np.float32)
