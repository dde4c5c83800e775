"""A mouth read off sound alone: it follows other voices and people, closes in silence, and never misbehaves."""

import wave
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.face.features import SIZE, stacked
from vivavoce.face.sound import articulation_from_sound
from vivavoce.nouns import Audio
from vivavoce.text.alignment import align
from vivavoce.text.articulation import JAW, PARAMETERS, PRESS, WIDE, articulate
from vivavoce.text.cepstrum import log_mel, silences

JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
TEXTS = {
    "ru": "Вчера вечером мы долго гуляли вдоль реки, а потом пили чай с мятой.",
    "en": "Nobody believed him until the boat appeared behind the small island.",
    "kk": "Кешке қарай жаңбыр басылып, аспан ашылды.",
    "ko": "어제 친구와 함께 영화를 보고 저녁을 먹었습니다.",
    "zh": "昨天晚上我和朋友一起看电影，然后吃了晚饭。",
}


def read(path: Path) -> Audio:
    with wave.open(str(path)) as f:
        samples = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32) / np.float32(32768)
        return Audio(samples, f.getframerate())


def test_a_voice_that_says_something_new_is_followed(voice: EspeakVoice) -> None:
    agreement = []
    for language, text in TEXTS.items():
        (speech,) = voice.synthesize(text, language=language, voice="m2;rate=160")
        heard = articulation_from_sound(speech.audio)
        meant = articulate(speech.marks, speech.audio.seconds)
        assert heard.shape == meant.shape
        agreement.append([np.corrcoef(heard[:, k], meant[:, k])[0, 1] for k in (JAW, WIDE)])
    jaw, wide = np.mean(agreement, axis=0)
    assert jaw > 0.65
    assert wide > 0.65
    assert np.min(agreement) > 0.4


def test_sound_alone_agrees_with_the_text_on_a_human_recording(shared: Path, voice: EspeakVoice) -> None:
    recording = read(shared / "media" / "speech" / "jfk_m_en.wav")
    (reference,) = voice.synthesize(JFK, language="en")
    meant = articulate(align(reference, recording).marks, recording.seconds)
    heard = articulation_from_sound(recording)
    assert np.corrcoef(heard[:, JAW], meant[:, JAW])[0, 1] >= 0.5
    assert np.percentile(heard[:, JAW], 95) > 0.4


@pytest.mark.parametrize("name", ["jfk_m_en", "chinese", "libri_1688_m", "libri_1998_f", "libri_2414_m"])
def test_people_shut_their_mouth_in_pauses_and_open_it_in_speech(shared: Path, name: str) -> None:
    recording = read(shared / "media" / "speech" / f"{name}.wav")
    heard = articulation_from_sound(recording)
    for a, b in silences(log_mel(recording), 0.2):
        assert heard[a + 9 : b - 8].max(initial=0.0) < 0.05
    assert np.percentile(heard[:, JAW], 95) > 0.3
    closed = heard[:, PRESS] > 0.9
    assert 0 < closed.mean() < 0.35
    assert heard[closed, JAW].max(initial=0.0) < 0.12


def test_a_loud_or_quiet_microphone_makes_no_difference(voice: EspeakVoice) -> None:
    (speech,) = voice.synthesize(TEXTS["en"], language="en")
    noisy = speech.audio.samples + np.random.default_rng(3).normal(0, 1e-3, len(speech.audio.samples))
    quiet = articulation_from_sound(Audio((0.1 * noisy).astype(np.float32), speech.audio.rate))
    loud = articulation_from_sound(Audio(noisy.astype(np.float32), speech.audio.rate))
    assert np.abs(quiet[:, JAW] - loud[:, JAW]).mean() < 0.02


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 1.0, 3.333])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_silence_noise_and_scraps_are_harmless(seconds: float, rate: int) -> None:
    n = int(seconds * rate)
    for samples in (np.zeros(n), np.random.default_rng(0).normal(0, 0.1, n), np.full(n, 0.3)):
        audio = Audio(samples.astype(np.float32), rate)
        curves = articulation_from_sound(audio, 50)
        assert curves.shape == (int(np.ceil(audio.seconds * 50 - 1e-9)) + 1, len(PARAMETERS))
        assert np.isfinite(curves).all()
        assert curves.min(initial=0.0) >= 0
        assert curves.max(initial=0.0) <= 1
        assert not curves[0].any()
        assert curves[-1].max() < 0.3
    assert not articulation_from_sound(Audio(np.zeros(n, np.float32), rate)).any()


def test_weights_are_small_and_fit_the_features() -> None:
    weights = files("vivavoce.face").joinpath("sound.npz").read_bytes()
    assert len(weights) <= 300_000
    assert stacked(Audio(np.zeros(16000, np.float32), 16000)).shape == (101, SIZE)
