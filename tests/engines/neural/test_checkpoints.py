"""Checkpoints of every format give the same network; everything else is refused with what it is."""

import pickle
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoints import FORMATS, random_state, save
from vivavoce.engines.neural.checkpoint import tensors, told_by_its_bytes
from vivavoce.errors import EngineUnavailable

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return random_state()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {form: save(state, folder / f"{form}.pt", form) for form in FORMATS}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_tensors(form: str, files: dict[str, Path], state: dict[str, Any]) -> None:
    found = tensors(files[form], own=True)
    assert found.keys() == state.keys()
    for name, value in found.items():
        assert torch.equal(value, state[name]), name


def test_formats_are_told_by_their_bytes(files: dict[str, Path]) -> None:
    told = {form: told_by_its_bytes(path) for form, path in files.items()}
    assert told == {
        "pth": "zip",
        "pth-legacy": "pickle",
        "bare": "zip",
        "torchscript": "torchscript",
        "safetensors": "safetensors",
    }


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_cut_off_is_refused(form: str, files: dict[str, Path], tmp_path: Path) -> None:
    whole = files[form].read_bytes()
    for share in (0.5, 0.99):
        part = tmp_path / "cut.pt"
        part.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(EngineUnavailable, match=r"cut\.pt.*(cut off|damaged)"):
            tensors(part, own=True)


def test_archives_with_code_are_for_the_operator_alone(files: dict[str, Path]) -> None:
    with pytest.raises(EngineUnavailable, match="holds code"):
        tensors(files["torchscript"], own=False)


class Evil:
    """What a stranger may pickle."""

    def __reduce__(self) -> Any:
        return subprocess.run, (["touch", "/tmp/vivavoce-was-here"],)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_that_a_pickle_names_is_run(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"x": torch.zeros(1)}, "more": Evil()}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(EngineUnavailable, match="names things that are no tensors"):
        tensors(path, own=True)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(EngineUnavailable):
        tensors(path, own=True)
    assert not Path("/tmp/vivavoce-was-here").exists()


def other_files(folder: Path) -> dict[str, tuple[Path, str]]:
    made = {name: folder / name for name in ("empty.pth", "page.pth", "text.pth", "archive.pth", "list.pth", "no.pth")}
    made["empty.pth"].write_bytes(b"")
    made["page.pth"].write_text("<!DOCTYPE html><title>Sign in</title>")
    made["text.pth"].write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with zipfile.ZipFile(made["archive.pth"], "w") as archive:
        archive.writestr("readme.txt", "nothing")
    torch.save([1, 2, 3], made["list.pth"])
    torch.save({"epoch": 3, "loss": 0.1}, made["no.pth"])
    said = ("is empty", "a web page", "Git LFS", "ZIP archive without", "holds a list", "no tensors, but epoch, loss")
    return {name: (path, words) for (name, path), words in zip(made.items(), said, strict=True)}


@pytest.mark.parametrize("name", ["empty.pth", "page.pth", "text.pth", "archive.pth", "list.pth", "no.pth"])
def test_other_files_are_refused_with_what_they_are(name: str, tmp_path: Path) -> None:
    path, words = other_files(tmp_path)[name]
    with pytest.raises(EngineUnavailable, match=words):
        tensors(path, own=True)


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="cannot be opened"):
        tensors(tmp_path / "absent.pth", own=True)


def test_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3, dtype=torch.float16)}, tmp_path / "half.pth")
    assert np.array_equal(tensors(tmp_path / "half.pth", own=True)["w"].float().numpy(), np.ones(3))
