"""One frame of a replayed film: the picture as it was filmed, with a lower face that says what it is told to.

Two things are laid over the picture, both through one spline that carries the reference's face to the picture's. The
picture's own jaw and throat are drawn to where they belong at this moment, fading out around the face; on them lies
the reference's lower face, moved by the same rig as a portrait's, in the light of the picture. What lies outside
stays as it was filmed, pixel for pixel.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.articulator import Articulator, fold_depth, fold_map
from vivavoce.engines.photo.eyes import Box
from vivavoce.engines.photo.rig import PARAMETERS, build_rig
from vivavoce.engines.photo.shoot import controls, spline
from vivavoce.face import mesh as m
from vivavoce.face.footage import LIGHT, Footage
from vivavoce.face.geometry import FaceAxes, Floats, sample, smoothstep
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.screen import Screen
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas

__all__ = ["Replay"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_GRID = 48
"""Cells along each side of the reference in which the spline is evaluated."""
_SEEN = 0.06
"""Pixels: what is drawn by less is left as it was filmed."""
_SUPERSAMPLING = 2
_STRETCHED = 0.28
"""Share of its area that the reference may have where it is pulled wide; twice that is shown in full."""
_TOP_X = (-0.52, -0.36, -0.18, 0.0, 0.18, 0.36, 0.52)
_TOP_Y = (0.06, -0.01, 0.04, 0.07, 0.04, -0.01, 0.06)
"""The upper edge of what is laid over a picture, in eye distances from the nose's base: it leaves the nose alone."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reference's face lies in one picture, on the canvas."""

    box: Box
    still: F32
    """Coarse grid of the box: places of the reference, ``(rows, columns, 2)``."""
    grid: F32
    """The same grid in pixels of the canvas."""
    rest: F32
    """Grid of the reference: where it lies at rest, pixels of the canvas."""
    drawn: F32
    """From there to where the picture itself shows it."""
    sure: F32
    """1 where the coarse grid's places are right, 0 beside a turned face, where there are none; ``(rows, columns)``."""


class Replay:
    """A film on a canvas, ready to speak. Not shared between threads."""

    def __init__(self, footage: Footage, canvas: Canvas) -> None:
        self.screen = Screen(footage, canvas)
        self.footage = footage
        self.size = canvas.size
        scale = self.screen.scale
        mesh = footage.mesh
        small = _resized(footage.reference, scale)
        height, width = small.shape[:2]
        self._reach = (width, height)
        self._mesh = mesh.moved(scale, ((scale - 1) / 2, (scale - 1) / 2))
        self.rig = build_rig(small, self._mesh)
        self.mouth = self.rig.mouth
        self._articulator = Articulator(small, self._mesh, self.rig, footage.teeth)
        eye = self.rig.axes.eye
        self._step = 8 if eye >= 100 else 4
        colours = _resized(footage.reference, scale * _SUPERSAMPLING, (width, height))
        mask = cv2.resize(_mask(small.shape[:2], self._mesh), colours.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        self._colours = np.dstack([colours, mask]).astype(np.uint8)
        xs, ys = np.arange(width), np.arange(height)
        face = self.rig.axes.to_face(np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float64))
        self._folds = fold_map(self.rig, face)
        across = np.linspace(0, width - 1, _GRID), np.linspace(0, height - 1, _GRID)
        nodes = np.stack(np.meshgrid(*across), axis=-1)
        self._cells = np.array([(_GRID - 1) / (width - 1), (_GRID - 1) / (height - 1)], np.float32)
        self._light_cells = np.array([LIGHT / width, LIGHT / height], np.float32)
        self._spline = spline(self._mesh, nodes.reshape(-1, 2))
        self._window = _window(nodes, self._mesh)
        self._masked = _bounds(self._colours[..., 3] > 0) // _SUPERSAMPLING
        self._anchors = np.hstack([controls(self._mesh.points[None, :, :2])[0], np.ones((self._spline.shape[1], 1))])
        self._placed = lru_cache(maxsize=256)(self._place)

    def render(self, number: int, planes: Planes, shape: F32, tongue: float) -> Bytes:
        """RGB ``(height, width, 3)``: picture ``number`` of the film, whose ``planes`` are given."""
        frame = self.screen.show(planes)
        weight = float(self.footage.weight[number])
        if weight <= 0:
            return frame
        place = self._placed(number)
        if place is None:
            return frame
        shape = shape * np.float32(weight)
        shared, upper, lower = self._articulator.inverse_fields(shape)
        moved = place.still - sample(shared, self._articulator.cells(place.still))
        self._draw(frame, place, moved, weight)
        self._lay(frame, place, moved, (upper, lower), number, shape, tongue, weight)
        return frame

    def at_rest(self, number: int, planes: Planes) -> Bytes:
        """The picture with its mouth shut."""
        return self.render(number, planes, np.zeros(len(PARAMETERS), np.float32), 0.0)

    # -- where things are

    def _place(self, number: int) -> _Place | None:
        target = self.screen.to_canvas(controls(self.footage.rest[number : number + 1]))[0]
        filmed = self.screen.to_canvas(controls(self.footage.track.points[number : number + 1, :, :2]))[0]
        rest_grid = (self._spline @ target.astype(np.float32)).reshape(_GRID, _GRID, 2)
        affine = np.linalg.lstsq(self._anchors, target, rcond=None)[0]
        eye = float(np.hypot(*affine[0])) * self.rig.axes.eye
        margin = np.array([0.45, 0.45]) * eye
        low, high = target.min(0) - margin, target.max(0) + margin
        step = self._step
        x0, y0 = np.maximum(np.floor(low / step).astype(int) * step, 0)
        x1, y1 = np.minimum(np.ceil(high / step).astype(int) * step, [v // step * step for v in self.size])
        if x1 - x0 < 4 * step or y1 - y0 < 4 * step:
            return None
        xs, ys = np.arange(x0, x1, step) + (step - 1) / 2, np.arange(y0, y1, step) + (step - 1) / 2
        grid = np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)
        back = np.linalg.inv(affine[:2])
        still = ((grid - affine[2]) @ back).astype(np.float32)
        for _ in range(5):
            inside = ((still >= 0) & (still <= np.array(self._reach, np.float32) - 1)).all(axis=-1, keepdims=True)
            error = grid - sample(rest_grid, still * self._cells, cv2.BORDER_REPLICATE)
            still += ((error * inside) @ back).astype(np.float32)
        error = np.abs(grid - sample(rest_grid, still * self._cells, cv2.BORDER_REPLICATE)).max(axis=-1)
        inside = ((still >= 0) & (still <= np.array(self._reach, np.float32) - 1)).all(axis=-1)
        right = ((error < 0.02 * eye) & inside).astype(np.uint8)
        # what the reference shows from the side only would be pulled into streaks
        across, down = np.gradient(still, axis=1), np.gradient(still, axis=0)
        shown = np.abs(across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]) * _scale_of(affine) / step**2
        right = right * smoothstep(_STRETCHED, 2 * _STRETCHED, shown)
        sure = cv2.blur(cv2.erode(right.astype(np.float32), np.ones((3, 3), np.uint8)), (3, 3))
        drawn = (self._spline @ (filmed - target).astype(np.float32)).reshape(_GRID, _GRID, 2)
        return _Place((int(x0), int(y0), int(x1), int(y1)), still, grid, rest_grid, drawn, np.asarray(sure, np.float32))

    def _enlarged(self, coarse: npt.NDArray[np.float32], cells: Box) -> F32:
        """Cells (x0, y0, x1, y1) of a coarse map at full resolution."""
        x0, y0, x1, y1 = cells
        rows, columns = coarse.shape[:2]
        r0, c0, r1, c1 = max(y0 - 1, 0), max(x0 - 1, 0), min(y1 + 1, rows), min(x1 + 1, columns)
        part = np.ascontiguousarray(coarse[r0:r1, c0:c1])
        step = self._step
        full = cv2.resize(part, ((c1 - c0) * step, (r1 - r0) * step), interpolation=cv2.INTER_LINEAR)
        top, left = (y0 - r0) * step, (x0 - c0) * step
        return np.asarray(full[top : top + (y1 - y0) * step, left : left + (x1 - x0) * step], np.float32)

    def _pixels(self, place: _Place, cells: Box) -> tuple[slice, slice]:
        """Rows and columns of the canvas that cells of a place cover."""
        x0, y0, x1, y1 = (v * self._step for v in cells)
        left, top = place.box[:2]
        return slice(top + y0, top + y1), slice(left + x0, left + x1)

    # -- what is painted

    def _draw(self, frame: Bytes, place: _Place, moved: F32, weight: float) -> None:
        """The picture's own jaw, throat and cheeks, drawn to where they belong."""
        window = sample(self._window, place.still * self._cells) * place.sure
        # as differences, so that the spline's own errors cancel
        then, now = place.still * self._cells, moved * self._cells
        move = sample(place.drawn, now, cv2.BORDER_REPLICATE)
        move += sample(place.rest, now, cv2.BORDER_REPLICATE) - sample(place.rest, then, cv2.BORDER_REPLICATE)
        move *= (window * np.float32(weight))[..., None]
        cells = _bounds(np.abs(move).max(axis=-1) > _SEEN, margin=1)
        if cells[2] <= cells[0]:
            return
        box = (int(cells[0]), int(cells[1]), int(cells[2]), int(cells[3]))
        at = self._enlarged(place.grid + move, box)
        # the stubs demand a second map, which a map of pairs does not have
        drawn = cv2.remap(frame, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        frame[self._pixels(place, box)] = drawn

    def _lay(
        self,
        frame: Bytes,
        place: _Place,
        moved: F32,
        fields: tuple[F32, F32],
        number: int,
        shape: F32,
        tongue: float,
        weight: float,
    ) -> None:
        """The reference's lower face, lit like the picture, with parted lips and what lies between them."""
        x0, y0, x1, y1 = self._masked
        inside = (moved[..., 0] >= x0) & (moved[..., 0] <= x1) & (moved[..., 1] >= y0) & (moved[..., 1] <= y1)
        bounds = _bounds(inside, margin=1)
        if bounds[2] <= bounds[0]:
            return
        cells = (int(bounds[0]), int(bounds[1]), int(bounds[2]), int(bounds[3]))
        image = self._source_at(self._enlarged(moved, cells))
        alpha = cv2.extractChannel(image, 3).astype(np.float32) * np.float32(weight / 255)
        alpha = np.asarray(cv2.multiply(alpha, self._enlarged(place.sure, cells)), np.float32)
        patch = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), np.uint8)
        lips = self._lips(patch, place, cells, fields, shape)
        still = place.still
        light = sample(self.footage.light[number], (still + 0.5) * self._light_cells - 0.5, cv2.BORDER_REPLICATE)
        patch = np.asarray(cv2.add(patch, self._enlarged(light, cells), dtype=cv2.CV_8U), np.uint8)
        fold = fold_depth(shape)
        if fold > 0.01:
            folds = sample(self._folds, self._enlarged(moved, cells))
            patch = np.asarray(cv2.multiply(patch, cv2.merge([1 - np.float32(fold) * folds] * 3), dtype=cv2.CV_8U))
        if lips is not None:
            upper, lower, near, eye = lips
            self._articulator.paint_interior(
                patch[near], self._near(place.still, cells)[near], upper, lower, shape, tongue, eye
            )
        sigma = float(self.footage.blur[number]) * self.rig.axes.eye
        if sigma > 0.35:
            patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), sigma), np.uint8)
        rows, columns = self._pixels(place, cells)
        below = np.ascontiguousarray(frame[rows, columns])
        frame[rows, columns] = cv2.blendLinear(patch, below, alpha, 1 - alpha)

    def _near(self, still: F32, cells: Box) -> F32:
        return self._enlarged(still, cells)

    def _source_at(self, at: F32) -> Bytes:
        moved = at * np.float32(_SUPERSAMPLING) + np.float32((_SUPERSAMPLING - 1) / 2)
        return np.asarray(sample(self._colours, moved, cv2.BORDER_REPLICATE), np.uint8)

    def _lips(
        self, patch: Bytes, place: _Place, cells: Box, fields: tuple[F32, F32], shape: F32
    ) -> tuple[Floats, Floats, tuple[slice, slice], float] | None:
        """Paint the lips in full detail, sharp along their line; gives their contours if they are apart."""
        axes = self.rig.axes
        corners = axes.to_pixels(np.array([[-1.6, -1.0], [1.6, -1.0], [-1.6, 1.6], [1.6, 1.6]]) * axes.mouth)
        origin = np.array(place.box[:2])
        around = (self._laid(corners, place) - origin) / self._step
        low = np.clip(np.floor(around.min(0)).astype(int), cells[:2], cells[2:])
        high = np.clip(np.ceil(around.max(0)).astype(int), cells[:2], cells[2:])
        if (high - low < 2).any():
            return None
        box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        near = place.still[low[1] : high[1], low[0] : high[0]]
        at = self._articulator.cells(near)
        still = self._enlarged(place.still, box)
        whole = (0, 0, box[2] - box[0], box[3] - box[1])
        upper_move, lower_move = (self._enlarged(sample(f, at), whole) for f in fields)
        top_left = origin + low * self._step
        upper, lower, gap = self._articulator.lip_contours(shape)
        upper, lower = self._laid(upper, place) - top_left, self._laid(lower, place) - top_left
        x, y, eye = self._axes_there(upper, lower)
        beside = smoothstep(0.93, 1.25, np.abs((still - axes.origin) @ axes.x) / axes.mouth).astype(np.float32)
        size = (still.shape[1], still.shape[0])
        share = self._articulator.lower_share(size, upper, lower, beside, (x, y, eye))
        move = upper_move + (lower_move - upper_move) * cv2.merge([share, share])
        image = np.asarray(cv2.cvtColor(self._source_at(still - move), cv2.COLOR_RGBA2RGB), np.uint8)
        feather = _feather(size)
        offset = (low - np.array(cells[:2])) * self._step
        rows, columns = slice(offset[1], offset[1] + size[1]), slice(offset[0], offset[0] + size[0])
        patch[rows, columns] = cv2.blendLinear(image, np.ascontiguousarray(patch[rows, columns]), feather, 1 - feather)
        return (upper, lower, (rows, columns), eye) if gap > 0.25 / axes.eye else None

    def _laid(self, points: Floats, place: _Place) -> Floats:
        """Where points of the reference lie on the canvas."""
        at = (np.asarray(points, np.float32) * self._cells)[None]
        return np.asarray(sample(place.rest, at, cv2.BORDER_REPLICATE)[0], np.float64)

    def _axes_there(self, upper: Floats, lower: Floats) -> tuple[Floats, Floats, float]:
        """The face's x, y and eye distance in the picture, from the ends of the lips' contours."""
        across = (upper[-1] + lower[-1] - upper[0] - lower[0]) / 2
        width = max(float(np.hypot(*across)), 1e-3)
        x = across / width
        turned = float(self.rig.axes.x[0] * self.rig.axes.y[1] - self.rig.axes.x[1] * self.rig.axes.y[0])
        y = np.array([-x[1], x[0]]) * np.sign(turned)
        own = self.rig.points[[m.INNER_UPPER[0], m.INNER_UPPER[-1]]]
        return x, y, float(self.rig.axes.eye * width / max(float(np.hypot(*(own[1] - own[0]))), 1e-3))


def _scale_of(affine: Floats) -> float:
    """Area on the canvas over area on the reference."""
    return float(abs(np.linalg.det(affine[:2])))


def _resized(image: Bytes, scale: float, of: tuple[int, int] | None = None) -> Bytes:
    height, width = image.shape[:2]
    size = (round(width * scale), round(height * scale)) if of is None else tuple(v * _SUPERSAMPLING for v in of)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _bounds(mask: npt.NDArray[np.bool_], margin: int = 0) -> npt.NDArray[np.intp]:
    """x0, y0, x1, y1 around what is true; nothing gives zeros."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.intp)
    height, width = mask.shape
    return np.array(
        [
            max(columns[0] - margin, 0),
            max(rows[0] - margin, 0),
            min(columns[-1] + 1 + margin, width),
            min(rows[-1] + 1 + margin, height),
        ]
    )


@lru_cache(maxsize=64)
def _feather(size: tuple[int, int]) -> F32:
    """1 in the middle of a box, 0 at its borders."""
    width, height = size
    xs, ys = np.arange(width), np.arange(height)
    fx = np.minimum(xs, width - 1 - xs) / (0.10 * width)
    fy = np.minimum(ys, height - 1 - ys) / (0.10 * height)
    return smoothstep(0, 1, np.minimum(fx[None], fy[:, None])).astype(np.float32)


def _mask(size: tuple[int, int], mesh: FaceMesh) -> Bytes:
    """The part of the reference that is laid over the picture, 0–255: from under the nose to just inside the jaw."""
    axes = FaceAxes.of(mesh)
    eye = axes.eye
    face = axes.to_face(mesh.points[:, :2]) / eye
    nose = float(face[2, 1])
    centre = np.array([0.0, 0.05])
    jaw = face[list(m.OVAL)]
    jaw = centre + 0.93 * (jaw[jaw[:, 1] > nose + 0.12] - centre)
    # OVAL runs clockwise from the top: the jaw comes from the picture's right, over the chin, to its left
    top = np.array([[x, y] for x, y in zip(_TOP_X, _TOP_Y, strict=True)])
    top[:, 1] += nose
    outline = axes.to_pixels(np.vstack([top, jaw]) * eye)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(
        mask, [np.round(cv2.convexHull(outline.astype(np.float32))[:, 0] * 16).astype(np.int32)], 255, cv2.LINE_AA, 4
    )
    nostrils = axes.to_pixels(np.vstack([top[1:6], [[0.40, nose - 0.3], [-0.40, nose - 0.3]]]) * eye)
    cv2.fillPoly(mask, [np.round(nostrils * 16).astype(np.int32)], 0, cv2.LINE_AA, 4)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.045 * eye), np.float32) / 255
    return np.asarray(smoothstep(0.1, 0.9, soft) * 255 + 0.5, np.uint8)


def _window(nodes: Floats, mesh: FaceMesh) -> F32:
    """How much of the picture around the face may be drawn along, 0–1, on the reference's grid."""
    axes = FaceAxes.of(mesh)
    face = axes.to_face(nodes) / axes.eye
    outline = (axes.to_face(mesh.points[list(m.OVAL), :2]) / axes.eye).astype(np.float32)
    flat = face.reshape(-1, 2)
    distance = np.array([-cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in flat])
    reach = 0.20 + 0.22 * smoothstep(0.3, 0.6, flat[:, 1])  # the throat has more room than the cheeks
    window = 1 - smoothstep(0.0, 1.0, (distance - 0.03) / reach)
    window = window * smoothstep(-0.57, -0.40, flat[:, 1])
    return np.ascontiguousarray(window.reshape(nodes.shape[:2]), np.float32)
