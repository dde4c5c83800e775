"""A filmed picture on a canvas of any shape, framed once for the whole film: nothing but the person moves."""

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.footage import Footage, Take
from vivavoce.face.geometry import smoothstep
from vivavoce.face.mesh import FOREHEAD
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas

__all__ = ["ENLARGEMENT", "Screen"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_HEAD = 0.62
"""Height of hair above the forehead's landmark in eye distances, generously."""
_FACE_SHARE = 0.205
"""Wanted eye distance as a share of the canvas's height, as for portraits."""
_LARGEST_SHARE = 0.36
_EYE_LINE = 0.40
ENLARGEMENT = 1.5
"""What a face that is painted anew bears."""
_NEARLY = 0.8
_SOFT = 0.03
"""Of the canvas's longer side: how softly the film fades into its continued background."""


class Screen:
    """Which part of which reel fills the canvas, and where landmarks come to lie on it."""

    def __init__(self, footage: Footage, canvas: Canvas, enlargement: float = ENLARGEMENT) -> None:
        """``enlargement``: above this a face is not enlarged to take a better share of the canvas."""
        self._canvas = canvas
        width, height = footage.size
        scale, x, y = _framing(footage, canvas, enlargement)
        self.take = _take(footage, scale)
        reduction = self.take.width / width
        # the part of the reel that is shown, on whole pairs of pixels: colours come in half the resolution
        left, right = _span(-x / scale, (canvas.width - x) / scale, width)
        top, bottom = _span(-y / scale, (canvas.height - y) / scale, height)
        self._part = tuple(
            min(2 * round(v * reduction / 2), limit)
            for v, limit in zip((left, top, right, bottom), (self.take.width, self.take.height) * 2, strict=True)
        )
        a, b, c, d = self._part
        covers_x, covers_y = width * scale >= canvas.width - 1, height * scale >= canvas.height - 1
        self._size = (
            canvas.width if covers_x else 2 * round((c - a) / reduction * scale / 2),
            canvas.height if covers_y else 2 * round((d - b) / reduction * scale / 2),
        )
        self._at = (0 if covers_x else int(round(x / 2) * 2), 0 if covers_y else int(round(y / 2) * 2))
        self._scales = np.array([self._size[0] / (c - a), self._size[1] / (d - b)])
        self._reduction = np.array([self.take.width / width, self.take.height / height])
        self.scale = float((self._scales * self._reduction).mean())
        self._spare: list[Bytes] = []
        self._behind: tuple[Bytes, npt.NDArray[np.float32]] | None = None

    def to_canvas(self, points: npt.NDArray[np.floating]) -> Floats:
        """Pixels of the largest reel, ``(…, 2)``, as pixels of the canvas."""
        inside = (np.asarray(points, np.float64) + 0.5) * self._reduction - self._part[:2]
        return np.asarray(inside * self._scales + self._at - 0.5)

    def show(self, planes: Planes) -> Bytes:
        """A picture of ``take`` as it fills the canvas, RGB, a new array."""
        a, b, c, d = self._part
        width, height = self._size
        luma = _fitted(planes[0][b:d, a:c], (width, height), cv2.INTER_CUBIC)
        chroma = [
            _fitted(p[b // 2 : d // 2, a // 2 : c // 2], (width // 2, height // 2), cv2.INTER_LINEAR)
            for p in planes[1:]
        ]
        try:  # kept: fresh memory for every picture costs more than all that is done in it
            stacked = self._spare.pop()
        except IndexError:
            stacked = np.empty((height * 3 // 2, width), np.uint8)
        stacked[:height] = luma
        flat = stacked[height:].reshape(2, height // 2, width // 2) if height % 4 == 0 else None
        if flat is None:
            stacked[height:] = np.concatenate([p.ravel() for p in chroma]).reshape(-1, width)
        else:
            flat[0], flat[1] = chroma
        shown = np.asarray(cv2.cvtColor(stacked, cv2.COLOR_YUV2RGB_I420), np.uint8)
        self._spare.append(stacked)
        return shown if self._size == self._canvas.size else self._surrounded(shown)

    def _surrounded(self, shown: Bytes) -> Bytes:
        """The film before a background that continues its edges, blurred: the first picture's, to stay still."""
        x, y = self._at
        width, height = self._size
        canvas = self._canvas
        if self._behind is None:
            margins = (y, canvas.height - height - y, x, canvas.width - width - x)
            wide = cv2.copyMakeBorder(shown, *margins, cv2.BORDER_REPLICATE)
            small = cv2.resize(wide, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
            small = cv2.GaussianBlur(small, (0, 0), max(1.0, 0.03 * max(canvas.size) / 8))
            plate = np.asarray(cv2.resize(small, canvas.size, interpolation=cv2.INTER_LINEAR), np.uint8)
            soft = max(2.0, _SOFT * max(canvas.size))
            xs, ys = np.arange(width), np.arange(height)
            # only where a background goes on: an edge of the film that is one of the canvas stays as it is
            fade_x = np.minimum(_fade(xs, soft, x), _fade(width - 1 - xs, soft, canvas.width - width - x))
            fade_y = np.minimum(_fade(ys, soft, y), _fade(height - 1 - ys, soft, canvas.height - height - y))
            self._behind = plate, smoothstep(0, 1, np.minimum(fade_x[None], fade_y[:, None])).astype(np.float32)
        plate, alpha = self._behind
        frame = plate.copy()
        part = np.ascontiguousarray(frame[y : y + height, x : x + width])
        frame[y : y + height, x : x + width] = cv2.blendLinear(shown, part, alpha, 1 - alpha)
        return frame


def _fade(inwards: npt.NDArray[np.integer], soft: float, beyond: int) -> Floats:
    """Rises from an edge of the film inwards, if the canvas goes on ``beyond`` it."""
    return inwards / soft if beyond > 0 else np.ones(len(inwards))


def _fitted(plane: Bytes, size: tuple[int, int], how: int) -> Bytes:
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    if size[0] < 0.8 * plane.shape[1]:
        how = cv2.INTER_AREA
    return np.asarray(cv2.resize(plane, size, interpolation=how), np.uint8)


def _take(footage: Footage, scale: float) -> Take:
    """The smallest reel that need not be enlarged more than the largest would be."""
    width = footage.size[0]
    fitting = [take for take in footage.takes if take.width / width >= 0.97 * min(scale, 1.0)]
    return fitting[-1] if fitting else footage.takes[0]


def _span(low: float, high: float, length: int) -> tuple[float, float]:
    return max(0.0, low), min(float(length), high)


def _framing(footage: Footage, canvas: Canvas, enlargement: float) -> tuple[float, float, float]:
    """Scale and shift of the film: it covers the canvas if the head stays whole, its background is continued if not."""
    width, height = footage.size
    points = footage.track.points[footage.first : footage.last][footage.track.seen[footage.first : footage.last]]
    if not len(points):
        points = footage.track.points
    eye = footage.track.eye
    top = float(np.percentile(points[:, FOREHEAD, 1], 3)) - _HEAD * eye
    bottom = float(np.percentile(points[..., 1].max(axis=1), 97)) + 0.1 * eye
    sides = float(np.percentile(points[..., 0].min(axis=1), 8)), float(np.percentile(points[..., 0].max(axis=1), 92))
    eyes = np.median(points[:, [33, 263], :2].mean(axis=1), axis=0)
    fit_width, fit_height = canvas.width / width, canvas.height / height
    cover = max(fit_width, fit_height)
    # the largest at which the head stays whole wherever it goes
    whole = min(
        canvas.height / max(bottom - max(top, 0.0), 1.0), canvas.width / max(sides[1] - sides[0] + 0.5 * eye, 1.0)
    )
    whole = min(whole, _LARGEST_SHARE * max(canvas.size) / eye)
    if whole > _NEARLY * cover:  # an ear that leaves the picture now and then is better than a patched background
        whole = max(whole, cover)
    side = min(canvas.height, (canvas.width * canvas.height) ** 0.5)
    wanted = min(_FACE_SHARE * side / eye, max(enlargement, cover))
    scale = float(np.clip(max(wanted, cover), min(fit_width, fit_height), max(whole, min(fit_width, fit_height))))
    x = canvas.width / 2 - float(eyes[0]) * scale
    x = (
        float(np.clip(x, canvas.width - width * scale, 0))
        if width * scale >= canvas.width
        else (canvas.width - width * scale) / 2
    )
    if height * scale >= canvas.height:
        y = canvas.height * _EYE_LINE - float(eyes[1]) * scale
        y = max(y, 0.03 * canvas.height - top * scale)  # the hair stays whole
        y = float(np.clip(y, canvas.height - height * scale, 0))
    else:
        y = canvas.height - height * scale
    return scale, x, y
