"""Shoulders below the sphere-head: a striped body that follows the head's pose a little, before a wall."""

from typing import Any

import numpy as np
import numpy.typing as npt
import sphere_head

F32 = npt.NDArray[np.float32]

_FOLLOWS = 0.12
"""Of the picture's side, for each radian that the head turns."""
_FINER = 3


def picture(camera: npt.NDArray[np.float64], side: int) -> F32:
    """The body over the wall, ``(side, side, 3)`` RGB, 0-1, when the camera sees the head from ``camera``."""
    x, y = _places(side, camera)
    body = y > 0.66 + 0.9 * np.maximum(np.abs(x - 0.5) - 0.1, 0) ** 1.5
    body &= np.abs(x - 0.5) < 0.4
    wall = np.repeat(np.repeat(sphere_head.background(side), _FINER, 0), _FINER, 1)
    seen = np.where(body[..., None], _cloth(x, y), wall)
    return np.asarray(seen.reshape(side, _FINER, side, _FINER, 3).mean((1, 3)), np.float32)


def _places(side: int, camera: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """Where the body's own points are, 0-1: column and row."""
    at = (np.arange(side * _FINER) + 0.5) / (side * _FINER)
    y, x = np.meshgrid(at, at, indexing="ij")
    ahead = camera[:3, 2]
    yaw, pitch = np.arctan2(ahead[0], ahead[2]), -np.arcsin(ahead[1])
    return x - _FOLLOWS * yaw, y - _FOLLOWS * pitch


def _cloth(x: Any, y: Any) -> Any:
    stripes = 0.5 + 0.5 * np.sin(60 * x)[..., None]
    shade = (1.2 - 0.5 * y)[..., None]
    return np.clip((np.array([0.2, 0.35, 0.3]) + stripes * np.array([0.3, 0.1, 0.15])) * shade, 0, 1)
