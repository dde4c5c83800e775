"""The mel energies that the GE2E encoder was trained on: librosa's defaults, in plain numpy.

Periodic Hann window of 25 ms every 10 ms, centred, silence beyond both ends; power spectrum; 40 triangles from 0 to
8000 Hz on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area 1; no logarithm.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vivavoce.media.bands import slaney_bands

__all__ = ["BANDS", "HOP", "RATE", "energies"]

RATE = 16_000
"""Hz."""
HOP = 160
"""Samples from one frame to the next."""
BANDS = 40
_WINDOW = 400
_BLOCK = 4096
"""Frames transformed at once, so that a long recording needs little memory."""

Floats = npt.NDArray[np.float32]


def energies(samples: Floats) -> Floats:
    """Energy in each band, shape ``(1 + n // HOP, BANDS)``, of ``n`` samples at ``RATE``.

    Frame ``i`` is centred at sample ``i * HOP``.
    """
    window, bank = _analysis()
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][: 1 + len(samples) // HOP]
    out = np.empty((len(frames), BANDS), np.float32)
    for i in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[i : i + _BLOCK] * window)
        out[i : i + _BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ bank
    return out


@lru_cache(maxsize=1)
def _analysis() -> tuple[Floats, Floats]:
    """The window, and the bands as a matrix ``(_WINDOW // 2 + 1, BANDS)``."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    return window.astype(np.float32), slaney_bands(RATE, _WINDOW, BANDS, 0, RATE / 2)
