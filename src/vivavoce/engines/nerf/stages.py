"""Where a rendered picture comes to lie on the canvas: in the film it was learnt from, or alone."""

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.shoot import picture_of
from vivavoce.face.footage import Footage
from vivavoce.face.geometry import smoothstep
from vivavoce.face.screen import Screen
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas

__all__ = ["Stage", "filmed", "lone"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_EDGE = 0.06
"""Of the square's side: how softly it goes over into the film around it."""
_COVERS = 1.2
"""How much of a picture may be cut off for it to fill the canvas."""
_BLUR = 0.04
"""Of the canvas's longer side: softness of what goes on around a picture that does not fill it."""


class Stage(Protocol):
    """A canvas."""

    reel: str
    """The film that it wants to be shown; "" where any will do."""

    def show(self, number: int, picture: Bytes, film: Planes | None) -> Bytes:
        """RGB of the canvas: the ``picture`` of frame ``number``, laid over the film's."""


class _Film:
    """The canvas shows the film, and in it the square, or the face of it."""

    def __init__(
        self, footage: Footage, square: tuple[int, int, int], pixels: int, canvas: Canvas, masks: Bytes | None
    ) -> None:
        self._screen = Screen(footage, canvas, enlargement=1.0)
        self.reel = self._screen.take.name
        x, y, side = square
        corners = np.array([[x - 0.5, y - 0.5], [x + side - 0.5, y + side - 0.5]])
        (x0, y0), (x1, y1) = self._screen.to_canvas(corners)
        self._box = _within(x0, y0, x1, y1, canvas)
        left, top, right, bottom = self._box
        self._size = max(0, right - left), max(0, bottom - top)
        self._to = _onto(pixels, (x0, y0), (x1, y1), (left, top))
        self._enlarged = (x1 - x0) / pixels
        self._masks = masks
        self._whole = None if masks is not None else _soft_square(square, footage.size, pixels)

    def show(self, number: int, picture: Bytes, film: Planes | None) -> Bytes:
        assert film is not None
        frame = self._screen.show(film)
        left, top, right, bottom = self._box
        if not all(self._size):
            return frame
        how = cv2.INTER_CUBIC if self._enlarged > 1 else cv2.INTER_LINEAR
        laid = cv2.warpAffine(picture, self._to, self._size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        part = np.ascontiguousarray(frame[top:bottom, left:right])
        alpha = self._alpha(number, picture.shape[0])
        frame[top:bottom, left:right] = cv2.blendLinear(laid, part, alpha, 1 - alpha)
        return frame

    def _alpha(self, number: int, pixels: int) -> F32:
        """How much of the picture is seen there."""
        if self._masks is None:
            assert self._whole is not None
            mask = self._whole
        else:
            mask = np.asarray(self._masks[number] / 255, np.float32)
        to = self._to.copy()
        to[:, :2] *= pixels / mask.shape[0]
        to[:, 2] += self._to[:, :2].sum(axis=1) * (0.5 * pixels / mask.shape[0] - 0.5)
        return np.asarray(cv2.warpAffine(mask, to, self._size, flags=cv2.INTER_LINEAR), np.float32)


class _Lone:
    """The picture fills the canvas, or lies on a continuation of itself."""

    reel = ""

    def __init__(self, size: tuple[int, int], canvas: Canvas, masks: Bytes | None) -> None:
        self._canvas, self._masks = canvas, masks
        cover, whole = (f(canvas.width / size[0], canvas.height / size[1]) for f in (max, min))
        scale = cover if cover <= _COVERS * whole else whole
        self._size = round(size[0] * scale), round(size[1] * scale)

    def show(self, number: int, picture: Bytes, film: Planes | None) -> Bytes:
        if film is not None and self._masks is not None:
            small = np.asarray(self._masks[number] / 255, np.float32)
            mask = np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
            picture = np.asarray(cv2.blendLinear(picture, picture_of(film), mask, 1 - mask), np.uint8)
        how = cv2.INTER_AREA if self._size[0] < picture.shape[1] else cv2.INTER_CUBIC
        large = np.asarray(cv2.resize(picture, self._size, interpolation=how), np.uint8)
        width, height = self._canvas.size
        x, y = (width - self._size[0]) // 2, (height - self._size[1]) // 2
        large = large[max(0, -y) : max(0, -y) + height, max(0, -x) : max(0, -x) + width]
        if large.shape[:2] == (height, width):
            return np.ascontiguousarray(large)
        return self._surrounded(large, max(0, x), max(0, y))

    def _surrounded(self, large: Bytes, x: int, y: int) -> Bytes:
        """Before its own edges, continued and blurred."""
        width, height = self._canvas.size
        margins = y, height - y - large.shape[0], x, width - x - large.shape[1]
        wide = cv2.copyMakeBorder(large, *margins, cv2.BORDER_REPLICATE)
        small = cv2.resize(wide, (max(2, width // 8), max(2, height // 8)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), max(1.0, _BLUR * max(width, height) / 8))
        frame = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        frame[y : y + large.shape[0], x : x + large.shape[1]] = large
        return frame


def filmed(
    footage: Footage, square: tuple[int, int, int], pixels: int, canvas: Canvas, masks: Bytes | None, *, face: bool
) -> Stage:
    """In the film: the ``square`` (x, y, side in the largest reel), or with ``face`` what ``masks`` show of it."""
    return _Film(footage, square, pixels, canvas, masks if face else None)


def lone(size: tuple[int, int], canvas: Canvas, masks: Bytes | None) -> Stage:
    """Alone; with ``masks`` over a film of the picture's ``size``."""
    return _Lone(size, canvas, masks)


def _within(x0: float, y0: float, x1: float, y1: float, canvas: Canvas) -> tuple[int, int, int, int]:
    """The canvas's pixels that lie in a box."""
    return (
        max(0, int(np.ceil(x0))),
        max(0, int(np.ceil(y0))),
        min(canvas.width, int(np.floor(x1)) + 1),
        min(canvas.height, int(np.floor(y1)) + 1),
    )


def _onto(
    pixels: int, low: tuple[float, float], high: tuple[float, float], corner: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """From a picture's pixels to those of the canvas, counted from ``corner``; ``low`` and ``high`` are its edges."""
    sx, sy = ((b - a) / pixels for a, b in zip(low, high, strict=True))
    return np.array([[sx, 0, low[0] + 0.5 * sx - corner[0]], [0, sy, low[1] + 0.5 * sy - corner[1]]])


def _soft_square(square: tuple[int, int, int], size: tuple[int, int], pixels: int) -> F32:
    """1 inside, falling to 0 at its edges, but not at those that are the film's."""
    x, y, side = square
    at = (np.arange(pixels) + 0.5) / pixels
    edges = [
        smoothstep(0, _EDGE, at) if x > 0 else np.ones(pixels),
        smoothstep(0, _EDGE, 1 - at) if x + side < size[0] - 1 else np.ones(pixels),
        smoothstep(0, _EDGE, at) if y > 0 else np.ones(pixels),
        smoothstep(0, _EDGE, 1 - at) if y + side < size[1] - 1 else np.ones(pixels),
    ]
    return np.asarray((edges[2] * edges[3])[:, None] * (edges[0] * edges[1])[None], np.float32)
