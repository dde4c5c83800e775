"""What speech sounds like, as numbers: mel energies and cepstra in plain numpy, the same at any sample rate."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio

__all__ = ["BANDS", "HOP", "deltas", "levels", "log_mel", "mfcc", "silences"]

Matrix = npt.NDArray[np.float32]

BANDS = 40
"""Number of mel bands."""
HOP = 0.01
"""Seconds from one frame to the next."""
_WINDOW = 0.025
_LOWEST, _HIGHEST = 60.0, 7600.0
_FLOOR, _LEAST = 1e-7, 1e-14
"""Energies below the first share of the loudest are not told apart, nor those below the second."""
_CLICK = 0.08
"""Seconds; a sound this short between two pauses is no syllable."""
_BLOCK = 2048
"""Frames transformed at once, so that an hour of sound needs no more memory than a minute."""


def log_mel(audio: Audio) -> Matrix:
    """Natural logarithm of the energy in 40 mel bands, shape ``(n, 40)``; frame ``i`` is centred at ``i / 100`` s.

    25 ms Hann windows; bands are triangles from 60 to 7600 Hz on O'Shaughnessy's mel scale; those above half the
    sample rate hold the floor. ``n = floor(seconds * 100) + 1``.
    """
    window, bank, n_fft = _analysis(audio.rate)
    half = len(window) // 2
    samples = np.pad(audio.samples, (half, half + len(window)))
    starts = np.round(np.arange(int(audio.seconds / HOP) + 1) * HOP * audio.rate).astype(int)
    rows = []
    for block in np.array_split(starts, max(1, -(-len(starts) // _BLOCK))):
        frames = samples[block[:, None] + np.arange(len(window))]
        power = np.abs(np.fft.rfft(frames * window, n_fft)) ** 2
        rows.append(power @ bank)
    energy = np.concatenate(rows)
    return np.log(energy + max(_LEAST, _FLOOR * float(energy.max(initial=0.0)))).astype(np.float32)


@lru_cache(maxsize=8)
def _analysis(rate: int) -> tuple[Matrix, npt.NDArray[np.float64], int]:
    """Window, ``(bins, 40)`` filter bank and length of the transform, scaled so that the rate does not matter."""
    window = np.hanning(round(_WINDOW * rate)).astype(np.float32)
    n_fft = 1 << (len(window) - 1).bit_length()
    hertz = np.fft.rfftfreq(n_fft, 1 / rate)
    edges = _hertz(np.linspace(_mel(_LOWEST), _mel(_HIGHEST), BANDS + 2))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (hertz[:, None] - low) / (middle - low)
    falling = (high - hertz[:, None]) / (high - middle)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    return window, bank * (rate / n_fft) / (rate * float((window**2).sum())), n_fft


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def mfcc(mel: Matrix, n: int = 13) -> Matrix:
    """Cepstral coefficients 1 to ``n`` of log-mel frames, shape ``(frames, n)``: orthonormal DCT-II, lifted by 22."""
    k = np.arange(1, n + 1)
    basis = np.cos(np.pi / BANDS * (np.arange(BANDS)[:, None] + 0.5) * k) * np.sqrt(2 / BANDS)
    lifter = 1 + 11 * np.sin(np.pi * k / 22)
    return np.asarray(mel @ basis * lifter, np.float32)


def deltas(features: Matrix, reach: int = 3) -> Matrix:
    """Slope of each feature over ``2 * reach + 1`` frames by least squares, of the same shape."""
    n = len(features)
    padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
    slope = sum(
        k * (padded[reach + k : reach + k + n] - padded[reach - k : reach - k + n]) for k in range(1, reach + 1)
    )
    return np.asarray(slope / (2 * sum(k * k for k in range(1, reach + 1))), np.float32)


def levels(mel: Matrix) -> Matrix:
    """Loudness of each frame in decibels relative to the loud frames of the sound (95th percentile), shape ``(n,)``."""
    energy = np.log(np.exp(mel.astype(np.float64)).sum(1)) * (10 / np.log(10))
    return np.asarray(energy - np.percentile(energy, 95), np.float32)


def silences(mel: Matrix, least: float = 0.12) -> list[tuple[int, int]]:
    """Frames ``[first, last)`` of the pauses of at least ``least`` seconds.

    The threshold lies between the noise and the speech of this very recording, so hiss is no speech and quiet speech
    no pause; short clicks inside a pause do not end it.
    """
    level = levels(mel)
    noise = float(np.percentile(level, 5))
    threshold = float(np.clip(noise + 0.3 * (0 - noise), -45.0, -14.0))
    smooth = np.convolve(np.pad(level, 2, mode="edge"), np.ones(5) / 5, "valid")
    quiet = np.concatenate([[False], smooth < threshold, [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1]).tolist()
    runs: list[tuple[int, int]] = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if runs and (a - runs[-1][1]) * HOP <= _CLICK and b - a >= 5 and runs[-1][1] - runs[-1][0] >= 5:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    return [(a, b) for a, b in runs if (b - a) * HOP >= least - 1e-9]
