"""Reads the tensors of a checkpoint, whatever it is packed in, and runs nothing that a pickle names.

Told by its bytes: safetensors; a ZIP or a plain pickle of torch's, read with ``weights_only=True``; and TorchScript
archives, which are ZIPs with a ``constants.pkl``. Those hold code, so they are for the operator's own folder alone.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vivavoce.engines.neural.device import EXTRA, has_torch
from vivavoce.errors import EngineUnavailable

__all__ = ["Kind", "tensors", "told_by_its_bytes"]

Kind = str
"""``safetensors``, ``torchscript``, ``zip``, ``pickle``, ``onnx`` or what it is instead."""

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "generator")
"""Entries under which trainers keep a net's tensors, beside an optimiser's."""
_PREFIXES = ("module.", "_orig_mod.")
"""What wrappers put before every name: DataParallel, torch.compile."""
_STARTS = {
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"version https": "a pointer of Git LFS instead of the file",
}


def told_by_its_bytes(path: Path) -> Kind:
    """What kind of file it is. Raises ``EngineUnavailable`` when it is empty or cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
        size = path.stat().st_size
    except OSError as e:
        raise EngineUnavailable(f"The checkpoint {path.name} cannot be opened: {e.strerror or e}.") from e
    if not size:
        raise EngineUnavailable(f"The checkpoint {path.name} is empty; copy it again.")
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= size:
        return "safetensors" if header + 8 <= size else "cut off"
    if head[:1] == b"\x80":
        return "pickle"
    if path.suffix == ".onnx":
        return "onnx"
    return next((what for start, what in _STARTS.items() if head.startswith(start)), "no checkpoint")


def _zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "cut off"
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        return "torchscript"
    return "zip" if "data.pkl" in last else "a ZIP archive without a checkpoint"


def tensors(path: Path, *, own: bool) -> dict[str, Any]:
    """The tensors of a checkpoint by name, without the wrappers' prefixes; on the CPU, in their own types.

    ``own``: the file lies in the operator's own folder, so that a TorchScript archive may be opened. Raises
    ``EngineUnavailable`` when it is damaged, of another kind, or holds no tensors; the sentence says what was found.
    """
    kind = told_by_its_bytes(path)
    if kind == "cut off":
        raise EngineUnavailable(f"The checkpoint {path.name} is cut off ({path.stat().st_size} bytes); copy it again.")
    readers = {"safetensors": _safetensors, "torchscript": _torchscript, "zip": _torch, "pickle": _torch}
    if kind not in readers:
        raise EngineUnavailable(
            f"The file {path.name} is {kind}; a checkpoint is a .pth or .pt of torch's, TorchScript, or safetensors."
        )
    if kind == "torchscript" and not own:
        raise EngineUnavailable(f"The TorchScript archive {path.name} holds code, and is not of the operator's folder.")
    if not has_torch():
        raise EngineUnavailable(f"torch is not installed, which reads {path.name}; add it with `{EXTRA}`.")
    try:
        document = readers[kind](path)
    except pickle.UnpicklingError as e:
        raise EngineUnavailable(
            f"The checkpoint {path.name} names things that are no tensors, so it is not opened; save its state_dict "
            "alone."
        ) from e
    except Exception as e:  # the readers raise whatever they meet in a damaged file
        said = (str(e).splitlines() or [type(e).__name__])[0][:160].rstrip(".")
        raise EngineUnavailable(f"The checkpoint {path.name} is damaged or cut off ({said}); copy it again.") from e
    return _named(document, path)


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(str(path))


def _torch(path: Path) -> Any:
    import torch

    mapped = told_by_its_bytes(path) == "zip"  # an optimiser's numbers are then never read
    return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)


def _torchscript(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location="cpu").state_dict()


def _named(document: Any, path: Path) -> dict[str, Any]:
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(document, Mapping) and isinstance(document.get(wrapper), Mapping):
            document = document[wrapper]
    if not isinstance(document, Mapping):
        raise EngineUnavailable(f"The checkpoint {path.name} holds a {type(document).__name__}, and no state_dict.")
    found = {str(name): value for name, value in document.items() if isinstance(value, torch.Tensor)}
    if not found:
        entries = ", ".join(str(name) for name in list(document)[:5]) or "nothing"
        raise EngineUnavailable(f"The checkpoint {path.name} holds no tensors, but {entries}.")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found
