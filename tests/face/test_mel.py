"""The published mel spectrum: by its formula, beside librosa, and in pieces."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.errors import InvalidInput
from vivavoce.face.mel import BANDS, HOP, RATE, SECOND, SILENCE, WINDOW, MelStream, mel, windows

F32 = npt.NDArray[np.float32]


def buzz(seconds: float) -> F32:
    """A voice-like sound with pauses."""
    t = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(3)
    tone = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 25))
    loud = np.clip(np.sin(2 * np.pi * 1.3 * t), 0, 1)
    return (0.2 * loud * tone + 0.001 * rng.normal(size=len(t))).astype(np.float32)


def by_the_formula(samples: F32, row: int) -> npt.NDArray[np.float64]:
    """One row, straight from what is published, in doubles."""
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1].astype(np.float64))
    at = row * 200 + np.arange(-400, 400)
    n = len(samples)
    at = np.where(at < 0, -at, np.where(at >= n, 2 * (n - 1) - at, at))
    hann = np.array([0.5 - 0.5 * np.cos(2 * np.pi * i / 800) for i in range(800)])
    lines = np.array(
        [abs(np.sum(emphasised[at] * hann * np.exp(-2j * np.pi * k * np.arange(800) / 800))) for k in range(401)]
    )

    def to_mel(f: float) -> float:
        return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    def to_hertz(m: float) -> float:
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    corners = [to_hertz(m) for m in np.linspace(to_mel(55), to_mel(7600), 82)]
    out = []
    for a, b, c in zip(corners, corners[1:], corners[2:], strict=False):
        weight = [max(0.0, min((20 * k - a) / (b - a), (c - 20 * k) / (c - b))) * 2 / (c - a) for k in range(401)]
        level = 20 * np.log10(max(1e-5, float(np.dot(weight, lines)))) - 20
        out.append(min(4.0, max(-4.0, 8 * (level + 100) / 100 - 4)))
    return np.array(out)


@pytest.mark.parametrize("row", [0, 1, 40, 79, 80])
def test_rows_are_those_of_the_formula(row: int) -> None:
    samples = buzz(1.0)
    made = mel(samples)
    assert made.shape == (81, BANDS)
    assert np.abs(made[row] - by_the_formula(samples, row)).max() < 2e-4


@pytest.mark.neural
def test_librosa_says_the_same() -> None:
    librosa = pytest.importorskip("librosa")
    samples = buzz(2.0)
    emphasised = np.append(samples[:1], samples[1:] - np.float32(0.97) * samples[:-1])
    lines = np.abs(librosa.stft(y=emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect"))
    bank = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    levels = 20 * np.log10(np.maximum(1e-5, bank @ lines)) - 20
    wanted = np.clip(8 * (levels + 100) / 100 - 4, -4, 4).T
    assert np.abs(mel(samples) - wanted).max() < 1e-3


@pytest.mark.parametrize("piece", [37, 160, 3200, 100_000])
def test_in_pieces_it_is_the_same(piece: int) -> None:
    samples = buzz(1.7)
    stream = MelStream()
    parts = [stream.feed(samples[i : i + piece]) for i in range(0, len(samples), piece)]
    told = np.cumsum([len(part) for part in parts])
    # a row is told as soon as half a window beyond its centre was heard
    heard = np.minimum(np.arange(1, len(parts) + 1) * piece, len(samples))
    assert all(rows == max(0, (n - 400) // HOP + 1) for rows, n in zip(told, heard, strict=True) if n > 400)
    assert np.abs(np.concatenate([*parts, stream.finish()]) - mel(samples)).max() < 1e-5


def test_silence_and_short_sounds() -> None:
    assert (mel(np.zeros(RATE, np.float32)) == SILENCE).all()
    for n in (0, 1, 199, 200, 400, 401):
        made = mel(np.full(n, 0.1, np.float32))
        assert made.shape == (1 + n // HOP, BANDS)
        assert np.isfinite(made).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    samples = buzz(0.5)
    samples[4000] = bad
    with pytest.raises(InvalidInput, match="no numbers"):
        mel(samples)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_picture_sees_the_200_ms_from_its_time_on(fps: int) -> None:
    rows = np.arange(2 * SECOND, dtype=np.float32)[:, None].repeat(BANDS, axis=1)
    seen = windows(rows, fps, fps)
    assert seen.shape == (fps, BANDS, WINDOW)
    for i, picture in enumerate(seen):
        assert picture[0].tolist() == list(range(i * 80 // fps, i * 80 // fps + WINDOW))


def test_beyond_the_sound_there_is_silence_or_the_last_window() -> None:
    rows = np.arange(40, dtype=np.float32)[:, None].repeat(BANDS, axis=1)
    quiet, held = windows(rows, 20, 25), windows(rows, 20, 25, hold=True)
    assert quiet[-1, 0].tolist() == [SILENCE] * WINDOW
    assert all(np.array_equal(picture, held[8]) for picture in held[8:])
    assert held[8, 0].tolist() == list(range(24, 40))
    early = windows(rows, 3, 25, offset=-1)
    assert early[0, 0].tolist() == [SILENCE] * 4 + list(range(12)), "a frame earlier: what the net was trained on"
    assert all(np.array_equal(a, b) for a, b in itertools.pairwise([early[1], windows(rows, 1, 25)[0]]))
