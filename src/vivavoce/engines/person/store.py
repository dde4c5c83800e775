"""A library on disk: ``person.npz``, a pack of JPEGs, and ``avatar.json``, which is written last and says all is whole.

Beside them lie what ``face.footage`` keeps, ``avatar.npz`` and the reels, as for any film. Numbers are kept as small as
they may be: landmarks in 32nds of a pixel around their middle, shapes as half floats. Never a pickle.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.library import FEATURES, LOW, VERSION, Library, Voice
from vivavoce.errors import NotFound
from vivavoce.face import footage as films
from vivavoce.face.footage import BROKEN
from vivavoce.face.track import Canonical

__all__ = ["about", "held", "load", "save", "write_about"]

F32 = npt.NDArray[np.float32]

_ARRAYS, _PACK = "person.npz", "person.jpegs"
_FINE = 32
"""Steps of a pixel in which landmarks are kept."""


def save(library: Library, into: Path, about: dict[str, Any]) -> None:
    """Write the library, but for its reels, which are there already, to the folder ``into``.

    ``about`` goes into ``avatar.json`` beside the report. Up to 1 MB, and 0.6 MB for each second of film that sources
    are taken from, without ``avatar.npz`` and the reels.
    """
    films.save(library.footage, into)
    pack = into / (_PACK + ".part")
    with pack.open("wb") as file:
        file.writelines(library.crops)
    pack.replace(into / _PACK)
    part = into / (_ARRAYS + ".part")
    with part.open("wb") as file:
        arrays: Any = _arrays(library) | _voice_arrays(library.voice)
        np.savez_compressed(file, **arrays)
    part.replace(into / _ARRAYS)
    width, height = library.footage.size
    size = {"width": width, "height": height, "fps": round(float(library.footage.fps), 3)}
    write_about(
        into, {"version": VERSION, "engine": "person", "kind": "video", **size, **about, "person": library.report}
    )


def _arrays(library: Library) -> dict[str, npt.NDArray[Any]]:
    middle = np.round(library.points.mean(axis=1))
    fine = np.clip(np.round((library.points - middle[:, None]) * _FINE), -32767, 32767)
    return {
        "middle": middle.astype(np.float32),
        "points": fine.astype(np.int16),
        "scale": library.head.scale,
        "rotation": library.head.rotation,
        "shift": library.head.shift,
        "slow": library.slow.astype(np.float16),
        "basis": library.basis,
        "centre": library.centre,
        "weights": library.weights,
        "features": library.features,
        "opening": library.opening,
        "skin": library.skin,
        "lips": library.lips,
        "run": library.run.astype(np.int32),
        "seen": library.seen,
        "usable": library.usable,
        "stretches": np.array(library.stretches, np.int32).reshape(-1, 2),
        "lengths": np.array([len(crop) for crop in library.crops], np.int32),
        "corners": library.corners.astype(np.int32),
    }


def _voice_arrays(voice: Voice | None) -> dict[str, npt.NDArray[Any]]:
    if voice is None:
        return {}
    return {
        "windows": voice.windows.astype(np.float16),
        "mean": voice.mean,
        "spread": voice.spread,
        "alpha": voice.alpha,
        "fitted": voice.fitted.astype(np.int32),
        "sure": np.array(voice.sure),
    }


def write_about(into: Path, facts: dict[str, Any]) -> None:
    """Write ``avatar.json``, whole or not at all."""
    part = into / "avatar.json.part"
    part.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(into / "avatar.json")


def held(folder: Path) -> bool:
    """Whether there is a library in an avatar's folder; other engines' avatars may have one too."""
    return (folder / _ARRAYS).exists()


def about(folder: Path, engine: str = "person") -> dict[str, Any]:
    """What ``avatar.json`` of an ``engine``'s avatar says.

    Raises ``NotFound`` when it is missing or damaged, or of another version.
    """
    try:
        facts = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
        version, made_by, report = int(facts["version"]), facts["engine"], dict(facts["person"])
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder) from error
    if made_by != engine or version > VERSION:
        raise NotFound(f"The avatar {folder.name!r} was made by a newer version of the program; update the program.")
    if version < VERSION:
        raise NotFound(f"The avatar {folder.name!r} was made by an older version of the program; add its video again.")
    return {**facts, "person": report}


def _damaged(folder: Path) -> NotFound:
    return NotFound(f"The avatar {folder.name!r} is missing or damaged; add its video again.")


def load(folder: Path, engine: str = "person") -> Library:
    """Read what ``save`` wrote. Raises ``NotFound`` when it is missing or damaged, or of another version."""
    report = about(folder, engine)["person"]
    footage = films.load(folder)
    try:
        with (folder / _ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        pack = (folder / _PACK).read_bytes()
        library = _library(arrays, pack, footage, report)
    except (*BROKEN, IndexError, TypeError) as error:
        raise _damaged(folder) from error
    if not _fits(library):
        raise _damaged(folder)
    return library


def _library(data: dict[str, npt.NDArray[Any]], pack: bytes, footage: films.Footage, report: dict[str, Any]) -> Library:
    points = (data["points"].astype(np.float32) / _FINE + data["middle"][:, None]).astype(np.float32)
    scale, rotation, shift = data["scale"], data["rotation"], data["shift"]
    shape = np.einsum("nkc,ncd->nkd", points - shift[:, None], rotation) / scale[:, None, None]
    ends = np.cumsum(data["lengths"])
    if ends[-1] != len(pack):
        raise ValueError("the pack of pictures is cut off")
    return Library(
        footage=footage,
        points=points,
        head=Canonical(shape.astype(np.float32), scale, rotation, shift),
        slow=data["slow"].astype(np.float32),
        basis=data["basis"],
        centre=data["centre"],
        weights=data["weights"],
        features=data["features"],
        opening=data["opening"],
        skin=data["skin"],
        lips=data["lips"],
        run=data["run"].astype(np.intp),
        seen=data["seen"],
        usable=data["usable"],
        stretches=tuple((int(first), int(last)) for first, last in data["stretches"]),
        crops=tuple(pack[end - length : end] for end, length in zip(ends, data["lengths"], strict=True)),
        corners=data["corners"].astype(np.intp),
        voice=_voice(data) if "windows" in data else None,
        report=report,
    )


def _voice(data: dict[str, npt.NDArray[Any]]) -> Voice:
    return Voice(
        windows=data["windows"].astype(np.float32),
        mean=data["mean"],
        spread=data["spread"],
        alpha=data["alpha"],
        fitted=data["fitted"].astype(np.intp),
        sure=float(data["sure"]),
    )


def _fits(library: Library) -> bool:
    """Whether all parts are of one film: files may have been mixed up."""
    n = len(library)
    rows = (library.slow, library.weights, library.features, library.opening, library.skin, library.lips)
    marks = (library.run, library.seen, library.usable, library.crops, library.corners, library.head.scale)
    voice = library.voice
    return (
        all(len(row) == n for row in (*rows, *marks))
        and 0 < len(library.footage.track.points) <= n
        and library.basis.shape == (library.weights.shape[1], 2 * len(LOW))
        and library.features.shape[1] == len(FEATURES)
        and all(0 <= first < last <= n for first, last in library.stretches)
        and (voice is None or len(voice.windows) == n)
        and bool(np.isfinite(library.points).all())
    )
