"""A prepared avatar on disk: ``avatar.json``, ``avatar.npz`` and, of a video, reels; versioned, never a pickle.

``avatar.json`` is written last and replaced whole: it says which version lies beside it.
"""

import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vivavoce.engines.photo.fit import Portrait
from vivavoce.errors import NotFound
from vivavoce.face import footage as films
from vivavoce.face.footage import Footage
from vivavoce.face.mesh import FaceMesh

__all__ = ["VERSION", "VERSIONS", "Kind", "about", "load", "load_footage", "save", "save_footage", "write_about"]

Kind = Literal["picture", "video"]
VERSION = 1
VERSIONS: dict[Kind, int] = {"picture": VERSION, "video": 1}
"""Raise one when what is prepared of that kind changes: bundles that hold their source are then prepared again."""
_LONGEST = 2160
"""Larger portraits are reduced: no canvas needs more."""


def _packed(image: npt.NDArray[np.uint8], *, lossless: bool) -> npt.NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=94, method=4, lossless=lossless)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def _unpacked(data: npt.NDArray[np.uint8], mode: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data.tobytes())).convert(mode))


def reduced(portrait: Portrait) -> Portrait:
    """The portrait with its longer side no longer than any canvas needs."""
    height, width = portrait.rgb.shape[:2]
    scale = _LONGEST / max(height, width)
    if scale >= 1:
        return portrait
    size = (round(width * scale), round(height * scale))

    def smaller(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))

    return Portrait(
        smaller(portrait.rgb), smaller(portrait.matte), smaller(portrait.plate), portrait.mesh.moved(scale, (0, 0))
    )


def save(portrait: Portrait, into: Path, about: dict[str, Any]) -> None:
    """Write the bundle and a poster to the existing folder ``into``; ``about`` goes into the JSON."""
    portrait = reduced(portrait)
    np.savez(
        into / "avatar.npz",
        rgb=_packed(portrait.rgb, lossless=False),
        matte=_packed(np.dstack([portrait.matte] * 3), lossless=False),
        plate=_packed(portrait.plate, lossless=False),
        points=portrait.mesh.points,
        confidence=np.float32(portrait.mesh.confidence),
    )
    height, width = portrait.rgb.shape[:2]
    write_about(
        into, {"version": VERSION, "engine": "photo", "kind": "picture", "width": width, "height": height, **about}
    )


def save_footage(footage: Footage, into: Path, about: dict[str, Any]) -> None:
    """Write a film's bundle, but for its reels, which are there already."""
    films.save(footage, into)
    width, height = footage.size
    size = {"width": width, "height": height, "fps": round(float(footage.fps), 3)}
    write_about(into, {"version": VERSIONS["video"], "engine": "photo", "kind": "video", **size, **about})


def write_about(into: Path, facts: dict[str, Any]) -> None:
    """Write ``avatar.json``, whole or not at all."""
    part = into / "avatar.json.part"
    part.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(into / "avatar.json")


def about(folder: Path) -> dict[str, Any]:
    """What ``avatar.json`` says. Raises ``NotFound`` when it is missing or damaged."""
    try:
        facts = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
        if facts.setdefault("kind", "picture") not in VERSIONS:
            raise ValueError(facts["kind"])
        facts["version"] = int(facts["version"])
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as e:
        raise _damaged(folder) from e
    return dict(facts)


def _damaged(folder: Path) -> NotFound:
    return NotFound(f"The avatar {folder.name!r} is missing or damaged; add its picture again.")


def _check_version(folder: Path, kind: Kind) -> None:
    facts = about(folder)
    if facts["version"] != VERSIONS[kind] or facts["kind"] != kind:
        raise NotFound(f"The avatar {folder.name!r} was prepared by another version; add its {kind} again.")


def load_footage(folder: Path) -> Footage:
    """Read a film's bundle. Raises ``NotFound`` where there is none of this version."""
    _check_version(folder, "video")
    return films.load(folder)


def load(folder: Path) -> Portrait:
    """Read a picture's bundle. Raises ``NotFound`` where there is none of this version."""
    _check_version(folder, "picture")
    try:
        with np.load(folder / "avatar.npz", allow_pickle=False) as data:
            return Portrait(
                rgb=_unpacked(data["rgb"], "RGB"),
                matte=_unpacked(data["matte"], "L"),
                plate=_unpacked(data["plate"], "RGB"),
                mesh=FaceMesh(data["points"].astype(np.float32), float(data["confidence"])),
            )
    except (OSError, KeyError, ValueError) as e:
        raise _damaged(folder) from e
