"""What a mouth has to do, and which pictures it is taken from: against brute force, and as a viewer would see it."""

import itertools
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from heads import FPS, N, library, spoken
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.person.choose import LAG, choose, missing, taste_of
from vivavoce.engines.person.curves import correlation
from vivavoce.engines.person.drive import RANGE, Target, by_features, by_windows, drive, owns
from vivavoce.engines.person.library import FEATURES, Library
from vivavoce.engines.person.pose import gap_of, low_of
from vivavoce.engines.person.voice import windows_of
from vivavoce.errors import InvalidInput
from vivavoce.face.drive import LEAD
from vivavoce.nouns import Audio, Canvas, Speech
from vivavoce.studio.speech import joined
from vivavoce.text.articulation import JAW, PARAMETERS, articulate, sample

F32 = npt.NDArray[np.float32]
CANVAS = Canvas(320, 320, FPS)
BASES = np.zeros(60, np.intp)


@pytest.fixture(scope="module")
def made() -> Library:
    return library()


def said(n: int, **curves: float) -> F32:
    out = np.zeros((n, len(PARAMETERS)), np.float32)
    for name, value in curves.items():
        out[:, PARAMETERS.index(name)] = value
    return out


def wanted(made: Library, n: int = 60, seed: int = 0) -> Target:
    """Features that jump about among those of the library."""
    rows = np.random.default_rng(seed).choice(np.flatnonzero(made.usable), n)
    return Target(np.zeros(n, np.float32), np.zeros(n, np.float32), features=made.features[rows])


def test_open_vowels_open_and_closures_close(made: Library) -> None:
    target = by_features(made, np.concatenate([said(1, jaw=0.9), said(1), said(1, press=1.0), said(1, jaw=0.3)]))
    assert target.features is not None
    gap = target.features[:, 0]
    assert gap[0] > gap[3] > gap[1] == pytest.approx(gap[2], abs=1e-4)
    assert target.press.tolist() == [0, 1, 1, 0]
    assert target.rest.tolist() == [0, 1, 0, 0]
    assert gap[0] <= made.features[:, 0].max()


def test_expressiveness_widens_and_calms(made: Library) -> None:
    curves = said(5, jaw=0.6, wide=0.5)
    features = [by_features(made, curves, factor).features for factor in (0.5, 1.0, 2.0)]
    gaps = [float(f[0, FEATURES.index("gap")]) for f in features if f is not None]
    assert gaps[0] < gaps[1] < gaps[2]
    speech = Speech("", "en", Audio(np.zeros(1600, np.float32), 16_000))
    for wrong in (0.1, 5.0, float("nan")):
        with pytest.raises(InvalidInput, match=rf"from {RANGE[0]:g} to {RANGE[1]:g}"):
            drive(made, speech, CANVAS, wrong)


@pytest.mark.parametrize("language", ["ru", "kk", "en", "ko", "zh"])
def test_words_of_any_language_drive_the_mouth(language: str, made: Library, voice: EspeakVoice) -> None:
    text = {
        "ru": "Мама мыла раму.",
        "kk": "Балапан бақта.",
        "en": "Mama bought a balloon.",
        "ko": "엄마 밥 바나나.",
        "zh": "妈妈骑马。",
    }
    speech = joined(voice.synthesize(text[language], language=language, voice=""))
    target = drive(made, speech, CANVAS)
    assert target.features is not None
    n = CANVAS.frames(speech.audio.seconds)
    assert len(target) == len(target.features) == n
    curves = sample(articulate(speech.of("phoneme"), speech.audio.seconds), 100, n, FPS, lead=LEAD)
    assert correlation(target.features[:, 0], curves[:, JAW]) > 0.9
    assert (target.press > 0.9).sum() >= 2, "it has closures"
    units = choose(made, target, np.zeros(n, np.intp), FPS)
    assert (made.opening[units][target.press > 0.9] < 0.01).mean() >= 0.95
    assert correlation(gap_of(made.head.shape[units]), target.features[:, 0]) > 0.85


def test_the_voice_of_the_film_is_told_from_another(made: Library, voice: EspeakVoice) -> None:
    assert made.voice is not None
    own = joined(voice.synthesize("One two three, a person speaks for a while.", language="en", voice="")).audio
    more = joined(voice.synthesize("And then some more is said by them.", language="en", voice="")).audio
    windows = windows_of(own, np.arange(0, own.seconds, 0.04))
    known = replace(made.voice, windows=windows)
    assert owns(known, more)
    assert owns(known, Audio(more.samples * np.float32(0.2), more.rate)), "loudness is no voice"
    t = np.arange(32_000) / 16_000
    whistle = np.sin(2 * np.pi * 3000 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    assert not owns(known, Audio(whistle.astype(np.float32), 16_000))


def test_own_sound_moves_the_mouth_in_time(made: Library) -> None:
    assert made.voice is not None
    part = library(fit=np.arange(N) < 160)
    assert part.voice is not None
    heard = np.arange(160, 240)
    target = by_windows(part, part.voice, made.voice.windows[heard], np.zeros(80, np.float32))
    units = choose(part, target, heard.astype(np.intp), FPS)
    opens = gap_of(part.fast[units] + missing(part, target, units))
    scores = {lag: correlation(np.roll(opens, -lag)[4:-4], spoken()[heard][4:-4]) for lag in range(-3, 4)}
    assert max(scores, key=scores.__getitem__) == 0
    assert scores[0] > 0.7
    silent = by_windows(part, part.voice, made.voice.windows[heard], np.ones(80, np.float32))
    shut = choose(part, silent, heard.astype(np.intp), FPS)
    assert (part.opening[shut] < 0.01).all()


def prices(made: Library, target: Target) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What each picture costs in each frame, and each change of pictures, reckoned from the definition: rows of the
    library, ``(n, N)`` and ``(N, N)`` from and to."""
    assert target.features is not None
    taste, k = taste_of(target), np.flatnonzero(made.usable)
    weights = np.array([1.6, 1.0, 0.7, 0.5, 0.2, 0.3])
    scale = made.features[k].std(axis=0) + 1e-4
    local = (weights * ((target.features[:, None] - made.features) / scale) ** 2).sum(axis=2)
    angles = made.head.angles / np.radians([8, 8, 16])
    shape, slow = low_of(made.head.shape) * 160, low_of(made.slow) * 160
    local += taste.pose * ((angles[0] - angles) ** 2).sum(axis=1)
    local += taste.expression * np.minimum(((slow[0] - slow) ** 2).mean(axis=1), 144) / 4
    parted = 400 * np.maximum(made.opening - 0.003, 0) + 80 * np.maximum(made.features[:, 0] - 0.02, 0)
    local += target.press[:, None] * parted
    change = np.full((N, N), np.inf)
    for number, before in enumerate(k):
        onward = k[min(number + 1, len(k) - 1)]
        for unit in k:
            jump = taste.switch + taste.jump * 2 * float(((shape[unit] - shape[onward]) ** 2).mean())
            known = {1: 0.0, 0: taste.repeat, 2: taste.repeat, -1: taste.back}
            change[before, unit] = min(jump, taste.switch * known.get(int(unit - before), np.inf))
    return local, change


def price(local: npt.NDArray[np.float64], change: npt.NDArray[np.float64], paths: npt.NDArray[np.intp]) -> F32:
    """Of paths ``(p, n)``."""
    steps = change[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return np.asarray(local[np.arange(paths.shape[1]), paths].sum(axis=1) + steps, np.float32)


def test_the_path_is_the_cheapest_of_all(made: Library) -> None:
    few = np.zeros(N, bool)
    few[[20, 21, 22, 60, 61, 90]] = True
    small = replace(made, usable=few, run=np.where(few, 0, -1))
    every = np.array(list(itertools.product(np.flatnonzero(few), repeat=5)))
    for seed in range(4):
        target = replace(wanted(made, 5, seed), press=np.array([0, 0, 1, 0, 0], np.float32))
        found = choose(small, target, BASES[:5], FPS)
        known = prices(small, target)
        assert price(*known, found[None])[0] == pytest.approx(price(*known, every).min(), rel=1e-3)


def test_a_stream_decides_a_little_later_and_nearly_as_well(made: Library) -> None:
    target = wanted(made)
    whole, late = choose(made, target, BASES, FPS), choose(made, target, BASES, FPS, lag=LAG)
    assert len(whole) == len(late) == 60
    best, stream = price(*prices(made, target), np.stack([whole, late]))
    assert best <= stream * 1.001
    assert stream < 1.15 * best
    start = replace(target, features=None if target.features is None else target.features[: 30 + LAG])
    begun = choose(
        made,
        replace(start, press=target.press[: 30 + LAG], rest=target.rest[: 30 + LAG]),
        BASES[: 30 + LAG],
        FPS,
        lag=LAG,
    )
    assert (begun[:30] == late[:30]).all(), "what comes later changes nothing that was decided"


def test_movements_are_kept_where_they_fit(made: Library) -> None:
    steady = replace(wanted(made), features=made.features[100:160])
    units = choose(made, steady, np.arange(100, 160), FPS)
    assert (np.diff(units) == 1).mean() > 0.9
    half = choose(
        made,
        replace(steady, features=made.features[100:160:2], press=steady.press[:30], rest=steady.rest[:30]),
        np.arange(100, 160, 2),
        FPS / 2,
    )
    assert (np.diff(half) == 2).mean() > 0.7, "at half the rate every second picture follows"


def test_blurred_and_foreign_pictures_are_left_alone(made: Library) -> None:
    skin = np.zeros(N, np.float32)
    skin[::2] = -0.4
    units = choose(replace(made, skin=skin), wanted(made), BASES, FPS)
    assert (units % 2 == 1).mean() > 0.8
    usable = made.usable & (np.arange(N) % 3 != 0)
    units = choose(replace(made, usable=usable, run=np.where(usable, 0, -1)), wanted(made), BASES, FPS)
    assert usable[units].all()


def test_choosing_is_quick_and_beyond_1500_pictures_too() -> None:
    many = library(2000, voice=False)
    target = wanted(many, 200)
    bases = np.zeros(200, np.intp)
    began = time.thread_time()
    units = choose(many, target, bases, FPS)
    assert (time.thread_time() - began) / 200 < 0.01
    assert target.features is not None
    assert correlation(many.features[units, 0], target.features[:, 0]) > 0.8
    some = library(456, voice=False)
    began = time.thread_time()
    choose(some, wanted(some, 200), bases, FPS)
    assert (time.thread_time() - began) / 200 < 0.004, "1.5 ms on a machine that does nothing else"


def test_what_no_picture_has_is_added(made: Library) -> None:
    target = wanted(made)
    assert target.features is not None
    wider = replace(target, features=target.features + np.array([0.02, 0, 0, 0.02, 0, 0], np.float32))
    units = np.full(60, 100, np.intp)
    more = missing(made, wider, units) - missing(made, target, units)
    assert gap_of(more).mean() > 0.004
    assert np.abs(more[:, [33, 263, 10]]).max() < 0.005, "eyes and forehead stay"
