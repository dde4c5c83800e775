"""What tells one speaker's frames from another's: mean and spread of pitch, loudness and timbre.

Speech of two people is compared after each one's own has been taken off.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vivavoce.engines.clones import sounds, vocoder
from vivavoce.engines.clones.vocoder import Parts

__all__ = ["Frames", "Portrait", "frames", "level", "relief", "shapes", "smooth"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_BANDS = 64
_SHAPES = 12
"""Cepstral coefficients of the envelope by which frames are compared."""
_SOUND_WEIGHT, _SHAPE_WEIGHT = 12.0, 0.2
_SMOOTH = 5
"""Frames over which sounds are averaged."""
_RANGE = 9.0
"""Nepers below the loudest frames within which sound is speech: 39 dB of power."""
_BEYOND = 3.0
"""Spreads from the mean; what lies beyond is no more unlike than this."""
_LEAST_PITCH_SPREAD = 0.03


@dataclass(frozen=True, slots=True)
class Frames:
    """Speech of one person, taken apart."""

    parts: Parts
    cepstra: Doubles
    """Shape ``(n, 13)``, see ``sounds``."""
    ends: npt.NDArray[np.bool_]
    """Frames after which the recording does not go on, shape ``(n,)``."""

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        """Where there is a voice, shape ``(n,)``."""
        return self.parts.pitch > 0


def frames(pieces: Sequence[Floats], *, clean: bool = False) -> Frames:
    """Take pieces of sound apart, one after another; mono at ``vocoder.RATE``. A synthetic voice is ``clean``."""
    parts = [vocoder.analyse(piece, clean=clean) for piece in pieces]
    cepstra = [sounds.cepstra(piece)[: len(part)] for piece, part in zip(pieces, parts, strict=True)]
    ends = np.zeros(sum(map(len, parts)), bool)
    ends[np.cumsum([len(part) for part in parts]) - 1] = True
    names = "pitch", "envelope", "breath"
    whole = Parts(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return Frames(whole, np.concatenate(cepstra), ends)


@dataclass(frozen=True, slots=True)
class Portrait:
    """A speaker in numbers."""

    pitch: float
    """Median of the logarithm of Hz."""
    pitch_spread: float
    level: float
    """Mean of ``level`` where there is speech."""
    level_spread: float
    cepstrum: Floats
    """Mean, shape ``(13,)``."""
    shape: Floats
    """Mean cepstrum of the envelope, shape ``(12,)``."""
    shape_spread: Floats

    @classmethod
    def of(cls, speech: Frames) -> "Portrait":
        """Of some seconds of speech."""
        loud = level(speech.parts.envelope)
        heard = loud > np.percentile(loud, 95) - _RANGE
        voice = heard & speech.voiced
        pitch = np.log(speech.parts.pitch[voice]) if voice.any() else np.zeros(1)
        timbre = shapes(speech.parts.envelope)[heard]
        return cls(
            float(np.median(pitch)),
            max(_LEAST_PITCH_SPREAD, float(pitch.std())),
            float(loud[heard].mean()),
            max(0.1, float(loud[heard].std())),
            speech.cepstra[heard].mean(axis=0).astype(np.float32),
            timbre.mean(axis=0),
            np.maximum(timbre.std(axis=0), np.float32(1e-3)),
        )

    def features(self, speech: Frames) -> Floats:
        """What frames of this speaker say, whoever it is: shape ``(n, sounds.SIZE + 12)``."""
        heard = smooth(np.sqrt(sounds.posteriors(speech.cepstra, self.cepstrum.astype(np.float64))), _SMOOTH)
        timbre = np.clip((shapes(speech.parts.envelope) - self.shape) / self.shape_spread, -_BEYOND, _BEYOND)
        weights = _SHAPE_WEIGHT / np.sqrt(np.arange(1, _SHAPES + 1))
        return np.concatenate([_SOUND_WEIGHT * heard, weights * timbre], axis=1).astype(np.float32)

    def numbers(self) -> Floats:
        """All of it, to be kept."""
        return np.concatenate([np.atleast_1d(value) for value in astuple(self)]).astype(np.float32)

    @classmethod
    def read(cls, numbers: Floats) -> "Portrait":
        """What ``numbers`` gave."""
        pitch, pitch_spread, loud, loud_spread = map(float, numbers[:4])
        cepstrum, shape, shape_spread = np.split(numbers[4:], [sounds.CEPSTRA, sounds.CEPSTRA + _SHAPES])
        return cls(pitch, pitch_spread, loud, loud_spread, cepstrum, shape, shape_spread)


def level(envelope: Floats) -> Floats:
    """How loud frames are: the mean over mel bands of the logarithm of power, ``(n, BINS)`` to ``(n,)``."""
    return np.asarray(envelope @ _bands().mean(axis=1), np.float32)


def smooth(values: Floats, width: int) -> Floats:
    """The mean over ``width`` frames (odd), the edges repeated; the same shape."""
    half = width // 2
    sums = np.cumsum(np.pad(values, ((half + 1, half), (0, 0)), mode="edge"), axis=0, dtype=np.float64)
    return np.asarray((sums[width:] - sums[:-width]) / width, np.float32)


def shapes(envelope: Floats) -> Floats:
    """The coarse shape of envelopes, without their level: mel cepstra, ``(n, BINS)`` to ``(n, 12)``."""
    return np.asarray(envelope @ _bands() @ _cosines(), np.float32)


def relief(shapes: Floats) -> Floats:
    """Envelopes of such shapes, of level 0: ``(n, 12)`` to ``(n, BINS)``."""
    return np.asarray(shapes @ _cosines().T @ _spread(), np.float32)


@lru_cache(maxsize=1)
def _spread() -> Floats:
    """Interpolates bands to bins on the mel scale, shape ``(64, BINS)``."""
    mel = np.log1p(np.linspace(0, vocoder.RATE / 2, vocoder.BINS) / 700)
    middles = mel[-1] * np.arange(1, _BANDS + 1) / (_BANDS + 1)
    return np.stack([np.interp(mel, middles, one) for one in np.eye(_BANDS)]).astype(np.float32)


@lru_cache(maxsize=1)
def _bands() -> Floats:
    """Triangles of equal weight on the mel scale, shape ``(BINS, 64)``."""
    hz = np.linspace(0, vocoder.RATE / 2, vocoder.BINS)[:, None]
    edges = 700 * np.expm1(np.linspace(0, np.log1p(hz[-1, 0] / 700), _BANDS + 2))
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.clip(np.minimum((hz - left) / (middle - left), (right - hz) / (right - middle)), 0, None)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The orthonormal cosine transform from its second row on, shape ``(64, 12)``."""
    waves = np.cos(np.pi / _BANDS * (np.arange(_BANDS) + 0.5)[:, None] * np.arange(1, _SHAPES + 1))
    return np.asarray(waves * np.sqrt(2 / _BANDS), np.float32)
