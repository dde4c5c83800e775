"""Parts what a face's landmarks show: the head's pose, the expression, which is slow, and speech, which is fast.

The head is fitted to landmarks that are smoothed a little, for it is heavy; lips are not smoothed, for closures last
one picture. The split into slow and fast is what makes sound and mouth belong together at all: a grin is not heard.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import gaussian, lowest, stretches
from vivavoce.engines.person.library import LOW
from vivavoce.face.track import Canonical, Track, canonical

__all__ = ["features_of", "gap_of", "heads", "low_of", "slow_part"]

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.integer]

_CALM = 0.6
"""Pictures by which landmarks are smoothed before the head is fitted."""
_QUIET, _SLACK = 0.35, 0.003
"""Share of the least open pictures around that show the expression alone; eye distances by which they may be wider."""
_AROUND, _SLOW = 0.8, 0.4
"""Seconds to each side in which pictures are around, and sigma of the smoothing."""
_PAIRS = np.array([(13, 14), (82, 87), (312, 317)])


def heads(points: F32, fit: Bools, parts: Parts) -> Canonical:
    """Poses of ``(n, 468, 3)`` points, and their canonical shapes; the model is that of the pictures ``fit``."""
    calm = points.copy()
    for first, last in stretches(parts):
        if last - first > 2:
            calm[first:last] = gaussian(points[first:last], _CALM)
    found = canonical(Track(calm, fit, fit.astype(np.float32)))
    back = np.einsum("nkc,ncd->nkd", points - found.shift[:, None], found.rotation) / found.scale[:, None, None]
    return Canonical(back.astype(np.float32), found.scale, found.rotation, found.shift)


def gap_of(shape: npt.NDArray[np.floating]) -> F32:
    """``(n,)``: how far the inner lips of shapes ``(n, 468, 2 or 3)`` are apart, along the face."""
    return np.asarray((shape[:, _PAIRS[:, 1], 1] - shape[:, _PAIRS[:, 0], 1]).mean(axis=1), np.float32)


def low_of(shape: npt.NDArray[np.floating]) -> F32:
    """``(n, 2 * len(LOW))``: lips and chin, flat."""
    return np.ascontiguousarray(shape[:, list(LOW), :2], np.float32).reshape(len(shape), -1)


def slow_part(shape: F32, parts: Parts, fps: float) -> F32:
    """The expression in each picture: the mean of the least open mouths around, ``(n, 468, 3)``.

    Where no part is, the shape itself.
    """
    gap = gap_of(shape)
    slow = shape.copy()
    sigma = _SLOW * fps
    for first, last in stretches(parts):
        own, width = shape[first:last], gap[first:last]
        quiet = lowest(width, _QUIET, round(_AROUND * fps * 2) | 1)
        weight = (width <= quiet + _SLACK).astype(np.float32) + np.float32(1e-3)
        total = gaussian(weight[:, None], sigma)[..., None]
        slow[first:last] = gaussian(own * weight[:, None, None], sigma) / total
    return slow


def _measures(shape: F32) -> F32:
    """``(n, 5)``: width, chin, lower lip, upper lip, protrusion, as they are."""
    width = np.linalg.norm(shape[:, 61, :2] - shape[:, 291, :2], axis=1)
    chin = shape[:, [152, 175, 199], 1].mean(axis=1)
    depth = shape[:, [0, 17, 13, 14], 2].mean(axis=1) - shape[:, [61, 291], 2].mean(axis=1)
    return np.stack([width, chin, shape[:, 17, 1], shape[:, 0, 1], depth], axis=1).astype(np.float32)


def features_of(shape: F32, slow: F32) -> F32:
    """``(n, 6)``: ``library.FEATURES``."""
    return np.concatenate([gap_of(shape)[:, None], _measures(shape) - _measures(slow)], axis=1).astype(np.float32)
