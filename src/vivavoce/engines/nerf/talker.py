"""A radiance field that talks, and all that it takes to film it; on disk ``nerf.safetensors`` and ``nerf.json``.

The JSON is written last and says that all is whole. A head's planes are kept as they are, laid out or hashed; hashed
ones are laid out when they are read, and take no space on disk that they need not. Never a pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import torch

from vivavoce.engines.nerf.answers import Answers, misfit
from vivavoce.engines.nerf.field.encodings import Grid, HashedPlane
from vivavoce.engines.nerf.field.networks import EARS, Head, Shape, Torso, take
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.rays import Camera
from vivavoce.engines.nerf.files import LARGEST, LONGEST, VERSION, Engine
from vivavoce.errors import InvalidInput, NotFound

__all__ = ["Talker", "about", "load", "save"]

_BROKEN = (OSError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RuntimeError, InvalidInput)
"""What reading a damaged one raises, besides safetensors' own."""
_FACTS, _TENSORS = "nerf.json", "nerf.safetensors"
_FACTS_BYTES, _TENSORS_BYTES = 1 << 20, 2 << 30
_LEVELS, _POINTS = 32, 1 << 23
"""Of a grid: its levels, and the numbers of a plane that is laid out. The published one has 836,000."""
_CELLS = 256
_DENSEST = 6e4
"""Densities are kept as half floats, whose largest is 65,504; from 10 on, all of them count alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Talker:
    """All parts are on one device. There are ``n`` frames, in the order in which they were filmed."""

    engine: Engine
    head: Head
    cells: Occupancy
    camera: Camera
    poses: torch.Tensor
    """``(n, 4, 4)``, as ``rays.from_nerf`` gives them."""
    background: torch.Tensor
    """``(height, width, 3)`` bytes: what is behind the torso."""
    fps: Fraction = Fraction(25)
    torso: Torso | None = None
    eyes: torch.Tensor | None = None
    """``(n, Shape.eyes)``; None where the head has none."""
    heard: torch.Tensor | None = None
    """``(m, …)``: features of the recording itself as the ear has them, a row for each 1 / fps of its sound."""
    masks: torch.Tensor | None = None
    """``(n, …, …)`` bytes, of any size: the part of each picture that a head is blended into, 255 inside."""
    mean: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    """Of the features, ``(inputs,)``, where they are normalised: less ``mean``, over ``spread``."""
    quiet: torch.Tensor | None = None
    """Of the shape that the ear has: what it heard of the film, normalised, when the mouth was shut."""
    square: tuple[int, int, int] | None = None
    """x, y and side of the camera's picture in the film's largest reel; None where the film is that picture."""
    origin: str = ""
    """Where it came from, for people."""
    answers: Answers = ()
    """How far its lips part when they are asked to; nothing where that was not measured."""

    def __post_init__(self) -> None:
        """Raises ``InvalidInput`` with what does not fit the rest, or is not finite."""
        if wrong := _misfit(self):
            raise InvalidInput(f"The parts of the head do not fit each other: {wrong}.")

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def device(self) -> Any:
        """Where all of it is."""
        return self.poses.device


def _misfit(talker: Talker) -> str:
    """What is wrong, or nothing."""
    n, shape, camera = len(talker.poses), talker.head.shape, talker.camera
    size = (camera.height, camera.width)
    rows = {"eyes": talker.eyes, "masks": talker.masks}
    if talker.poses.shape != (n, 4, 4) or not 0 < n <= LONGEST:
        return f"poses are of the shape {tuple(talker.poses.shape)}, not 1-{LONGEST} of 4x4"
    if min(size) < 1 or max(size) > LARGEST or not 0 < camera.focal < 1e6 or not all(map(isfinite, camera.centre)):
        return f"the camera's picture has {size[1]}x{size[0]} pixels and the focal length {camera.focal:g}"
    if tuple(talker.background.shape) != (*size, 3) or talker.background.dtype != torch.uint8:
        return f"the background is of the shape {tuple(talker.background.shape)}, not {size[1]}x{size[0]} in bytes"
    if (talker.eyes is None) != (shape.eyes == 0) or (
        talker.eyes is not None and talker.eyes.shape[1:] != (shape.eyes,)
    ):
        return f"the head needs {shape.eyes} numbers for its eyes"
    for name, part in rows.items():
        if part is not None and len(part) != n:
            return f"there are {len(part)} {name} for {n} poses"
    if talker.masks is not None and (talker.masks.ndim != 3 or talker.masks.dtype != torch.uint8):
        return f"the masks are of the shape {tuple(talker.masks.shape)}, not pictures in bytes"
    mean, spread = talker.mean, talker.spread
    if (mean is None) != (spread is None):
        return "features have a mean and a spread, or neither"
    if mean is not None and spread is not None and (spread.shape != mean.shape or not bool((spread > 0).all())):
        return f"the spread of the features is of the shape {tuple(spread.shape)}, or not above 0"
    if wrong := misfit(talker.answers):
        return wrong
    if talker.fps <= 0:
        return f"there are {talker.fps} frames a second"
    if talker.square is not None and (min(talker.square) < 0 or talker.square[2] == 0):
        return f"the square {talker.square} is no part of a picture"
    return _heard_or_infinite(talker)


def _heard_or_infinite(talker: Talker) -> str:
    ear, heard = talker.head.shape.ear, talker.heard
    if heard is not None and (tuple(heard.shape[1:]) != EARS[ear] or not len(heard)):
        return f"features of the shape {tuple(heard.shape)} are not what the ear {ear} hears"
    if talker.quiet is not None and tuple(talker.quiet.shape) != EARS[ear]:
        return f"silence of the shape {tuple(talker.quiet.shape)} is not what the ear {ear} hears"
    parts = {f"head.{name}": value for name, value in talker.head.state_dict().items()}
    parts |= {} if talker.torso is None else {f"torso.{k}": v for k, v in talker.torso.state_dict().items()}
    parts |= {name: value for name in _PLAIN if (value := getattr(talker, name)) is not None}
    bad = [name for name, value in parts.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    return f"{bad[0]} holds numbers that are not finite" if bad else ""


_PLAIN = ("poses", "background", "eyes", "heard", "masks", "mean", "spread", "quiet")
"""Parts that are one tensor."""
_NAMES = {"mean": "ear.mean", "spread": "ear.spread", "quiet": "ear.quiet"}
_HALVES = ("heard", "cells.density")
"""Kept as half floats."""


def save(talker: Talker, folder: Path) -> None:
    """Write it into an existing folder: 12 MB with hashed planes and 150 s of DeepSpeech features."""
    from safetensors.torch import save_file

    facts, tensors = folder / _FACTS, folder / _TENSORS
    facts.unlink(missing_ok=True)
    part = tensors.with_suffix(".part")
    save_file(_tensors(talker), str(part))
    part.replace(tensors)
    part = facts.with_suffix(".part")
    part.write_text(json.dumps(_facts(talker), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(facts)


def _tensors(talker: Talker) -> dict[str, Any]:
    found = {f"head.{name}": value for name, value in talker.head.state_dict().items()}
    found |= {"cells.density": talker.cells.density.clamp(max=_DENSEST), "cells.counts": talker.cells.counts}
    if talker.torso is not None:
        found |= {f"torso.{name}": value for name, value in talker.torso.state_dict().items()}
    for name in _PLAIN:
        if (value := getattr(talker, name)) is not None:
            found[_NAMES.get(name, name)] = value
    small = {name: _halved(value) if name in _HALVES else value for name, value in found.items()}
    return {name: value.detach().cpu().contiguous() for name, value in small.items()}


def _halved(value: Any) -> Any:
    """Half floats, where they reach as far as the numbers do."""
    return value.half() if bool(value.abs().max() <= _DENSEST) else value


def _facts(talker: Talker) -> dict[str, Any]:
    camera = talker.camera
    return {
        "version": VERSION,
        "engine": talker.engine,
        "shape": asdict(talker.head.shape),
        "dense": not isinstance(talker.head.encoder_xy, HashedPlane),
        "camera": {
            "focal": camera.focal,
            "centre": list(camera.centre),
            "width": camera.width,
            "height": camera.height,
        },
        "fps": [talker.fps.numerator, talker.fps.denominator],
        "frames": len(talker),
        "square": None if talker.square is None else list(talker.square),
        "origin": talker.origin,
        "answers": [list(pair) for pair in talker.answers],
    }


def about(folder: Path) -> dict[str, Any]:
    """What ``nerf.json`` says. Raises ``NotFound`` when it is missing or damaged, or of another version."""
    try:
        path = folder / _FACTS
        if path.stat().st_size > _FACTS_BYTES:
            raise ValueError("larger than any that was written")
        told = dict(json.loads(path.read_text(encoding="utf-8")))
        version, engine = int(told["version"]), told["engine"]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(folder) from error
    if version > VERSION or engine not in get_args(Engine):
        raise NotFound(f"The avatar {folder.name!r} was made by a newer version of the program; update the program.")
    if version < VERSION:
        raise NotFound(f"The avatar {folder.name!r} was made by an older version of the program; make it again.")
    return told


def _damaged(folder: Path) -> NotFound:
    return NotFound(f"The avatar {folder.name!r} is missing or damaged; import or train it again.")


def load(folder: Path, device: str = "cpu") -> Talker:
    """Read what ``save`` wrote, its head laid out to render with.

    Raises ``NotFound`` when it is missing or damaged, of another version, or its parts do not fit each other.
    """
    from safetensors import SafetensorError

    told = about(folder)
    try:
        return _talker(told, folder / _TENSORS, device)
    except (*_BROKEN, SafetensorError) as error:
        raise _damaged(folder) from error


def _talker(told: Mapping[str, Any], path: Path, device: str) -> Talker:
    shape, camera = _shape(told["shape"]), told["camera"]
    tensors = _read(path, shape, bool(told["dense"]), device)
    head: Any = Head(shape, dense=bool(told["dense"])).to(device)
    take(head, _of("head.", tensors))
    head = head if told["dense"] else head.laid_out()
    torso = None
    if any(name.startswith("torso.") for name in tensors):
        torso = Torso(len(tensors["torso.individual_codes_torso"]))
        take(torso, _of("torso.", tensors))
    cells = Occupancy(len(tensors["cells.density"]))
    cells.load_state_dict({"density": tensors["cells.density"].float(), "counts": tensors["cells.counts"]})
    square = told["square"]
    plain = {name: tensors.get(_NAMES.get(name, name)) for name in _PLAIN}
    if plain["heard"] is not None:
        plain["heard"] = plain["heard"].float()
    return Talker(
        engine=told["engine"],
        head=_ready(head),
        cells=_ready(cells.to(device)),
        torso=None if torso is None else _ready(torso.to(device)),
        camera=Camera(
            float(camera["focal"]),
            (float(camera["centre"][0]), float(camera["centre"][1])),
            int(camera["width"]),
            int(camera["height"]),
        ),
        fps=Fraction(int(told["fps"][0]), int(told["fps"][1])),
        square=None if square is None else (int(square[0]), int(square[1]), int(square[2])),
        origin=str(told["origin"]),
        answers=tuple((float(asked), float(seen)) for asked, seen in told.get("answers", ())),
        **plain,
    )


def _ready(net: Any) -> Any:
    """To be asked, and no more taught."""
    return net.eval().requires_grad_(False)


def _shape(told: Mapping[str, Any]) -> Shape:
    """Raises ``ValueError`` for one whose planes would fill the memory."""
    own = dict(told)
    grid = Grid(**own.pop("grid"))
    if not 0 < grid.levels <= _LEVELS or not 0 < grid.log2_rows <= 24 or not 0 < grid.base <= grid.finest:
        raise ValueError("a grid of that many levels is none of ours")
    if sum((level.resolution + 1) ** 2 for level in grid.table()) * grid.features > _POINTS:
        raise ValueError("a grid of that many points is none of ours")
    return Shape(grid=grid, **own)


def _of(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read(path: Path, shape: Shape, dense: bool, device: str) -> dict[str, Any]:
    """The tensors. Their sizes are looked at before any is read; raises ``ValueError`` for those of no head."""
    from safetensors import safe_open

    if path.stat().st_size > _TENSORS_BYTES:
        raise ValueError("larger than any that was written")
    with torch.device("meta"):
        wanted = {f"head.{name}": tuple(value.shape) for name, value in Head(shape, dense=dense).state_dict().items()}
    with safe_open(str(path), framework="pt", device=device) as file:
        names = set(file.keys())
        sizes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        side = sizes["cells.density"][0]
        if sizes["cells.density"] != (side,) * 3 or sizes["cells.counts"] != (side,) * 3 or side > _CELLS:
            raise ValueError("cells of that size are none of ours")
        if other := [name for name, size in wanted.items() if sizes.get(name) != size]:
            raise ValueError(f"{other[0]} is missing or of another size")
        return {name: file.get_tensor(name) for name in names}
