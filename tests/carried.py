"""A film of a portrait that is carried to and fro while its mouth opens and shuts: a person known to the pixel."""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from heads import LOWER_LIP, footage, spoken
from vivavoce.engines.person import store
from vivavoce.engines.person.learn import Sight, learned
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import crop_of, packed, view
from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.fit import fit
from vivavoce.face import mesh as m
from vivavoce.face.footage import Take
from vivavoce.media.reel import write_reel
from vivavoce.nouns import Avatar, Canvas
from vivavoce.studio.scene import builtin_avatars

__all__ = ["AWAY", "FPS", "SIZE", "N", "avatar", "opens", "person", "picture"]

Bytes = npt.NDArray[np.uint8]
N, FPS, SIZE = 150, 25, (480, 480)
AWAY = 140
"""A picture in which nobody sees the face."""


def opens() -> npt.NDArray[np.float32]:
    """How far the mouth is open in each picture, 0-1."""
    return spoken(N)


@cache
def _portrait() -> tuple[Bytes, npt.NDArray[np.float32]]:
    """With painted lips, which the portrait has not, so that they can be told from what is between them."""
    found = fit(bundle.load(builtin_avatars() / "david"), Canvas(*SIZE))
    points = found.mesh.points
    ring = np.vstack([points[list(m.OUTER_UPPER), :2], points[list(m.OUTER_LOWER), :2][::-1]])
    red = found.rgb.copy()
    cv2.fillPoly(red, [np.round(ring * 16).astype(np.int32)], (168, 92, 88), cv2.LINE_AA, 4)
    return np.asarray(cv2.addWeighted(found.rgb, 0.3, red, 0.7, 0), np.uint8), points


def _shift(number: int) -> int:
    return round(10 * float(np.sin(number / 9)))


def _points(number: int) -> npt.NDArray[np.float32]:
    points = _portrait()[1].copy()
    eye = np.linalg.norm(points[263, :2] - points[33, :2])
    points[list(LOWER_LIP), 1] += 0.12 * eye * opens()[number]
    lower, upper = list(m.INNER_LOWER), list(m.INNER_UPPER)
    points[lower, 1] = np.maximum(points[lower, 1], points[upper, 1])
    points[:, 0] += _shift(number)
    return points


@cache
def picture(number: int) -> Bytes:
    """RGB: the portrait at its place, with a dark mouth where its lips are apart."""
    points = _points(number)
    image = np.ascontiguousarray(np.roll(_portrait()[0], _shift(number), axis=1))
    if opens()[number] > 0.05:
        ring = np.vstack([points[list(m.INNER_UPPER), :2], points[list(m.INNER_LOWER), :2][::-1]])
        cv2.fillPoly(image, [np.round(ring * 16).astype(np.int32)], (46, 16, 16), cv2.LINE_AA, 4)
    image.setflags(write=False)
    return image


@cache
def person() -> Library:
    """What is learnt of the film; the whole of it is the base."""
    points = np.stack([_points(number) for number in range(N)])
    views = [view(picture(number), points[number]) for number in range(N)]
    sharp = np.array([v.sharpness() for v in views], np.float32)
    boxes = [crop_of(p, SIZE) or (0, 0, 16, 16) for p in points]
    seen = np.arange(N) != AWAY
    sight = Sight(
        points=points,
        seen=seen,
        parts=np.where(seen, 0, -1).astype(np.intp),
        opening=np.array([v.opening() for v in views], np.float32),
        skin=sharp[:, 0],
        lips=sharp[:, 1],
        windows=None,
        crops=tuple(packed(picture(i)[y0:y1, x0:x1], 1e5, 95)[0] for i, (x0, y0, x1, y1) in enumerate(boxes)),
        corners=np.array([box[:2] for box in boxes], np.intp),
    )
    film = footage(points)
    film = replace(
        film,
        fps=Fraction(FPS),
        takes=(Take("idle.mp4", *SIZE), Take("idle-240.mp4", 240, 240)),
        weight=np.clip(np.abs(np.arange(N) - AWAY) / 4, 0, 1).astype(np.float32),
        track=replace(film.track, seen=seen, confidence=seen.astype(np.float32)),
    )
    return replace(learned(sight, film, np.ones(N, bool)), stretches=((0, N),))


def avatar(into: Path) -> Avatar:
    """The person in a folder, with reels."""
    into.mkdir(parents=True, exist_ok=True)
    write_reel(into / "idle.mp4", (picture(i) for i in range(N)), SIZE, Fraction(FPS))
    half = (np.ascontiguousarray(picture(i)[::2, ::2]) for i in range(N))
    write_reel(into / "idle-240.mp4", half, (240, 240), Fraction(FPS))
    store.save(person(), into, {"name": into.name, "warnings": []})
    return Avatar(into.name, into, "person")
