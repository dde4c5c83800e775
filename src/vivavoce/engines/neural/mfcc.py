"""Mel cepstra (Davis and Mermelstein 1980) as the package ``python_speech_features`` makes them: what SyncNet hears."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["HOP", "SIZE", "mfcc"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

RATE, WINDOW, HOP, SIZE = 16_000, 400, 160, 13
"""Hz, samples of a window (rectangular) and from one to the next, coefficients."""
_BINS, _BANDS = 512, 26
_EMPHASIS, _LIFTER = 0.97, 22
_FULL = 32_768.0
"""Of the 16-bit samples that the energies are meant for."""


def mfcc(samples: npt.NDArray[np.floating]) -> F32:
    """Sound at 16 kHz, ``(n,)``, full scale 1, to ``(frames, 13)``, 100 a second; the first is the logarithm of energy.

    The end is filled with zeros to a whole window.
    """
    sound = np.rint(np.clip(samples, -1, 1 - 1 / _FULL) * _FULL)
    sound = np.append(sound[:1], sound[1:] - _EMPHASIS * sound[:-1])
    count = 1 + max(0, -(-(len(sound) - WINDOW) // HOP))
    sound = np.pad(sound, (0, (count - 1) * HOP + WINDOW - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows, _BINS)) ** 2 / _BINS
    tiny = np.finfo(np.float64).eps
    energy, bands = power.sum(axis=1), power @ _triangles().T
    cepstra = np.log(np.where(bands == 0, tiny, bands)) @ _cosines() * _lifted()
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return cepstra.astype(np.float32)


@lru_cache(maxsize=1)
def _triangles() -> Floats:
    """On the mel scale, their corners on whole bins: shape ``(26, 257)``."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    corners = np.floor((_BINS + 1) * hz / RATE)
    made, bins = np.zeros((_BANDS, _BINS // 2 + 1)), np.arange(_BINS // 2 + 1)
    for band, (left, middle, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        rise, fall = (bins >= left) & (bins < middle), (bins >= middle) & (bins < right)
        made[band, rise] = (bins[rise] - left) / (middle - left)
        made[band, fall] = (right - bins[fall]) / (right - middle)
    return made


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The orthonormal cosine transform, its first rows: ``(26, 13)``."""
    waves = np.cos(np.pi / _BANDS * (np.arange(_BANDS) + 0.5)[:, None] * np.arange(SIZE))
    return np.asarray(waves * np.where(np.arange(SIZE) == 0, np.sqrt(1 / _BANDS), np.sqrt(2 / _BANDS)))


@lru_cache(maxsize=1)
def _lifted() -> Floats:
    return np.asarray(1 + _LIFTER / 2 * np.sin(np.pi * np.arange(SIZE) / _LIFTER))
