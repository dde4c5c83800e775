"""Where a face's lower half would lie in each picture of a film if its owner were silent.

The head's motion is parted from the face's (``face.track``); what is left of the lower face is speech and expression,
and the pictures with a shut mouth tell how the resting face looks from every side.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.face import mesh as m
from vivavoce.face.track import Canonical, Track

__all__ = ["CONTROLS", "calm", "resting"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

CONTROLS = tuple(
    sorted(
        {
            *m.OVAL,
            *m.OUTER_UPPER,
            *m.OUTER_LOWER,
            *(33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 48, 278, 129, 358, 64, 294),
            *(50, 280, 205, 425, 187, 411, 123, 352, 147, 376, 116, 345, 36, 266, 203, 423, 206, 426, 216, 436),
            *(212, 432, 202, 422, 204, 424, 194, 418, 201, 421, 200, 199, 175, 18, 83, 313, 182, 406),
            *(164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335, 13),
            *(192, 416, 213, 433, 135, 364, 169, 394, 170, 395, 140, 369, 171, 396, 207, 427, 214, 434, 210, 430),
        }
    )
)
"""Points that carry the lower face from picture to picture. Of the inner lips only the middle of the seam, which stands
at the place of point 13: they touch at rest, and two points in one place would make the spline singular."""
_SHUT = 0.022
"""Gap of the lips (``FaceMesh.lip_gap``) at which a picture counts half for the resting face."""
_SETTLED = 1.5
"""Ridge of the fit of the resting face on the head's turn, in pictures."""


def calm(track: Track) -> Floats:
    """How shut the mouth is in each picture, 0–1."""
    pairs = np.array([(82, 87), (13, 14), (312, 317)])
    points = track.points[..., :2].astype(np.float64)
    gap = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=2).mean(axis=1)
    eye = np.linalg.norm(points[:, 263] - points[:, 33], axis=1)
    return np.asarray(np.exp(-((gap / eye / _SHUT) ** 2) * np.log(2)) * track.seen)


def _views(heads: Canonical) -> Floats:
    """What the resting face's looks depend on: the head's turn, ``(n, 6)``."""
    yaw, pitch, roll = heads.angles.T
    return np.stack([yaw, pitch, roll, yaw**2, pitch**2, yaw * pitch], axis=1)


def resting(track: Track, heads: Canonical, reference: int) -> F32:
    """``(n, 468, 2)`` pixels: each picture's face with the mouth of picture ``reference``, seen as the head is turned.

    Above the mouth these are the picture's own points.
    """
    weight = calm(track) + 1e-3 * track.seen
    views = _views(heads)
    shape = heads.shape.astype(np.float64)
    mean = (weight[:, None, None] * shape).sum(axis=0) / weight.sum()
    centre = (weight[:, None] * views).sum(axis=0) / weight.sum()
    around = views - centre
    scale = np.sqrt((weight[:, None] * around**2).sum(axis=0) / weight.sum()) + 1e-6
    around = around / scale
    system = (weight[:, None] * around).T @ around + _SETTLED * np.eye(views.shape[1])
    slopes = np.linalg.solve(system, (weight[:, None] * around).T @ (shape - mean).reshape(len(shape), -1))
    turn = np.clip(around, -2.5, 2.5)
    rest = shape[reference] + ((turn - turn[reference]) @ slopes).reshape(shape.shape)
    posed = heads.posed(rest)[..., :2]
    own = track.points[..., :2]
    return np.asarray(own + _share(shape[reference])[None, :, None] * (posed - own), np.float32)


def _share(shape: Floats) -> Floats:
    """Which points come from the resting face, 0–1: the mouth, the chin and the jaw, not the nose and the temples."""
    mouth = (shape[m.LEFT_CORNER, 1] + shape[m.RIGHT_CORNER, 1]) / 2
    t = np.clip((shape[:, 1] - (mouth - 0.36)) / 0.20, 0, 1)
    share = t * t * (3 - 2 * t)
    share[[2, 98, 327, 97, 326, 48, 278, 64, 294, 129, 358]] *= 0.3  # the nose stays where it is
    return np.asarray(share)
