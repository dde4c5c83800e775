"""Libraries of people who do not exist: a face of landmarks that speaks to a made-up sound, small enough to reckon."""

from fractions import Fraction
from importlib import resources

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.learn import Sight, learned
from vivavoce.engines.person.library import Library
from vivavoce.face.footage import LIGHT, Footage, Take
from vivavoce.face.track import Track

F32 = npt.NDArray[np.float32]
N, FPS, SIZE = 240, 25, (320, 320)
LOWER_LIP = (14, 87, 317, 88, 178, 95, 318, 402, 324, 17, 84, 314, 91, 181, 405, 321, 152, 175, 199, 200, 18)
"""Landmarks that go down with the jaw."""


def spoken(n: int = N) -> F32:
    """How far a mouth is open in each picture, 0-1: syllables, and pauses between."""
    t = np.arange(n) / FPS
    syllables = np.clip(np.sin(2 * np.pi * (2.3 + 0.4 * np.sin(t)) * t), 0, 1)
    return (syllables * (np.sin(2 * np.pi * t / 3.1) > -0.6)).astype(np.float32)


def face(opens: F32, grin: F32 | None = None) -> F32:
    """Landmarks ``(n, 468, 3)`` of a face that nods a little, its lower lip lower by ``opens`` tenths of the eyes."""
    with resources.as_file(resources.files("vivavoce.face") / "template.npz") as path, np.load(path) as stored:
        base = stored["points"].astype(np.float64)
    eye = np.linalg.norm(base[263, :2] - base[33, :2])
    base = base / eye * 100
    base += np.array([160, 150, 0]) - base[168]
    t = np.arange(len(opens)) / FPS
    points = np.tile(base, (len(opens), 1, 1))
    points[:, list(LOWER_LIP), 1] += 10 * opens[:, None]
    if grin is not None:
        points[:, [61, 291, 78, 308], 1] -= 6 * grin[:, None]
        points[:, list(LOWER_LIP), 1] += 6 * grin[:, None]
    points[..., :2] += np.stack([4 * np.sin(t), 3 * np.cos(0.7 * t)], axis=1)[:, None]
    return points.astype(np.float32)


def windows(opens: F32) -> F32:
    """A sound that tells the opening: ``(n, 180)``."""
    around = np.clip(np.arange(len(opens))[:, None] + np.arange(-4, 5), 0, len(opens) - 1)
    chance = np.random.default_rng(3).normal(0, 0.4, (len(opens), 180))
    return (np.repeat(opens[around], 20, axis=1) * np.linspace(2, 6, 180) - 10 + chance).astype(np.float32)


def library(n: int = N, *, voice: bool = True, fit: npt.NDArray[np.bool_] | None = None) -> Library:
    opens = spoken(n)
    points = face(opens)
    crop = cv2.imencode(".jpg", np.full((64, 96, 3), 128, np.uint8))[1].tobytes()
    seen = np.ones(n, bool)
    sight = Sight(
        points=points,
        seen=seen,
        parts=np.zeros(n, np.intp),
        opening=(0.3 * opens).astype(np.float32),
        skin=np.zeros(n, np.float32),
        lips=np.zeros(n, np.float32),
        windows=windows(opens) if voice else None,
        crops=(crop,) * n,
        corners=np.tile([110, 180], (n, 1)).astype(np.intp),
    )
    return learned(sight, footage(points), seen if fit is None else fit)


def footage(points: F32) -> Footage:
    n = len(points)
    return Footage(
        fps=Fraction(FPS),
        takes=(Take("idle.mp4", *SIZE),),
        first=0,
        last=n,
        track=Track(points, np.ones(n, bool), np.ones(n, np.float32)),
        rest=points[..., :2],
        weight=np.ones(n, np.float32),
        light=np.zeros((n, LIGHT, LIGHT, 3), np.float32),
        blur=np.zeros(n, np.float32),
        teeth=None,
        reference=np.zeros((200, 200, 3), np.uint8),
        origin=(60, 60),
        number=0,
    )
