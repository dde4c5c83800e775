"""The stretches of a recording in which somebody speaks."""

from pathlib import Path

import numpy as np
import pytest

from vivavoce.hear.activity import activity
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio

RATE = 16_000


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.fixture(scope="module")
def said(shared: Path) -> np.ndarray:
    """A sentence without the pause before and after it."""
    found = activity(decode(shared / "media/speech/libri_1688_m.wav", max_seconds=60, rate=RATE))
    return found.audio.samples[found.stretches[0][0] : found.stretches[-1][1]]


def test_long_pauses_go_and_what_is_said_stays(said: np.ndarray) -> None:
    sound = Audio(np.concatenate([silence(3), said, silence(4), said, silence(2)]), RATE)
    found = activity(sound)
    once = activity(Audio(said, RATE)).seconds
    assert found.seconds == pytest.approx(2 * once, abs=0.4)
    assert found.speech.seconds == pytest.approx(2 * once, abs=0.4 + 0.2 * len(found.stretches))
    for first, last in found.stretches:
        inside = (first / RATE, last / RATE)
        assert 2.8 < inside[0] < inside[1] < sound.seconds - 1.7
        assert not 3.2 + len(said) / RATE < inside[0] < 6.8 + len(said) / RATE


def test_the_speech_is_cut_out_of_the_recording_in_order(said: np.ndarray) -> None:
    sound = Audio(np.concatenate([silence(1), said, silence(1)]), RATE)
    found = activity(sound)
    at = 0
    for first, last in found.stretches:
        piece = sound.samples[first:last]
        where = next(i for i in range(at, len(found.speech.samples)) if found.speech.samples[i] == piece[0])
        hit = [i for i in range(where, where + 4000) if np.array_equal(found.speech.samples[i : i + len(piece)], piece)]
        assert hit, "a stretch is missing"
        at = hit[0] + len(piece)


@pytest.mark.parametrize("kind", ["nothing", "silence", "noise", "hum", "click"])
def test_where_nobody_speaks_there_is_nothing(kind: str) -> None:
    time = np.arange(RATE * 4) / RATE
    click = silence(4)
    click[RATE : RATE + 40] = 0.9
    samples = {
        "nothing": silence(0),
        "silence": silence(4),
        "noise": np.random.default_rng(4).normal(0, 0.1, RATE * 4).astype(np.float32),
        "hum": (0.2 * np.sin(2 * np.pi * 50 * time)).astype(np.float32),
        "click": click,
    }[kind]
    found = activity(Audio(samples, RATE))
    assert found.stretches == ()
    assert found.seconds == 0
    assert len(found.speech.samples) == 0


def test_any_rate_is_heard_at_16_khz(shared: Path) -> None:
    path = shared / "media/speech/libri_1998_f.wav"
    found = activity(decode(path, max_seconds=60, rate=44_100))
    assert found.audio.rate == RATE
    assert found.seconds == pytest.approx(activity(decode(path, max_seconds=60, rate=RATE)).seconds, abs=0.2)
