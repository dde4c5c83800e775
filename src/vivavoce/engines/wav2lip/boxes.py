"""The box around a face that the net sees: as its own detector draws it, from chin to forehead, cheek to cheek.

The detector, S3FD, was taught boxes that hold forehead, chin and cheeks closely (WIDER FACE, Yang et al. 2016); so do
the landmarks of the face's outline. Where S3FD itself is there, it is asked once for an avatar, and how its box differs
is carried along as shares of the outline's.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vivavoce.face.mesh import OVAL

__all__ = ["Box", "Boxes", "differing", "face_box", "published", "whole"]

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the canvas."""
Boxes = npt.NDArray[np.float64]

_BELOW = 0.04
"""Of the box's height: room below the chin, as the published program's 10 pixels are to a usual face."""
_PADDED = 10
_OVER = 5
"""Pictures over which the published program takes the mean."""
_LEAST = 24
"""Pixels: a smaller box shows no mouth."""


def face_box(points: npt.NDArray[np.floating], shares: Sequence[float] = (0, 0, 0, 0)) -> Boxes:
    """Boxes ``(…, 4)`` x0, y0, x1, y1 around faces ``(…, 468, 2)``.

    ``shares``: by how much of its width and height each side of S3FD's box lies to the right of, or below, this one's.
    """
    outline = np.asarray(points, np.float64)[..., list(OVAL), :2]
    low, high = outline.min(axis=-2), outline.max(axis=-2)
    size = np.concatenate([high - low, high - low], axis=-1)
    box: Boxes = np.concatenate([low, high], axis=-1) + np.asarray(shares, np.float64) * size
    return box


def differing(found: Sequence[float], outline: Boxes) -> tuple[float, float, float, float]:
    """The ``shares`` of ``face_box`` by which a box that was found differs from the outline's ``(4,)``."""
    size = np.tile(outline[2:] - outline[:2], 2)
    a, b, c, d = ((np.asarray(found, np.float64) - outline) / np.maximum(size, 1)).tolist()
    return a, b, c, d


def whole(box: Boxes, size: tuple[int, int]) -> Box | None:
    """A box ``(4,)`` with room below the chin, on whole pixels of a canvas; None where too little of it lies there."""
    below = _BELOW * (box[3] - box[1])
    x0, y0, x1, y1 = (round(float(v)) for v in (box[0], box[1], box[2], box[3] + below))
    return _within((x0, y0, x1, y1), size)


def published(boxes: Boxes, size: tuple[int, int]) -> list[Box | None]:
    """Boxes ``(n, 4)`` of pictures in a row as the published program makes them.

    Cut to whole numbers, 10 pixels added below, clipped; then each is the mean of itself and the four that follow, cut
    again. The last four pictures take the mean of the last five, some of which are means already.
    """
    width, height = size
    cut = np.trunc(boxes).astype(np.int64)
    cut[:, 0] = np.maximum(cut[:, 0], 0)
    cut[:, 1] = np.maximum(cut[:, 1], 0)
    cut[:, 2] = np.minimum(cut[:, 2], width)
    cut[:, 3] = np.minimum(cut[:, 3] + _PADDED, height)
    n = len(cut)
    for i in range(n):
        first = max(n - _OVER, 0) if i + _OVER > n else i
        cut[i] = cut[first : first + _OVER].mean(axis=0)
    return [_within((int(a), int(b), int(c), int(d)), size) for a, b, c, d in cut]


def _within(box: Box, size: tuple[int, int]) -> Box | None:
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])
    return (x0, y0, x1, y1) if x1 - x0 >= _LEAST and y1 - y0 >= _LEAST else None
