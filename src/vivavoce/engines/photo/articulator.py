"""The talking part of a face, wherever it is painted: lips that part along a clean line, and what is seen between them.

A still portrait that sways and a film that is replayed use the same: both know, for each pixel of a frame, which place
of the still face it shows, and that is all that is asked for here.
"""

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.mouth import build_interior
from vivavoce.engines.photo.rig import PARAMETERS, Rig
from vivavoce.face import mesh as m
from vivavoce.face.geometry import Floats, sample, smoothstep
from vivavoce.face.mesh import FaceMesh

__all__ = ["Articulator", "fold_depth", "fold_map", "three"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_ROUND = PARAMETERS.index("round")
_JAW = PARAMETERS.index("jaw")
_LOWDROP = PARAMETERS.index("lowdrop")


def three(plane: F32) -> F32:
    """One plane for each colour."""
    return np.asarray(cv2.merge([plane, plane, plane]), np.float32)


def fold_depth(shape: F32) -> float:
    """By how much the nasolabial folds darken the skin, 0–0.1: they deepen as the mouth widens and opens."""
    values = dict(zip(PARAMETERS, shape, strict=True))
    return float(0.07 * min(max(0.8 * values["wide"] + values["smile"] + 0.35 * values["jaw"], 0.0), 1.5))


def fold_map(rig: Rig, face: Floats) -> F32:
    """Where the nasolabial folds darken the skin, 0–1: from the wings of the nose past the mouth's corners."""
    eye, mouth = rig.axes.eye, rig.axes.mouth
    out = np.zeros(face.shape[:2])
    for wing, corner, side in ((129, m.LEFT_CORNER, -1.0), (358, m.RIGHT_CORNER, 1.0)):
        a = rig.face[wing] + [side * 0.06 * eye, 0.0]
        b = rig.face[corner] + [side * 0.30 * mouth, 0.10 * mouth]
        along = b - a
        t = np.clip(((face - a) @ along) / (along @ along), -0.1, 1.25)
        middle = a + t[..., None] * along
        middle[..., 0] += side * 0.07 * eye * np.sin(np.pi * np.clip(t, 0, 1))
        distance = (face[..., 0] - middle[..., 0]) * side
        profile = np.where(
            distance > 0, np.exp(-((distance / (0.05 * eye)) ** 2)), np.exp(-((distance / (0.11 * eye)) ** 2))
        )
        profile *= np.exp(-(((face[..., 1] - middle[..., 1]) / (0.09 * eye)) ** 2))
        out += profile * smoothstep(-0.1, 0.25, t) * smoothstep(1.25, 0.7, t)
    return out.astype(np.float32)


class Articulator:
    """The rig's fields, contours and interior of one still face ``rgb`` ``(height, width, 3)``."""

    def __init__(self, rgb: Bytes, mesh: FaceMesh, rig: Rig, teeth: F32 | None = None) -> None:
        self.rig = rig
        self._interior = build_interior(rgb, mesh, rig, teeth)
        x0, y0, x1, y1 = rig.roi
        rows, columns = rig.upper.shape[1:3]
        self.origin = np.array([x0, y0], np.float32)
        self.scale = np.array([(columns - 1) / (x1 - 1 - x0), (rows - 1) / (y1 - 1 - y0)], np.float32)
        # numpy broadcasts a trailing axis of 2 slowly: these stand at full size
        self._cells = ((rig.grid - self.origin) * self.scale).astype(np.float32)
        self._scales = np.broadcast_to(self.scale, self._cells.shape).copy()
        face = rig.axes.to_face(rig.grid)
        seam = np.interp(face[..., 0], rig.face[list(m.INNER_UPPER), 0], self._seam())
        lower_share = smoothstep(-0.05 * rig.axes.eye, 0.05 * rig.axes.eye, face[..., 1] - seam)[..., None]
        shared = rig.upper * (1 - lower_share) + rig.lower * lower_share
        n = len(PARAMETERS)
        self._fields = np.stack([f.reshape(n, -1) for f in (shared, rig.upper, rig.lower)]).astype(np.float32)
        self._field_shape = (rows, columns, 2)

    def _seam(self) -> Floats:
        face = self.rig.face
        return np.asarray((face[list(m.INNER_UPPER), 1] + face[list(m.INNER_LOWER), 1]) / 2)

    def inverse_fields(self, shape: F32) -> list[F32]:
        """Shared, upper and lower field as backward displacement: d(x) = D(x - d(x)), by fixed-point steps."""
        out = []
        for basis, steps in zip(self._fields, (2, 3, 3), strict=True):  # lips need it exactly, cheeks do not
            backward = forward = (shape @ basis).reshape(self._field_shape)
            for _ in range(steps):
                backward = sample(forward, self._cells - backward * self._scales, cv2.BORDER_REPLICATE)
            out.append(backward)
        return out

    def cells(self, at: F32) -> F32:
        """Positions of the still face as positions in the fields."""
        return np.asarray((at - self.origin) * self.scale, np.float32)

    def lip_contours(self, shape: F32) -> tuple[Floats, Floats, float]:
        """Inner contours of both lips on the still face, ``(11, 2)`` pixels each, and the gap in E; never crossed."""
        rig = self.rig
        upper = rig.points[list(m.INNER_UPPER)] + np.einsum("npc,p->nc", rig.inner_upper, shape)
        lower = rig.points[list(m.INNER_LOWER)] + np.einsum("npc,p->nc", rig.inner_lower, shape)
        gap = (lower - upper) @ rig.axes.y
        crossed = gap < 0
        middle = (upper + lower) / 2
        upper[crossed], lower[crossed] = middle[crossed], middle[crossed]
        return upper, lower, float(max(gap.max(), 0) / rig.axes.eye)

    def lower_share(
        self, size: tuple[int, int], upper: Floats, lower: Floats, beside: F32, axes: tuple[Floats, Floats, float]
    ) -> F32:
        """Which pixels of a box of ``size`` (width, height) follow the lower lip, 0–1.

        Sharp along the line between the contours, soft ``beside`` it (1 is soft). ``axes``: the face's x and y and its
        eye distance as they lie in the box.
        """
        x, y, eye = axes
        middle = (upper + lower) / 2
        left, right = middle[:1] - 4 * eye * x, middle[-1:] + 4 * eye * x
        outline = np.vstack([left, middle, right, right + 4 * eye * y, left + 4 * eye * y])
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        window = max(3, int(0.10 * eye) | 1)
        soft = cv2.blur(mask, (window, window)).astype(np.float32)
        sharp = mask.astype(np.float32)
        return np.asarray((sharp + (soft - sharp) * beside) * np.float32(1 / 255))

    def paint_interior(
        self, image: Bytes, still: F32, upper: Floats, lower: Floats, shape: F32, tongue: float, eye: float
    ) -> None:
        """Paint on ``image`` what is seen between the contours, darker near their edges: light comes from the front.

        ``still`` ``(h, w, 2)`` are the places of the still face that the pixels show, ``eye`` the eye distance in the
        image.
        """
        outline = np.vstack([upper, lower[::-1]])
        height, width = image.shape[:2]
        x0, y0 = np.maximum(np.floor(outline.min(0)).astype(int) - 3, 0)
        x1, y1 = np.minimum(outline.max(0).astype(int) + 4, [width, height])
        if x1 <= x0 + 1 or y1 <= y0 + 1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round((outline - [x0, y0]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        alpha = cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.008 * eye)).astype(np.float32) * np.float32(1 / 255)
        inside = self._interior.paint(
            still[y0:y1, x0:x1],
            jaw=float(shape[_JAW]),
            rounded=float(np.clip(shape[_ROUND], 0, 1)),
            lowdrop=float(shape[_LOWDROP]),
            tongue=tongue,
        )
        # light comes from the front and a little from below: the upper lip shades the teeth, the lower hardly
        down = min(max(1, round(0.018 * eye)), y1 - y0)
        depth = np.asarray(cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.026 * eye)), np.float32)
        depth = np.vstack([np.zeros((down, x1 - x0), np.float32), depth[:-down]])
        inside *= three((0.40 + 0.60 * smoothstep(0.05, 0.85, depth)).astype(np.float32))
        part = image[y0:y1, x0:x1]
        part[:] = cv2.blendLinear(inside.astype(np.uint8), np.ascontiguousarray(part), alpha, 1 - alpha)
