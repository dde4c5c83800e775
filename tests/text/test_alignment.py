"""When a recording says what its text says: judged on other synthetic voices, whose times are known, and on people."""

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio, Speech
from vivavoce.text.alignment import align
from vivavoce.text.articulation import JAW, LOWDROP, PRESS, articulate, symbols
from vivavoce.text.cepstrum import levels, log_mel, mfcc, silences

TEXTS = {
    "ru": "Мама купила пять больших яблок и банку мёда. Старый пёс лежал у ворот и смотрел на дорогу.",
    "kk": "Бүгін ауа райы өте жақсы, далаға шығып серуендейік. Ұшақ биік бұлттардың үстімен ұшып барады.",
    "en": "We bought five big apples and a bowl of warm plum pudding. The old man opened his umbrella.",
    "ko": "오늘은 바람이 많이 불어서 모자가 날아갔어요. 작은 고양이가 의자 위에서 자고 있어요.",
    "zh": "今天的天气很好，我们一起去公园散步吧。妈妈买了苹果和面包。",
}
JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


@pytest.fixture(scope="module")
def jfk(shared: Path) -> Audio:
    with wave.open(str(shared / "media" / "speech" / "jfk_m_en.wav")) as f:
        samples = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32) / np.float32(32768)
        return Audio(samples, f.getframerate())


def say(voice: EspeakVoice, text: str, language: str, id_: str = "") -> Speech:
    (speech,) = voice.synthesize(text, language=language, voice=id_)
    return speech


def assert_holds(aligned: Speech, recording: Audio) -> None:
    phonemes, words = aligned.of("phoneme"), aligned.of("word")
    assert phonemes[0].start == 0
    assert phonemes[-1].end == pytest.approx(recording.seconds, abs=0.02)
    assert all(a.end == pytest.approx(b.start, abs=1e-6) for a, b in pairwise(phonemes))
    assert all(m.end > m.start for m in phonemes)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))
    assert all(0 <= m.start <= m.end <= recording.seconds + 1e-6 for m in words)


@pytest.mark.parametrize("language", TEXTS)
def test_another_voice_at_another_speed_is_followed(voice: EspeakVoice, language: str) -> None:
    truth = say(voice, TEXTS[language], language, "m1;rate=110;pitch=30")
    rng = np.random.default_rng(1)
    noisy = truth.audio.samples + rng.normal(0, 0.003, len(truth.audio.samples)).astype(np.float32)
    recording = Audio(noisy.astype(np.float32), truth.audio.rate)
    aligned = align(say(voice, TEXTS[language], language), recording)
    assert_holds(aligned, recording)
    assert [m.text for m in aligned.of("word")] == [m.text for m in truth.of("word")]
    off = [abs(a.start - b.start) for a, b in zip(aligned.of("word"), truth.of("word"), strict=True)]
    assert np.median(off) < 0.04
    assert max(off) < 0.3


def test_pauses_that_the_speaker_makes_become_pauses(voice: EspeakVoice) -> None:
    text = "One two three four five six seven eight nine ten."
    truth = say(voice, text, "en", "m3")
    cut = [int(w.end * truth.audio.rate) for w in truth.of("word")]
    hush = np.zeros(int(0.7 * truth.audio.rate), np.float32)
    x = truth.audio.samples
    samples = np.concatenate([hush, x[: cut[2]], hush, x[cut[2] : cut[6]], hush, x[cut[6] :], hush])
    recording = Audio(samples + np.float32(1e-4) * np.sin(np.arange(len(samples), dtype=np.float32)), truth.audio.rate)
    aligned = align(say(voice, text, "en"), recording)
    assert_holds(aligned, recording)
    pauses = [m for m in aligned.of("phoneme") if not m.text and m.end - m.start > 0.5]
    expected = [0.0, 0.7 + cut[2] / truth.audio.rate, 1.4 + cut[6] / truth.audio.rate]
    for at, pause in zip(expected, pauses, strict=False):
        assert pause.start == pytest.approx(at, abs=0.12)
    assert len(pauses) == 4
    curves = articulate(aligned.marks, recording.seconds)
    for pause in pauses:
        assert curves[int(pause.start * 100) + 10 : int(pause.end * 100) - 8, [JAW, LOWDROP]].max(initial=0.0) < 0.02


def test_a_human_recording_is_followed(voice: EspeakVoice, jfk: Audio) -> None:
    aligned = align(say(voice, JFK, "en"), jfk)
    assert_holds(aligned, jfk)
    # When words begin by a forced alignment with pocketsphinx, seen in the spectrogram too; the hall's noise follows.
    begun = {m.offset: m.start for m in aligned.of("word")}
    for word, seconds in {"And": 0.29, "ask": 3.25, "what": 5.37, "country can": 5.86, "ask what": 8.15}.items():
        assert begun[JFK.index(word)] == pytest.approx(seconds, abs=0.1), word
    assert begun[JFK.rindex("country")] == pytest.approx(9.99, abs=0.2)
    curves = articulate(aligned.marks, jfk.seconds)
    pauses = silences(log_mel(jfk), 0.2)
    assert len(pauses) >= 5
    for a, b in pauses:
        assert curves[a + 9 : b - 8, JAW].max(initial=0.0) < 0.05
    lips = [m for m in aligned.of("phoneme") if set(symbols(m.text)) & set("pbm")]
    assert lips
    assert all(curves[int(m.start * 100) : int(m.end * 100) + 1, PRESS].max() > 0.95 for m in lips)


def test_marks_do_not_depend_on_the_sample_rate(voice: EspeakVoice) -> None:
    reference = say(voice, TEXTS["en"], "en")
    truth = say(voice, TEXTS["en"], "en", "m2;rate=130")
    halved = Audio(np.ascontiguousarray(_lowpassed(truth.audio.samples)[::2]), truth.audio.rate // 2)
    full = align(reference, truth.audio).of("word")
    half = align(reference, halved).of("word")
    assert np.median([abs(a.start - b.start) for a, b in zip(full, half, strict=True)]) < 0.03


def _lowpassed(x: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(x)
    spectrum[len(spectrum) // 2 :] = 0
    return np.asarray(np.fft.irfft(spectrum, len(x)), np.float32)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(22050), np.zeros(0), np.full(500, 0.5), np.full(22050, np.nan), np.full(22050, 1e-5)],
    ids=["silent", "empty", "short", "not a number", "too quiet"],
)
def test_what_is_no_speech_is_refused(voice: EspeakVoice, samples: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        align(say(voice, "Hello.", "en"), Audio(samples.astype(np.float32), 22050))


def test_a_reference_without_sounds_is_refused(voice: EspeakVoice) -> None:
    spoken = say(voice, "Hello.", "en")
    with pytest.raises(InvalidInput):
        align(Speech("Hello.", "en", spoken.audio), spoken.audio)


@pytest.mark.parametrize("repeats", [1, 12])
def test_a_recording_of_another_length_still_gives_marks_that_hold(voice: EspeakVoice, repeats: int) -> None:
    recording = say(voice, "something else entirely, " * repeats, "en", "f2").audio
    for text in ("Yes.", "A rather long sentence that the recording does not say, and a second part of it."):
        assert_holds(align(say(voice, text, "en"), recording), recording)


def test_features_are_where_the_sound_is() -> None:
    for rate in (8000, 16000, 22050, 48000):
        time = np.arange(rate) / rate
        tone = np.where((time > 0.4) & (time < 0.6), 0.5 * np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32)
        mel = log_mel(Audio(tone, rate))
        assert mel.shape == (101, 40)
        assert np.isfinite(mel).all()
        assert levels(mel)[45:56].min() > -3
        assert silences(mel) == [(0, 39), (61, 101)] or abs(silences(mel)[0][1] - 40) <= 3
        assert mel[50].argmax() in (13, 14, 15)
        assert mfcc(mel).shape == (101, 13)
