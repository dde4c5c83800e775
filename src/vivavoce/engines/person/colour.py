"""Gives a patch the light of the picture that it is laid on: a membrane through the differences along its edge.

The same as gradient-domain pasting (Pérez et al. 2003) for all that the eye sees, without a system to solve: the
differences are known on a ring and spread inwards by normalised blurs of growing width.
"""

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["ring", "spread"]

F32 = npt.NDArray[np.float32]

_WIDTHS = ((2.0, 1.0), (5.3, 0.05), (13.0, 0.002))
"""Widths of the blurs in cells and their weights: what is near counts first, what is far only where nothing is near."""
_LOW, _HIGH = 0.08, 0.75
"""Of the mask: the ring on which patch and picture should look the same."""
_MOST = 40.0
"""Grey levels by which a patch is changed at most: more is no light but another thing."""


def ring(mask: F32) -> F32:
    """Where a patch and what it is laid on are compared, 1 or 0; of the mask, cell by cell."""
    return ((mask > _LOW) & (mask < _HIGH)).astype(np.float32)


def spread(difference: F32, where: F32) -> F32:
    """What is to be added to the patch, ``(rows, columns, 3)``: ``difference`` on the ring, smoothly inside of it."""
    known = np.dstack([difference * where[..., None], where])
    total = np.zeros_like(known)
    for sigma, weight in _WIDTHS:
        total += _blurred(known, sigma) * np.float32(weight)
    even = total[..., :3] / (total[..., 3:] + np.float32(1e-6))
    return np.asarray(np.clip(even, -_MOST, _MOST), np.float32)


def _blurred(x: F32, sigma: float) -> F32:
    """A Gaussian; a wide one as three boxes, which cost the same however wide they are."""
    if sigma < 3:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), sigma), np.float32)
    side = 2 * round((np.sqrt(4 * sigma**2 + 1) - 1) / 2) + 1
    for _ in range(3):
        x = np.asarray(cv2.blur(x, (side, side)), np.float32)
    return x
