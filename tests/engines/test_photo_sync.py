"""Lip sync as a viewer has it: landmarks measured on the frames of the encoded film."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.photo import PhotoFace, bundle
from vivavoce.engines.photo.fit import fit
from vivavoce.face.drive import LEAD
from vivavoce.face.locate import FaceLocator
from vivavoce.media import video
from vivavoce.nouns import Audio, Avatar, Canvas, Speech
from vivavoce.studio.speech import joined
from vivavoce.text.articulation import PARAMETERS, articulate, sample

pytestmark = pytest.mark.slow

CANVAS = Canvas(512, 512, 25)
SAYINGS = {
    "en": "Papa bought a big map of Bombay. My father has a car.",
    "ru": "Мама мыла раму, а папа варил кашу. Пора обедать!",
    "kk": "Менің атым Айгүл, бүгін ауа райы жақсы болады.",
    "ko": "안녕하세요. 오늘 아침에 바나나를 먹었습니다.",
    "zh": "妈妈买了八个苹果，爸爸很高兴。",
}
BUILT_IN = ("anna", "aigul", "david")
PORTRAITS = ("man_0001", "man_0324", "woman_0033", "woman_0287")


@pytest.fixture(scope="module")
def face() -> PhotoFace:
    return PhotoFace()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shared: Path, face: PhotoFace) -> dict[str, Avatar]:
    """The shared portraits as avatars."""
    folder = tmp_path_factory.mktemp("avatars")
    made = {}
    for name in PORTRAITS:
        into = folder / name
        into.mkdir()
        made[name] = face.prepare(shared / "media" / "portraits" / f"{name}.jpg", into)
    return made


def say(voice: EspeakVoice, language: str) -> Speech:
    """What is said, and 0.3 s of silence in which the mouth comes to rest."""
    said = joined(voice.synthesize(SAYINGS[language], language=language, voice=""))
    tail = np.zeros(round(0.3 * said.audio.rate), np.float32)
    return replace(said, audio=Audio(np.concatenate([said.audio.samples, tail]), said.audio.rate))


def opening(film: Path, locator: FaceLocator) -> npt.NDArray[np.float64]:
    """Inner-lip gap of each frame, in eye distances."""
    return np.array([locator.locate(f.image).mesh.lip_gap for f in video.read_frames(film)])


def wanted(speech: Speech, lead: float) -> npt.NDArray[np.float64]:
    """How far the phonemes open the lips, frame by frame."""
    n = CANVAS.frames(speech.audio.seconds)
    curves = sample(articulate(speech.of("phoneme"), speech.audio.seconds), 100, n, CANVAS.fps, lead=lead)
    curve = dict(zip(PARAMETERS, curves.T.astype(np.float64), strict=True))
    lips = 0.06 * (curve["lowdrop"] + curve["upraise"]) + 0.02 * curve["round"]
    return np.asarray(0.20 * curve["jaw"] + lips)


def best_lag(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Frames by which ``a`` is later than ``b``, and the correlation there."""
    n = min(len(a), len(b))
    scores = {}
    for lag in range(-6, 7):
        x, y = a[max(lag, 0) : n + min(lag, 0)], b[max(-lag, 0) : n - max(lag, 0)]
        scores[lag] = float(np.corrcoef(x, y)[0, 1])
    lag = max(scores, key=scores.__getitem__)
    return lag, scores[lag]


def resting(face: PhotoFace, avatar: Avatar, locator: FaceLocator) -> float:
    """The most that the net reads off an avatar that says nothing: gloss on lips that touch, up to 0.045."""
    silence = Speech("", "en", Audio(np.zeros(22050, np.float32), 22050), ())
    frames = list(face.animate(avatar, silence, canvas=CANVAS))[::4]
    rest = max(locator.locate(f.image).mesh.lip_gap for f in frames)
    assert rest < 0.05, "a silent mouth is shut"
    return float(rest)


def check(film: Path, speech: Speech, locator: FaceLocator, rest: float) -> None:
    gap = opening(film, locator)
    lag, correlation = best_lag(gap, wanted(speech, LEAD))
    assert lag == 0
    assert correlation >= 0.9
    assert abs(best_lag(gap, wanted(speech, 0.0))[0]) <= 1, "no more than a frame ahead of the sound"
    closures, vowels = [], []
    for mark in speech.of("phoneme"):
        letters = mark.text.strip("ˈˌ")
        first, last = int(mark.start * CANVAS.fps), int(np.ceil(mark.end * CANVAS.fps))
        around = gap[max(first - 1, 0) : last + 1]
        if letters[:1] in ("p", "b", "m") and len(around):
            closures.append(around.min())
        if letters[:1] in ("a", "ɑ") and mark.end - mark.start > 0.08:
            vowels.append(around.max())
    assert closures
    # the net reads 0.02 to 0.045 off lips that touch, by their gloss: what it reads off the shut first frame is shut
    shut = max(0.02, float(gap[0]))
    assert np.median(closures) <= shut
    assert np.mean(np.array(closures) <= shut + 0.008) >= 0.9
    assert not vowels or np.median(vowels) >= 0.12
    assert gap[-3:].max() <= max(shut, rest) + 0.01, "shut within 100 ms of silence"


@pytest.mark.parametrize("language", SAYINGS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_default_avatars(
    name: str, language: str, tmp_path: Path, locator: FaceLocator, voice: EspeakVoice, face: PhotoFace
) -> None:
    speech = say(voice, language)
    folder = Path(bundle.__file__).parents[2] / "artwork" / "avatars" / name
    film = tmp_path / "film.mp4"
    avatar = Avatar(name, folder, "photo")
    video.encode(film, face.animate(avatar, speech, canvas=CANVAS), speech.audio, CANVAS)
    check(film, speech, locator, resting(face, avatar, locator))


@pytest.mark.parametrize("language", SAYINGS)
@pytest.mark.parametrize("name", PORTRAITS)
def test_photographs(
    name: str,
    language: str,
    tmp_path: Path,
    locator: FaceLocator,
    voice: EspeakVoice,
    face: PhotoFace,
    prepared: dict[str, Avatar],
) -> None:
    speech = say(voice, language)
    film = tmp_path / "film.mp4"
    video.encode(film, face.animate(prepared[name], speech, canvas=CANVAS), speech.audio, CANVAS)
    assert fit(bundle.load(prepared[name].path), CANVAS).mesh.eye_distance > 80
    check(film, speech, locator, resting(face, prepared[name], locator))
