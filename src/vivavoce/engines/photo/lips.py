"""Where the lips meet or part in the picture itself: the mesh is off by 1–2 % of E there, and that shows.

Lips are red, what lies between them is not: across a parted mouth the red-green axis of CIELAB dips, across a shut one
it does not, whatever the shadow between the lips.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face import mesh as m
from vivavoce.face.geometry import FaceAxes, Floats, sample, smoothstep

__all__ = ["Mouth", "refine_lips"]

Mouth = Literal["shut", "parted", "open"]
"""How a picture shows the mouth: lips together, a little apart, or open with teeth to be seen."""

OPEN_MOUTH = 0.035
"""Inner lips of the mesh further apart than this (in E) are an open mouth."""
_MARGIN = 0.008
"""By how much (in E) the mesh's contours of an open mouth are widened: no rim of teeth may stay on a lip."""
_DIP = 6.0
"""Fall of a* (of 255) between the lips that tells a parted mouth."""
_UPPER, _LOWER = np.array(m.INNER_UPPER), np.array(m.INNER_LOWER)
_COLUMNS = 35
_STEPS = 57


def _profiles(
    rgb: npt.NDArray[np.uint8], face: Floats, axes: FaceAxes, gap: float
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.float32]]:
    """Columns across the mouth: x, the mesh's middle, offsets from it, and CIELAB there ``(columns, steps, 3)``."""
    xs = np.linspace(-0.85, 0.85, _COLUMNS) * axes.mouth
    middle = np.interp(xs, face[_UPPER, 0], (face[_UPPER, 1] + face[_LOWER, 1]) / 2)
    offsets = np.linspace(-1, 1, _STEPS) * (0.06 + 0.8 * gap) * axes.eye
    lab = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), (0, 0), max(0.6, 0.006 * axes.eye))
    at = np.stack(np.broadcast_arrays(xs[:, None], middle[:, None] + offsets), axis=-1)
    values = sample(np.asarray(lab, np.float32), axes.to_pixels(at), cv2.BORDER_REPLICATE)
    return xs, middle, offsets, values


def _parting(offsets: Floats, red: npt.NDArray[np.float32]) -> tuple[Floats, Floats] | None:
    """Edges of what is not lip, as offsets for each column, or None for a mouth that is shut."""
    half = _STEPS // 2
    centre = np.abs(offsets) <= 0.5 * offsets[-1]
    lowest = np.where(centre, red, np.inf).argmin(axis=1)
    columns = np.arange(len(red))
    dip = red[columns, lowest]
    above = np.array([r[: i + 1].max() for r, i in zip(red, lowest, strict=True)])
    below = np.array([r[i:].max() for r, i in zip(red, lowest, strict=True)])
    inner = slice(len(red) // 4, -(len(red) // 4))
    if float(np.median(np.minimum(above, below)[inner] - dip[inner])) < _DIP:
        return None
    upper, lower = np.full(len(red), half), np.full(len(red), half)
    for k in columns:
        top, bottom = (dip[k] + above[k]) / 2, (dip[k] + below[k]) / 2
        i = j = int(lowest[k])
        while i > 0 and red[k, i] < top:
            i -= 1
        while j < _STEPS - 1 and red[k, j] < bottom:
            j += 1
        upper[k], lower[k] = i, j
    return offsets[upper], offsets[lower]


def _smoothed(xs: Floats, values: Floats, weights: Floats) -> Floats:
    """A quartic through the middle of the mouth: single columns err."""
    scale = float(np.abs(xs).max())
    return np.asarray(np.polyval(np.polyfit(xs / scale, values, 4, w=weights), xs / scale))


def refine_lips(rgb: npt.NDArray[np.uint8], face: Floats, axes: FaceAxes, gap: float) -> tuple[Floats, Mouth]:
    """Move the inner contours to where the picture shows them; tells how it shows the mouth.

    ``face`` are the landmarks in face coordinates ``(468, 2)``, ``gap`` the mesh's own ``lip_gap``.
    """
    if gap > OPEN_MOUTH:
        out = face.copy()
        out[_UPPER[1:-1], 1] -= _MARGIN * axes.eye
        out[_LOWER[1:-1], 1] += _MARGIN * axes.eye
        return out, "open"
    xs, middle, offsets, lab = _profiles(rgb, face, axes, gap)
    weights = 1.2 - np.abs(xs) / np.abs(xs).max()
    parted = _parting(offsets, lab[..., 1])
    if parted is None:
        reach = np.abs(offsets) <= 0.035 * axes.eye
        dark = lab[..., 0][:, reach] + (offsets[reach] / (0.035 * axes.eye)) ** 2 * 6  # rather stay than wander
        line = middle + _smoothed(xs, offsets[reach][dark.argmin(axis=1)], weights)
        return _moved(face, axes, xs, line, line), "shut"
    upper, lower = (middle + _smoothed(xs, edge, weights) for edge in parted)
    meet = (upper + lower) / 2
    return _moved(face, axes, xs, np.minimum(upper, meet), np.maximum(lower, meet)), "parted"


def _moved(face: Floats, axes: FaceAxes, xs: Floats, upper: Floats, lower: Floats) -> Floats:
    out = face.copy()
    for contour, line in ((_UPPER, upper), (_LOWER, lower)):
        x = face[contour, 0]
        keep = smoothstep(0.8, 1.0, np.abs(x) / axes.mouth)
        out[contour, 1] = face[contour, 1] * keep + np.interp(x, xs, line) * (1 - keep)
    return out
