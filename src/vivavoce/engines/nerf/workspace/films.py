"""The pictures of a workspace become reels: the film, and what is behind its head; and masks of the face."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.nerf.files import BEHIND, FILM
from vivavoce.engines.nerf.workspace.files import Places, Shot, Transforms, picture
from vivavoce.errors import InvalidInput
from vivavoce.media.reel import ReelWriter

__all__ = ["FPS", "Pictures", "background", "beneath", "pictures", "still", "write"]

Bytes = npt.NDArray[np.uint8]

FPS = Fraction(25)
"""Pictures a second of every workspace: the published preparation makes them so."""
_FILMS = "ori_imgs", "gt_imgs"
"""The pictures as they were filmed, and before the background alone."""
_MASK = 96
"""Pixels along the longer side of a mask, whose edge is soft."""
_GONE = 0.1
"""Of the frames may lack a picture."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Which pictures there are, and the frames that have all of them."""

    shots: tuple[Shot, ...]
    film: str = ""
    """The folder of the film that a head is blended into; "" where none is."""
    behind: str = ""
    """The folder of pictures without a head; "" where the torso is a net."""
    masks: str = ""
    """The folder of the face's masks, where there is a film."""
    lacking: str = ""
    """What a head lacks that would be blended into its film."""
    left_out: int = 0
    """Frames that lack a picture."""


def pictures(places: Places, told: Transforms, *, portrait: bool, torso: bool) -> Pictures:
    """Look for them. ``portrait``: a head is blended into its film; ``torso``: the torso is a net.

    A few frames without a picture are left out, as published. Raises ``InvalidInput`` when more than a tenth lack one,
    or nothing of what is behind the head is there.
    """
    film = _folder(places, told, _FILMS, _film) if portrait else ""
    masks = _folder(places, told, ("parsing",), _mask) if film else ""
    lacks = "" if masks or not portrait else "parsing/*_face.png" if film else "ori_imgs"
    behind = "" if torso else _folder(places, told, ("torso_imgs",), _behind)
    if not torso and not behind:
        raise InvalidInput(
            f"torso_imgs/{told.shots[0].image}.png is missing, and so are all others, and the checkpoint has no torso: "
            "nothing would be below the head; give the folder of the data with --data."
        )
    made = Pictures(told.shots, film if masks else "", behind, masks, lacks)
    lacking = [(shot, name) for shot in told.shots if (name := _lacking(places, made, shot))]
    if len(lacking) > _GONE * len(told.shots):
        raise InvalidInput(
            f"{lacking[0][1]} is missing, as are those of {len(lacking)} of {len(told.shots)} frames; copy all data."
        )
    gone = {shot.image for shot, _ in lacking}
    return replace(made, shots=tuple(s for s in told.shots if s.image not in gone), left_out=len(gone))


def still(places: Places, told: Transforms, shot: Shot) -> Bytes | None:
    """The film's picture of one frame, if it is there. Raises ``InvalidInput`` when it is damaged."""
    for name in (_film(folder, shot) for folder in _FILMS):
        if (path := places.find(name)) is not None:
            return picture(path, name, (told.width, told.height)).rgb
    return None


def _film(folder: str, shot: Shot) -> str:
    return f"{folder}/{shot.image}.jpg"


def _behind(folder: str, shot: Shot) -> str:
    return f"{folder}/{shot.image}.png"


def _mask(folder: str, shot: Shot) -> str:
    return f"{folder}/{shot.image}_face.png"


def _folder(places: Places, told: Transforms, folders: Sequence[str], name: Callable[[str, Shot], str]) -> str:
    """The first of them that has a picture of any frame."""
    return next((f for f in folders if any(places.find(name(f, shot)) for shot in told.shots)), "")


def _names(made: Pictures, shot: Shot) -> Iterator[str]:
    for folder, name in ((made.film, _film), (made.behind, _behind), (made.masks, _mask)):
        if folder:
            yield name(folder, shot)


def _lacking(places: Places, made: Pictures, shot: Shot) -> str:
    return next((name for name in _names(made, shot) if places.find(name) is None), "")


def background(places: Places, told: Transforms) -> Bytes:
    """What is behind the torso, of the camera's size. Raises ``InvalidInput`` when it is missing or damaged."""
    path = places.find("bc.jpg")
    if path is None:
        raise InvalidInput(f"bc.jpg, the background, is missing in {places.data.name}; copy it there.")
    rgb, size = picture(path, "bc.jpg", None).rgb, (told.width, told.height)
    if (rgb.shape[1], rgb.shape[0]) != size:
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return rgb


def write(
    places: Places, told: Transforms, made: Pictures, behind: Bytes, into: Path, report: Callable[[float], None]
) -> Bytes | None:
    """Write the reels that there are pictures for; the masks ``(n, h, w)``, if there are any.

    ``behind`` is the background. ``report`` hears 0-1. Raises ``InvalidInput`` with a picture that is damaged or of
    another size.
    """
    size = (told.width, told.height)
    even = (told.width + told.width % 2, told.height + told.height % 2)
    masks: list[Bytes] = []
    with ExitStack() as stack:
        film, torso = (
            stack.enter_context(ReelWriter(into / name, even, FPS)) if folder else None
            for name, folder in ((FILM, made.film), (BEHIND, made.behind))
        )
        for number, shot in enumerate(made.shots):
            if film is not None:
                film.add(_evened(_seen(places, _film(made.film, shot), size), even))
            if torso is not None:
                torso.add(_evened(beneath(places, told, made, shot, behind), even))
            if made.masks:
                masks.append(_face(_seen(places, _mask(made.masks, shot), size)))
            report((number + 1) / len(made.shots))
    return np.stack(masks) if masks else None


def _path(places: Places, name: str) -> Path:
    path = places.find(name)
    if path is None:
        raise InvalidInput(f"{name} is missing; it was there a moment ago.")
    return path


def _seen(places: Places, name: str, size: tuple[int, int]) -> Bytes:
    return picture(_path(places, name), name, size).rgb


def beneath(places: Places, told: Transforms, made: Pictures, shot: Shot, background: Bytes) -> Bytes:
    """What a frame's head is rendered over, but for a torso's net: the filmed torso over the background."""
    if not made.behind:
        return background
    name = _behind(made.behind, shot)
    read = picture(_path(places, name), name, (told.width, told.height))
    if read.alpha is None:
        return read.rgb
    share = read.alpha[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(read.rgb * share + background * (1 - share)), np.uint8)


def _face(rgb: Bytes) -> Bytes:
    """The face, which is blue on white, with a soft edge: where there is no green, it is replaced."""
    inside = 255 - rgb[..., 1]
    height, width = inside.shape
    scale = _MASK / max(height, width)
    if scale >= 1:
        return np.asarray(inside)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(inside, small, interpolation=cv2.INTER_AREA), np.uint8)


def _evened(rgb: Bytes, size: tuple[int, int]) -> Bytes:
    """With an edge twice where a side is odd: films have even ones."""
    return np.pad(rgb, ((0, size[1] - rgb.shape[0]), (0, size[0] - rgb.shape[1]), (0, 0)), mode="edge")
