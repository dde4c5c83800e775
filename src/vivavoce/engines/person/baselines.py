"""What a head has to beat: whole lower faces of other pictures, turned and moved to where they belong, and pasted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.colour import ring, spread
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.mask import OUTLINE, Layout, mask
from vivavoce.engines.person.measures import similarity
from vivavoce.engines.person.warp import Box, Grain
from vivavoce.face.track import RIGID

__all__ = ["Uppers", "mean_face", "pasted"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_SIZE, _ORIGIN, _EYE = (56, 34), (28, 14), 40
"""Pixels of what is compared, of the point between the eyes in it, and from eye to eye: brows to the nose's tip."""
_MARGIN = 0.25


@dataclass(frozen=True, slots=True)
class Uppers:
    """How the upper half of the face looks in each picture: eyes, brows and nose, which nobody replaces."""

    rows: F32
    """``(n, d)``; squared distances compare."""

    @classmethod
    def of(cls, pictures: Iterable[Bytes], points: F32) -> "Uppers":
        """Of pictures whose ``(n, 468, 3)`` landmarks are known."""
        model = np.median(points[:, list(RIGID), :2], axis=0)
        eye = float(np.linalg.norm(model[RIGID.index(263)] - model[RIGID.index(33)]))
        ends = (model - model[RIGID.index(168)]) / max(eye, 1.0) * _EYE + np.array(_ORIGIN)
        rows = []
        for rgb, p in zip(pictures, points, strict=True):
            matrix = similarity(p[list(RIGID), :2].astype(np.float64), ends)
            seen = cv2.warpAffine(rgb, matrix, _SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
            rows.append(seen.astype(np.float32).ravel() / 255)
        held = np.array(rows, np.float32)
        return cls(np.asarray(held - held.mean(axis=0), np.float32))

    def apart(self, one: Ints, other: Ints) -> F32:
        """Squared distances of pictures, ``(len(one), len(other))``."""
        a, b = self.rows[one], self.rows[other]
        return np.asarray((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, np.float32)


def pasted(library: Library, base: int, below: Bytes, source: Bytes, points: F32) -> Bytes:
    """Picture ``base``, which is ``below``, with the lower face of ``source``, whose landmarks are ``points``."""
    own = library.points[base]
    back = similarity(own[list(RIGID), :2].astype(np.float64), points[list(RIGID), :2].astype(np.float64))
    grain = Grain.of(library.footage.track.eye)
    outline = own[list(OUTLINE), :2].astype(np.float64)
    box = Box.around(outline, _MARGIN * grain.eye, grain).cut(Box(0, 0, below.shape[1], below.shape[0]))
    if box is None:
        return below
    back[:, 2] += back[:, :2] @ np.array([box.x0, box.y0])
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(source, back, box.size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    cover = mask(dict(zip(OUTLINE, outline, strict=True)), box, grain, Layout.FULL)
    out = below.copy()
    part = out[box.y0 : box.y1, box.x0 : box.x1]
    cells = max(1, box.size[0] // grain.cell), max(1, box.size[1] // grain.cell)
    small, seen, edge = (cv2.resize(v, cells, interpolation=cv2.INTER_AREA) for v in (patch, part, cover))
    difference = np.asarray(seen, np.float32) - np.asarray(small, np.float32)
    light = cv2.resize(spread(difference, ring(np.asarray(edge, np.float32))), box.size, interpolation=cv2.INTER_LINEAR)
    lit = cv2.add(patch, light, dtype=cv2.CV_8U)
    part[:] = cv2.blendLinear(lit, np.ascontiguousarray(part), cover, 1 - cover)
    return out


def mean_face(pictures: Iterable[Bytes]) -> Callable[[F32], tuple[Bytes, F32]]:
    """Given the pictures' ``(n, 468, 3)`` landmarks: their mean, laid upon each other by the upper face, and its
    landmarks."""

    def made(points: F32) -> tuple[Bytes, F32]:
        model = points[len(points) // 2, list(RIGID), :2].astype(np.float64)
        total: npt.NDArray[np.float32] | None = None
        places = []
        for rgb, p in zip(pictures, points, strict=True):
            matrix = similarity(p[list(RIGID), :2].astype(np.float64), model)
            laid = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], flags=cv2.INTER_LINEAR).astype(np.float32)
            total = laid if total is None else total + laid
            places.append(p[:, :2] @ matrix[:, :2].T + matrix[:, 2])
        assert total is not None
        mean = np.asarray(np.clip(total / len(points) + 0.5, 0, 255), np.uint8)
        return mean, np.asarray(np.mean(places, axis=0), np.float32)

    return made
