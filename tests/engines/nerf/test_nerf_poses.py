"""Poses out of landmarks: of a head whose poses are known."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from heads import face
from vivavoce.engines.nerf.training.poses import EYE, camera_poses
from vivavoce.errors import FaceRejected
from vivavoce.face.track import RIGID

Floats = npt.NDArray[np.float64]
SHAPE = (face(np.zeros(1, np.float32))[0] / 100).astype(np.float64)
"""In eye distances."""
CENTRE = (250.0, 260.0)
FOCAL = 900.0
N = 60


def turns() -> Floats:
    """Rotation vectors of a head that nods, turns and tilts."""
    t = np.arange(N)
    return np.stack([0.25 * np.sin(t / 9), 0.35 * np.sin(t / 13), 0.15 * np.sin(t / 7)], axis=1)


def landmarks(noise: float = 0.0) -> tuple[npt.NDArray[np.float32], Floats]:
    """Pixels ``(N, 468, 3)`` of the head before a camera, and where it stands in the camera's frame ``(N, 4, 4)``."""
    chance = np.random.default_rng(3)
    shape = SHAPE - SHAPE[list(RIGID)].mean(axis=0)
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = [cv2.Rodrigues(turn)[0] for turn in turns()]
    poses[:, :3, 3] = np.stack([0.2 * np.sin(np.arange(N) / 11), 0.1 * np.cos(np.arange(N) / 8), np.full(N, 9.0)], 1)
    there = np.einsum("nij,kj->nki", poses[:, :3, :3], shape) + poses[:, None, :3, 3]
    flat = FOCAL * there[..., :2] / there[..., 2:] + CENTRE
    points = np.concatenate([flat + noise * chance.standard_normal(flat.shape), there[..., 2:]], axis=2)
    return points.astype(np.float32), poses


def turned(a: Floats, b: Floats) -> Floats:
    """Degrees between rotations."""
    cosine = (np.einsum("nij,nij->n", a, b) - 1) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_the_head_turns_as_it_was_turned() -> None:
    points, poses = landmarks()
    found = camera_poses(points, SHAPE.astype(np.float32), np.ones(N, bool), CENTRE, 1.0)
    assert found.error < 0.004
    # relative to the first picture: where the cube's axes point is a matter of the shape
    heads = np.linalg.inv(found.cameras)
    made = heads[:, :3, :3] @ heads[0, :3, :3].T
    true = poses[:, :3, :3] @ poses[0, :3, :3].T
    assert turned(made, true).max() < 1.2
    assert np.allclose(np.linalg.det(found.cameras[:, :3, :3]), 1, atol=1e-6)
    # an upright head that looks into the camera has its top along x and its face along y
    upright = int(np.abs(turns()).sum(axis=1).argmin())
    up, ahead = -found.cameras[upright, :3, 1], found.cameras[upright, :3, 3]
    assert up[0] > 0.97
    assert ahead[1] / np.linalg.norm(ahead) > 0.97


def test_the_cube_is_as_large_as_the_eyes_are_apart() -> None:
    points, _ = landmarks()
    found = camera_poses(points, SHAPE.astype(np.float32), np.ones(N, bool), CENTRE, 1.0)
    outer = [RIGID.index(33), RIGID.index(263)]
    apart = np.linalg.norm(np.diff(found.points[outer], axis=0))
    own = np.linalg.norm(SHAPE[33] - SHAPE[263])
    assert apart == pytest.approx(EYE * own, rel=0.03)
    assert np.abs(found.points).max() < 1


def test_noise_is_smoothed_and_a_gap_is_bridged() -> None:
    points, poses = landmarks(noise=1.0)
    seen = np.ones(N, bool)
    seen[25:29] = False
    points[25:29] = 0
    found = camera_poses(points, SHAPE.astype(np.float32), seen, CENTRE, 1.0)
    clean = camera_poses(landmarks()[0], SHAPE.astype(np.float32), np.ones(N, bool), CENTRE, 1.0)
    assert np.isfinite(found.cameras).all()
    steps = turned(found.cameras[1:, :3, :3], found.cameras[:-1, :3, :3])
    assert steps.max() < 2 * turned(poses[1:, :3, :3], poses[:-1, :3, :3]).max()
    assert turned(found.cameras[:, :3, :3], clean.cameras[:, :3, :3]).max() < 3
    assert np.linalg.norm(found.cameras[:, :3, 3] - clean.cameras[:, :3, 3], axis=1).max() < 0.6


def test_a_film_without_a_face_is_refused() -> None:
    points, _ = landmarks()
    with pytest.raises(FaceRejected, match="no face whose pose"):
        camera_poses(points, SHAPE.astype(np.float32), np.zeros(N, bool), CENTRE, 1.0)
