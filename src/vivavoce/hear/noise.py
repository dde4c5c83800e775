"""How loud speech and noise are in a recording: from the loudness of its moments alone, at constant memory.

Speech comes and goes, noise stays: the quietest moments are noise, the loud ones speech and noise together. Noise that
comes and goes too, as other people's voices do, is underestimated.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio

__all__ = ["LevelMatch", "Loudness", "NoiseMeter", "measure"]

Samples = npt.NDArray[np.float32]

_FRAME = 0.02
"""Seconds of a moment."""
_LOWEST = -100.0
"""dB of full scale; nothing quieter is told apart."""
_STEP = 0.5
"""dB, the width of a bin."""
_LEVELS = np.arange(_LOWEST, _STEP / 2 + 10, _STEP)
"""dB; sound of floats may be a little louder than full scale."""
_QUIET = 0.1
"""Share of the moments that are taken for noise: the quietest."""
_SPREAD = 2.0
"""dB over the level of the quietest within which steady noise lies."""
_RANGE = 15.9
_GAP = 6.0
"""dB below the threshold from which a moment surely holds no speech."""
_CLEAREST = 0.15
"""Share that speech must have in the active moments for its level to be told."""
_GAINS = 10 ** (-1 / 20), 10 ** (6 / 20)
_LEAST_OVER = 3.0
"""dB over the noise that a moment needs to be speech."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """What was measured, in dB of full scale (a sine at full scale has -3)."""

    speech: float
    """Mean level of the moments in which somebody speaks, noise subtracted; -100 where nobody does."""
    noise: float
    """Mean level of the quietest moments."""

    @property
    def snr(self) -> float:
        """How far speech stands out of the noise, dB."""
        return self.speech - self.noise


class NoiseMeter:
    """Measures a stream of mono sound while it passes."""

    def __init__(self, rate: int) -> None:
        self._frames = _Frames(rate)
        self._counts = np.zeros(len(_LEVELS), np.int64)

    def feed(self, samples: Samples) -> None:
        """Take the next samples, shape ``(n,)``."""
        self._counts += np.bincount(_bins(self._frames(samples)), minlength=len(_LEVELS))

    @property
    def loudness(self) -> Loudness:
        """Of what has passed so far; silence before anything has."""
        if not self._counts.any():
            return Loudness(_LOWEST, _LOWEST)
        power = 10 ** (_LEVELS / 10)
        share = np.cumsum(self._counts) / self._counts.sum()
        quiet = _LEVELS[np.searchsorted(share, _QUIET)] + _SPREAD >= _LEVELS
        noise = float(np.average(power[quiet], weights=self._counts[quiet]))
        active = (_decibels(noise) + _LEAST_OVER < _LEVELS) & (_threshold(self._counts) <= _LEVELS)
        speech = float(np.average(power[active], weights=self._counts[active])) if self._counts[active].any() else 0.0
        return Loudness(_decibels(speech - noise), _decibels(noise))


class LevelMatch:
    """By how much an enhancer has turned speech down, besides the noise: compares a stream with its cleaned self."""

    def __init__(self, rate: int) -> None:
        self._frames = _Frames(rate), _Frames(rate)
        self._counts = np.zeros(len(_LEVELS), np.int64)
        self._power = np.zeros((2, len(_LEVELS)))
        """Power before and after of the moments that are so loud after."""

    def feed(self, before: Samples, after: Samples) -> None:
        """Take the next samples of both, shape ``(n,)``."""
        powers = [frames(samples) for frames, samples in zip(self._frames, (before, after), strict=True)]
        bins = _bins(powers[1])
        self._counts += np.bincount(bins, minlength=len(_LEVELS))
        for sums, power in zip(self._power, powers, strict=True):
            sums += np.bincount(bins, power, len(_LEVELS))

    @property
    def gain(self) -> float:
        """The factor that makes speech as loud as before; between -1 and +6 dB.

        The cleaned stream tells when somebody speaks; what the other moments hold is noise, in both.
        """
        threshold = _threshold(self._counts)
        before, after = (self._mean(sums, threshold <= _LEVELS) for sums in self._power)
        noise, left = (self._mean(sums, threshold - _GAP > _LEVELS) for sums in self._power)
        if before - noise < _CLEAREST * before or after <= left:
            return 1.0
        return float(np.clip(np.sqrt((before - noise) / (after - left)), *_GAINS))

    def _mean(self, sums: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]) -> float:
        count = self._counts[chosen].sum()
        return float(sums[chosen].sum() / count) if count else 0.0


class _Frames:
    """Cuts a stream into moments and gives the power of each."""

    def __init__(self, rate: int) -> None:
        self._length = max(1, round(_FRAME * rate))
        self._waiting = np.zeros(0, np.float32)

    def __call__(self, samples: Samples) -> npt.NDArray[np.float64]:
        samples = np.concatenate([self._waiting, samples])
        whole = len(samples) // self._length * self._length
        self._waiting = samples[whole:]
        return np.asarray((samples[:whole].reshape(-1, self._length).astype(np.float64) ** 2).mean(axis=1))


def _bins(power: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    level = 10 * np.log10(power + 1e-12)
    return np.clip(np.rint((level - _LOWEST) / _STEP), 0, len(_LEVELS) - 1).astype(np.intp)


def _threshold(counts: npt.NDArray[np.int64]) -> float:
    """The level, dB, from which a moment is active: it lies 15.9 dB below the mean of those that are (ITU-T P.56)."""
    weights = counts[::-1]
    loud = np.cumsum(weights * 10 ** (_LEVELS[::-1] / 10)) / np.maximum(np.cumsum(weights), 1)
    with np.errstate(divide="ignore"):
        far = (10 * np.log10(loud) - _LEVELS[::-1] >= _RANGE) & (loud > 0)
    return float(_LEVELS[::-1][np.argmax(far)]) if far.any() else _LOWEST


def measure(audio: Audio) -> Loudness:
    """How loud speech and noise are in a whole recording."""
    meter = NoiseMeter(audio.rate)
    meter.feed(audio.samples)
    return meter.loudness


def _decibels(power: float) -> float:
    return max(_LOWEST, float(10 * np.log10(max(power, 1e-12))))
