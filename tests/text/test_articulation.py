"""The movements of a mouth: shut where it must be, open on vowels, at rest at the ends, never torn."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.nouns import Mark, Speech
from vivavoce.text.articulation import PARAMETERS, articulate, sample, stress, symbols

JAW, WIDE, ROUND, PRESS, LOWDROP, TUCK, UPRAISE, TONGUE = range(8)
TEXTS = {
    "ru": "Мама мыла раму, а папа пил пиво. Фея вяжет фартук!",
    "kk": "Мама базарға барып, бес алма алды. Фабрика үлкен.",
    "en": "Papa bought a big map of Bombay. Five vivid waves moved my boat.",
    "ko": "엄마 아빠가 밥을 먹어요. 바다에 배가 있습니다.",
    "zh": "爸爸妈妈买了面包和苹果。飞机飞得非常快。",
}


def phones(*timed: tuple[str, float]) -> tuple[list[Mark], float]:
    marks, now = [], 0.0
    for text, length in timed:
        marks.append(Mark("phoneme", text, now, now + length))
        now += length
    return marks, now


@pytest.fixture(scope="module")
def spoken() -> dict[tuple[str, int], Speech]:
    voice = EspeakVoice()
    try:
        return {
            (language, rate): next(iter(voice.synthesize(text, language=language, voice=f"f3;rate={rate}")))
            for language, text in TEXTS.items()
            for rate in (150, 290)
        }
    finally:
        voice.close()


@pytest.mark.parametrize("rate", [150, 290])
@pytest.mark.parametrize("language", TEXTS)
def test_lips_close_on_every_bilabial_in_curves_and_in_frames(
    spoken: dict[tuple[str, int], Speech], language: str, rate: int
) -> None:
    speech = spoken[language, rate]
    seconds = speech.audio.seconds
    curves = articulate(speech.marks, seconds)
    closures = 0
    for mark in speech.of("phoneme"):
        a, b = int(mark.start * 100), int(np.ceil(mark.end * 100)) + 1
        for letters, parameter in (("pbm", PRESS), ("fv", TUCK)):
            if set(symbols(mark.text)) & set(letters):
                closures += 1
                assert curves[a:b, parameter].max() >= 0.95, mark
                for fps in (25, 30):
                    frames = sample(curves, 100, int(np.ceil(seconds * fps)), fps)
                    times = np.arange(len(frames)) / fps + 0.05
                    shown = frames[(times >= mark.start - 0.5 / fps) & (times <= mark.end + 0.5 / fps)]
                    if mark.start > 0.1 and parameter == PRESS:
                        assert shown[:, PRESS].max() >= 0.95, (mark, fps)
                        assert shown[shown[:, PRESS].argmax(), JAW] < 0.08
    assert closures >= 6


@pytest.mark.parametrize("language", TEXTS)
def test_every_phoneme_of_the_voice_is_known(spoken: dict[tuple[str, int], Speech], language: str) -> None:
    unknown = [m.text for m in spoken[language, 150].of("phoneme") if m.text and not symbols(m.text)]
    assert unknown == []


@pytest.mark.parametrize("language", TEXTS)
def test_vowels_open_the_mouth(spoken: dict[tuple[str, int], Speech], language: str) -> None:
    speech = spoken[language, 150]
    curves = articulate(speech.marks, speech.audio.seconds)
    wide_open = [
        m for m in speech.of("phoneme") if symbols(m.text)[:1] in [["a"], ["ɑ"], ["ɐ"], ["æ"]] and m.start > 0.2
    ]
    assert len(wide_open) >= 3
    for m in wide_open:
        whole = m.end - m.start > 0.1 and len(symbols(m.text)) == 1  # a diphthong has moved on by then
        least = 0.55 if whole else 0.3 if m.end - m.start > 0.06 else 0.08
        assert curves[int(m.start * 100) : int(m.end * 100) + 1, JAW].max() > least, m


def test_the_mouth_rests_at_both_ends_and_in_pauses() -> None:
    marks, seconds = phones(
        ("", 0.01), ("ˈa", 0.2), ("m", 0.1), ("ɑː", 0.3), ("", 0.25), ("o", 0.2), ("a", 0.1), ("", 0.05)
    )
    curves = articulate(marks, seconds)
    assert curves.shape == (122, len(PARAMETERS))
    assert curves.dtype == np.float32
    assert not curves[0].any()
    assert not curves[-1].any()
    middle = int(100 * (0.61 + 0.12))
    assert curves[middle - 3 : middle + 4].max() < 0.02
    after = int(100 * (0.61 + 0.1))
    assert curves[after].max() < 0.05  # shut within 100 ms of silence
    frames = sample(curves, 100, 40, 25)
    assert not frames[0].any()
    assert not frames[-1].any()


def test_shapes_are_those_of_the_sounds() -> None:
    def of(phone: str) -> npt.NDArray[np.float32]:
        marks, seconds = phones(("", 0.2), (phone, 0.3), ("", 0.2))
        return np.asarray(articulate(marks, seconds)[35])

    assert of("ˈɑ")[JAW] > 0.75 > of("e")[JAW] > 0.35 > of("i")[JAW]
    assert of("u")[ROUND] > 0.9
    assert of("o")[ROUND] > 0.6
    assert of("a")[ROUND] < 0.05
    assert of("i")[WIDE] > 0.7 > 0.3 > of("u")[WIDE]
    assert of("s")[JAW] < 0.12
    assert of("l")[TONGUE] > 0.7
    assert of("f")[TUCK] == pytest.approx(1.0)
    assert of("m")[PRESS] == pytest.approx(1.0)
    assert of("m")[JAW] == pytest.approx(0.0, abs=1e-3)


def test_rounding_comes_before_the_vowel_and_a_breath_takes_the_shape_of_its_neighbour() -> None:
    marks, seconds = phones(("", 0.2), ("s", 0.1), ("t", 0.08), ("ˈu", 0.2), ("", 0.2))
    assert articulate(marks, seconds)[33, ROUND] > 0.3  # at the /t/
    marks, seconds = phones(("", 0.2), ("h", 0.08), ("ˈɑ", 0.2), ("", 0.2))
    assert articulate(marks, seconds)[26, JAW] > 0.4


def test_stress_and_length_scale_the_jaw() -> None:
    def jaw(phone: str, length: float) -> npt.NDArray[np.float32]:
        marks, seconds = phones(("", 0.2), (phone, length), ("", 0.2))
        return np.asarray(articulate(marks, seconds)[:, JAW])

    assert jaw("ˈe", 0.2).max() > jaw("e", 0.2).max() * 1.1
    held = jaw("ˈaː", 0.6)
    assert held[70] < 0.85 * held.max()


def test_affricates_diphthongs_and_marks_are_read() -> None:
    assert symbols("ˈaɪ") == ["a", "ɪ"]
    assert symbols("tɕʰ") == ["t", "ɕ"]
    assert symbols("tɕh") == ["t", "ɕ"]
    assert symbols("tʃʲ") == ["t", "ʃ"]
    assert symbols("s.") == ["s"]
    assert symbols("ɑ5") == ["ɑ"]
    assert symbols("ma˥˩") == ["m", "a"]
    assert symbols("(en)") == []
    assert symbols("") == []
    marks, seconds = phones(("", 0.2), ("ˈaɪ", 0.3), ("", 0.2))
    curves = articulate(marks, seconds)
    assert curves[28, JAW] > curves[45, JAW]
    assert curves[45, WIDE] > curves[28, WIDE]


@pytest.mark.parametrize("n_marks", [0, 1])
def test_silence_and_nothing_are_rest(n_marks: int) -> None:
    curves = articulate([Mark("phoneme", "", 0.0, 1.0)] * n_marks, 1.0)
    assert curves.shape == (101, 8)
    assert not curves.any()
    assert articulate([], 0.0).shape == (1, 8)


def test_short_bilabials_survive_sampling_at_any_phase() -> None:
    for shift in np.arange(0.2, 0.26, 0.005):
        marks, seconds = phones(("", 0.1), ("a", float(shift)), ("p", 0.03), ("a", 0.2), ("", 0.1))
        frames = sample(articulate(marks, seconds), 100, int(seconds * 12), 12)
        assert frames[:, PRESS].max() >= 0.95


PHONES = st.sampled_from(["", "a", "ˈiː", "p", "m", "f", "tʃ", "s", "uː", "ʲ", "(en)", "w", "ŋ", "??", "x.", "ˈɑu"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PHONES, st.floats(0.0, 0.4)), max_size=12), st.sampled_from([50, 100, 200]))
def test_curves_are_always_sane(timed: list[tuple[str, float]], rate: int) -> None:
    marks, seconds = phones(*timed)
    curves = articulate(marks, seconds, rate)
    assert np.isfinite(curves).all()
    assert curves.min() >= 0
    assert curves.max() <= 1
    assert not curves[0].any()
    assert curves[-1].max() <= 0.05
    if len(curves) > 1:
        steps = np.abs(np.diff(curves, axis=0)) * rate / 100
        assert steps[:, [WIDE, ROUND, TONGUE]].max() < 0.3
        if (
            sum(text in ("p", "m", "f") for text, _ in timed) < 2
        ):  # a vowel between two parts the lips as fast as it must
            assert steps.max() < 0.65, "the fastest thing is a closure of 55 ms"
    emphasis = stress(marks, seconds, rate)
    assert emphasis.shape == (len(curves),)
    assert 0 <= emphasis.min() <= emphasis.max() <= 1


def test_stress_peaks_at_the_stressed_syllable() -> None:
    marks, seconds = phones(("", 0.1), ("ə", 0.2), ("b", 0.1), ("ˈaʊ", 0.3), ("t", 0.1), ("", 0.3))
    curve = stress(marks, seconds)
    assert curve.max() > 0.6
    assert abs(int(curve.argmax()) - 55) <= 2
    assert curve[15] < 0.05
    assert not stress([], 1.0).any()
