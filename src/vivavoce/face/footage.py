"""A film of a person, prepared to be replayed: reels in several sizes, the face in each picture, and how it rests.

Independent of how a face engine paints: a rig lays one resting mouth on it, a library of the person's own mouths may.
Stored as ``avatar.npz`` beside the reels, never a pickle.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vivavoce.errors import NotFound
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.track import Track

__all__ = ["BROKEN", "EASE", "LIGHT", "Footage", "Take", "load", "quiet_span", "save", "swing"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BROKEN = (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged file of arrays raises."""
LIGHT = 24
"""Cells of the light's grid along each side of the reference."""
EASE = 6
"""Pictures over which the film slows down at each end before it turns back."""


@dataclass(frozen=True, slots=True)
class Take:
    """One reel."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Footage:
    """All coordinates are pixels of the largest reel."""

    fps: Fraction
    takes: tuple[Take, ...]
    """Largest first."""
    first: int
    last: int
    """The stretch that is replayed: pictures ``first`` up to, and without, ``last``; places of low motion."""
    track: Track
    rest: F32
    """``(n, 468, 2)``: ``face.rest.resting``."""
    weight: F32
    """``(n,)`` 0–1: how much of the mouth is driven; falls softly to 0 where no face is seen."""
    light: F32
    """``(n, LIGHT, LIGHT, 3)``: what has to be added to the reference's colours, 0–255, cell by cell."""
    blur: F32
    """``(n,)``: sigma in eye distances by which the picture is less sharp than the reference."""
    teeth: F32 | None
    """RGB ``(3,)`` of the person's own teeth; None where they are never seen."""
    reference: Bytes
    """The resting face, RGB: the part at ``origin`` of picture ``number``."""
    origin: tuple[int, int]
    number: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest reel."""
        return self.takes[0].width, self.takes[0].height

    @property
    def mesh(self) -> FaceMesh:
        """Landmarks on the reference."""
        points = self.track.points[self.number].copy()
        points[:, :2] -= np.asarray(self.origin, np.float32)
        return FaceMesh(points)


def swing(
    length: int,
    steps: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    *,
    periodic: bool = False,
    ease: float = EASE,
) -> npt.NDArray[np.intp]:
    """Pictures of a film of ``length`` pictures that is played forth and back for ever, after so many ``steps``.

    Near its ends it slows down: a head that turns back at once would look struck. With ``periodic``, ``steps`` are
    shares of once forth and back, 0-1. ``ease``: pictures over which it slows down.
    """
    if length < 2:
        return np.zeros(len(steps), np.intp)
    ease = min(ease, (length - 1) / 4)
    span = length - 1 + ease  # steps from one end to the other: slowing down takes a little longer
    at = np.mod(np.asarray(steps, np.float64) * (2 * span if periodic else 1), 2 * span)
    at = np.where(at > span, 2 * span - at, at)
    near = np.minimum(at, span - at)
    travelled = np.where(near < ease, near**2 / (2 * ease), near - ease / 2)
    place = np.where(at * 2 <= span, travelled, length - 1 - travelled)
    return np.clip(np.round(place), 0, length - 1).astype(np.intp)


def quiet_span(footage: Footage, steps: float) -> tuple[int, int]:
    """First picture and length of a part of the film whose ends are still, to be played forth and back in ``steps``."""
    available = footage.last - footage.first
    length = int(min(max(round(steps / 2 - EASE) + 1, 1), available))
    middle = footage.track.points[footage.first : footage.last, :, :2].mean(axis=1)
    speed = np.linalg.norm(np.gradient(middle, axis=0), axis=1) if available > 1 else np.zeros(1)
    seen = footage.track.seen[footage.first : footage.last]
    speed = speed + np.where(seen, 0.0, footage.track.eye)
    ends = speed[: available - length + 1] + speed[length - 1 :]
    return footage.first + int(ends.argmin()), length


def save(footage: Footage, into: Path) -> None:
    """Write everything but the reels to ``into / "avatar.npz"``."""
    buffer = io.BytesIO()
    Image.fromarray(footage.reference).save(buffer, "PNG")
    np.savez_compressed(
        into / "avatar.npz",
        fps=np.array([footage.fps.numerator, footage.fps.denominator]),
        takes=np.array([(take.width, take.height) for take in footage.takes]),
        names=np.array([take.name for take in footage.takes]),
        stretch=np.array([footage.first, footage.last]),
        points=footage.track.points,
        seen=footage.track.seen,
        confidence=footage.track.confidence,
        rest=footage.rest,
        weight=footage.weight,
        light=footage.light.astype(np.float16),
        blur=footage.blur,
        teeth=np.zeros(3, np.float32) if footage.teeth is None else footage.teeth,
        reference=np.frombuffer(buffer.getvalue(), np.uint8),
        place=np.array([*footage.origin, footage.number]),
    )


def load(folder: Path) -> Footage:
    """Read what ``save`` wrote. Raises ``NotFound`` when it is missing or damaged."""
    try:
        with (folder / "avatar.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
            x, y, number = (int(v) for v in data["place"])
            takes = tuple(
                Take(Path(str(name)).name, int(width), int(height))
                for name, (width, height) in zip(data["names"], data["takes"], strict=True)
            )
            return Footage(
                fps=Fraction(int(data["fps"][0]), int(data["fps"][1])),
                takes=takes,
                first=int(data["stretch"][0]),
                last=int(data["stretch"][1]),
                track=Track(data["points"], data["seen"], data["confidence"]),
                rest=data["rest"],
                weight=data["weight"],
                light=data["light"].astype(np.float32),
                blur=data["blur"],
                teeth=data["teeth"] if data["teeth"].any() else None,
                reference=np.asarray(Image.open(io.BytesIO(data["reference"].tobytes())).convert("RGB")),
                origin=(x, y),
                number=number,
            )
    except (*BROKEN, IndexError, ZeroDivisionError) as error:
        raise NotFound(f"The avatar {folder.name!r} is missing or damaged; add its video again.") from error
