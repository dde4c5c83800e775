"""Reads the tensors of a PyTorch checkpoint of the old kind without PyTorch, and without running what a pickle names.

Such a file is a row of pickles: a magic number, the protocol, sizes of the writing machine's types, the document
itself, and the keys of its storages; after them lie the storages' numbers, each behind their count (``_legacy_save``
in torch/serialization.py). A pickle may name any function of Python to be called. Here it can name five things, and
each of them is one of ours, which only takes notes.
"""

import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable

__all__ = ["tensors"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the numbers of a storage are."""

    type: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    kind: _Kind
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; everything counts its numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The tensor as an array of its own."""
        numbers = storages[self.storage.key]
        steps = tuple(zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or any(size < 0 or stride < 0 for size, stride in steps):
            raise ValueError("a tensor counts backwards")
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if math.prod(self.shape) and last >= len(numbers):
            raise ValueError("a tensor reaches over the end of its numbers")
        bytes_of = tuple(stride * numbers.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, bytes_of, writeable=False)
        return view.copy()


def _rebuilt(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    """Stands where the file asks for ``torch._utils._rebuild_tensor_v2``."""
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch", "FloatStorage"): _Kind("<f4"),
    ("torch", "DoubleStorage"): _Kind("<f8"),
    ("torch", "LongStorage"): _Kind("<i8"),
}


class _Reader(pickle.Unpickler):
    """Unpickles plain values and the names above, nothing else; remembers the storages that they speak of."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, key, _place, count, view = pid[1:6]
        if pid[0] != "storage" or not isinstance(kind, _Kind) or view is not None:
            raise pickle.UnpicklingError("a storage of another kind")
        storage = _Storage(str(key), kind, int(count))
        self.storages[storage.key] = storage
        return storage


def tensors(path: Path, entry: str) -> dict[str, npt.NDArray[Any]]:
    """The tensors of the checkpoint's mapping ``entry`` by name (``lstm.weight_ih_l0``), in their own shapes.

    Raises ``EngineUnavailable`` when the file is damaged, of another kind, or names something that is no tensor.
    """
    try:
        with path.open("rb") as file:
            document, storages = _read(file)
        found = {str(name): value for name, value in document[entry].items() if isinstance(value, _Tensor)}
        return {name: tensor.read(storages) for name, tensor in found.items()}
    except (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, OverflowError) as e:
        raise EngineUnavailable(
            f"The weights {path.name} cannot be read ({e or type(e).__name__}); remove the file to fetch it again."
        ) from e


def _read(file: BinaryIO) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """The document, with tensors that know their storages, and the storages' numbers by key."""
    if _Reader(file).load() != _MAGIC or _Reader(file).load() != _PROTOCOL:
        raise ValueError("it is no checkpoint of the old kind")
    if not _Reader(file).load()["little_endian"]:
        raise ValueError("its numbers are big-endian")
    reader = _Reader(file)
    document = reader.load()
    keys = _Reader(file).load()
    return document, {str(key): _numbers(file, reader.storages[str(key)]) for key in keys}


def _numbers(file: BinaryIO, storage: _Storage) -> npt.NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    if count != storage.count:
        raise ValueError("a storage has another length than it should")
    kind = np.dtype(storage.kind.type)
    data = file.read(count * kind.itemsize)
    if len(data) != count * kind.itemsize:
        raise ValueError("it is cut off")
    return np.frombuffer(data, kind)
