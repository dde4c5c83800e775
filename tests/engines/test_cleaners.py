"""Enhancers take the noise and leave the voice."""

import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.cleaners.auto import AutoCleaner
from vivavoce.engines.cleaners.gtcrn import GtcrnCleaner
from vivavoce.engines.cleaners.rnnoise import RNNoiseCleaner
from vivavoce.engines.cleaners.speex import SpeexCleaner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.hear.cleaning import cleaned
from vivavoce.media.audio import resample
from vivavoce.models import CATALOGUE
from vivavoce.nouns import Audio
from vivavoce.ports import Enhancer
from vivavoce.testing import check_enhancer

RATE = 16_000
Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    """The folder with GTCRN's weights."""
    folder = shared / "models"
    if not (folder / "gtcrn_simple.onnx").is_file():
        pytest.skip("the weights of GTCRN are not in ../shared/models")
    return folder


@pytest.fixture(scope="module")
def speech(voice: EspeakVoice) -> Samples:
    """Four seconds of a voice without any noise, between two pauses."""
    says = next(voice.synthesize("The river runs slowly past the old stone houses.", language="en", voice="")).audio
    padded = np.pad(resample(says, RATE).samples, (RATE // 2, RATE))
    return np.asarray(0.4 * padded / np.abs(padded).max(), np.float32)


def hiss(n: int, level: float = 0.02, seed: int = 3) -> Samples:
    return np.random.default_rng(seed).normal(0, level, n).astype(np.float32)


def run(engine: Enhancer, samples: Samples, rate: int = RATE, block: int = 1600) -> Samples:
    blocks = (Audio(samples[at : at + block], rate) for at in range(0, len(samples), block))
    whole: Samples = np.concatenate([out.samples for out in cleaned(engine, blocks, rate)])
    return whole


def decibels(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


def engines(weights: Path) -> Iterator[tuple[Enhancer, float, float]]:
    """Each, with the dB by which it quietens hiss between words and the most that the words may lose."""
    yield SpeexCleaner(), 6, 1.0
    yield GtcrnCleaner(weights), 20, 1.0
    yield AutoCleaner(weights), 12, 1.0


def test_noise_goes_and_the_voice_stays(weights: Path, speech: Samples) -> None:
    noisy = speech + hiss(len(speech))
    pause = slice(-RATE * 3 // 4, None)
    for engine, quieter, lost in engines(weights):
        out = run(engine, noisy)
        assert len(out) == len(noisy)
        assert decibels(noisy[pause]) - decibels(out[pause]) > quieter, type(engine).__name__
        kept = 20 * np.log10(np.dot(out, speech) / np.dot(speech, speech))
        assert -lost < kept < lost, type(engine).__name__
        assert np.mean((out - speech) ** 2) < np.mean((noisy - speech) ** 2), type(engine).__name__


def test_clean_speech_passes_auto_practically_untouched(weights: Path, speech: Samples) -> None:
    changed = run(AutoCleaner(weights), speech) - speech
    assert decibels(speech) - decibels(changed) > 25
    once_it_knows = slice(RATE * 3 // 2, None)
    assert decibels(speech[once_it_knows]) - decibels(changed[once_it_knows]) > 35


def test_auto_takes_noise_that_begins_on_the_way(weights: Path, speech: Samples) -> None:
    whole = np.concatenate([speech, speech, speech])
    noise = hiss(len(whole), 0.1)
    noise[: len(speech)] = 0
    out = run(AutoCleaner(weights), whole + noise)
    tail = slice(-RATE // 2, None)
    assert decibels((whole + noise)[tail]) - decibels(out[tail]) > 12


def test_auto_without_weights_is_speex_and_says_so(
    tmp_path: Path, speech: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = speech + hiss(len(speech))
    auto = AutoCleaner(models_cache=tmp_path, offline=True)
    assert np.array_equal(run(auto, noisy), run(SpeexCleaner(), noisy))
    assert "vivavoce models pull gtcrn" in "".join(capsys.readouterr())


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    engine = GtcrnCleaner(models_cache=tmp_path, offline=True)
    with pytest.raises(EngineUnavailable, match="vivavoce models pull gtcrn"):
        list(engine.enhance(iter([Audio(hiss(RATE), RATE)])))


def test_the_catalogue_names_the_file_that_we_test_with(weights: Path) -> None:
    weight = CATALOGUE["gtcrn"]
    assert (weights / weight.file).stat().st_size == weight.bytes
    assert weight.licence == "MIT"


def test_rnnoise_needs_its_library_and_nothing_else(weights: Path, speech: Samples) -> None:
    if importlib.util.find_spec("pyrnnoise") is None:
        with pytest.raises(EngineUnavailable, match=r"pip install 'vivavoce\[rnnoise\]'"):
            RNNoiseCleaner()
        return
    noisy = speech + hiss(len(speech))
    out = run(RNNoiseCleaner(), noisy)
    assert decibels(noisy[-RATE // 2 :]) - decibels(out[-RATE // 2 :]) > 20
    assert not {"pyrnnoise", "matplotlib", "audiolab"} & set(sys.modules)
    check_enhancer(RNNoiseCleaner())


def test_another_rate_is_refused_and_a_change_of_rate_too(weights: Path) -> None:
    with pytest.raises(InvalidInput, match="16000 Hz, not at 44100"):
        next(GtcrnCleaner(weights).enhance(iter([Audio(hiss(4410), 44_100)])))
    blocks = [Audio(hiss(800), 8000), Audio(hiss(1600), RATE)]
    with pytest.raises(InvalidInput, match="changes from 8000 to 16000"):
        list(SpeexCleaner().enhance(iter(blocks)))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 48_000])
def test_speex_works_at_any_rate(rate: int) -> None:
    noise = hiss(3 * rate)
    out = run(SpeexCleaner(), noise, rate)
    assert len(out) == len(noise)
    assert decibels(noise[-rate:]) - decibels(out[-rate:]) > 6


def test_streams_in_threads_do_not_meet(weights: Path, speech: Samples) -> None:
    sounds = [speech[: RATE * 2] + hiss(RATE * 2, seed=seed) for seed in range(3)]
    made: list[Any]
    for engine in (SpeexCleaner(), GtcrnCleaner(weights)):
        alone = [run(engine, sound) for sound in sounds]
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(lambda sound, engine=engine: run(engine, sound), sounds))
        for one, other in zip(alone, made, strict=True):
            assert np.allclose(one, other, atol=1e-5)
