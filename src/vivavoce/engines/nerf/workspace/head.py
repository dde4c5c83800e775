"""The head of a published checkpoint: what it is like is told by its tensors' names and shapes, and by nothing else."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vivavoce.engines.nerf.field.networks import AUDIO, EARS, Ear, Head, Shape, Torso, take
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment
from vivavoce.engines.nerf.field.rays import BOX
from vivavoce.engines.nerf.files import Engine
from vivavoce.engines.nerf.workspace.files import Places
from vivavoce.engines.neural.checkpoint import tensors
from vivavoce.errors import InvalidInput

__all__ = ["Trained", "asked", "occupied", "trained"]

_EPOCH = re.compile(r".*_ep(\d+)", re.ASCII)
_BYTES = 4 << 30
_WIDTHS: dict[int, Engine] = {16: "ernerf", 64: "synctalk"}
"""Of the net that gates the eyes."""
_NAMES: dict[Engine, str] = {"ernerf": "ER-NeRF", "synctalk": "SyncTalk"}
_KNOWN: Mapping[int, Ear] = {29: "deepspeech", 44: "esperanto", 1024: "hubert"}
_CELLS = 128
_COUNTED = 100.0
"""A density for cells of which only that they count is known."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a checkpoint holds."""

    engine: Engine
    file: Path
    head: Head
    torso: Torso | None
    grid: Any = None
    """Densities of cells as published, where the file has them; one that was saved as the best does not."""
    bits: Any = None
    """Which of them count: all that is rendered by."""

    @property
    def title(self) -> str:
        """The published program's name."""
        return _NAMES[self.engine]


def trained(places: Places, engine: str | None = None) -> Trained:
    """Read the newest checkpoint. ``engine`` is needed only where the eyes' net is missing, which tells it.

    Raises ``InvalidInput`` when there is none, or it is no head that is known here; ``EngineUnavailable`` when the file
    is damaged.
    """
    path = _newest(places)
    if path.stat().st_size > _BYTES:
        raise InvalidInput(f"{path.name} has {path.stat().st_size / 1e9:.0f} GB; no head is as large.")
    state = tensors(path, own=False)
    try:
        told, shape = _told(state, engine)
        head = Head(shape)
        take(head, state)
        torso = _torso(state)
        _check_finite(head, torso)
        _check_cells(grid := state.get("density_grid"), bits := state.get("density_bitfield"))
    except InvalidInput as e:
        raise InvalidInput(f"{path.name}: {e}") from e
    return Trained(told, path, head, torso, grid, bits)


def _newest(places: Places) -> Path:
    """The checkpoint of the highest epoch, or the best one where there is no other, as the published loader chooses."""
    found: list[tuple[int, Path]] = []
    for path in _checkpoints(places):
        match = _EPOCH.fullmatch(path.stem)
        found.append((int(match[1]) if match else -1, path))
    if not found:
        raise InvalidInput(
            f"There is no checkpoint in {places.training.name}; it is looked for as checkpoints/ngp_ep*.pth or ngp.pth."
        )
    return max(found, key=lambda one: (one[0], one[1].name == "ngp.pth", one[1].name))[1]


def _checkpoints(places: Places) -> Iterator[Path]:
    for root in dict.fromkeys((places.training, places.data)):
        paths = [path for folder in (root / "checkpoints", root) for path in sorted(folder.glob("*.pth"))]
        yield from (path for path in paths if places.inside(root, path) is not None)
        if paths:
            return


def _told(state: Mapping[str, Any], given: str | None) -> tuple[Engine, Shape]:
    """Whose head it is, and its shape."""
    for name in ("sigma_net.net.0.weight", "encoder_xy.embeddings", "audio_att_net.attentionNet.0.weight"):
        if name not in state:
            raise InvalidInput(
                f"it has no {name}, so it is no head of ER-NeRF or SyncTalk; RAD-NeRF and heads without attention are "
                "not read."
            )
    if "embedding.weight" in state:
        raise InvalidInput("it was trained on labels of sounds (--emb), which are not read; only features are.")
    shape = Shape()
    eyes = int(state["sigma_net.net.0.weight"].shape[-1]) - 3 * shape.grid.width - AUDIO
    gate = state.get("eye_att_net.net.0.weight")
    width = None if gate is None else int(gate.shape[0])
    engine = _engine(width, given)
    if eyes < 0 or (eyes and width is None):
        raise InvalidInput("its density net takes other numbers than planes, sound and eyes; it is no head of these.")
    codes = state.get("individual_codes")
    count, code = (1, 0) if codes is None or codes.ndim != 2 else (int(codes.shape[0]), int(codes.shape[1]))
    made = Shape(_ear(state), eyes, width or 16, engine == "ernerf", count, code, shape.grid)
    return engine, made


def _engine(width: int | None, given: str | None) -> Engine:
    told = None if width is None else _WIDTHS.get(width)
    if width is not None and told is None:
        raise InvalidInput(f"the net of its eyes is {width} wide; ER-NeRF's is 16, SyncTalk's 64.")
    if given is not None and given not in _NAMES:
        raise InvalidInput(f"the engine is ernerf or synctalk, not {given!r}.")
    if told is not None:
        if given is not None and given != told:
            raise InvalidInput(f"its eyes' net is that of {_NAMES[told]}; leave --engine out, or say {told}.")
        return told
    if given is None:
        raise InvalidInput("it has no net for the eyes, which would tell whose it is; say --engine ernerf or synctalk.")
    return "ernerf" if given == "ernerf" else "synctalk"


def _ear(state: Mapping[str, Any]) -> Ear:
    """By the numbers that the net of the sound takes."""
    first = state.get("audio_net.encoder_conv.0.weight")
    if first is None:
        return "ave"
    inputs = int(first.shape[1]) if first.ndim == 3 else 0
    if inputs not in _KNOWN:
        known = ", ".join(f"{ear} {EARS[ear][0]}" for ear in _KNOWN.values())
        raise InvalidInput(f"it hears {inputs} numbers at a time; features that are known here have others ({known}).")
    return _KNOWN[inputs]


def _check_finite(*nets: Any) -> None:
    for net in nets:
        for name, value in net.state_dict().items() if net is not None else ():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise InvalidInput(
                    f"{name} holds numbers that are not finite; the training failed, take an older file."
                )


def _torso(state: Mapping[str, Any]) -> Torso | None:
    if not any(name.startswith("torso_net.") for name in state):
        return None
    codes = state.get("individual_codes_torso")
    torso = Torso(1 if codes is None or codes.ndim != 2 else len(codes))
    take(torso, state)
    return torso


def _check_cells(grid: Any, bits: Any) -> None:
    if (grid is not None and grid.numel() != _CELLS**3) or (bits is not None and bits.numel() * 8 != _CELLS**3):
        raise InvalidInput(f"its cells are not {_CELLS}x{_CELLS}x{_CELLS}, those of a scene of --bound 1.")
    if grid is not None and not bool(grid.isfinite().all()):
        raise InvalidInput("density_grid holds numbers that are not finite; take an older file.")


def occupied(held: Trained) -> Occupancy | None:
    """The cells as the file has them; None where it says nothing of them: then the head has to be ``asked``."""
    if held.bits is None and held.grid is None:
        return None
    cells = Occupancy(_CELLS)
    grid = torch.zeros(1, _CELLS**3) if held.grid is None else held.grid.float()
    bits = torch.zeros(_CELLS**3 // 8) if held.bits is None else held.bits
    cells.take(grid, bits.to(torch.uint8))
    if held.bits is None:
        cells.recount()
    if held.grid is None:
        cells.density.copy_(cells.counts * _COUNTED)
    return cells


@torch.inference_mode()
def asked(head: Head, moments: list[Moment]) -> Occupancy:
    """Cells that count in one of the moments at least: what a head is asked where its file does not say."""
    cells, box = Occupancy(_CELLS), torch.tensor(BOX)
    for moment in moments:
        cells.update(lambda x, now=moment: head.density(x, now.audio, now.eyes), box, decay=1.0)
    return cells
