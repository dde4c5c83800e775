"""A film taken apart: the head, what is behind it (throat, shoulders, wall), and what is behind that.

A field holds a head alone, so all that is beneath it must be known: the wall from the pictures in which nobody covers
it, the throat from below the jaw upwards. No net parses faces; the person's matte and the landmarks of the jaw do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.matte import background_plate, person_matte
from vivavoce.face.mesh import FaceMesh
from vivavoce.models import ModelStore

__all__ = ["Square", "behind", "below_jaw", "cut", "face_mask", "matte_of", "plate_of", "square_around"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_SIDE, _ABOVE = 4.8, 2.25
"""Eye distances: a square's side, and from its upper edge to between the eyes: hair, and where shoulders begin."""
_JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
"""From earlobe to earlobe, from the picture's left to its right."""
_BROW = (323, 454, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127, 234, 93)
"""The rest of the face's outline, back again."""
_CLEAR = 0.02
"""Of the matte, up to which a pixel is the wall's."""
_LEAST_CLEAR = 3
"""Pictures in which a pixel of the wall has to be seen."""
_RISES, _CHIN = 0.8, 0.09
"""Eye distances by which the throat goes on upwards, and below the jaw's line that are still the chin's."""
_REACHES = 0.25
"""Eye distances below the jaw's line at which what is the throat has begun."""
_THIN = 0.09
"""Half the breadth, eye distances, below which a part of the torso is none."""
_BREADTH = 0.05
"""Eye distances around the person that hair reaches beyond its matte."""
_OVER, _UNDER = 0.06, 0.10
"""Eye distances: softness of the face's edge, and how far below the chin SyncTalk's face reaches."""


@dataclass(frozen=True, slots=True)
class Square:
    """The part of a film's pictures that a field is learnt from, pixels of its largest reel."""

    x: int
    y: int
    side: int
    pixels: int
    """Along a side, as it is learnt."""

    @property
    def scale(self) -> float:
        """Pixels of the square for one of the reel."""
        return self.pixels / self.side

    def placed(self, points: npt.NDArray[np.floating]) -> F32:
        """Landmarks ``(…, 2 or 3)`` of the reel as pixels of the square."""
        out = np.array(points, np.float32)
        out[..., :2] = (out[..., :2] + 0.5 - [self.x, self.y]) * self.scale - 0.5
        if out.shape[-1] == 3:
            out[..., 2] *= self.scale
        return out


def square_around(points: F32, size: tuple[int, int], pixels: int) -> Square:
    """The square in which the head of landmarks ``(n, 468, 3)`` stays, in pictures of ``size``."""
    eyes = points[:, [33, 263], :2].astype(np.float64)
    eye = float(np.median(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)))
    middle = eyes.mean(axis=1)
    low, high = np.percentile(middle, [2, 98], axis=0)
    side = min(_SIDE * eye + float((high - low).max()), *size)
    centre = (low + high) / 2
    side_px = int(side) // 2 * 2
    x = int(np.clip(centre[0] - side / 2, 0, size[0] - side_px)) // 2 * 2
    y = int(np.clip(centre[1] - side * _ABOVE / _SIDE, 0, size[1] - side_px)) // 2 * 2
    return Square(x, y, side_px, pixels)


def cut(rgb: Bytes, square: Square) -> Bytes:
    """The square of a reel's picture, ``(pixels, pixels, 3)``."""
    part = rgb[square.y : square.y + square.side, square.x : square.x + square.side]
    size = square.pixels, square.pixels
    how = cv2.INTER_AREA if square.pixels < square.side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)


def matte_of(picture: Bytes, points: F32, models: ModelStore) -> F32:
    """How much of each pixel is the person's, ``(h, w)`` 0-1; ``points`` in the picture's pixels."""
    return np.asarray(person_matte(picture, FaceMesh(points), models), np.float32)


def plate_of(pictures: Sequence[Bytes], mattes: Sequence[F32]) -> Bytes:
    """The wall ``(h, w, 3)``: each pixel's median where nobody covers it, elsewhere what is around goes on."""
    reach = max(3, round(0.012 * pictures[0].shape[0])) | 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    clear = np.stack([cv2.dilate(matte, around) <= _CLEAR for matte in mattes])
    seen = np.where(clear[..., None], np.stack(pictures).astype(np.float32), np.nan)
    known = clear.sum(axis=0) >= min(_LEAST_CLEAR, len(pictures))
    covered = np.where(known, 0, 1).astype(np.float32)
    seen[:, ~known] = 0
    wall = np.nanmedian(seen, axis=0)
    return background_plate(np.clip(wall + 0.5, 0, 255).astype(np.uint8), covered)


def below_jaw(points: F32, size: tuple[int, int]) -> F32:
    """1 below the jaw and below the ears, 0 above, ``(h, w)``: what is not the head, as far as it is the person."""
    width, height = size
    jaw = points[list(_JAW), :2]
    # beside the face, hair and ears are the head's, down to the corners of the mouth
    left, right = max(jaw[0, 1], points[61, 1]), max(jaw[-1, 1], points[291, 1])
    line = np.vstack([[[-width, left], [jaw[0, 0], left]], jaw, [[jaw[-1, 0], right], [2 * width, right]]])
    region = np.vstack([line, [[2 * width, 3 * height], [-width, 3 * height]]])
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(region * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask / 255, np.float32)


def behind(picture: Bytes, matte: F32, points: F32, plate: Bytes) -> Bytes:
    """What is behind the head: throat and shoulders, going on beneath the chin, over the wall ``plate``."""
    height, width = matte.shape
    eye = float(np.linalg.norm(points[263, :2] - points[33, :2]))
    lower = points + np.array([0, _CHIN * eye, 0][: points.shape[1]], np.float32)
    below = below_jaw(lower, (width, height))
    torso = matte * below
    thin = 2 * max(1, round(_THIN * eye)) + 1  # what is left of a cheek beside the jaw's line is no shoulder
    torso = np.asarray(
        cv2.morphologyEx(torso, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thin, thin))), np.float32
    )
    risen, colour = _risen(picture, torso, round(_RISES * eye))
    throat = (torso > 0.5).argmax(axis=0) - (below > 0.5).argmax(axis=0) < _REACHES * eye  # and no shoulder
    risen = np.maximum(risen * _beneath(points, (width, height)) * throat, torso)
    shown = np.where(torso[..., None] > 0.5, picture, colour).astype(np.float32)
    mixed = plate * (1 - risen[..., None]) + shown * risen[..., None]
    reach = max(1, round(_BREADTH * eye))
    near = cv2.GaussianBlur(cv2.dilate(matte, np.ones((2 * reach + 1,) * 2, np.uint8)), (0, 0), max(0.5, reach / 2))
    wall = np.clip(1 - 2 * near, 0, 1)[..., None] * (1 - risen[..., None])  # where nobody is, the picture itself
    return np.asarray(np.clip(mixed * (1 - wall) + picture * wall + 0.5, 0, 255), np.uint8)


def _risen(picture: Bytes, torso: F32, rows: int) -> tuple[F32, F32]:
    """The torso going on upwards by so many rows, and its colours there: each column's uppermost, softened."""
    height, width = torso.shape
    solid = torso > 0.5
    top = np.where(solid.any(axis=0), solid.argmax(axis=0), height)
    below = np.clip(top + 2, 0, height - 1)  # what lies on the edge is mixed with the chin
    upper = picture[below, np.arange(width)].astype(np.float32)
    upper = cv2.GaussianBlur(upper[None], (0, 0), max(1.0, 0.012 * width))[0]
    at = np.arange(height)[:, None]
    risen = ((at >= top - rows) & (at < top + 3)).astype(np.float32)
    risen = np.maximum(cv2.GaussianBlur(risen, (0, 0), max(1.0, 0.008 * width)) * (at < top + 3), torso)
    return np.asarray(risen, np.float32), np.broadcast_to(upper[None], picture.shape)


def _beneath(points: F32, size: tuple[int, int]) -> F32:
    """1 beneath the lower face, where a throat may be; 0 beside it, ``(h, w)``."""
    width, height = size
    left, right = points[172, 0], points[397, 0]
    soft = 0.12 * max(right - left, 1.0)
    x = np.arange(width, dtype=np.float32)
    share = np.clip((x - left) / soft + 0.5, 0, 1) * np.clip((right - x) / soft + 0.5, 0, 1)
    return np.asarray(np.broadcast_to(share[None], (height, width)), np.float32)


def face_mask(points: F32, size: tuple[int, int]) -> F32:
    """The face down to just below the chin, softly, ``(h, w)`` 0-1: what SyncTalk lays over the film."""
    width, height = size
    eye = float(np.linalg.norm(points[263, :2] - points[33, :2]))
    ring = points[[*_JAW, *_BROW], :2].copy()
    middle = ring.mean(axis=0)
    ring = middle + (ring - middle) * 0.97
    ring[3:14] += np.array([0.0, _UNDER * eye], np.float32)  # the chin that moves
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, _OVER * eye)) / 255, np.float32)
