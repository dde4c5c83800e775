"""The mel energies that the GE2E encoder was trained on: librosa's defaults, in plain numpy.

Periodic Hann window of 25 ms every 10 ms, centred, silence beyond both ends; power spectrum; 40 triangles from 0 to
8000 Hz on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area 1; no logarithm.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

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
    hertz = np.fft.rfftfreq(_WINDOW, 1 / RATE)[:, None]
    edges = _hertz(np.linspace(0, _mel(RATE / 2), BANDS + 2))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    bank = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return window.astype(np.float32), bank.astype(np.float32)


_KNEE, _STEP = 1000.0, 200 / 3
"""Hz where the scale turns logarithmic, and Hz a mel below it (Slaney, Auditory Toolbox, 1998)."""
_RATIO = np.log(6.4) / 27
"""Logarithm of the ratio of two frequencies a mel apart above the knee."""


def _mel(hertz: float) -> float:
    return hertz / _STEP if hertz < _KNEE else float(_KNEE / _STEP + np.log(hertz / _KNEE) / _RATIO)


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    knee = _KNEE / _STEP
    return np.where(mel < knee, mel * _STEP, _KNEE * np.exp(_RATIO * (np.maximum(mel, knee) - knee)))
