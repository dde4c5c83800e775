"""Films of a head that was learnt: chunks join, idle films loop, and what is outside the face is the film."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = [pytest.mark.neural, pytest.mark.slow]

from fields import avatar as field_of_a_person  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.engine import SyncTalkFace  # noqa: E402
from vivavoce.engines.nerf.filming import _soundless  # noqa: E402
from vivavoce.errors import NotFound  # noqa: E402
from vivavoce.face.screen import Screen  # noqa: E402
from vivavoce.media.reel import Reel  # noqa: E402
from vivavoce.nouns import Audio, Avatar, Canvas, Mark, Speech  # noqa: E402

CANVAS = Canvas(256, 256, 25)
Pictures = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return field_of_a_person(tmp_path_factory.mktemp("heads") / "made", "synctalk")


@pytest.fixture(scope="module")
def face() -> Any:
    face = SyncTalkFace(offline=True, device="cpu", precision="fp32", threads=1)
    yield face
    face.close()


def said(*phonemes: str) -> Speech:
    marks = tuple(Mark("phoneme", p, 0.2 + 0.2 * i, 0.4 + 0.2 * i) for i, p in enumerate(phonemes))
    n = int(16_000 * (0.4 + 0.2 * len(phonemes)))
    return Speech("", "en", Audio((0.1 * np.sin(np.arange(n) * 0.05)).astype(np.float32), 16_000), marks)


def film(face: SyncTalkFace, avatar: Avatar, speech: Speech, start: int = 0) -> Pictures:
    shown = face.animate(avatar, speech, canvas=CANVAS, start_frame=start)
    return np.stack([frame.image for frame in shown]).astype(np.int64)


def steps(pictures: Pictures) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)))


def test_chunk_follows_chunk_without_a_jump(face: SyncTalkFace, made: Avatar) -> None:
    first = film(face, made, said("m", "a", "m"))
    second = film(face, made, said("b", "o", "b"), start=len(first))
    usual = np.concatenate([steps(first), steps(second)])
    assert steps(np.stack([first[-1], second[0]]))[0] <= usual.max()
    assert not np.array_equal(second, film(face, made, said("b", "o", "b")))  # it goes on, and does not begin again


def test_it_is_known_where_there_is_no_sound() -> None:
    samples = np.zeros(2 * 16_000, np.float32)
    samples[8_000:16_000] = 0.1 * np.sin(np.arange(8_000))
    samples[24_000:] = 1e-5
    found = _soundless(Audio(samples, 16_000), 50, 25)
    assert np.flatnonzero(~found).tolist() == list(range(10, 27))  # whose middles are up to 0.1 s beside it
    assert _soundless(Audio(samples[:0], 16_000), 3, 25).all()


def test_a_film_of_listening_can_be_repeated(face: SyncTalkFace, made: Avatar) -> None:
    idle = np.stack([f.image for f in face.idle(made, canvas=CANVAS, seconds=2)]).astype(np.int64)
    assert len(idle) == 50
    assert steps(np.stack([idle[-1], idle[0]]))[0] <= steps(idle).max()


def test_outside_the_face_it_is_the_film(face: SyncTalkFace, made: Avatar) -> None:
    head = face._loaded()._head(made)
    library = head.library
    assert library is not None
    shown = film(face, made, said("a"))
    screen = Screen(library.footage, CANVAS, enlargement=1.0)
    bases = head.bases(np.floor(np.arange(len(shown)) * float(head.talker.fps) / CANVAS.fps + 1e-6).astype(np.intp))
    with Reel(made.path / screen.take.name) as reel:
        for number, base in list(enumerate(bases.tolist()))[::5]:
            bare = screen.show(reel[base]).astype(np.int64)
            changed = np.abs(shown[number] - bare).max(axis=2) > 2
            points = screen.to_canvas(library.points[base, :, :2])
            rows, columns = np.nonzero(changed)
            assert len(rows) > 100
            eye = np.linalg.norm(points[263] - points[33])
            assert columns.min() > points[:, 0].min() - 0.4 * eye
            assert columns.max() < points[:, 0].max() + 0.4 * eye
            assert rows.min() > points[:, 1].min() - 0.4 * eye
            assert rows.max() < points[:, 1].max() + 0.5 * eye


@pytest.mark.parametrize("missing", ["person.npz", "nerf.json", "nerf.safetensors", "avatar.npz", "behind.mp4"])
def test_an_avatar_that_lacks_a_file_is_refused_or_shown_without(
    missing: str, face: SyncTalkFace, made: Avatar, tmp_path: Path
) -> None:
    copy = Avatar("copy", Path(shutil.copytree(made.path, tmp_path / "copy")), made.engine)
    (copy.path / missing).unlink()
    if missing == "behind.mp4":  # the wall is known besides
        assert len(film(face, copy, said("a"))) == 15
        return
    with pytest.raises(NotFound, match="missing or damaged"):
        film(face, copy, said("a"))
