"""A replayed film without nets: a portrait that is carried to and fro, whose landmarks are therefore known."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.photo import PhotoFace, bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.lips import refine_lips
from vivavoce.engines.photo.replay import Replay
from vivavoce.engines.photo.rig import PARAMETERS
from vivavoce.errors import InvalidInput, NotFound
from vivavoce.face.footage import Footage, Take
from vivavoce.face.geometry import FaceAxes
from vivavoce.face.track import Track
from vivavoce.media.reel import Reel, write_reel
from vivavoce.nouns import Audio, Avatar, Canvas, Speech
from vivavoce.testing import check_animator

AVATARS = Path(bundle.__file__).parents[2] / "artwork" / "avatars"
N, AWAY = 40, 30
SIZE = (480, 480)


def silence(frames: int) -> Speech:
    return Speech("", "en", Audio(np.zeros(frames * 640, np.float32), 16000))


def at(number: int) -> int:
    """Pixels by which the portrait is carried to the right in a picture."""
    return round(12 * float(np.sin(number / 6)))


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return fit(bundle.load(AVATARS / "david"), Canvas(*SIZE))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, portrait: Portrait) -> Avatar:
    """The avatar; in picture ``AWAY`` the face counts as not seen."""
    into = tmp_path_factory.mktemp("films") / "david"
    into.mkdir()
    write_reel(into / "idle.mp4", (np.roll(portrait.rgb, at(i), axis=1) for i in range(N)), SIZE, Fraction(25))
    half = (np.ascontiguousarray(np.roll(portrait.rgb, at(i), axis=1)[::2, ::2]) for i in range(N))
    write_reel(into / "idle-240.mp4", half, (240, 240), Fraction(25))
    points = np.stack([portrait.mesh.points + np.array([at(i), 0, 0], np.float32) for i in range(N)])
    weight = np.clip(np.abs(np.arange(N) - AWAY) / 4, 0, 1).astype(np.float32)
    seen = np.arange(N) != AWAY
    footage = Footage(
        fps=Fraction(25),
        takes=(Take("idle.mp4", *SIZE), Take("idle-240.mp4", 240, 240)),
        first=0,
        last=N,
        track=Track(points, seen, seen.astype(np.float32)),
        rest=points[..., :2],
        weight=weight,
        light=np.zeros((N, 24, 24, 3), np.float32),
        blur=np.zeros(N, np.float32),
        teeth=np.array([180, 170, 150], np.float32),
        reference=portrait.rgb,
        origin=(0, 0),
        number=0,
    )
    bundle.save_footage(footage, into, {"name": "david", "warnings": []})
    return Avatar("david", into, "photo")


def shape(**values: float) -> npt.NDArray[np.float32]:
    return np.array([values.get(p, 0.0) for p in PARAMETERS], np.float32)


def shown(replay: Replay, image: npt.NDArray[np.uint8], number: int) -> str:
    """How a frame shows the mouth, judged by colour alone."""
    mesh = replay.footage.track.mesh(number)
    moved = type(mesh)(np.dstack([replay.screen.to_canvas(mesh.points[None, :, :2]), mesh.points[None, :, 2:]])[0])
    axes = FaceAxes.of(moved)
    return refine_lips(image, axes.to_face(moved.points[:, :2]), axes, 0.0)[1]


@pytest.mark.parametrize("canvas", [Canvas(480, 480), Canvas(640, 360), Canvas(256, 256), Canvas(270, 480)])
def test_lips_meet_and_part_wherever_the_head_is(canvas: Canvas, film: Avatar) -> None:
    replay = Replay(bundle.load_footage(film.path), canvas)
    with Reel(film.path / replay.screen.take.name) as reel:
        for number in (0, 9, 20):
            assert shown(replay, replay.at_rest(number, reel[number]), number) == "shut"
            parted = replay.render(number, reel[number], shape(jaw=0.5), 0.0)
            assert parted.shape == (canvas.height, canvas.width, 3)
            assert shown(replay, parted, number) == "parted"
            assert shown(replay, replay.render(number, reel[number], shape(press=1.0), 0.0), number) == "shut"


def test_a_small_canvas_takes_the_small_reel(film: Avatar) -> None:
    footage = bundle.load_footage(film.path)
    assert Replay(footage, Canvas(480, 480)).screen.take.name == "idle.mp4"
    assert Replay(footage, Canvas(200, 200)).screen.take.name == "idle-240.mp4"


def test_only_the_lower_face_is_painted(film: Avatar) -> None:
    replay = Replay(bundle.load_footage(film.path), Canvas(*SIZE))
    with Reel(film.path / replay.screen.take.name) as reel:
        for number in (0, 9, 20):
            filmed = replay.screen.show(reel[number])
            spoken = replay.render(number, reel[number], shape(jaw=0.8), 0.0)
            points = replay.screen.to_canvas(replay.footage.track.points[number, :, :2])
            rows = np.flatnonzero((filmed != spoken).any(axis=(1, 2)))
            assert rows.min() > points[[33, 263], 1].max()
            still = replay.at_rest(number, reel[number])
            assert np.abs(still.astype(int) - filmed).mean() < 0.5, "at rest hardly anything changes"


def test_without_a_face_the_picture_passes_through(film: Avatar) -> None:
    replay = Replay(bundle.load_footage(film.path), Canvas(*SIZE))
    with Reel(film.path / replay.screen.take.name) as reel:
        filmed = replay.screen.show(reel[AWAY])
        assert (replay.render(AWAY, reel[AWAY], shape(jaw=1.0), 0.0) == filmed).all()

        def changed(number: int) -> float:
            spoken = replay.render(number, reel[number], shape(jaw=1.0), 0.0).astype(int)
            return float(np.abs(spoken - replay.screen.show(reel[number])).mean())

        assert 0 < changed(AWAY - 1) < changed(AWAY - 2) < changed(AWAY - 5), "the mouth fades"


def test_a_film_on_a_wide_canvas_has_no_black_bars(film: Avatar) -> None:
    replay = Replay(bundle.load_footage(film.path), Canvas(1280, 360))
    with Reel(film.path / replay.screen.take.name) as reel:
        image = replay.screen.show(reel[0])
    assert image.shape == (360, 1280, 3)
    assert image[:, :40].mean() > 30
    assert (np.abs(np.diff(image[200].astype(int), axis=0)).max(axis=1) < 60).all()


def test_the_engines_promises_hold_for_films(film: Avatar) -> None:
    check_animator(PhotoFace(), film)


def test_the_film_goes_on_and_turns_back(film: Avatar) -> None:
    face, canvas = PhotoFace(), Canvas(256, 256)
    whole = [f.image for f in face.animate(film, silence(100), canvas=canvas)]
    later = [f.image for f in face.animate(film, silence(40), canvas=canvas, start_frame=60)]
    assert all((a == b).all() for a, b in zip(whole[60:], later, strict=True))
    quick = [f.image for f in face.animate(film, silence(20), canvas=Canvas(256, 256, 50))]
    assert (quick[20] == whole[10]).all(), "the film runs as fast as it was filmed, whatever the frame rate"
    looped = [f.image.astype(int) for f in face.idle(film, canvas=canvas, seconds=2)]
    steps = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(looped)]
    assert float(np.abs(looped[-1] - looped[0]).mean()) <= max(steps)


def test_bundles_of_other_versions_and_damaged_ones(film: Avatar, tmp_path: Path) -> None:
    face = PhotoFace()
    for name, version, wanted in (("old", 0, "add its video again"), ("new", 99, "newer version")):
        folder = tmp_path / name
        folder.mkdir()
        bundle.write_about(folder, {**bundle.about(film.path), "version": version})
        with pytest.raises(NotFound, match=wanted):
            next(face.animate(Avatar(name, folder, "photo"), silence(1), canvas=Canvas(256, 256)))
    folder = tmp_path / "bad"
    folder.mkdir()
    bundle.write_about(folder, bundle.about(film.path))
    (folder / "avatar.npz").write_bytes(b"nothing")
    with pytest.raises(NotFound, match="damaged"):
        next(face.animate(Avatar("bad", folder, "photo"), silence(1), canvas=Canvas(256, 256)))
    with pytest.raises(InvalidInput, match="frame_skip"):
        face.animate(film, silence(1), canvas=Canvas(256, 256), frame_skip=5)
