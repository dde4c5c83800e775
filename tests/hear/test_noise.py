"""Enhancers at any rate, live, and what is measured of noise."""

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.cleaners.gtcrn import GtcrnCleaner
from vivavoce.engines.cleaners.speex import SpeexCleaner
from vivavoce.errors import VivavoceError
from vivavoce.hear.cleaning import LiveCleaner, cleaned, evenly
from vivavoce.hear.noise import LevelMatch, NoiseMeter, measure
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio, CleanTraits

Samples = npt.NDArray[np.float32]


class Halver:
    """An engine for 16 kHz that only halves what it hears, at once."""

    traits = CleanTraits(rates=(16_000,))

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        for block in blocks:
            assert block.rate == 16_000
            yield Audio(block.samples * np.float32(0.5), block.rate)


class Hoarder:
    """An engine that gives nothing before it has heard everything."""

    traits = CleanTraits()

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        held = list(blocks)
        yield Audio(np.concatenate([block.samples for block in held]), held[0].rate)


def tones(rate: int, *hertz: float, seconds: float = 1.5) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(np.sum([0.1 * np.sin(2 * np.pi * f * time) for f in hertz], axis=0), np.float32)


def cut(samples: Samples, rate: int, size: int) -> Iterator[Audio]:
    return (Audio(samples[at : at + size], rate) for at in range(0, len(samples), size))


def joined(stream: Iterator[Audio]) -> Samples:
    return np.concatenate([block.samples for block in stream])


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_an_engine_of_one_rate_serves_all_in_time(rate: int) -> None:
    sound = tones(rate, 440, 3000)
    out = joined(cleaned(Halver(), cut(sound, rate, 1000), rate))
    assert len(out) == len(sound)
    inside = slice(rate // 10, -rate // 10)
    assert np.allclose(out[inside], sound[inside] / 2, atol=1e-3)


def test_the_band_above_the_engines_is_turned_down_like_the_top_of_its_own() -> None:
    """Not cut off, and not left loud over a cleaned low band."""
    rate = 48_000
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * rate).astype(np.float32)
    out = joined(cleaned(Halver(), cut(noise, rate, 4800), rate))
    power = [np.abs(np.fft.rfft(sound)) ** 2 for sound in (noise, out)]
    for low, high in ((1000, 7000), (9000, 23_000)):
        band = slice(2 * low, 2 * high)
        assert 10 * np.log10(power[1][band].sum() / power[0][band].sum()) == pytest.approx(-6, abs=0.5)


def test_a_live_stream_sounds_like_a_file(shared: Path) -> None:
    sound = decode(shared / "media/speech/libri_1998_f.wav", max_seconds=60).samples[:48_000]
    live = LiveCleaner(SpeexCleaner(), 16_000)
    made, given = [], 0
    for at in range(0, len(sound), 320):
        made.append(live.feed(sound[at : at + 320]))
        given += len(sound[at : at + 320])
        assert given - sum(map(len, made)) <= 0.04 * 16_000
    made.append(live.finish())
    assert np.array_equal(np.concatenate(made), joined(SpeexCleaner().enhance(cut(sound, 16_000, 1600))))


def test_an_engine_that_gives_nothing_meanwhile_cannot_work_live() -> None:
    live = LiveCleaner(Hoarder(), 16_000)
    with pytest.raises(VivavoceError, match="cannot work live"):
        live.feed(tones(16_000, 440))


def test_nothing_fed_gives_nothing_and_closing_early_is_safe(shared: Path) -> None:
    assert len(LiveCleaner(SpeexCleaner(), 8000).finish()) == 0
    live = LiveCleaner(GtcrnCleaner(shared / "models"), 48_000)
    live.feed(tones(48_000, 440, seconds=0.1))
    live.close()


def test_streams_in_step_are_all_closed() -> None:
    closed = []

    def stream(name: str, size: int) -> Generator[Samples]:
        try:
            for at in range(0, 100, size):
                yield np.arange(at, at + size, dtype=np.float32)
        finally:
            closed.append(name)

    parts = list(evenly([stream("a", 10), stream("b", 25)]))
    for part in parts:
        assert np.array_equal(part[0], part[1])
    assert np.array_equal(np.concatenate([part[0] for part in parts]), np.arange(100))
    early = evenly([stream("c", 10), stream("d", 10)])
    next(early)
    early.close()
    assert sorted(closed) == ["a", "b", "c", "d"]


def speech_and_pauses(level: float, seed: int = 0) -> Samples:
    """Words of loud noise between pauses, and faint noise everywhere, ``level`` dB below the words."""
    draw = np.random.default_rng(seed)
    words = np.repeat((np.arange(60) // 4 % 2).astype(float), 3200)
    loud = 0.1 * (draw.normal(size=len(words)) * words + 10 ** (-level / 20) * draw.normal(size=len(words)))
    return np.asarray(loud, np.float32)


@pytest.mark.parametrize("level", [5, 10, 20, 40])
def test_the_noise_of_a_recording_is_measured(level: int) -> None:
    sound = measure(Audio(speech_and_pauses(level), 16_000))
    assert sound.snr == pytest.approx(level, abs=1)
    assert sound.speech == pytest.approx(-20, abs=0.7)
    meter = NoiseMeter(16_000)
    for at in range(0, 192_000, 777):
        meter.feed(speech_and_pauses(level)[at : at + 777])
    assert meter.loudness == sound


def test_silence_and_nothing_have_no_speech() -> None:
    assert NoiseMeter(16_000).loudness.speech == -100
    assert measure(Audio(np.zeros(16_000, np.float32), 16_000)).noise == -100
    steady = measure(Audio(np.random.default_rng(1).normal(0, 0.01, 64_000).astype(np.float32), 16_000))
    assert steady.noise == pytest.approx(-40, abs=1)
    assert steady.speech < -45


@pytest.mark.parametrize("turned", [-5.0, -2.0, 0.0])
def test_what_an_engine_takes_of_the_voice_is_told_from_what_it_takes_of_the_noise(turned: float) -> None:
    draw = np.random.default_rng(4)
    words = np.repeat((np.arange(60) // 4 % 2).astype(float), 3200)
    voice = 0.1 * draw.normal(size=len(words)) * words
    noise = 0.05 * draw.normal(size=len(words))
    match = LevelMatch(16_000)
    match.feed((voice + noise).astype(np.float32), (voice * 10 ** (turned / 20)).astype(np.float32))
    assert 20 * np.log10(match.gain) == pytest.approx(-turned, abs=0.4)


def test_without_speech_nothing_is_turned_up() -> None:
    match = LevelMatch(16_000)
    assert match.gain == 1
    noise = np.random.default_rng(1).normal(0, 0.05, 64_000).astype(np.float32)
    match.feed(noise, noise * np.float32(0.01))
    assert match.gain <= 10 ** (6 / 20)
    silent = LevelMatch(16_000)
    silent.feed(np.zeros(16_000, np.float32), np.zeros(16_000, np.float32))
    assert silent.gain == 1
