"""The rig: how every point of a face moves with each parameter, as two displacement fields.

One field is fitted without the lower lip, one without the upper, so that the lips can part along a clean line with
no triangles and no tearing. Amplitudes are in eye distances E and half mouth widths; they were found by trial on
portraits, paintings and renders.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.lips import Mouth, refine_lips
from vivavoce.face import mesh as m
from vivavoce.face.geometry import FaceAxes, Floats, falloff, smoothstep, thin_plate
from vivavoce.face.mesh import FaceMesh

__all__ = ["JAW_DROP", "MEETING", "PARAMETERS", "Rig", "build_rig"]

PARAMETERS = ("jaw", "wide", "round", "press", "lowdrop", "tuck", "upraise", "smile", "brow", "close")
_INDEX = {name: i for i, name in enumerate(PARAMETERS)}
JAW_DROP = 0.20
"""Drop of the chin at full jaw, in E; more looks like shouting."""
MEETING = 0.65
"""Where parted lips meet, from the upper to the lower: the upper lip has the longer way."""
_GRID = (56, 64)
_UPPER = np.array(sorted({*m.INNER_UPPER, *m.OUTER_UPPER, *m.BETWEEN_UPPER[0], *m.BETWEEN_UPPER[1]}))
_LOWER = np.array(sorted({*m.INNER_LOWER, *m.OUTER_LOWER, *m.BETWEEN_LOWER[0], *m.BETWEEN_LOWER[1]}))
_CORNERS = np.array([61, 291, 76, 306, 62, 292, 78, 308])
_BROWS = np.array([*m.LEFT_BROW, *m.RIGHT_BROW])


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything about a face's shape that rendering needs, in pixels of the canvas."""

    axes: FaceAxes
    points: Floats
    """Landmarks after the lip line was refined, ``(468, 2)``."""
    face: Floats
    """The same in face coordinates."""
    roi: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the region that the fields cover."""
    upper: npt.NDArray[np.float32]
    """Field without the lower lip, ``(n_parameters, grid_height, grid_width, 2)``, pixels; forward displacement."""
    lower: npt.NDArray[np.float32]
    inner_upper: npt.NDArray[np.float32]
    """Displacement of the inner contour of the upper lip, ``(11, n_parameters, 2)``, pixels."""
    inner_lower: npt.NDArray[np.float32]
    mouth: Mouth
    """How the picture shows it."""

    @property
    def grid(self) -> Floats:
        """Pixel positions of the fields' grid, ``(grid_height, grid_width, 2)``."""
        return _grid(self.roi)


def _grid(roi: tuple[int, int, int, int]) -> Floats:
    x0, y0, x1, y1 = roi
    xs, ys = np.linspace(x0, x1 - 1, _GRID[0]), np.linspace(y0, y1 - 1, _GRID[1])
    return np.stack(np.meshgrid(xs, ys), axis=-1)


def _displacements(face: Floats, axes: FaceAxes, mouth_shown: Mouth) -> tuple[Floats, Floats]:
    """How each vertex moves for each parameter at 1: upper and lower field, ``(468, n_parameters, 2)``, face frame."""
    eye, mouth = axes.eye, axes.mouth
    x, y = face[:, 0], face[:, 1]
    sx = np.clip(x / mouth, -1, 1)
    dome = np.clip(1 - sx**2, 0, 1) ** 0.75  # 1 in the middle of the lips, 0 at the corners
    reach = np.where(y < 0, np.minimum(0.22 * eye, 1.1 * mouth), 0.36 * eye)  # the nose stays out of it
    near = np.exp(-(((x / (1.6 * mouth)) ** 2 + (y / reach) ** 2) ** 1.5))
    below = falloff(x, 0.56 * eye, 2.6) * smoothstep(-0.08 * eye, 0.14 * eye, y)
    cheek = np.exp(-(((np.abs(x) - 1.9 * mouth) / (0.9 * mouth)) ** 2 + ((y - 0.05 * eye) / (0.45 * eye)) ** 2))
    drop = JAW_DROP * eye
    inner_u, inner_l = np.array(m.INNER_UPPER), np.array(m.INNER_LOWER)

    upper, lower = np.zeros((468, len(PARAMETERS), 2)), np.zeros((468, len(PARAMETERS), 2))
    for field in (upper, lower):
        jaw, wide, rounded, smile = (field[:, _INDEX[k]] for k in ("jaw", "wide", "round", "smile"))
        jaw[:, 1] = drop * below * 0.95
        jaw[:, 0] = -np.sign(x) * cheek * 0.030 * eye  # the cheek is drawn in as the jaw goes down
        wide[:, 0] = near * np.sign(x) * np.minimum(np.abs(x) / mouth, 1.2) * 0.13 * mouth
        wide[:, 1] = -near * 0.02 * eye * np.abs(sx)
        wide[:, 1] -= cheek * 0.012 * eye
        rounded[:, 0] = -near * np.clip(x / mouth, -1.2, 1.2) * 0.42 * mouth - np.sign(x) * cheek * 0.02 * eye
        smile[:, 0] = near * np.sign(x) * sx**2 * 0.10 * mouth
        smile[:, 1] = -near * sx**2 * 0.06 * eye - cheek * 0.025 * eye
        field[_BROWS, _INDEX["brow"], 1] = -0.05 * eye
        field[y < -0.05 * eye, _INDEX["jaw"], 1] = 0.0

    k = _INDEX["jaw"]
    upper[_UPPER, k, 1] = drop * (0.20 * (1 - dome[_UPPER]) - 0.05 * dome[_UPPER])
    lower[_LOWER, k, 1] = drop * (0.20 + 0.80 * dome[_LOWER])
    for field, lip in ((upper, _UPPER), (lower, _LOWER)):
        field[lip, k, 0] = -sx[lip] * 0.05 * mouth
    for field, lip, inner, sign in ((upper, _UPPER, inner_u, -1.0), (lower, _LOWER, inner_l, 1.0)):
        field[lip, _INDEX["round"], 1] = sign * 0.028 * eye * dome[lip]
        field[inner, _INDEX["round"], 1] = sign * 0.012 * eye * dome[inner]
        field[lip, _INDEX["press"], 1] = -sign * 0.030 * eye * dome[lip]  # the red of the lips gets thinner
        field[inner, _INDEX["press"], 1] = -sign * 0.004 * eye * dome[inner]
    lower[_LOWER, _INDEX["lowdrop"], 1] = 0.050 * eye * dome[_LOWER]
    lower[inner_l, _INDEX["lowdrop"], 1] = 0.062 * eye * dome[inner_l]
    lower[_LOWER, _INDEX["tuck"], 1] = -0.022 * eye * dome[_LOWER]
    lower[inner_l, _INDEX["tuck"], 1] = -0.030 * eye * dome[inner_l]
    upper[_UPPER, _INDEX["upraise"], 1] = -0.060 * eye * dome[_UPPER]
    upper[inner_u, _INDEX["upraise"], 1] = -0.066 * eye * dome[inner_u]
    upper[_UPPER, _INDEX["wide"], 1] -= 0.012 * eye * dome[_UPPER]
    if mouth_shown != "shut":
        meet = (
            face[inner_u, 1] * (1 - MEETING) + face[inner_l, 1] * MEETING
        )  # the lower lip travels less than the upper
        upper[_UPPER, _INDEX["close"], 1] = np.interp(x[_UPPER], face[inner_u, 0], meet - face[inner_u, 1])
        lower[_LOWER, _INDEX["close"], 1] = np.interp(x[_LOWER], face[inner_l, 0], meet - face[inner_l, 1])
    return upper, lower


def _anchors(roi: tuple[int, int, int, int]) -> Floats:
    x0, y0, x1, y1 = roi
    t = np.linspace(0, 1, 12)
    sides = [
        np.stack([x0 + (x1 - x0) * t, np.full(12, y0)], 1),
        np.stack([x0 + (x1 - x0) * t, np.full(12, y1)], 1),
        np.stack([np.full(12, x0), y0 + (y1 - y0) * t], 1),
        np.stack([np.full(12, x1), y0 + (y1 - y0) * t], 1),
    ]
    return np.unique(np.vstack(sides), axis=0)


def _neck(face: Floats, axes: FaceAxes, bottom: int) -> tuple[Floats, Floats]:
    """Points under the chin that follow the jaw less and less: the skin of the throat."""
    points, moves = [], []
    for dx in np.linspace(-1.6, 1.6, 9) * axes.mouth:
        for dy, weight in ((0.22, 0.5), (0.42, 0.18), (0.62, 0.0)):
            point = axes.to_pixels(np.array([face[m.CHIN, 0] + dx, face[m.CHIN, 1] + dy * axes.eye]))
            move = np.zeros((len(PARAMETERS), 2))
            move[_INDEX["jaw"]] = axes.y * JAW_DROP * axes.eye * weight * falloff(np.array(dx), 0.48 * axes.eye, 2.6)
            if point[1] < bottom - 2:
                points.append(point)
                moves.append(move)
    shape = (0, len(PARAMETERS), 2)
    return (np.array(points), np.array(moves)) if points else (np.zeros((0, 2)), np.zeros(shape))


def _border(width: int, height: int) -> Floats:
    """0 on the outermost ring of the grid, 1 from the fourth on: nothing moves at the region's border."""
    i, j = np.arange(width), np.arange(height)
    ring = np.minimum(np.minimum(i, width - 1 - i)[None], np.minimum(j, height - 1 - j)[:, None])
    return smoothstep(0, 4, ring)


def build_rig(rgb: npt.NDArray[np.uint8], mesh: FaceMesh) -> Rig:
    """Fit the fields to a face on its canvas ``rgb`` ``(height, width, 3)``; about 0.1 s."""
    axes = FaceAxes.of(mesh)
    face = axes.to_face(mesh.points[:, :2])
    face, mouth = refine_lips(rgb, face, axes, mesh.lip_gap)
    points = axes.to_pixels(face)
    height, width = rgb.shape[:2]
    low = points.min(0) - 0.28 * axes.eye
    high = points.max(0) + np.array([0.28, 0.75]) * axes.eye
    x0, y0 = (int(v) for v in np.maximum(low, 0))
    x1, y1 = int(min(width, high[0])), int(min(height, high[1]))
    roi = (x0, y0, x1, y1)

    upper, lower = (axes.turn(v) for v in _displacements(face, axes, mouth))
    anchors = _anchors(roi)
    neck, neck_moves = _neck(face, axes, y1)
    everyone = np.arange(468)
    column = np.abs(face[:, 0]) < 1.05 * axes.mouth
    lower_face = np.where((face[:, 1] > 0) & column)[0]
    upper_face = np.where((face[:, 1] < -0.02 * axes.eye) & (face[:, 1] > -0.25 * axes.eye) & column)[0]
    keep_upper = np.setdiff1d(everyone, np.union1d(np.setdiff1d(_LOWER, _CORNERS), np.setdiff1d(lower_face, _UPPER)))
    keep_lower = np.setdiff1d(everyone, np.union1d(np.setdiff1d(_UPPER, _CORNERS), np.setdiff1d(upper_face, _LOWER)))
    at = _grid(roi).reshape(-1, 2) / axes.eye
    border = _border(*_GRID)[None, ..., None]

    def fit(keep: npt.NDArray[np.intp], moves: Floats) -> npt.NDArray[np.float32]:
        where = np.vstack([points[keep], anchors, neck])
        values = np.vstack([moves[keep], np.zeros((len(anchors), *moves.shape[1:])), neck_moves])
        # coincident points would make the system singular
        where = where + np.random.default_rng(0).normal(0, 1e-3, where.shape)
        field = thin_plate(where / axes.eye, values.reshape(len(where), -1), at, smoothing=2e-3)
        field = field.reshape(_GRID[1], _GRID[0], len(PARAMETERS), 2).transpose(2, 0, 1, 3)
        return np.ascontiguousarray(field * border, np.float32)

    return Rig(
        axes=axes,
        points=points,
        face=face,
        roi=roi,
        upper=fit(keep_upper, upper),
        lower=fit(keep_lower, lower),
        inner_upper=upper[np.array(m.INNER_UPPER)].astype(np.float32),
        inner_lower=lower[np.array(m.INNER_LOWER)].astype(np.float32),
        mouth=mouth,
    )
