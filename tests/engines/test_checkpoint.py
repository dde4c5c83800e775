"""A checkpoint gives its tensors and cannot do anything else."""

import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.speakers.checkpoint import tensors
from vivavoce.errors import EngineUnavailable

Floats = npt.NDArray[np.float32]


class Disguised(pickle.Pickler):
    """Writes arrays as PyTorch does, beside whatever else."""

    def __init__(self, file: BinaryIO, storages: dict[str, Floats]) -> None:
        super().__init__(file, protocol=2)
        self._storages = storages

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            key = next(k for k, v in self._storages.items() if v is obj)
            return ("storage", sys.modules["torch"].FloatStorage, key, "cpu", len(obj), None)
        return None


class View:
    """A tensor: pickled as a call of PyTorch's own function."""

    def __init__(self, storage: Floats, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self._arguments: tuple[Any, ...] = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self._arguments


Writer = Callable[[Path, dict[str, Any], dict[str, Floats]], Path]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Writes a checkpoint of the old kind; the names that it needs exist while the test runs."""
    top, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    top.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]

    def _rebuild_tensor_v2(*_: object) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", top)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)

    def write(path: Path, document: dict[str, Any], storages: dict[str, Floats]) -> Path:
        with path.open("wb") as file:
            for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
                pickle.dump(head, file, protocol=2)
            Disguised(file, storages).dump(document)
            pickle.dump(list(storages), file, protocol=2)
            for numbers in storages.values():
                file.write(struct.pack("<q", len(numbers)) + numbers.astype("<f4").tobytes())
        return path

    return write


def test_tensors_are_read_in_their_shapes(tmp_path: Path, written: Writer) -> None:
    numbers = np.arange(24, dtype=np.float32)
    state = OrderedDict(
        whole=View(numbers, 0, (4, 6), (6, 1)),
        turned=View(numbers, 0, (6, 4), (1, 6)),
        part=View(numbers, 12, (3,), (2,)),
        empty=View(numbers, 0, (0, 5), (5, 1)),
    )
    path = written(tmp_path / "c.pt", {"state": state, "step": 7}, {"a": numbers})
    found = tensors(path, "state")
    assert set(found) == {"whole", "turned", "part", "empty"}
    np.testing.assert_array_equal(found["whole"], numbers.reshape(4, 6))
    np.testing.assert_array_equal(found["turned"], numbers.reshape(4, 6).T)
    np.testing.assert_array_equal(found["part"], [12, 14, 16])
    assert found["empty"].shape == (0, 5)


class Trap:
    """Runs a command as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self._mark,)


def test_a_checkpoint_cannot_run_anything(tmp_path: Path, written: Writer) -> None:
    mark = tmp_path / "mark"
    path = written(tmp_path / "trap.pt", {"state": {"x": Trap(mark)}}, {})
    with pytest.raises(EngineUnavailable, match="the name "):
        tensors(path, "state")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5, 6), (6, 1)), (24, (1,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (-3,), (1,)), (0, (2, 2), (1,))],
)
def test_a_tensor_cannot_reach_beyond_its_numbers(
    tmp_path: Path, written: Writer, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    numbers = np.zeros(24, np.float32)
    path = written(tmp_path / "c.pt", {"state": {"x": View(numbers, offset, shape, strides)}}, {"a": numbers})
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        tensors(path, "state")


def test_a_damaged_checkpoint_is_one_clear_error(tmp_path: Path, written: Writer) -> None:
    numbers = np.zeros(24, np.float32)
    whole = written(tmp_path / "c.pt", {"state": {"x": View(numbers, 0, (24,), (1,))}}, {"a": numbers}).read_bytes()
    damaged = tmp_path / "damaged.pt"
    for data in (b"", b"PK\x03\x04 a zip", whole[:40], whole[:-4], whole[: len(whole) // 2]):
        damaged.write_bytes(data)
        with pytest.raises(EngineUnavailable, match=r"damaged\.pt cannot be read"):
            tensors(damaged, "state")
