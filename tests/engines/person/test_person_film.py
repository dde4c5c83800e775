"""A real film of a man who talks: his own mouth says what it is told to, sharp, shut where it must be, in time."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.person import store
from vivavoce.engines.person.drive import drive
from vivavoce.engines.person.engine import PersonFace
from vivavoce.engines.person.evaluate import Bench, held_out, paint_with
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import view
from vivavoce.engines.person.mask import Layout
from vivavoce.engines.person.mouths import mouths
from vivavoce.engines.person.paint import Painter
from vivavoce.engines.person.walk import Walk, stretch
from vivavoce.face.locate import FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.media.reel import Reel
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Speech
from vivavoce.studio.speech import joined
from vivavoce.testing import check_animator

pytestmark = pytest.mark.slow

CANVAS = Canvas(1080, 1920)
SAID = {
    "ru": "Добрый день! Меня зовут Виктор, я помогу вам выбрать удобный тариф. Папа купил большую машину.",
    "kk": "Сәлеметсіз бе! Менің атым Виктор, мен сізге көмектесемін. Мама базарға барды.",
    "en": "Good morning! My name is Victor, and I will help you to pick the best plan. My mum bought a big map.",
    "ko": "안녕하세요. 제 이름은 빅터입니다. 엄마가 밥을 먹었습니다.",
    "zh": "你好，我是你的助手。今天我们一起学习普通话，妈妈骑马。",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As workers paint."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def engine(locator: FaceLocator) -> PersonFace:
    return PersonFace()


@pytest.fixture(scope="module")
def man(engine: PersonFace, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    into = tmp_path_factory.mktemp("people") / "man"
    into.mkdir()
    return engine.prepare(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4", into)


@pytest.fixture(scope="module")
def library(man: Avatar) -> Library:
    return store.load(man.path)


def bases(library: Library, frames: int) -> npt.NDArray[np.intp]:
    return Walk(library, stretch(library)).pictures(np.arange(frames))


def openings(
    library: Library, frames: list[Frame], locator: FaceLocator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What a viewer sees: share of what is no lip between the lips, and the gap of the lips as found anew."""
    seen, gaps = [], []
    for frame, base in zip(frames, bases(library, len(frames)), strict=True):
        found = locator.follow(frame.image, FaceMesh(library.points[base]))
        assert found is not None
        seen.append(view(frame.image, found.points).opening())
        gaps.append(found.lip_gap)
    return np.array(seen), np.array(gaps)


def test_the_contract(engine: PersonFace, man: Avatar) -> None:
    assert man.engine == "person"
    check_animator(engine, man)


@pytest.mark.parametrize("language", sorted(SAID))
def test_every_language_opens_and_shuts_his_mouth(
    language: str, engine: PersonFace, man: Avatar, library: Library, voice: EspeakVoice, locator: FaceLocator
) -> None:
    speech = joined(voice.synthesize(SAID[language], language=language, voice=""))
    frames = list(engine.animate(man, speech, canvas=CANVAS))
    seen, gaps = openings(library, frames, locator)
    target = drive(library, speech, CANVAS)
    assert target.features is not None
    pressed = (target.press > 0.7) & (target.rest < 0.5)
    assert pressed.sum() > 5
    assert (seen[pressed] < 0.01).mean() >= 0.95, "p, b and m shut the lips"
    r = [np.corrcoef(np.roll(gaps, -lag)[4:-4], target.features[4:-4, 0])[0, 1] for lag in (-2, -1, 0, 1, 2)]
    assert r[2] >= 0.82, "the mouth opens as it is told"
    assert int(np.argmax(r)) == 2, "and in time"


def test_silence_shuts_it(engine: PersonFace, man: Avatar, library: Library, locator: FaceLocator) -> None:
    speech = Speech("", "en", Audio(np.zeros(3 * 16_000, np.float32), 16_000))
    frames = list(engine.animate(man, speech, canvas=CANVAS))
    seen, _ = openings(library, frames, locator)
    assert (seen < 0.01).mean() >= 0.9
    assert seen.max() < 0.04


def test_true_lips_give_the_film_back(man: Avatar, library: Library, locator: FaceLocator) -> None:
    """The last 46 pictures painted from the others, with the lips where they were: faults of the painter alone."""
    with Bench(man.path, library, locator) as bench:
        scores = held_out(bench, paint_with(bench))
    one, three = scores["true lips, one picture"], scores["true lips, three pictures"]
    assert one.psnr >= 25.5
    assert three.psnr >= 26.0
    assert 0.8 <= one.sharp <= 1.25
    assert max(three.flicker) <= 1.3


def test_a_frame_costs_little(man: Avatar, library: Library) -> None:
    painter = Painter(library, CANVAS)
    units = np.flatnonzero(library.usable)[::4]
    way = np.resize(bases(library, 60), len(units))
    for layout in Layout:
        costs = []
        with Reel(man.path / painter.screen.take.name) as reel:
            for base, mouth in zip(way.tolist(), mouths(library, way, units), strict=True):
                planes = reel[base]
                began = time.thread_time()
                painter.paint(base, planes, mouth, layout)
                whole = time.thread_time() - began
                began = time.thread_time()
                painter.screen.show(planes)
                costs.append(whole - (time.thread_time() - began))
        assert np.median(costs) <= 0.012, f"{1e3 * np.median(costs):.1f} ms for the mouth"
