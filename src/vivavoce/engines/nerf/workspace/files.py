"""Files of a workspace of ER-NeRF or SyncTalk, each judged before it is read: nothing outside of its folders is opened.

Names and layouts are those that the published programs write and read. Whoever is refused is told the file.
"""

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.nerf.files import LARGEST, LONGEST
from vivavoce.errors import InvalidInput, VivavoceError
from vivavoce.media.picture import Picture, open_picture

__all__ = ["Places", "Shot", "Transforms", "array", "column", "options", "picture", "transforms"]

F32 = npt.NDArray[np.float32]

_SPLITS = ("transforms_train.json", "transforms_val.json")
_JSON_BYTES, _TEXT_BYTES, _CSV_BYTES, _PICTURE_BYTES = 64 << 20, 1 << 20, 1 << 30, 32 << 20
_ROWS = 4 * LONGEST
_TURNED = 1e-3
"""How far a rotation may be from one: files have it in float32."""
_OPTION = re.compile(r"(\w+)=('[^']*'|\[[^\]]*\]|[^,()\s]+)")


class Places:
    """The folder of a training and that of its data, which may be one."""

    def __init__(self, training: Path, data: Path | None = None) -> None:
        """Raises ``InvalidInput`` when one of them is no folder."""
        for folder in (training, data):
            if folder is not None and not folder.is_dir():
                raise InvalidInput(f"There is no folder {folder}; give the one that holds checkpoints and transforms.")
        self.training = training.resolve()
        self.data = self.training if data is None else data.resolve()

    def find(self, *names: str) -> Path | None:
        """The first of the files ``names``, looked for among the data and then beside the checkpoints.

        Raises ``InvalidInput`` for one that is a link out of its folder, or no file.
        """
        for name in names:
            for root in dict.fromkeys((self.data, self.training)):
                if (path := self.inside(root, root / name)) is not None:
                    return path
        return None

    def inside(self, root: Path, path: Path) -> Path | None:
        """The path if a file is there, else None. Raises as ``find`` does."""
        if not (path.is_symlink() or path.exists()):
            return None
        if not path.resolve().is_relative_to(root):
            raise InvalidInput(f"{path.relative_to(root)} is a link out of {root.name}; copy the file itself there.")
        if not path.is_file():
            raise InvalidInput(f"{path.relative_to(root)} of {root.name} is no file.")
        return path

    def name(self, path: Path) -> str:
        """How to call a file of theirs."""
        root = self.data if path.is_relative_to(self.data) else self.training
        return str(path.relative_to(root))


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame of the film."""

    image: int
    """The number of its pictures, and its row among the eyes."""
    sound: int
    """Its row among the features."""
    pose: npt.NDArray[np.float64]
    """The camera's, ``(4, 4)``, as a NeRF file has it."""


@dataclass(frozen=True, slots=True)
class Transforms:
    """What ``transforms_train.json`` and ``transforms_val.json`` say together, in the order in which it was filmed."""

    focal: float
    centre: tuple[float, float]
    width: int
    height: int
    shots: tuple[Shot, ...]


def transforms(places: Places) -> Transforms:
    """Read both. Raises ``InvalidInput`` with the file and what is wrong in it."""
    cameras: list[tuple[float, ...]] = []
    shots: dict[int, Shot] = {}
    for name in _SPLITS:
        if (path := places.find(name)) is None:
            continue
        told = _json(path)
        frames = told.get("frames")
        if not isinstance(frames, list) or not frames:
            raise InvalidInput(f"{name} has no frames; track the film again.")
        if len(frames) + len(shots) > LONGEST:
            raise InvalidInput(f"{name} has {len(frames)} frames; at most {LONGEST} are read.")
        cameras.append(_camera(name, told))
        for number, frame in enumerate(frames):
            shot = _shot(f"Frame {number} of {name}", frame)
            shots.setdefault(shot.image, shot)
    if not cameras:
        raise InvalidInput(
            f"There is no {_SPLITS[0]} in {places.data.name}; if the data lie in another folder, give it with --data."
        )
    if len(set(cameras)) > 1:
        raise InvalidInput(f"{_SPLITS[0]} and {_SPLITS[1]} are of different cameras; they are not of one film.")
    focal, x, y, width, height = cameras[0]
    return Transforms(focal, (x, y), int(width), int(height), tuple(shots[i] for i in sorted(shots)))


def _json(path: Path) -> dict[str, Any]:
    _check_bytes(path, _JSON_BYTES)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise InvalidInput(f"{path.name} is no JSON, it is damaged or cut off; copy it again.") from e
    if not isinstance(told, dict):
        raise InvalidInput(f"{path.name} holds no camera and frames.")
    return told


def _check_bytes(path: Path, most: int) -> None:
    if (size := path.stat().st_size) > most:
        raise InvalidInput(f"{path.name} has {size / 1e6:.0f} MB; at most {most / 1e6:.0f} are read.")


def _camera(name: str, told: Mapping[str, Any]) -> tuple[float, ...]:
    """Focal length, centre, width and height in pixels. Without a size, the centre is the middle, as published."""
    numbers: dict[str, float] = {}
    for key in ("focal_len", "cx", "cy", "w", "h"):
        given = told.get("fl_x") if key == "focal_len" and "focal_len" not in told else told.get(key)
        if given is None and key in ("w", "h"):
            given = 2 * int(numbers["cx" if key == "w" else "cy"])
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e6:
            raise InvalidInput(f"{name} has no {key} that is a number of pixels, but {given!r:.40}.")
        numbers[key] = float(given)
    width, height = int(numbers["w"]), int(numbers["h"])
    if max(width, height) > LARGEST or min(width, height) < 16:
        raise InvalidInput(f"{name} is of pictures of {width}x{height} pixels; 16 to {LARGEST} are read.")
    return numbers["focal_len"], numbers["cx"], numbers["cy"], width, height


def _shot(where: str, frame: Any) -> Shot:
    if not isinstance(frame, Mapping):
        raise InvalidInput(f"{where} is no frame.")
    image = _number(where, "img_id", frame.get("img_id"))
    sound = _number(where, "aud_id", frame.get("aud_id", image))
    try:
        pose = np.asarray(frame.get("transform_matrix"), np.float64)
    except (ValueError, TypeError, OverflowError):
        pose = np.empty(0)
    if pose.shape != (4, 4):
        raise InvalidInput(f"{where} has no transform_matrix of 4x4 numbers.")
    if not np.isfinite(pose).all():
        raise InvalidInput(f"{where} has a transform_matrix with numbers that are not finite.")
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > _TURNED or np.linalg.det(turn) < 0:
        raise InvalidInput(f"{where} has a transform_matrix that is no rotation and shift of a camera.")
    return Shot(image, sound, pose)


def _number(where: str, key: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < _ROWS:
        raise InvalidInput(f"{where} has no {key} from 0 to {_ROWS - 1}, but {given!r:.40}.")
    return given


def array(path: Path, widths: tuple[int, ...], what: str) -> F32:
    """A ``.npy`` file of rows of the shape ``widths``, finite.

    Raises ``InvalidInput`` for a pickle, one that is damaged, or rows of another shape.
    """
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        with path.open("rb") as file:
            start = file.read(6)
        pickled = "pickle" in str(e).lower() or "object" in str(e).lower() or start[:1] == b"\x80"
        wrong = "holds pickled objects, which are never opened" if pickled else "is damaged or cut off"
        raise InvalidInput(f"{path.name} {wrong}; {what} are a plain array of numbers.") from e
    if not isinstance(held, np.ndarray) or held.dtype.kind not in "fiu":
        raise InvalidInput(f"{path.name} holds no numbers; {what} are a plain array of them.")
    wanted = "x".join(str(n) for n in widths)
    if held.shape[1:] != widths or not 0 < len(held) <= _ROWS:
        raise InvalidInput(f"{path.name} is of the shape {held.shape}, but {what} are rows of {wanted}.")
    read = np.array(held, np.float32)
    if not np.isfinite(read).all():
        raise InvalidInput(f"{path.name} holds numbers that are not finite.")
    return read


def column(path: Path, name: str) -> F32:
    """A column of a CSV file with a header, ``(rows,)``; OpenFace writes a blank before each name.

    Raises ``InvalidInput`` when there is none, or a number in it is none.
    """
    _check_bytes(path, _CSV_BYTES)
    found: list[float] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [field.strip() for field in next(rows, [])]
            if name not in header:
                raise InvalidInput(f"{path.name} has no column {name}, which tells how far the eyes are shut.")
            at = header.index(name)
            for number, row in enumerate(rows):
                if not row:
                    continue
                value = float(row[at])
                if not np.isfinite(value) or number > _ROWS:
                    raise ValueError("not finite, or too many")
                found.append(value)
    except (ValueError, IndexError, csv.Error) as e:
        raise InvalidInput(f"{path.name} is damaged in row {len(found) + 2}; {name} is a number in each row.") from e
    return np.array(found, np.float32)


def options(places: Places) -> dict[str, Any]:
    """What the training was called with, as ``opt.txt`` has it; of several calls the last. Empty without the file."""
    path = places.inside(places.training, places.training / "opt.txt")
    if path is None:
        return {}
    _check_bytes(path, _TEXT_BYTES)
    text = path.read_text(encoding="utf-8", errors="replace").rpartition("Namespace(")[2]
    return dict(_literals(text))


def _literals(text: str) -> Iterator[tuple[str, Any]]:
    for name, value in _OPTION.findall(text):
        try:
            yield name, ast.literal_eval(value)
        except (ValueError, SyntaxError):
            continue


def picture(path: Path, name: str, size: tuple[int, int] | None) -> Picture:
    """A picture of ``size`` width and height, or of any. Raises ``InvalidInput`` with ``name`` and what is wrong."""
    _check_bytes(path, _PICTURE_BYTES)
    try:
        seen = open_picture(path, max_pixels=LARGEST**2 if size else 4 * LARGEST**2)
    except VivavoceError as e:
        raise InvalidInput(f"{name}: {e}") from e
    height, width = seen.rgb.shape[:2]
    if size is not None and (width, height) != size:
        raise InvalidInput(f"{name} has {width}x{height} pixels, but the camera's pictures have {size[0]}x{size[1]}.")
    return seen
