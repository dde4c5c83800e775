"""Head and shoulders: small turns of the head, breath, and which pixels take part.

A rotation is linearised: each pixel moves by its depth. The whole head with its hair moves as one, the neck follows
less and less down to the shoulders. The background stays where it is: it is composited behind the moved person.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.rig import Rig
from vivavoce.face.geometry import smoothstep, thin_plate
from vivavoce.face.mesh import CHIN, FOREHEAD, FaceMesh

__all__ = ["STEP", "Head", "build_head"]

MOVES = ("yaw", "pitch", "roll", "tx", "ty", "scale", "breath")
STEP = 8
"""Pixels of the canvas to one cell of the coarse maps."""
_BAND_CELLS = 12
BREATH = 0.012
"""Rise of the shoulders in E."""


@dataclass(frozen=True, slots=True)
class Head:
    """The fields of ``MOVES`` on the coarse grid."""

    basis: npt.NDArray[np.float32]
    """``(n_moves, rows * columns * 2)`` pixels of forward displacement for a movement of 1."""
    grid: npt.NDArray[np.float32]
    """Pixel positions of the cells' centres, ``(rows, columns, 2)``."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of all that ever moves."""
    bands: tuple[tuple[int, int, int, int], ...]
    """The same area more closely: boxes one below another, each as wide as what moves in it."""


def coarse_grid(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Centres of the cells: ``cv2.resize`` maps pixel i of the small to (i + 1/2) * STEP - 1/2 of the large."""
    columns, rows = (int(np.ceil(v / STEP)) for v in size)
    xs, ys = ((np.arange(n) + 0.5) * STEP - 0.5 for n in (columns, rows))
    return np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)


def build_head(rig: Rig, mesh: FaceMesh, matte: npt.NDArray[np.uint8]) -> Head:
    """Fields for a face on its canvas; ``matte`` ``(height, width)`` says where the person is."""
    height, width = matte.shape
    axes, eye = rig.axes, rig.axes.eye
    grid = coarse_grid((width, height))
    face = axes.to_face(grid) / eye
    x, y = face[..., 0], face[..., 1]
    top, chin = float(rig.face[FOREHEAD, 1] / eye), float(rig.face[CHIN, 1] / eye)
    reach = (chin - top) / 2
    radius = np.sqrt((x / (0.86 * 1.35 * reach)) ** 2 + ((y - (top + chin) / 2 + 0.12) / (1.35 * reach)) ** 2)
    together = smoothstep(chin + 1.25, chin - 0.15, y)
    if not matte.any() or matte.min() > 0:  # no background to composite: what is around the head must bend
        together = together * smoothstep(1.75, 0.85, radius)
    edge_x = np.minimum(grid[..., 0], width - 1 - grid[..., 0]) / (0.06 * width)
    edge_y = grid[..., 1] / (0.06 * height)
    border = smoothstep(0, 1, np.minimum(edge_x, edge_y) if matte[0].any() else edge_x)
    together = together * border

    depth = -mesh.points[:, 2].astype(np.float64) / eye
    depth = depth - np.percentile(depth, 20)
    some = np.arange(0, 468, 3)
    where = rig.points[some] / eye + np.random.default_rng(0).normal(0, 1e-3, (len(some), 2))
    z = thin_plate(where, depth[some, None], (grid / eye).reshape(-1, 2).astype(np.float64), smoothing=0.5)
    z = np.clip(z.reshape(x.shape), depth.min(), depth.max()) * smoothstep(1.3, 0.7, radius)

    pivot = y - (chin + 0.35)  # the neck's joint
    none = np.zeros_like(x)
    shoulders = smoothstep(chin + 0.1, chin + 1.2, y) * smoothstep(4.2, 1.2, np.abs(x)) * border
    fields = {
        "yaw": (z * together, none),
        "pitch": (none, (z + 0.15) * together),
        "roll": (-pivot * together, x * together),
        "tx": (together, none),
        "ty": (none, together),
        "scale": (x * together, pivot * together),
        "breath": (none, -BREATH * (shoulders + 0.35 * together)),
    }
    basis = np.stack([axes.turn(np.stack(fields[name], -1) * eye) for name in MOVES]).astype(np.float32)
    moving = np.abs(basis).max(axis=(0, 3)) > 1e-3 * eye
    person = cv2.resize(matte, (x.shape[1], x.shape[0]), interpolation=cv2.INTER_AREA) > 0
    moving &= np.asarray(cv2.dilate(person.astype(np.uint8), np.ones((5, 5), np.uint8)), bool)
    box, bands = _extent(moving, (width, height))
    return Head(basis=basis.reshape(len(MOVES), -1), grid=grid, box=box, bands=bands)


def _extent(
    moving: npt.NDArray[np.bool_], size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], tuple[tuple[int, int, int, int], ...]]:
    """The box around the moving cells with a margin of one, and the bands of it, in pixels."""
    width, height = size
    rows = np.flatnonzero(moving.any(axis=1))
    if not len(rows):
        return (0, 0, STEP, STEP), ()
    bands = []
    for first in range(int(rows[0]), int(rows[-1]) + 1, _BAND_CELLS):
        part = moving[max(first - 1, 0) : first + _BAND_CELLS + 1]
        columns = np.flatnonzero(part.any(axis=0))
        y0 = max(0, (first - (first == rows[0])) * STEP)
        y1 = min(height, min(first + _BAND_CELLS, int(rows[-1]) + 2) * STEP)
        x0, x1 = max(0, (int(columns[0]) - 1) * STEP), min(width, (int(columns[-1]) + 2) * STEP)
        bands.append((x0, y0, x1, y1))
    sides = np.array(bands)
    box = (int(sides[:, 0].min()), int(sides[0, 1]), int(sides[:, 2].max()), int(sides[-1, 3]))
    return box, tuple(bands)
