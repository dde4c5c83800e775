"""Slaney's mel bands: what several nets were trained on, each with a number and a range of its own."""

import numpy as np
import numpy.typing as npt

__all__ = ["slaney_bands"]

_KNEE, _STEP = 1000.0, 200 / 3
"""Hz where the scale turns logarithmic, and Hz a mel below it (Slaney, Auditory Toolbox, 1998)."""
_RATIO = np.log(6.4) / 27
"""Logarithm of the ratio of two frequencies a mel apart above the knee."""


def slaney_bands(rate: int, window: int, count: int, low: float, high: float) -> npt.NDArray[np.float32]:
    """Weights of a spectrum's lines in each band, ``(window // 2 + 1, count)``.

    Triangles of area 1 whose corners lie evenly on the mel scale from ``low`` to ``high`` Hz, linear below 1 kHz and
    logarithmic above; ``window`` is the length of the transform in samples, ``rate`` theirs in Hz.
    """
    hertz = np.fft.rfftfreq(window, 1 / rate)[:, None]
    edges = _hertz(np.linspace(_mel(low), _mel(high), count + 2))
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    bank = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return np.asarray(bank, np.float32)


def _mel(hertz: float) -> float:
    return hertz / _STEP if hertz < _KNEE else float(_KNEE / _STEP + np.log(hertz / _KNEE) / _RATIO)


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    knee = _KNEE / _STEP
    return np.where(mel < knee, mel * _STEP, _KNEE * np.exp(_RATIO * (np.maximum(mel, knee) - knee)))
