"""A film is taken apart once, however often that is interrupted, and only where there is room for it."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.neural

from carried import avatar as film_of_a_person  # noqa: E402  torch first, or the file is skipped
from fields import avatar as field_of_a_person  # noqa: E402
from vivavoce.engines.nerf.engine import ErNerfFace  # noqa: E402
from vivavoce.engines.nerf.files import BEHIND  # noqa: E402
from vivavoce.engines.nerf.talker import load  # noqa: E402
from vivavoce.engines.nerf.training import learning  # noqa: E402
from vivavoce.engines.nerf.training import prepare as rooms  # noqa: E402
from vivavoce.engines.nerf.training.measured import torso_psnr  # noqa: E402
from vivavoce.engines.nerf.training.prepare import Prepared, prepare  # noqa: E402
from vivavoce.engines.person import store  # noqa: E402
from vivavoce.engines.person.library import Library  # noqa: E402
from vivavoce.errors import Cancelled, TooLarge  # noqa: E402
from vivavoce.models import ModelStore  # noqa: E402
from vivavoce.nouns import Canvas  # noqa: E402

MODELS = ModelStore(offline=True)
CHANCE = torch.Generator().manual_seed(1)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("person") / "head"
    film_of_a_person(into)
    return into


@pytest.fixture(scope="module")
def library(person: Path) -> Library:
    return store.load(person)


def taken(library: Library, person: Path, work: Path, stops: float = 2.0) -> tuple[Prepared | None, list[float]]:
    """What came of it, and what was told until it was more than ``stops``."""
    told: list[float] = []

    def report(done: float, stage: str) -> None:
        assert stage == "layers"
        told.append(done)
        if done > stops:
            raise Cancelled("enough")

    work.mkdir(exist_ok=True)
    try:
        return prepare(library, person, work, MODELS, pixels=64, report=report), told
    except Cancelled:
        return None, told


def test_it_goes_on_where_it_was_interrupted(
    library: Library, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_NOTED", 7)
    whole, told = taken(library, person, tmp_path / "whole")
    assert whole is not None
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    n = len(whole.poses)
    assert len(told) == 2 * n
    work, tries = tmp_path / "parts", []
    for stops in (0.3, 0.6, 0.85, 0.95):
        none, told = taken(library, person, work, stops)
        assert none is None
        tries.append(told)
    made, told = taken(library, person, work)
    tries.append(told)
    assert made is not None
    for before, after in pairwise(tries):
        assert before[0] < after[0] <= before[-1]
    assert sum(map(len, tries)) < 2 * n + 7 * len(tries)
    for name in ("pictures", "behind", "plate", "masks"):
        assert np.array_equal(getattr(made, name), getattr(whole, name)), name
    again, told = taken(library, person, work)
    assert again is not None
    assert told == []
    assert np.array_equal(again.behind, whole.behind)
    assert sorted(p.name for p in work.iterdir()) == ["behind.npy", "layers.json", "pictures.npy", "plate.npy"]


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"done": 3}', '"done"', "null"])
def test_a_note_that_says_something_else_counts_as_none(
    library: Library, person: Path, tmp_path: Path, said: str
) -> None:
    (tmp_path / "layers.json").write_text(said)
    made, told = taken(library, person, tmp_path)
    assert made is not None
    assert len(told) == 2 * len(made.poses)


def test_a_film_that_finds_no_room_is_refused_before_anything_is_written(
    library: Library, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(_: Any) -> Any:
        return SimpleNamespace(free=free)

    n, free = len(library.footage.track.points), 0
    monkeypatch.setattr(shutil, "disk_usage", usage)
    free = n * 64 * 64 * 7 - 1
    with pytest.raises(TooLarge, match=r"0\.0 GB of disk .* smaller than 64"):
        taken(library, person, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []
    free += 1
    assert taken(library, person, tmp_path / "work")[0] is not None


class FilmsOwn:
    """A torso that is the film's own, but for some noise."""

    def __init__(self, prepared: Prepared, noise: float = 0.0) -> None:
        self._prepared = prepared
        self._noise = noise

    def __call__(self, at: Any, pose: Any) -> tuple[Any, Any, None]:
        number = int(np.abs(self._prepared.poses - pose.numpy()).sum(axis=(1, 2)).argmin())
        own = torch.from_numpy(np.array(self._prepared.behind[number])).reshape(-1, 3) / 255
        assert len(at) == len(own), "so small a picture is painted at once"
        return torch.ones(len(at), 1), own + self._noise * torch.randn(own.shape, generator=CHANCE), None


def test_a_torso_is_compared_with_the_films_own(library: Library, person: Path, tmp_path: Path) -> None:
    prepared, _ = taken(library, person, tmp_path)
    assert prepared is not None
    apart = 1e-4 * np.arange(len(prepared.poses), dtype=np.float32)  # a head that is held still has one pose
    prepared, here = replace(prepared, poses=prepared.poses + apart[:, None, None]), torch.device("cpu")
    assert torso_psnr(FilmsOwn(prepared), prepared, here) == pytest.approx(90)  # type: ignore[arg-type]
    assert torso_psnr(FilmsOwn(prepared, 0.02), prepared, here) == pytest.approx(34, abs=0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("least", "whose"), [(34.0, "film"), (0.0, "net")])
def test_a_torso_that_is_less_than_the_films_is_the_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float, whose: str
) -> None:
    monkeypatch.setattr(learning, "_LIKE_THE_FILM", least)
    into = tmp_path / "head"
    made = field_of_a_person(into, "ernerf")
    assert store.about(into, "ernerf")["ernerf"]["torso"] == whose
    assert (load(into).torso is None) == (whose == "film")
    assert (into / BEHIND).exists() == (whose == "film")
    face = ErNerfFace(offline=True, device="cpu", threads=1)
    canvas = Canvas(128, 128, 25)
    frames = [frame.image for frame in face.idle(made, canvas=canvas, seconds=0.2)]
    assert len(frames) == 5
    assert {image.shape for image in frames} == {(128, 128, 3)}
    assert min(np.ptp(image) for image in frames) > 50
