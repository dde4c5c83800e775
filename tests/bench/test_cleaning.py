"""The benchmark of enhancers, and the two promises that it keeps watch over."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vivavoce.bench.cleaning import Cleaning, Mixture, measure, mixtures, scores, table
from vivavoce.bench.noises import NOISES, RATE, mixed, noise
from vivavoce.errors import InvalidInput
from vivavoce.registry import Registry

judged = pytest.mark.skipif(find_spec("pesq") is None, reason="the dependency group measuring is not installed")


def quiet(_: float, __: str) -> None:
    """Shows nothing."""


@pytest.mark.parametrize("kind", NOISES)
def test_a_noise_has_its_power_and_is_another_each_time(kind: str) -> None:
    voices = [np.random.default_rng(seed).normal(0, 1, 40_000) for seed in range(3)]
    draw = np.random.default_rng(5)
    one, other = noise(kind, 32_000, draw, voices), noise(kind, 32_000, draw, voices)
    assert np.std(one) == pytest.approx(1)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


def test_noise_is_mixed_by_the_level_of_the_speech_and_not_of_its_pauses() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    speech = np.concatenate([tone, np.zeros(3 * RATE)])
    added = mixed(speech, np.random.default_rng(1).normal(0, 1, len(speech)), 10) - speech
    assert 20 * np.log10(np.std(tone) / np.std(added)) == pytest.approx(10, abs=0.2)


@judged
def test_without_noise_nothing_is_lost_and_the_table_shows_it() -> None:
    draw = np.random.default_rng(2)
    speech = np.repeat(draw.normal(0, 0.1, 400), 160) * draw.normal(0, 1, 64_000)
    rows = scores("", None, [Mixture(speech, speech, None, "")], quiet)
    assert rows[0].stoi == pytest.approx(1, abs=1e-3)
    shown = table([*rows, Cleaning("", 5.0, 1.5, 0.75, 1.0), Cleaning("x", 5.0, 2.5, 0.8765, 42.4)])
    assert "| enhancer | 5 dB: PESQ / STOI | clean: PESQ / STOI |" in shown
    assert "| as it came | 1.50 / 0.750 | 4.64 / 1.000 | 1.500 / 0.7500 | – |" in shown


def test_too_little_speech(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="two recordings"):
        list(mixtures(tmp_path, utterances=1, seed=1))


@judged
@pytest.mark.slow
def test_the_default_never_hurts_and_auto_is_the_best(shared: Path, tmp_path: Path) -> None:
    """On speakers and draws of noise with which nothing was tuned."""
    if not (shared / "models" / "gtcrn_simple.onnx").is_file():
        pytest.skip("the weights of GTCRN are not in ../shared/models")
    options = {f"clean.{name}": {"models_dir": shared / "models"} for name in ("gtcrn", "auto")}
    for speaker in ("2414", "3005"):
        (tmp_path / speaker).mkdir()
        for recording in (shared / "media/speech/speakers" / speaker).iterdir():
            (tmp_path / speaker / recording.name).symlink_to(recording)
    rows = measure(tmp_path, quiet, registry=Registry(options), utterances=2, seconds=5, seed=11)
    as_it_came = {row.level: row for row in rows if row.engine == ""}
    for row in rows:
        if row.engine == "speex" and row.level is not None:
            assert row.pesq >= as_it_came[row.level].pesq, row
            assert row.stoi >= as_it_came[row.level].stoi, row
    noisy, all_of_it = (
        {engine: mean([row for row in found if row.engine == engine]) for engine in ("", "speex", "gtcrn", "auto")}
        for found in ([row for row in rows if row.level is not None], rows)
    )
    for engine in ("speex", "gtcrn"):
        for means in (noisy, all_of_it):
            assert means["auto"][0] > means[engine][0], (engine, means)
            assert means["auto"][1] > means[engine][1], (engine, means)
    clean = {row.engine: row for row in rows if row.level is None}
    assert clean["auto"].pesq > clean["gtcrn"].pesq
    assert clean["auto"].stoi > 0.99


def mean(rows: list[Cleaning]) -> tuple[float, float]:
    """Of PESQ and of STOI."""
    return float(np.mean([row.pesq for row in rows])), float(np.mean([row.stoi for row in rows]))
