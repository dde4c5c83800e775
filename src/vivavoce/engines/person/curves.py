"""Curves over time, in stretches that must not be smoothed over: a cut, or a picture without a face, ends one."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["correlation", "gaussian", "lowest", "stretches"]

Floats = npt.NDArray[np.floating]
F32 = npt.NDArray[np.float32]


def stretches(labels: npt.NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """First and last (not included) of each stretch of the same label; negative ones are left out."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(labels)], strict=True):
        if last > first and labels[first] >= 0:
            yield first, last


def gaussian(x: Floats, sigma: float) -> F32:
    """Smoothing along the first axis by a Gaussian of ``sigma`` rows; at the ends the last row goes on."""
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    padded = np.concatenate([x[:1].repeat(reach, 0), x, x[-1:].repeat(reach, 0)]).astype(np.float32)
    out = np.zeros(x.shape, np.float32)
    for i, weight in enumerate(kernel / kernel.sum()):
        out += weight * padded[i : i + len(x)]
    return out


def lowest(x: Floats, share: float, size: int) -> F32:
    """The value below which ``share`` (0-1) of the ``size`` values around each of ``(n,)`` lie."""
    half = size // 2
    padded = np.pad(np.asarray(x, np.float32), half, mode="edge")
    return np.asarray(
        np.percentile(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), 100 * share, 1), np.float32
    )


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's r; 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0
