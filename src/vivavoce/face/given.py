"""Landmarks that a person gives instead of a net: all 468, or a few named points that were clicked on the picture.

It rescues drawings, statues and animals, in which no net finds a face, and machines that cannot fetch one. A few points
are expanded by a template, the mean of our own default avatars: a similarity brings it to the points, and a smooth
deformation (radial basis functions with the kernel r, Carr et al., SIGGRAPH 2001) makes it pass through them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.face.mesh import FaceMesh

__all__ = ["NAMED", "REQUIRED", "mesh_from_json"]

NAMED: Mapping[str, int] = {
    "left_eye_outer": 33,
    "left_eye_inner": 133,
    "left_eye_upper": 159,
    "left_eye_lower": 145,
    "right_eye_inner": 362,
    "right_eye_outer": 263,
    "right_eye_upper": 386,
    "right_eye_lower": 374,
    "left_brow_outer": 70,
    "left_brow_top": 105,
    "left_brow_inner": 107,
    "right_brow_inner": 336,
    "right_brow_top": 334,
    "right_brow_outer": 300,
    "nose_tip": 1,
    "mouth_left": 61,
    "mouth_right": 291,
    "upper_lip_top": 0,
    "upper_lip_bottom": 13,
    "lower_lip_top": 14,
    "lower_lip_bottom": 17,
    "chin": 152,
    "forehead": 10,
    "left_jaw": 172,
    "right_jaw": 397,
    "left_cheek": 234,
    "right_cheek": 454,
}
"""Names that a client may use and the landmark that each is; left and right are the picture's."""

REQUIRED = (
    *("left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer"),
    *("mouth_left", "mouth_right", "upper_lip_top", "lower_lip_bottom", "chin"),
)
"""Without these no face can be built."""

_COUNT = 468
_MAX_CHARACTERS = 200_000
_SAME_FACE = 0.25
"""Eye distances that points of one face may lie apart, in the median."""
_Array = npt.NDArray[np.float64]


def mesh_from_json(data: object, size: tuple[int, int], *, like: FaceMesh | None = None) -> FaceMesh:
    """The mesh that JSON text, or what was read from it, describes, for a picture of ``size`` ``(width, height)``.

    Either a list of 468 points ``[x, y]`` or ``[x, y, z]`` in the order of MediaPipe's face mesh, or an object of
    ``NAMED`` points, each ``[x, y]``; both may be wrapped as ``{"points": …}``. Coordinates are pixels, or fractions of
    the picture's width and height when none is above 2. ``like`` is a face that was found in the picture: where the
    named points lie on it, the others follow it, and not the mean face. Raises ``InvalidInput`` with a sentence that
    says why.
    """
    value = _read(data)
    if isinstance(value, Mapping) and set(value) == {"points"}:
        value = value["points"]
    if isinstance(value, Mapping):
        points = _expanded(_named(value, size), like)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        points = _full(value, size)
    else:
        raise InvalidInput("Landmarks are a list of 468 points or an object of named points.")
    if not _plausible(points):
        raise InvalidInput(
            "The landmarks do not form an upright human face; left and right are those of the picture, and the chin "
            "lies below the mouth, the mouth below the eyes."
        )
    return FaceMesh(points.astype(np.float32))


def _read(data: object) -> object:
    if not isinstance(data, str | bytes | bytearray):
        return data
    if len(data) > _MAX_CHARACTERS:
        raise InvalidInput(f"The landmarks are longer than {_MAX_CHARACTERS} characters.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise InvalidInput("The landmarks are not valid JSON.") from e


def _point(value: object, name: str, dimensions: tuple[int, ...]) -> list[float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in dimensions:
        raise InvalidInput(f"The landmark {name} is not a point [x, y].")
    numbers = []
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e6:
            raise InvalidInput(f"The landmark {name} has a coordinate that is not a number of pixels.")
        numbers.append(float(number))
    return numbers


def _in_pixels(points: _Array, size: tuple[int, int]) -> _Array:
    """Fractions of the picture become pixels; depth is counted in widths, as MediaPipe does."""
    if np.abs(points[:, :2]).max() <= 2:
        points = points * np.array([size[0], size[1], size[0]][: points.shape[1]], np.float64)
    beyond = np.abs(points[:, :2] / np.array(size, np.float64) - 0.5).max()
    if beyond > 1.5:
        raise InvalidInput(f"A landmark lies far outside the picture, which has {size[0]}x{size[1]} pixels.")
    return points


def _full(rows: Sequence[object], size: tuple[int, int]) -> _Array:
    if len(rows) != _COUNT:
        raise InvalidInput(f"A list of landmarks has {_COUNT} points; this one has {len(rows)}.")
    given = [_point(row, str(i), (2, 3)) for i, row in enumerate(rows)]
    if len({len(row) for row in given}) != 1:
        raise InvalidInput("Some landmarks have a depth and some have none; give it for all or for none.")
    points = _in_pixels(np.array(given), size)
    if points.shape[1] == 3:
        return points
    scale = math.dist(points[263], points[33])
    return np.column_stack([points, _template()[:, 2] * scale])


def _named(value: Mapping[object, object], size: tuple[int, int]) -> dict[int, _Array]:
    unknown = sorted(str(name)[:40] for name in value if name not in NAMED)
    if unknown:
        raise InvalidInput(f"There is no landmark {unknown[0]!r}; known: {', '.join(NAMED)}.")
    missing = [name for name in REQUIRED if name not in value]
    if missing:
        raise InvalidInput(f"The landmarks lack {', '.join(missing)}.")
    names = [name for name in NAMED if name in value]
    points = _in_pixels(np.array([_point(value[name], name, (2,)) for name in names]), size)
    return {NAMED[name]: point for name, point in zip(names, points, strict=True)}


@cache
def _template() -> _Array:
    """The mean face ``(468, 3)``: eye distance 1, the middle of the eyes at the origin, upright."""
    with as_file(files("vivavoce.face") / "template.npz") as path, np.load(path, allow_pickle=False) as stored:
        return np.asarray(stored["points"], np.float64)


def _expanded(given: Mapping[int, _Array], like: FaceMesh | None) -> _Array:
    """The template, or the face that was found where they lie on it, moved so that it passes through the points."""
    index = list(given)
    target = np.array([given[i] for i in index])
    template = _template()
    if like is not None:
        apart = np.linalg.norm(like.points[index, :2] - target, axis=1)
        if float(np.median(apart)) < _SAME_FACE * like.eye_distance:
            template = like.points.astype(np.float64)
    scale, turn, shift = _similarity(template[index, :2], target)
    placed = scale * template[:, :2] @ turn.T + shift
    moved = placed + _smooth(placed[index], target - placed[index], placed, scale)
    return np.column_stack([moved, template[:, 2] * scale])


def _similarity(source: _Array, target: _Array) -> tuple[float, _Array, _Array]:
    """Least-squares scale, rotation and shift of 2-D points (Umeyama, PAMI 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    turn = (u * flip) @ vt
    scale = float((singular * flip).sum() / max((a**2).sum(), 1e-12))
    shift: _Array = target.mean(0) - scale * turn @ source.mean(0)
    return scale, np.asarray(turn), shift


def _smooth(at: _Array, values: _Array, wanted: _Array, unit: float) -> _Array:
    """Interpolate 2-D displacements ``values`` at points ``at`` to ``wanted``: kernel r and an affine part."""
    n = len(at)
    centre = at.mean(0)

    def affine(points: _Array) -> _Array:
        return np.column_stack([np.ones(len(points)), (points - centre) / max(unit, 1e-9)])

    def kernel(a: _Array, b: _Array) -> _Array:
        return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2) / max(unit, 1e-9))

    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(at, at) - 1e-6 * np.eye(n)
    system[:n, n:], system[n:, :n] = affine(at), affine(at).T
    right = np.vstack([values, np.zeros((3, 2))])
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    return np.asarray(kernel(wanted, at) @ solution[:n] + affine(wanted) @ solution[n:])


def _plausible(points: _Array) -> bool:
    """Eyes left to right, mouth below them, chin below the mouth, seen along the axis of the eyes."""
    across = points[263, :2] - points[33, :2]
    width = float(np.linalg.norm(across))
    if not np.isfinite(points).all() or width < 1:
        return False
    right = across / width
    down = np.array([-right[1], right[0]])
    along = (points[:, :2] - points[33, :2]) @ np.column_stack([right, down]) / width
    eyes = along[[33, 133, 362, 263], 0]
    heights = along[[33, 13, 152], 1]
    return bool(
        (np.diff(eyes) > 0).all()
        and along[291, 0] - along[61, 0] > 0.1
        and heights[1] - heights[0] > 0.2
        and heights[2] - heights[1] > 0.1
        and heights[2] < 4
    )
