"""Which part of a face is laid over the base's: its whole lower half within the jaw, or the lips alone."""

from collections.abc import Mapping
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.warp import Box, Grain
from vivavoce.face import mesh as m

__all__ = ["OUTLINE", "Layout", "mask"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_JAW = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
_TOP = (436, 426, 423, 327, 2, 98, 203, 206, 216)
"""Upper edge, from the picture's right to its left: below the cheeks and the nose."""
_CENTRE = (13, 14, 17, 18)
_LIPS = (*m.OUTER_UPPER, *m.OUTER_LOWER)
OUTLINE = tuple(sorted({*_JAW, *_TOP, *_CENTRE, *_LIPS}))
"""Landmarks that the masks are drawn by."""
_SHRUNK = 0.90
"""The outline of the jaw that is laid over, of the true one: the true edge stays the base's."""
_WIDER, _HIGHER = 1.34, 0.32
"""The lips' patch: so much wider than the lips, and higher by this share of half their width, above and below."""
_FEATHER = {"full": 0.056, "skin": 0.044}
"""Softness of the edge in eye distances."""


class Layout(Enum):
    """What of a face comes from the library."""

    FULL = "full"
    """The lower half: for a base that talks itself."""
    SKIN = "skin"
    """The lips: for a quiet base, whose own skin stays."""


def mask(points: Mapping[int, npt.NDArray[np.floating]], box: Box, grain: Grain, layout: Layout) -> F32:
    """0-1, ``(height, width)`` of the box: how much of a source is seen; ``points`` has those of ``OUTLINE``."""
    draw = _lower_face if layout is Layout.FULL else _lips
    outline = draw(points) - box.origin
    width, height = box.size
    out = np.zeros((height, width), np.uint8)
    cv2.fillPoly(out, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = max(2, round(_FEATHER[layout.value] * grain.eye))
    if layout is Layout.FULL:  # the softness lies inside: outside is the throat
        out = np.asarray(cv2.erode(out, np.ones((soft, soft), np.uint8)), np.uint8)
    side = (2 * soft + 1, 2 * soft + 1)
    out = np.asarray(cv2.blur(cv2.blur(out, side), side), np.uint8)
    return np.asarray(out * np.float32(1 / 255))


def _lower_face(points: Mapping[int, npt.NDArray[np.floating]]) -> Floats:
    centre = np.mean([points[i] for i in _CENTRE], axis=0)
    jaw = np.array([points[i] for i in _JAW])
    return np.vstack([centre + _SHRUNK * (jaw - centre), [points[i] for i in _TOP]])


def _lips(points: Mapping[int, npt.NDArray[np.floating]]) -> Floats:
    """The hull of the lips, grown along the line of the mouth and across it."""
    lips = np.array([points[i] for i in _LIPS], np.float64)
    along = np.asarray(points[m.RIGHT_CORNER] - points[m.LEFT_CORNER], np.float64)
    width = float(np.hypot(*along)) or 1.0
    x = along / width
    y = np.array([-x[1], x[0]])
    around = lips - lips.mean(axis=0)
    across, down = around @ x, around @ y
    reach = _HIGHER * np.abs(across).max()
    grown = lips.mean(axis=0) + (across * _WIDER)[:, None] * x + (down + np.sign(down) * reach)[:, None] * y
    return np.asarray(cv2.convexHull(grown.astype(np.float32))[:, 0], np.float64)
