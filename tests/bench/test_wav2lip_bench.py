"""What is measured of Wav2Lip, with random weights: that it is measured, and what it must come to on any machine."""

from pathlib import Path

import pytest

from vivavoce.bench import wav2lip

pytest.importorskip("torch")
pytestmark = [pytest.mark.neural, pytest.mark.slow]


def test_everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIVAVOCE_MODELS__DIR", raising=False)
    monkeypatch.setattr(wav2lip, "_BATCHES", (1, 4))
    told: list[float] = []
    rows, more = wav2lip.measure(quick=True, show=lambda done, _: told.append(done))
    values = {row.what: row.value for row in rows}
    assert all(value is not None and value > 0 for value in values.values())
    assert "random weights" in more
    assert more.count("\n|") == 6, "a table of four networks"
    assert told == sorted(told)
    gain = values["network: gain over the published one"]
    assert gain is not None
    assert gain > 1
    memory = values["peak memory of a process that films, torch"]
    assert memory is not None
    assert 300 < memory < 2500


def test_random_weights_are_a_checkpoint_whose_answers_are_neither_dead_nor_stuck(tmp_path: Path) -> None:
    import numpy as np

    from vivavoce.engines.wav2lip.weights import Found, load

    wav2lip._random(tmp_path / "wav2lip.safetensors")
    net = load(Found(tmp_path / "wav2lip.safetensors", "torch"), device="cpu", precision="fp32")
    rng = np.random.default_rng(0)
    made = net(rng.uniform(-4, 4, (2, 80, 16)).astype(np.float32), rng.uniform(0, 1, (2, 96, 96, 6)).astype(np.float32))
    assert made.std() > 1e-3
    assert 0.01 < made.mean() < 0.99
