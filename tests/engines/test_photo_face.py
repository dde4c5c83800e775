"""The default face: lips that meet and part, a still background, seamless chunks, honest refusals."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.photo import PhotoFace, bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.lips import refine_lips
from vivavoce.engines.photo.renderer import Pose, Renderer
from vivavoce.engines.photo.rig import PARAMETERS
from vivavoce.errors import InvalidInput, NotFound
from vivavoce.face.geometry import FaceAxes, thin_plate
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Mark, Speech

AVATARS = Path(bundle.__file__).parents[2] / "artwork" / "avatars"
NAMES = sorted(p.name for p in AVATARS.iterdir())
SMALL = Canvas(256, 256)
RATE = 16_000


def avatar(name: str) -> Avatar:
    return Avatar(name, AVATARS / name, "photo")


def spoken(*phonemes: tuple[str, float]) -> Speech:
    """Speech with the given phonemes one after another, 0.2 s of silence at both ends."""
    marks, at = [], 0.2
    for text, seconds in phonemes:
        marks.append(Mark("phoneme", text, at, at + seconds))
        at += seconds
    tone = np.zeros(round((at + 0.2) * RATE), np.float32)
    tone[round(0.2 * RATE) : round(at * RATE)] = 0.1
    return Speech("x", "en", Audio(tone, RATE), tuple(marks))


stored = cache(bundle.load)


@cache
def portrait_of(name: str, canvas: Canvas = SMALL) -> Portrait:
    return fit(stored(AVATARS / name), canvas)


@cache
def renderer(name: str, canvas: Canvas = SMALL) -> Renderer:
    return Renderer(portrait_of(name, canvas))


@pytest.fixture(scope="module")
def face() -> PhotoFace:
    return PhotoFace()


def pose(**values: float) -> Pose:
    shape = np.array([values.get(p, 0.0) for p in PARAMETERS], np.float32)
    return Pose(shape, values.get("tongue", 0.0), np.zeros(7, np.float32), values.get("blink", 0.0))


def shown(name: str, frame: npt.NDArray[np.uint8], canvas: Canvas) -> str:
    """How a picture of an avatar shows the mouth, judged by colour alone."""
    portrait = portrait_of(name, canvas)
    axes = FaceAxes.of(portrait.mesh)
    return refine_lips(frame, axes.to_face(portrait.mesh.points[:, :2]), axes, 0.0)[1]


@pytest.mark.parametrize("name", NAMES)
def test_lips_meet_on_p_and_part_on_a(name: str) -> None:
    drawn = renderer(name)
    assert shown(name, drawn.render(pose()), SMALL) == "shut"
    assert shown(name, drawn.render(pose(press=1)), SMALL) == "shut"
    assert shown(name, drawn.render(pose(jaw=0.35)), SMALL) == "parted"
    assert drawn.lip_contours(pose(jaw=0.9).shape)[2] > 0.12
    assert drawn.lip_contours(pose(press=1).shape)[2] < 0.02


def test_lips_never_cross() -> None:
    drawn = renderer("anna")
    rng = np.random.default_rng(0)
    for shape in rng.uniform(-0.2, 1.2, (50, len(PARAMETERS))).astype(np.float32):
        upper, lower, gap = drawn.lip_contours(shape)
        assert gap >= 0
        assert ((lower - upper) @ np.array([0.0, 1.0]) > -1.0).all()


def test_only_the_person_moves(face: PhotoFace) -> None:
    portrait, base = portrait_of("david"), renderer("david").base
    frames = [f.image for f in face.animate(avatar("david"), spoken(("a", 1.5)), canvas=SMALL)]
    reach = 14
    near = np.zeros(portrait.matte.shape, bool)
    for y, x in np.argwhere(portrait.matte > 0)[::5]:
        near[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach] = True
    assert (~near).mean() > 0.2
    for frame in frames:
        assert (frame[~near] == base[~near]).all()
    assert any((f[near] != base[near]).any() for f in frames)


def test_blink_covers_the_eyes_and_nothing_else() -> None:
    drawn = renderer("aigul", Canvas(512, 512))
    still, shut = drawn.render(pose()).astype(int), drawn.render(pose(blink=1)).astype(int)
    changed = np.argwhere(np.abs(still - shut).max(axis=2) > 40)
    eyes = portrait_of("aigul", Canvas(512, 512)).mesh.points[[33, 133, 362, 263], :2]
    assert len(changed) > 100
    assert changed[:, 1].min() > eyes[:, 0].min() - 20
    assert changed[:, 1].max() < eyes[:, 0].max() + 20
    assert np.abs(changed[:, 0] - eyes[:, 1].mean()).max() < 40


def test_chunks_join_without_a_jump(face: PhotoFace) -> None:
    canvas = SMALL
    first = list(face.animate(avatar("anna"), spoken(("m", 0.1), ("a", 0.3)), canvas=canvas))
    second = list(face.animate(avatar("anna"), spoken(("o", 0.3), ("p", 0.1)), canvas=canvas, start_frame=len(first)))

    def step(a: Frame, b: Frame) -> float:
        return float(np.abs(a.image.astype(int) - b.image).mean())

    inside = [step(a, b) for a, b in pairwise(first)]
    assert step(first[-1], second[0]) <= max(inside)
    assert step(first[-1], second[0]) < 1.0
    restarted = next(face.animate(avatar("anna"), spoken(("o", 0.3)), canvas=canvas))
    assert (restarted.image != second[0].image).any(), "idle motion goes on instead of starting again"


def test_idle_film_can_be_looped(face: PhotoFace) -> None:
    frames = list(face.idle(avatar("aigul"), canvas=SMALL, seconds=4))
    assert len(frames) == 100
    steps = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in pairwise(frames)]
    around = float(np.abs(frames[-1].image.astype(int) - frames[0].image).mean())
    moving = [step for step in steps if step > 0.02]  # a head that hardly moves waits until it would be seen
    assert len(moving) > 10
    assert around <= 1.1 * float(np.median(moving)), "the joint is a step like any other"


@pytest.mark.parametrize(("fps", "size"), [(12, (128, 128)), (25, (320, 180)), (60, (180, 320))])
def test_frames_cover_the_speech_and_repeat_exactly(face: PhotoFace, fps: int, size: tuple[int, int]) -> None:
    canvas = Canvas(*size, fps)
    speech = spoken(("a", 0.33))
    one = list(face.animate(avatar("david"), speech, canvas=canvas))
    two = list((PhotoFace() if fps == 25 else face).animate(avatar("david"), speech, canvas=canvas))
    assert len(one) == canvas.frames(speech.audio.seconds)
    assert all(f.image.shape == (canvas.height, canvas.width, 3) for f in one)
    assert all((a.image == b.image).all() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("canvas", [Canvas(511, 512), Canvas(64, 64), Canvas(1922, 128)])
def test_impossible_sizes_are_refused(canvas: Canvas) -> None:
    with pytest.raises(InvalidInput, match="even numbers from 128 to 1920"):
        PhotoFace().animate(avatar("anna"), spoken(("a", 0.1)), canvas=canvas)


def test_damaged_and_foreign_bundles_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        bundle.load(tmp_path)
    (tmp_path / "avatar.json").write_text(json.dumps({"version": bundle.VERSION + 1}))
    with pytest.raises(NotFound, match="another version"):
        bundle.load(tmp_path)
    (tmp_path / "avatar.json").write_text(json.dumps({"version": bundle.VERSION}))
    (tmp_path / "avatar.npz").write_bytes(b"no archive")
    with pytest.raises(NotFound, match="damaged"):
        bundle.load(tmp_path)


def test_bundle_keeps_a_portrait(tmp_path: Path) -> None:
    portrait = stored(AVATARS / "anna")
    bundle.save(portrait, tmp_path, {"name": "again"})
    again = bundle.load(tmp_path)
    assert np.abs(again.rgb.astype(int) - portrait.rgb).mean() < 2
    assert np.abs(again.matte.astype(int) - portrait.matte).mean() < 2
    assert (again.mesh.points == portrait.mesh.points).all()


@pytest.mark.parametrize("size", [(512, 512), (1280, 720), (640, 360), (1080, 1920)])
@pytest.mark.parametrize("name", NAMES)
def test_framing_shows_the_whole_face_in_the_middle(name: str, size: tuple[int, int]) -> None:
    fitted = fit(stored(AVATARS / name), Canvas(*size))
    width, height = size
    low, high = fitted.mesh.points[:, :2].min(0), fitted.mesh.points[:, :2].max(0)
    assert low.min() > 0
    assert high[0] < width
    assert high[1] < height
    assert abs((low[0] + high[0]) / 2 - width / 2) < 0.05 * width
    assert fitted.mesh.eye_distance > 0.17 * min(size)
    assert (fitted.matte[0] == 0).all(), "the hair is not cut"


def test_thin_plate_reproduces_a_plane() -> None:
    rng = np.random.default_rng(0)
    points, at = rng.uniform(-1, 1, (40, 2)), rng.uniform(-1, 1, (20, 2))

    def plane(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(0.3 + p @ np.array([[2.0], [-1.0]]))

    assert np.allclose(thin_plate(points, plane(points), at, smoothing=1e-3), plane(at), atol=1e-8)
