"""A talking head of known geometry: a ball with two eyes, and a mouth that is as open as the sound says.

What it looks like is known for every pose and every sound, so that pictures of a field that has learnt it can be
compared with the truth, and not with what was seen in training.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

RADIUS = 0.4
AWAY = 2.0
"""From the camera to the ball's middle."""
_LIGHT = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
_MOUTH = (0.0, -0.16)
_WIDE, _SHUT, _OPEN = 0.15, 0.015, 0.11
_FINER = 3
"""Rays along each side of a pixel, whose mean it is."""


def pose(yaw: float, pitch: float) -> npt.NDArray[np.float64]:
    """A camera ``(4, 4)`` of a NeRF file that looks at the ball: x right, y up, z behind it. Angles in radians."""
    a, b = yaw, pitch
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    made = np.eye(4)
    made[:3, :3] = turn @ nod
    made[:3, 3] = AWAY * made[:3, 2]
    return made


def background(side: int) -> F32:
    """From dark blue to light, ``(side, side, 3)``."""
    down = np.linspace(0, 1, side)[:, None, None]
    made = np.array([0.2, 0.3, 0.5]) * (1 - down) + np.array([0.7, 0.8, 0.9]) * down
    return np.asarray(np.broadcast_to(made, (side, side, 3)), np.float32)


def picture(camera: npt.NDArray[np.float64], opening: float, side: int, focal: float) -> F32:
    """``(side, side, 3)`` RGB, 0-1, the mouth ``opening`` 0-1."""
    fine = side * _FINER
    rows, columns = np.meshgrid(np.arange(fine) + 0.5, np.arange(fine) + 0.5, indexing="ij")
    d = np.stack([columns / _FINER - side / 2, side / 2 - rows / _FINER, np.full(rows.shape, -focal)], -1)
    d = d @ camera[:3, :3].T
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    o = camera[:3, 3]
    along = d @ o
    inner = along**2 - o @ o + RADIUS**2
    hit = inner > 0
    p = o + (-along - np.sqrt(np.where(hit, inner, 0)))[..., None] * d
    seen = np.where(hit[..., None], _skin(p, opening), np.repeat(np.repeat(background(side), _FINER, 0), _FINER, 1))
    return np.asarray(seen.reshape(side, _FINER, side, _FINER, 3).mean((1, 3)), np.float32)


def _skin(p: Any, opening: float) -> Any:
    x, y, z = np.moveaxis(p, -1, 0)
    colour = np.array([0.85, 0.62, 0.5]) * (0.9 + 0.1 * np.cos(12 * x + 3 * y))[..., None]
    for eye in (-0.14, 0.14):
        colour[(np.hypot(x - eye, y - 0.1) < 0.05) & (z > 0)] = [0.15, 0.2, 0.3]
    tall = _SHUT + (_OPEN - _SHUT) * opening
    mouth = (((x - _MOUTH[0]) / _WIDE) ** 2 + ((y - _MOUTH[1]) / tall) ** 2 < 1) & (z > 0)
    colour[mouth] = [0.3, 0.05, 0.08]
    return colour * (0.65 + 0.35 * np.clip(p @ _LIGHT / RADIUS, 0, 1))[..., None]


def mouth(camera: npt.NDArray[np.float64], side: int, focal: float) -> tuple[int, int, int, int]:
    """The box of pixels that a mouth wide open lies in: first and last column, first and last row."""
    x, y = np.meshgrid(_MOUTH[0] + np.linspace(-1, 1, 9) * _WIDE, _MOUTH[1] + np.linspace(-1, 1, 9) * _OPEN)
    p = np.stack([x, y, np.sqrt(RADIUS**2 - x**2 - y**2)], -1).reshape(-1, 3)
    seen = (p - camera[:3, 3]) @ camera[:3, :3]
    columns, rows = side / 2 - focal * seen[:, 0] / seen[:, 2], side / 2 + focal * seen[:, 1] / seen[:, 2]
    low, high = (np.clip([f(columns), f(rows)], 0, side - 1).astype(int) for f in (np.min, np.max))
    return int(low[0]), int(high[0]), int(low[1]), int(high[1])


def darkness(seen: F32) -> float:
    """How much of the picture's lower half is mouth: where its red is not far above its green, but its blue is low."""
    low = seen[len(seen) // 2 :]
    red, green = low[..., 0], low[..., 1]
    return float(np.clip(1 - green / 0.4, 0, 1)[red > green].sum())


def openings(frames: int) -> F32:
    """0-1, like speech: two beats that do not fit each other."""
    t = np.arange(frames)
    return np.asarray(0.5 + 0.3 * np.sin(0.9 * t) + 0.2 * np.sin(0.37 * t + 1), np.float32)


def sound(opening: F32) -> F32:
    """Features ``(frames, 29, 16)`` in which the opening can be heard among other things."""
    chance = np.random.default_rng(5)
    voice, other = chance.standard_normal((2, 29, 16))
    beat = np.sin(np.arange(len(opening)) * 2.1)
    noise = 0.1 * chance.standard_normal((len(opening), 29, 16))
    heard = (2 * opening[:, None, None] - 1) * voice + 0.3 * beat[:, None, None] * other + noise
    return np.asarray(heard, np.float32)


def poses(frames: int) -> list[npt.NDArray[np.float64]]:
    """A head that sways and nods: half a radian to each side, and a quarter up and down."""
    t = np.arange(frames)
    return [pose(0.5 * np.sin(0.61 * i), 0.25 * np.sin(0.43 * i + 0.5)) for i in t]
