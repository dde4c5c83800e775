"""From the user's own files to a net that runs: which file, which runtime, and what to do when there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from vivavoce.engines.neural.device import EXTRA, Precision, has_torch
from vivavoce.engines.wav2lip.architecture import Folded, check, folded
from vivavoce.errors import EngineUnavailable
from vivavoce.models import CATALOGUE, ModelStore

__all__ = ["EXPORTED", "LICENCE", "Found", "Net", "Runtime", "export", "find", "folded_file", "load"]

F32 = npt.NDArray[np.float32]

Runtime = Literal["auto", "torch", "onnx"]
LICENCE = CATALOGUE["wav2lip"].licence
EXPORTED = "wav2lip.onnx"
"""Name of the network as ``vivavoce models export`` writes it."""

_log = structlog.get_logger(__name__)


class Net(Protocol):
    """A network that can be asked."""

    name: str
    """Its runtime, device and type of number."""
    largest: int
    """Pictures at once beyond which it gains nothing."""

    def __call__(self, mel: F32, face: F32) -> F32:
        """``mel`` ``(n, 80, 16)``, ``face`` ``(n, 96, 96, 6)`` BGR 0-1; gives BGR ``(n, 96, 96, 3)``, 0-1."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what is to run it."""

    path: Path
    runtime: Literal["torch", "onnx"]


def find(store: ModelStore, runtime: Runtime = "auto", checkpoint: str = "") -> Found:
    """The file to use; nothing is read and torch is not imported.

    ``checkpoint`` names one of the models' folder, or gives a path; without it the names of the catalogue are looked
    for. With torch a checkpoint is preferred, which it computes faster; without, the exported network. Raises
    ``EngineUnavailable`` with what to put where.
    """
    paths = [_chosen(store, checkpoint)] if checkpoint else store.own("wav2lip")
    exported = [Found(path, "onnx") for path in paths if path.suffix == ".onnx"]
    others = [Found(path, "torch") for path in paths if path.suffix != ".onnx"]
    torch = others if has_torch() or runtime == "torch" else []
    for found in {"auto": torch + exported, "torch": torch, "onnx": exported}[runtime]:
        return found
    if others and runtime != "onnx":
        raise EngineUnavailable(
            f"The checkpoint {others[0].path.name} needs torch, which is not installed: `{EXTRA}`; or export it where "
            f"torch is (`vivavoce models export wav2lip`), and put {EXPORTED} beside it."
        )
    if others:
        raise EngineUnavailable("There is no exported network; write one with `vivavoce models export wav2lip`.")
    names = ", ".join(CATALOGUE["wav2lip"].names)
    raise EngineUnavailable(
        f"The engine wav2lip has no checkpoint: put your own ({LICENCE}) into the folder that VIVAVOCE_MODELS__DIR "
        f"names, under one of the names {names}."
    )


def _chosen(store: ModelStore, checkpoint: str) -> Path:
    path = Path(checkpoint).expanduser()
    if not path.is_absolute():
        folder = store.folder
        if folder is None or path.name != checkpoint:
            raise EngineUnavailable(
                f"The checkpoint {checkpoint!r} is neither a path from the root nor a file's name in the folder that "
                "VIVAVOCE_MODELS__DIR names."
            )
        path = folder / checkpoint
    if not path.is_file():
        raise EngineUnavailable(
            f"There is no checkpoint {path}; set VIVAVOCE_WAV2LIP__CHECKPOINT to one that is there."
        )
    return path


def folded_file(path: Path) -> Mapping[str, Folded]:
    """The layers of a checkpoint, which must be the operator's own. Raises ``EngineUnavailable`` with what it is."""
    from vivavoce.engines.neural.checkpoint import tensors

    held: dict[str, Any] = tensors(path, own=True)
    check({name: tuple(value.shape) for name, value in held.items()}, path.name)
    return folded({name: value.float().numpy() for name, value in held.items()})


def export(path: Path, target: Path) -> None:
    """Write the checkpoint at ``path`` as an ONNX model that runs without torch.

    Raises ``EngineUnavailable`` when it is no such checkpoint, or when it cannot be written.
    """
    from vivavoce.engines.wav2lip.graph import write

    write(folded_file(path), target)


def load(found: Found, *, device: str = "auto", precision: Precision = "auto", threads: int = 0) -> Net:
    """The network, ready. ``threads`` 0 leaves torch's and onnxruntime's own number.

    Says once whose licence the weights are under. Raises ``EngineUnavailable`` when the file is damaged or another
    net's, or when the device is missing.
    """
    net: Net
    if found.runtime == "onnx":
        from vivavoce.engines.wav2lip.graph import GraphNet

        net = GraphNet(found.path, threads)
    else:
        from vivavoce.engines.neural.device import place

        where = place(device, precision)
        import torch

        if threads:
            torch.set_num_threads(threads)
        from vivavoce.engines.wav2lip.net import TorchNet

        net = TorchNet(folded_file(found.path), where)
    _log.warning("weights are for research only", engine="wav2lip", licence=LICENCE, runtime=net.name)
    return net
