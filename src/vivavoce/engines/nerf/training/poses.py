"""Where the camera stands before a head that is held still: from landmarks alone, without a model of faces.

The points that speech does not move are first as deep as the landmark net says. For each focal length of a search the
poses are found by PnP and the points anew from all poses, in turns (bundle adjustment in its simplest form); the focal
length at which they fit best is the camera's. Poses are smoothed over past and future, or the head would tremble.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import gaussian, stretches
from vivavoce.errors import FaceRejected
from vivavoce.face.track import RIGID

__all__ = ["EYE", "Poses", "camera_poses"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EYE = 0.55
"""Distance of the outer eye corners in the field's cube, whose side is 2: hair and chin are then within."""
_FORWARD = 0.1
"""How far the rigid points' middle stands in front of the cube's: what is seen of a head is its front."""
_FOCALS = range(600, 1401, 100)
"""Pixels, for a picture of 512."""
_SEARCHED, _ROUNDS = 48, 3
"""Pictures that the search looks at; turns of poses and points."""
_PRIOR = 4.0
"""How much the landmark net's depth weighs against one picture's view of it."""
_SMOOTH = 1.0
"""Sigma, pictures."""
_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Canonical axes (right, down, away) to the cube's (up, towards the camera, right), as published fields have them."""


@dataclass(frozen=True, slots=True)
class Poses:
    """What was found."""

    focal: float
    """Pixels of the picture that the points are given in."""
    cameras: Floats
    """``(n, 4, 4)``: camera to cube; the camera's axes are right, down and ahead."""
    points: Floats
    """``(36, 3)``: where ``face.track.RIGID`` lies in the cube."""
    error: float
    """Mean distance of these, projected, from the landmarks that were seen; shares of the eyes' distance."""


def camera_poses(points: F32, shape: F32, seen: Bools, centre: tuple[float, float], scale: float) -> Poses:
    """Poses for landmarks ``(n, 468, 2 or 3)``, pixels, of a head with the canonical ``shape`` ``(468, 3)``.

    ``centre`` is the camera's axis, ``scale`` how many pixels one of a picture of 512 has. Where no face was ``seen``,
    the pose goes over from that before to that after. Raises ``FaceRejected`` when nothing fits.
    """
    flat = points[:, list(RIGID), :2].astype(np.float64) - np.asarray(centre)
    model = shape[list(RIGID)].astype(np.float64)
    model = (model - model.mean(axis=0)) @ _AXES.T * EYE + [0.0, _FORWARD, 0.0]
    there = np.flatnonzero(seen)
    if len(there) < 2:
        raise FaceRejected("The video shows no face whose pose could be found; let the person look towards the camera.")
    some = there[np.unique(np.linspace(0, len(there) - 1, _SEARCHED).astype(int))]
    eye = float(np.median(np.linalg.norm(points[there, 263, :2] - points[there, 33, :2], axis=1)))
    found = []
    for focal in (scale * f for f in _FOCALS):
        bent, error = _adjusted(flat[some], model, focal)
        found.append((error, focal, bent))
    error, focal, bent = min(found, key=lambda f: f[0])
    turns, shifts = _solved(flat[there], bent, focal)
    away = _distance(_projected(bent, turns, shifts, focal), flat[there]) / eye
    if not np.isfinite(away):
        raise FaceRejected("The pose of the head could not be found; use a video of one person who faces the camera.")
    return Poses(focal, _cameras(turns, shifts, there, seen), bent, float(away))


def _adjusted(flat: Floats, model: Floats, focal: float) -> tuple[Floats, float]:
    """The points, moved to where all pictures see them, and how well they fit, pixels."""
    bent = model
    for _ in range(_ROUNDS):
        turns, shifts = _solved(flat, bent, focal)
        bent = _seen_by_all(flat, model, turns, shifts, focal)
        # neither the middle nor the size may wander: they are the cube's
        bent = bent - bent.mean(axis=0)
        bent *= np.linalg.norm(model - model.mean(axis=0)) / np.linalg.norm(bent)
        bent = bent + model.mean(axis=0)
    turns, shifts = _solved(flat, bent, focal)
    return bent, _distance(_projected(bent, turns, shifts, focal), flat)


def _solved(flat: Floats, model: Floats, focal: float) -> tuple[Floats, Floats]:
    """Rotations ``(n, 3)`` as vectors and shifts ``(n, 3)``, from the cube to each camera."""
    matrix = np.diag([focal, focal, 1.0])
    turns, shifts = np.empty((2, len(flat), 3))
    for i, seen in enumerate(flat):
        _, turn, shift = cv2.solvePnP(model, seen, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
        turn, shift = cv2.solvePnPRefineLM(model, seen, matrix, None, turn, shift)
        turns[i], shifts[i] = turn[:, 0], shift[:, 0]
    return turns, shifts


def _seen_by_all(flat: Floats, model: Floats, turns: Floats, shifts: Floats, focal: float) -> Floats:
    """Each point where its views meet (linear triangulation), held to where it was.

    A view says (f r0 - u r2) X = u t2 - f t0, and the same for v with r1 and t1.
    """
    rotations = _matrices(turns)
    a = focal * rotations[:, None, :2] - flat[..., None] * rotations[:, None, 2:3]
    b = flat * shifts[:, None, 2:3] - focal * shifts[:, None, :2]
    weight = (focal / np.median(shifts[:, 2])) ** 2 * _PRIOR
    left = np.einsum("nkij,nkil->kjl", a, a) / shifts[:, 2].mean() ** 2 + weight * np.eye(3)
    right = np.einsum("nkij,nki->kj", a, b) / shifts[:, 2].mean() ** 2 + weight * model
    return np.asarray(np.linalg.solve(left, right[..., None])[..., 0])


def _matrices(turns: Floats) -> Floats:
    return np.stack([cv2.Rodrigues(turn)[0] for turn in turns])


def _projected(model: Floats, turns: Floats, shifts: Floats, focal: float) -> Floats:
    there = np.einsum("nij,kj->nki", _matrices(turns), model) + shifts[:, None]
    return np.asarray(focal * there[..., :2] / there[..., 2:])


def _distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean())


def _cameras(turns: Floats, shifts: Floats, there: npt.NDArray[np.intp], seen: Bools) -> Floats:
    """Smooth poses for all pictures, camera to cube."""
    n = len(seen)
    all_ = np.arange(n)
    turns = _unwound(turns)
    rows = np.concatenate([turns, shifts], axis=1)
    rows = np.stack([np.interp(all_, there, row) for row in rows.T], axis=1)
    for first, last in stretches(np.where(seen, 0, -1)):
        if last - first > 2:
            rows[first:last] = gaussian(rows[first:last], _SMOOTH)
    rotation = _matrices(rows[:, :3]).transpose(0, 2, 1)
    cameras = np.tile(np.eye(4), (n, 1, 1))
    cameras[:, :3, :3] = rotation
    cameras[:, :3, 3] = -np.einsum("nij,nj->ni", rotation, rows[:, 3:])
    return cameras


def _unwound(turns: Floats) -> Floats:
    """The same rotations, each by the vector that lies nearest to the one before: half a turn away they are two."""
    out = turns.copy()
    for i in range(1, len(out)):
        angle = float(np.linalg.norm(out[i]))
        other = out[i] * (1 - 2 * np.pi / max(angle, 1e-9))
        if np.linalg.norm(other - out[i - 1]) < np.linalg.norm(out[i] - out[i - 1]):
            out[i] = other
    return out
