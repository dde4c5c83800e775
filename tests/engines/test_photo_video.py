"""An avatar made from a video of a person, as a viewer has it: measured on the frames of the encoded film."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.photo import PhotoFace, bundle
from vivavoce.engines.photo.replay import Replay
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.errors import NotFound
from vivavoce.face import footage as films
from vivavoce.face.drive import LEAD
from vivavoce.face.locate import FaceLocator
from vivavoce.media import video
from vivavoce.media.reel import Reel, write_reel
from vivavoce.nouns import Audio, Avatar, Canvas, Speech
from vivavoce.studio.speech import joined
from vivavoce.testing import check_animator
from vivavoce.text.articulation import PARAMETERS, articulate, sample

pytestmark = pytest.mark.slow

HD = Canvas(1280, 720, 25)
KOREAN = "안녕하세요. 오늘 아침에 바나나를 먹었습니다. 엄마와 아빠는 밥을 먹었습니다."
Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def face() -> PhotoFace:
    return PhotoFace()


@pytest.fixture(scope="module")
def man(tmp_path_factory: pytest.TempPathFactory, shared: Path, locator: FaceLocator, face: PhotoFace) -> Avatar:
    """The shared video as an avatar."""
    into = tmp_path_factory.mktemp("avatars") / "man"
    into.mkdir()
    return face.prepare(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4", into)


@pytest.fixture(scope="module")
def speech(voice: EspeakVoice) -> Speech:
    """A Korean sentence, and 0.3 s of silence in which the mouth comes to rest."""
    said = joined(voice.synthesize(KOREAN, language="ko", voice=""))
    tail = np.zeros(round(0.3 * said.audio.rate), np.float32)
    return replace(said, audio=Audio(np.concatenate([said.audio.samples, tail]), said.audio.rate))


def silence(frames: int) -> Speech:
    return Speech("", "en", Audio(np.zeros(frames * 640, np.float32), 16000))


def gaps(frames: Iterator[Image], locator: FaceLocator) -> npt.NDArray[np.float64]:
    """Inner-lip gap of each frame, in eye distances."""
    return np.array([locator.locate(image).mesh.lip_gap for image in frames])


def wanted(speech: Speech, lead: float) -> npt.NDArray[np.float64]:
    """How far the phonemes open the lips, frame by frame."""
    n = HD.frames(speech.audio.seconds)
    curves = sample(articulate(speech.of("phoneme"), speech.audio.seconds), 100, n, HD.fps, lead=lead)
    curve = dict(zip(PARAMETERS, curves.T.astype(np.float64), strict=True))
    return np.asarray(0.20 * curve["jaw"] + 0.06 * (curve["lowdrop"] + curve["upraise"]) + 0.02 * curve["round"])


def closures(speech: Speech, gap: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The narrowest gap at each p, b and m."""
    found = []
    for mark in speech.of("phoneme"):
        first, last = int(mark.start * HD.fps), int(np.ceil(mark.end * HD.fps))
        if mark.text.strip("ˈˌ")[:1] in ("p", "b", "m"):
            found.append(gap[max(first - 1, 0) : last + 1].min())
    return np.array(found)


def detail(image: Image, locator: FaceLocator) -> float:
    """Variance of the Laplacian around the mouth."""
    mesh = locator.locate(image).mesh
    x, y = mesh.points[[13, 14], :2].mean(0)
    reach = 0.42 * mesh.eye_distance
    box = image[int(y - reach) : int(y + reach), int(x - reach) : int(x + reach)]
    return float(cv2.Laplacian(cv2.cvtColor(box, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def replay(avatar: Avatar, canvas: Canvas) -> Replay:
    return Replay(bundle.load_footage(avatar.path), canvas)


@pytest.mark.parametrize("skip", [1, 2, 4])
def test_the_mouth_speaks_in_time_and_shuts(
    skip: int, man: Avatar, speech: Speech, tmp_path: Path, locator: FaceLocator, face: PhotoFace
) -> None:
    film = tmp_path / "film.mp4"
    video.encode(film, face.animate(man, speech, canvas=HD, frame_skip=skip), speech.audio, HD)
    gap = gaps((f.image for f in video.read_frames(film)), locator)
    curve = wanted(speech, LEAD)
    scores = {lag: np.corrcoef(np.roll(gap, -lag)[6:-6], curve[6:-6])[0, 1] for lag in range(-4, 5)}
    lag = max(scores, key=scores.__getitem__)
    shut = closures(speech, gap)
    assert lag == 0
    assert scores[0] >= 0.9
    assert len(shut) >= 5
    assert np.median(shut) <= 0.03
    assert np.mean(shut <= 0.045) >= 0.9
    assert gap[-3:].max() <= 0.045, "shut within 100 ms of silence"


def test_what_the_person_said_in_the_video_does_not_show(man: Avatar, locator: FaceLocator, face: PhotoFace) -> None:
    footage = bundle.load_footage(man.path)
    own = [footage.track.mesh(i).lip_gap for i in range(footage.first, footage.last)]
    assert np.mean(np.array(own) > 0.06) > 0.15, "the video is of somebody who speaks"
    frames = islice(face.animate(man, silence(400), canvas=HD), 0, 400, 8)
    gap = gaps((f.image for f in frames), locator)
    assert np.mean(gap < 0.05) >= 0.98


def test_the_mouth_is_as_sharp_as_the_video(
    man: Avatar, speech: Speech, tmp_path: Path, locator: FaceLocator, face: PhotoFace
) -> None:
    film, plain = tmp_path / "film.mp4", tmp_path / "plain.mp4"
    n = video.encode(film, face.animate(man, speech, canvas=HD), speech.audio, HD).frames
    shown = replay(man, HD).screen
    footage = bundle.load_footage(man.path)
    numbers = footage.first + films.swing(footage.last - footage.first, np.arange(n))
    with Reel(man.path / shown.take.name) as reel:
        as_filmed = (shown.show(reel[int(i)]) for i in numbers)
        write_reel(plain, as_filmed, HD.size, Fraction(25))
    pairs = list(zip(video.read_frames(film), video.read_frames(plain), strict=True))[::5]
    ratio = [detail(a.image, locator) / detail(b.image, locator) for a, b in pairs]
    assert 0.8 <= np.median(ratio) <= 2.5, "teeth and parted lips have edges that a resting mouth lacks"


def test_nothing_outside_the_face_is_touched(man: Avatar, speech: Speech, face: PhotoFace) -> None:
    shown = replay(man, HD)
    footage = shown.footage
    numbers = footage.first + films.swing(footage.last - footage.first, np.arange(60))
    with Reel(man.path / shown.screen.take.name) as reel:
        for frame, number in zip(islice(face.animate(man, speech, canvas=HD), 60), numbers, strict=True):
            as_filmed = shown.screen.show(reel[int(number)])
            changed = np.abs(frame.image.astype(int) - as_filmed).max(axis=2) > 0
            points = shown.screen.to_canvas(footage.track.points[number, :, :2])
            eye = float(np.linalg.norm(points[263] - points[33]))
            across = (points[263] - points[33]) / eye
            down = np.array([-across[1], across[0]])
            rows, columns = np.nonzero(changed)
            assert len(rows) > 100
            at = np.stack([columns, rows], axis=1) - points[[33, 263]].mean(axis=0)
            assert (at @ down).min() > 0, "eyes, brows and hair are as they were filmed"
            chin = float((points[152] - points[[33, 263]].mean(axis=0)) @ down)
            assert (at @ down).max() < chin + 0.7 * eye
            assert np.abs(at @ across).max() < 1.4 * eye


@pytest.mark.parametrize("canvas", [Canvas(854, 480, 25), Canvas(360, 640, 30), Canvas(512, 512, 12)])
def test_the_engines_promises_hold_on_every_canvas(canvas: Canvas, man: Avatar, face: PhotoFace) -> None:
    check_animator(face, man, canvas)


def test_chunks_join_across_the_turn_of_the_film(man: Avatar, face: PhotoFace) -> None:
    canvas = Canvas(640, 360, 25)
    footage = bundle.load_footage(man.path)
    turn = footage.last - footage.first
    whole = [f.image for f in face.animate(man, silence(30), canvas=canvas, start_frame=turn - 15)]
    parts = [
        f.image
        for start in (0, 10, 20)
        for f in face.animate(man, silence(10), canvas=canvas, start_frame=turn - 15 + start)
    ]
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))
    steps = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(whole)]
    usual = [f.image for f in face.animate(man, silence(60), canvas=canvas, start_frame=100)]
    around = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(usual)]
    assert max(steps) <= max(around), "the film slows down before it turns back"


def test_idle_film_can_be_looped(man: Avatar, face: PhotoFace) -> None:
    canvas = Canvas(640, 360, 25)
    frames = [f.image for f in face.idle(man, canvas=canvas, seconds=4)]
    assert len(frames) == 100
    steps = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(frames)]
    assert float(np.abs(frames[-1].astype(int) - frames[0]).mean()) <= max(np.percentile(steps, 60), 0.5)


def test_pictures_without_a_face_pass_through(
    tmp_path: Path, shared: Path, locator: FaceLocator, face: PhotoFace
) -> None:
    source = tmp_path / "cut.mp4"
    taken = islice(video.read_frames(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"), 75)
    pictures = [cv2.resize(f.image, (540, 960), interpolation=cv2.INTER_AREA) for f in taken]
    for i in range(30, 40):
        pictures[i] = np.full_like(pictures[i], 90)
    write_reel(source, (np.asarray(p, np.uint8) for p in pictures), (540, 960), Fraction(25))
    into = tmp_path / "cut"
    into.mkdir()
    made = face.prepare(source, into)
    about = json.loads((into / "avatar.json").read_text())
    assert about["without_face"] == 10
    assert any("No face" in warning for warning in made.warnings)
    footage = bundle.load_footage(into)
    assert (footage.weight[30:40] == 0).all()
    assert 0 < footage.weight[28] < footage.weight[25] < 1
    shown = replay(made, Canvas(360, 640))
    shape = np.full(10, 0.3, np.float32)
    with Reel(into / shown.screen.take.name) as reel:
        assert (shown.render(35, reel[35], shape, 0.0) == shown.screen.show(reel[35])).all()
        assert (shown.render(20, reel[20], shape, 0.0) != shown.screen.show(reel[20])).any()
        assert picture_of(reel[35]).std() < 3


def test_an_older_bundle_is_prepared_again_from_its_own_source(
    tmp_path: Path, shared: Path, locator: FaceLocator, face: PhotoFace
) -> None:
    source = tmp_path / "short.mp4"
    taken = islice(video.read_frames(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"), 100, 140)
    small = (np.asarray(cv2.resize(f.image, (540, 960), interpolation=cv2.INTER_AREA), np.uint8) for f in taken)
    write_reel(source, small, (540, 960), Fraction(25))
    into = tmp_path / "short"
    into.mkdir()
    made = face.prepare(source, into)
    canvas = Canvas(256, 256)
    before = [f.image for f in face.animate(made, silence(5), canvas=canvas)]
    about = json.loads((into / "avatar.json").read_text())
    (into / "avatar.json").write_text(json.dumps({**about, "version": 0, "title": "Me"}))
    (into / "avatar.npz").write_bytes(b"of another time")
    after = [f.image for f in PhotoFace().animate(made, silence(5), canvas=canvas)]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    again = json.loads((into / "avatar.json").read_text())
    assert again["version"] == bundle.VERSIONS["video"]
    assert again["title"] == "Me"
    assert not list(into.glob(".again-*"))
    (into / "avatar.json").write_text(json.dumps({**about, "version": 0}))
    (into / "source").unlink()
    with pytest.raises(NotFound, match="add its video again"):
        next(face.animate(made, silence(1), canvas=canvas))
