"""Bundles of an older version: prepared again once, whole, by whoever asks first."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vivavoce.engines.photo import PhotoFace, bundle
from vivavoce.engines.photo.renew import renewed
from vivavoce.errors import FaceRejected, NotFound
from vivavoce.face.locate import FaceLocator
from vivavoce.media.picture import open_picture
from vivavoce.nouns import Avatar, Canvas
from vivavoce.testing import sample_speech


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "me"
    folder.mkdir()
    (folder / "source").write_bytes(b"the picture")
    (folder / "avatar.npz").write_bytes(b"old")
    bundle.write_about(folder, {"version": 0, "kind": "picture", "engine": "photo", "name": "me", "title": "Me"})
    return folder


def test_many_ask_and_one_prepares(old: Path) -> None:
    calls, together = [], threading.Barrier(8)
    (old / ".again-dead").mkdir()

    def prepare(source: Path, into: Path, landmarks: object | None) -> None:
        calls.append((source.read_bytes(), landmarks))
        assert bundle.about(old)["version"] == 0, "the old one stands until the new one is whole"
        (into / "avatar.npz").write_bytes(b"new")
        (into / "source").write_bytes(source.read_bytes())
        bundle.write_about(into, {"version": bundle.VERSION, "kind": "picture", "name": "tmp", "warnings": ["Soft."]})

    def ask(_: int) -> dict[str, object]:
        together.wait()
        return renewed(old, prepare)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, range(8)))
    assert calls == [(b"the picture", None)]
    assert all(t == told[0] for t in told)
    assert told[0] == json.loads((old / "avatar.json").read_text())
    assert (told[0]["version"], told[0]["name"], told[0]["title"]) == (bundle.VERSION, "me", "Me")
    assert told[0]["warnings"] == ["Soft."]
    assert (old / "avatar.npz").read_bytes() == b"new"
    assert sorted(p.name for p in old.iterdir()) == [".lock", "avatar.json", "avatar.npz", "source"]


def test_a_failure_leaves_the_old_one(old: Path) -> None:
    def prepare(source: Path, into: Path, landmarks: object | None) -> None:
        (into / "half").write_bytes(b"half")
        raise FaceRejected("No face was found.")

    with pytest.raises(FaceRejected):
        renewed(old, prepare)
    assert bundle.about(old)["version"] == 0
    assert (old / "avatar.npz").read_bytes() == b"old"
    assert not list(old.glob(".again-*"))
    (old / "source").unlink()
    with pytest.raises(NotFound, match="holds no picture"):
        renewed(old, prepare)


def test_a_photo_with_landmarks_by_hand_comes_back_the_same(shared: Path, tmp_path: Path, locator: FaceLocator) -> None:
    photo = shared / "media" / "portraits" / "man_0001.jpg"
    into = tmp_path / "man"
    into.mkdir()
    face, canvas = PhotoFace(), Canvas(256, 256)
    points = locator.all(open_picture(photo).rgb)[0].points.tolist()
    made = face.prepare(photo, into, landmarks=json.dumps(points))
    before = [f.image for f in face.animate(made, sample_speech(0.2), canvas=canvas)]
    about = bundle.about(into)
    assert about["landmarks"] == "given"
    bundle.write_about(into, {**about, "version": 0})
    (into / "avatar.npz").unlink()
    after = [f.image for f in PhotoFace().animate(Avatar("man", into, "photo"), sample_speech(0.2), canvas=canvas)]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert bundle.about(into)["landmarks"] == "given"
