"""One frame from one pose: a single resampling of the portrait, then the mouth again in full detail.

The coarse map joins head motion with the face's field and is enlarged once; the source lies at twice the canvas's
resolution, so that a bilinear sample of it is as sharp as a bicubic one and does not shimmer while the head sways.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.articulator import Articulator, fold_depth, fold_map, three
from vivavoce.engines.photo.eyes import Box, EyeMove, build_eyes
from vivavoce.engines.photo.fit import Portrait
from vivavoce.engines.photo.head import MOVES, STEP, build_head
from vivavoce.engines.photo.rig import build_rig
from vivavoce.face.geometry import Floats, sample, smoothstep

__all__ = ["Pose", "Renderer"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_SUPERSAMPLING = 2
_HOLD = 0.0045
"""Of E: the head waits until it would have moved by this much; half a pixel at 512 x 512. Nods are faster."""
_STILL = 0.0022
"""Of E: by how much the picture may lag behind the pose where it hardly moves; a quarter of a pixel at 512 x 512."""


@dataclass(frozen=True, slots=True)
class Pose:
    """What a face does at one moment."""

    shape: F32
    """Weights of the rig's parameters, ``(10,)``, see ``rig.PARAMETERS``."""
    tongue: float
    head: F32
    """Movements of ``head.MOVES``, ``(7,)``."""
    blink: float
    gaze: tuple[float, float] = (0.0, 0.0)
    """Shift of the irises in E, right and down."""


def _supersampled(portrait: Portrait) -> tuple[Bytes, Bytes]:
    """At twice the resolution: RGBA with colour times alpha, and the plain colours."""
    height, width = portrait.matte.shape
    size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    colours = np.asarray(cv2.resize(portrait.rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    matte = np.asarray(cv2.resize(portrait.matte, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    weighted = cv2.multiply(colours, cv2.cvtColor(matte, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return np.dstack([weighted, matte]).astype(np.uint8), colours


class Renderer:
    """A portrait on its canvas, ready to be posed. Not shared between threads: it owns scratch memory."""

    def __init__(self, portrait: Portrait) -> None:
        self._rig = rig = build_rig(portrait.rgb, portrait.mesh)
        self._head = build_head(rig, portrait.mesh, portrait.matte)
        self._articulator = Articulator(portrait.rgb, portrait.mesh, rig)
        height, width = portrait.matte.shape
        self._eyes = build_eyes(rig, (width, height))
        self.size = (width, height)
        self.mouth = rig.mouth
        self._still = np.float32(_STILL * rig.axes.eye)
        self._plate = portrait.plate
        self._composited = bool(portrait.matte.min() < 255)
        self._source, self._colours = _supersampled(portrait)
        self._covered = self._runs_within(portrait.matte)
        still = portrait.matte[..., None].astype(np.float32) / 255
        self._base = (portrait.plate + (portrait.rgb.astype(np.float32) - portrait.plate) * still).astype(np.uint8)
        self._probes = self._head.basis.reshape(len(MOVES), *self._head.grid.shape)[:, ::6, ::6].reshape(len(MOVES), -1)
        self._paintable = np.zeros(self._head.grid.shape[:2], bool)
        for x0, y0, x1, y1 in self._head.bands:
            self._paintable[y0 // STEP : -(-y1 // STEP), x0 // STEP : -(-x1 // STEP)] = True
        self._prepare_fields()
        self._prepare_mouth()
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next frame depends on its pose alone."""
        self._canvas = self._base.copy()
        self._sway: F32 | None = None
        self._painted = self._head.grid.copy()  # nothing has moved
        self._eyes_painted = (0.0,) * (3 + 4 * len(self._eyes))
        self._eye_boxes: list[Box] = []

    @property
    def base(self) -> Bytes:
        """The portrait at rest on its background."""
        return self._base

    # -- precomputation

    def _runs_within(self, matte: Bytes) -> dict[int, tuple[int, int]]:
        """By a band's top: the widest run of its columns that shows the person alone, however the head moves."""
        reach = 2 * max(STEP, round(0.09 * self._rig.axes.eye)) + 1
        solid = cv2.erode(matte, np.ones((reach, reach), np.uint8), borderValue=255) == 255
        runs = {}
        for _, y0, _, y1 in self._head.bands:
            gaps = np.flatnonzero(~solid[y0:y1].all(axis=0))
            bounds = np.concatenate([[-1], gaps, [matte.shape[1]]])
            widest = int(np.diff(bounds).argmax())
            runs[y0] = (int(bounds[widest]) + 1, int(bounds[widest + 1]))
        return runs

    def _prepare_fields(self) -> None:
        rig = self._rig
        x0, y0, x1, y1 = rig.roi
        # numpy broadcasts a trailing axis of 2 slowly: these stand at full size
        self._cell_origins = np.broadcast_to(self._articulator.origin, self._head.grid.shape).copy()
        self._cell_scales = np.broadcast_to(self._articulator.scale, self._head.grid.shape).copy()
        reach = 2 + round(0.3 * rig.axes.eye / STEP)  # a swaying head carries its face as far
        self._face_cells = (
            slice(max(y0 // STEP - reach, 0), y1 // STEP + reach),
            slice(max(x0 // STEP - reach, 0), x1 // STEP + reach),
        )

    def _prepare_mouth(self) -> None:
        """The box that is rendered at full resolution, its feather, the soft ends of the lip line, the folds."""
        axes, mouth = self._rig.axes, self._rig.axes.mouth
        x0, y0, x1, y1 = self._box = self._box_of(-1.6, -1.0, 1.6, 1.6)
        self._mouth_cells = (
            slice(max(y0 // STEP - 1, 0), y1 // STEP + 1),
            slice(max(x0 // STEP - 1, 0), x1 // STEP + 1),
        )
        xs, ys = np.arange(x0, x1), np.arange(y0, y1)
        fx = np.minimum(xs - x0, x1 - 1 - xs) / (0.10 * (x1 - x0))
        fy = np.minimum(ys - y0, y1 - 1 - ys) / (0.10 * (y1 - y0))
        self._feather = smoothstep(0, 1, np.minimum(fx[None], fy[:, None])).astype(np.float32)
        face = axes.to_face(np.stack(np.meshgrid(xs, ys), axis=-1))
        self._beside = smoothstep(0.93, 1.25, np.abs(face[..., 0]) / mouth).astype(np.float32)
        self._fold_box = a, b, c, d = self._box_of(-2.2, -1.5, 2.2, 1.0)
        around = np.stack(np.meshgrid(np.arange(a, c), np.arange(b, d)), axis=-1).astype(np.float64)
        self._folds = three(fold_map(self._rig, axes.to_face(around)))

    def _box_of(self, left: float, top: float, right: float, bottom: float) -> Box:
        """A box around the mouth, in half mouth widths, on whole cells of the coarse grid and on the canvas."""
        axes = self._rig.axes
        corners = axes.to_pixels(np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) * axes.mouth)
        whole = [v // STEP * STEP for v in self.size]
        low = np.clip(np.floor(corners.min(0) / STEP).astype(int) * STEP, 0, whole)
        high = np.clip(np.ceil(corners.max(0) / STEP).astype(int) * STEP, 0, whole)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    # -- one frame

    def render(self, pose: Pose) -> Bytes:
        """RGB ``(height, width, 3)``; a new array each time."""
        shared, upper, lower = self._articulator.inverse_fields(pose.shape)
        head = self._head
        sway = self._sway
        if sway is None or np.abs((pose.head - sway) @ self._probes).max() > _HOLD * self._rig.axes.eye:
            self._sway = sway = pose.head
        swayed = head.grid - (sway @ head.basis).reshape(head.grid.shape)
        at = (swayed - self._cell_origins) * self._cell_scales
        coarse = swayed.copy()
        coarse[self._face_cells] -= sample(shared, at[self._face_cells])
        frame = self._paint_person(coarse, swayed, pose).copy()
        near = self._mouth_cells
        self._paint_mouth(frame, swayed, sample(upper, at[near]), sample(lower, at[near]), pose)
        self._paint_folds(frame, pose)
        return frame

    def _enlarged(self, coarse: F32, box: tuple[int, int, int, int]) -> F32:
        """The coarse map at full resolution in a box whose corner lies on the coarse grid."""
        x0, y0, x1, y1 = box
        rows, columns = coarse.shape[:2]
        r0, c0 = max(0, y0 // STEP - 1), max(0, x0 // STEP - 1)
        r1, c1 = min(rows, -(-y1 // STEP) + 1), min(columns, -(-x1 // STEP) + 1)
        part = np.ascontiguousarray(coarse[r0:r1, c0:c1])
        size = ((c1 - c0) * STEP, (r1 - r0) * STEP)
        full = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)
        dx, dy = x0 - c0 * STEP, y0 - r0 * STEP
        return full[dy : dy + y1 - y0, dx : dx + x1 - x0]

    def _source_at(self, at: F32) -> Bytes:
        """The portrait at canvas positions; pixel centres of the doubled source lie at 2 (x + 1/2) - 1/2."""
        moved = at * np.float32(_SUPERSAMPLING) + np.float32((_SUPERSAMPLING - 1) / 2)
        return np.asarray(sample(self._colours, moved, cv2.BORDER_REPLICATE), np.uint8)

    def _paint_person(self, coarse: F32, swayed: F32, pose: Pose) -> Bytes:
        """The person on the background, kept from frame to frame: only what has moved is painted again."""
        moved = np.abs(coarse - self._painted)
        stale = ((moved[..., 0] > self._still) | (moved[..., 1] > self._still)) & self._paintable
        eyes, changed = self._eyes_now(swayed, pose)
        for x0, y0, x1, y1 in changed:
            stale[y0 // STEP : -(-y1 // STEP), x0 // STEP : -(-x1 // STEP)] = True
        if not stale.any():
            return self._canvas
        near = np.asarray(cv2.dilate(stale.astype(np.uint8), np.ones((3, 3), np.uint8)), bool)
        boxes = []
        for x0, y0, x1, y1 in self._head.bands:
            columns = np.flatnonzero(near[y0 // STEP : -(-y1 // STEP), x0 // STEP : -(-x1 // STEP)].any(axis=0))
            if len(columns):
                left, right = x0 + int(columns[0]) * STEP, min(x0 + (int(columns[-1]) + 1) * STEP, x1)
                boxes.append((left, y0, right, y1))
        doubled = coarse * np.float32(_SUPERSAMPLING) + np.float32((_SUPERSAMPLING - 1) / 2)
        for box in boxes:
            x0, y0, x1, y1 = box
            at = self._enlarged(doubled, box)
            near_eyes = [e for e in eyes if e.box[1] < y1 and e.box[3] > y0]
            for eye in near_eyes:
                eye.add(at, box, _SUPERSAMPLING)
            self._paint_band(box, at)
            for eye in near_eyes:
                eye.shade(self._canvas, box)
            self._painted[y0 // STEP : -(-y1 // STEP), x0 // STEP : -(-x1 // STEP)] = coarse[
                y0 // STEP : -(-y1 // STEP), x0 // STEP : -(-x1 // STEP)
            ]
        return self._canvas

    def _paint_band(self, box: Box, at: F32) -> None:
        x0, y0, x1, y1 = box
        image = sample(self._source, at, cv2.BORDER_REPLICATE)
        person = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        part = self._canvas[y0:y1, x0:x1]
        part[:] = person
        for left, right in self._edges(box):
            # the source is premultiplied: person + plate * (255 - alpha) / 255
            alpha = np.ascontiguousarray(image[:, left:right, 3])
            behind = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
            behind = cv2.multiply(self._plate[y0:y1, x0 + left : x0 + right], behind, dst=behind, scale=1 / 255)
            part[:, left:right] = cv2.add(np.ascontiguousarray(person[:, left:right]), behind, dst=behind)

    def _edges(self, box: Box) -> list[tuple[int, int]]:
        """Columns of a box, from its left, where background may show: beside the run that only the person covers."""
        x0, y0, x1, _ = box
        inner = self._covered.get(y0)
        if not self._composited:
            return []
        if inner is None or inner[1] - inner[0] < 8 * STEP:
            return [(0, x1 - x0)]
        left, right = (min(max(v - x0, 0), x1 - x0) for v in inner)
        return [(a, b) for a, b in ((0, left), (right, x1 - x0)) if b > a]

    def _eyes_now(self, swayed: F32, pose: Pose) -> tuple[list[EyeMove], list[Box]]:
        """How the eyes move the map, and where they have to be painted again for it."""
        level = min(max(pose.blink, 0.0), 1.0)
        gaze = np.asarray(pose.gaze, np.float32) * np.float32(self._rig.axes.eye * (1 - min(level * 2, 1.0)))
        gaze = self._rig.axes.turn(gaze).astype(np.float32)
        moves, boxes = [], []
        for eye in self._eyes:
            x0, y0, x1, y1 = eye.box
            cell = ((y0 + y1) // 2 // STEP, (x0 + x1) // 2 // STEP)
            dx, dy = (int(v) for v in np.round(self._head.grid[cell] - swayed[cell]))
            box = (x0 + dx, y0 + dy, x1 + dx, y1 + dy)
            boxes.append(box)
            moves.append(EyeMove(eye, box, level, gaze))
        now = (level, *(float(v) for v in gaze), *(v for box in boxes for v in box))
        before = self._eyes_painted
        changed = abs(now[0] - before[0]) > 0.01 or max(abs(now[1] - before[1]), abs(now[2] - before[2])) > self._still
        if not changed and (now[3:] == before[3:] or not (level or gaze.any())):
            return moves, []
        width, height = self.size
        stale = [(max(a, 0), max(b, 0), min(c, width), min(d, height)) for a, b, c, d in (*boxes, *self._eye_boxes)]
        self._eyes_painted, self._eye_boxes = now, boxes
        return moves, stale

    def lip_contours(self, shape: F32) -> tuple[Floats, Floats, float]:
        """Inner contours of both lips before head motion; see ``Articulator``."""
        return self._articulator.lip_contours(shape)

    def _paint_mouth(self, frame: Bytes, swayed: F32, upper_field: F32, lower_field: F32, pose: Pose) -> None:
        x0, y0, x1, y1 = self._box
        near = self._mouth_cells
        local = (x0 - near[1].start * STEP, y0 - near[0].start * STEP)
        box = (*local, local[0] + x1 - x0, local[1] + y1 - y0)
        still, upper_move, lower_move = (self._enlarged(f, box) for f in (swayed[near], upper_field, lower_field))
        upper, lower, gap = self.lip_contours(pose.shape)
        upper, lower = self._swayed(upper, swayed) - [x0, y0], self._swayed(lower, swayed) - [x0, y0]
        axes = self._rig.axes
        size = (x1 - x0, y1 - y0)
        share = self._articulator.lower_share(size, upper, lower, self._beside, (axes.x, axes.y, axes.eye))
        move = upper_move + (lower_move - upper_move) * cv2.merge([share, share])
        image = self._source_at(still - move)
        if gap > 0.25 / axes.eye:
            self._articulator.paint_interior(image, still, upper, lower, pose.shape, pose.tongue, axes.eye)
        target = np.ascontiguousarray(frame[y0:y1, x0:x1])
        frame[y0:y1, x0:x1] = cv2.blendLinear(image, target, self._feather, 1 - self._feather)

    def _paint_folds(self, frame: Bytes, pose: Pose) -> None:
        """The folds beside the mouth deepen as it widens and opens."""
        fold = fold_depth(pose.shape)
        x0, y0, x1, y1 = self._fold_box
        part = np.ascontiguousarray(frame[y0:y1, x0:x1])
        frame[y0:y1, x0:x1] = cv2.multiply(part, 1 - np.float32(fold) * self._folds, dtype=cv2.CV_8U)

    def _swayed(self, points: Floats, swayed: F32) -> Floats:
        """Where points of the still face come to lie."""
        at = ((points + 0.5) / STEP - 0.5).astype(np.float32)[None]
        moved = sample(self._head.grid - swayed, at, cv2.BORDER_REPLICATE)[0]
        return np.asarray(points + moved)
