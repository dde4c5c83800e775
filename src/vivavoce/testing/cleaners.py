"""The promises of ``Enhancer``."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio
from vivavoce.ports import Enhancer
from vivavoce.testing.base import check_closing, require

__all__ = ["check_enhancer"]

Samples = npt.NDArray[np.float32]

_RATES = 8_000, 16_000, 44_100, 48_000
"""Hz; what an engine for any rate is tried at."""
_SECONDS = 3.0
_SAME = 1e-4
"""By how much two runs over the same sound may differ."""
_IN_TIME = 0.001
"""Seconds by which sound may be moved."""
_KEPT, _QUIETER = -3.0, -1.0
"""dB: clean speech loses at most so much, steady noise at least so much."""


def check_enhancer(engine: Enhancer) -> None:
    """Every promise of ``Enhancer``, at each of its rates."""
    traits = engine.traits
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    require(all(rate > 0 for rate in traits.rates), "Rates are positive numbers of Hz.")
    require(0 <= traits.lookahead < _SECONDS / 2, "An enhancer works live: it looks ahead by less than 1.5 s.")
    for rate in traits.rates or _RATES:
        speech = _speech(rate)
        whole = _joined(engine, speech, rate, [len(speech)])
        _check_blocks(engine, speech, whole, rate)
        _check_live(engine, speech, rate)
        _check_sound(engine, speech, whole, rate)
        _check_apart(engine, speech, whole, rate)
    rate = (traits.rates or _RATES)[0]
    require(not list(engine.enhance(iter(()))), "Out of no sound comes none.")
    check_closing(lambda: engine.enhance(Audio(_speech(rate), rate) for _ in itertools.count()), "enhance")


def _check_blocks(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    for sizes in ([rate // 100], [1, 333, 4097, 0]):
        parts = _joined(engine, speech, rate, sizes)
        require(
            len(parts) == len(speech), f"As many samples come out as go in ({len(parts)}, {len(speech)}; {rate} Hz)."
        )
        apart = float(np.abs(parts - whole).max())
        require(apart <= _SAME, f"Blocks of any length give the same sound (apart by {apart:.2g} at {rate} Hz).")
    for few in (0, 1, rate // 50 + 1):
        made = _joined(engine, speech[:few], rate, [max(few, 1)])
        require(len(made) == few, f"Of {few} samples come {few}, not {len(made)}.")


def _check_live(engine: Enhancer, speech: Samples, rate: int) -> None:
    """One block out for each in, and never later than the lookahead."""
    given = taken = 0
    step = rate // 50

    def source() -> Iterator[Audio]:
        nonlocal given
        for start in range(0, len(speech), step):
            given += 1
            yield Audio(speech[start : start + step], rate)

    with closing(cast("Any", engine.enhance(source()))) as stream:
        for number in range(1, len(speech) // step):
            taken += len(next(stream).samples)
            require(given == number, "One block comes out for each that goes in, if need be an empty one.")
            late = given * step - taken
            allowed = engine.traits.lookahead * rate + 1
            require(late <= allowed, f"Sound is never later than the lookahead ({late} > {allowed:.0f} samples).")


def _check_sound(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    require(whole.dtype == np.float32 and whole.ndim == 1, "Sound is mono float32, shape (n,).")
    require(np.isfinite(whole).all() and np.abs(whole).max() <= 1.5, "Sound is finite and about as loud as it was.")
    gain = _level(whole) - _level(speech)
    require(_KEPT <= gain <= -_KEPT, f"Clean speech is as loud as before to within 3 dB (changed by {gain:.1f}).")
    moved = abs(_lag(speech, whole)) / rate
    require(moved <= _IN_TIME, f"Sound stays in time (moved by {moved * 1000:.1f} ms at {rate} Hz).")
    noise = np.random.default_rng(5).normal(0, 0.05, len(speech)).astype(np.float32)
    left = _joined(engine, noise, rate, [rate // 10])[rate * 2 :]
    fallen = _level(left) - _level(noise[rate * 2 :])
    require(fallen <= _QUIETER, f"After two seconds steady noise is quieter than before (by {-fallen:.1f} dB).")
    silence = _joined(engine, np.zeros_like(speech), rate, [rate])
    require(np.abs(silence).max() < 1e-3, "Silence stays silent.")


def _check_apart(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    """Two streams read in turn sound as each does alone."""
    other = speech[::-1].copy()
    alone = whole, _joined(engine, other, rate, [rate // 10])
    streams = [engine.enhance(_cut(samples, rate, [rate // 10])) for samples in (speech, other)]
    made: tuple[list[Samples], list[Samples]] = ([], [])
    for pair in itertools.zip_longest(*streams):
        for block, blocks in zip(pair, made, strict=True):
            if block is not None:
                blocks.append(block.samples)
    for wanted, blocks in zip(alone, made, strict=True):
        require(np.abs(np.concatenate(blocks) - wanted).max() <= _SAME, "Two streams read in turn do not mix.")


def _speech(rate: int) -> Samples:
    """Syllables of a buzz with formants: what enhancers take for a voice; the pauses between them are silent."""
    time = np.arange(round(_SECONDS * rate)) / rate
    pitch = 130 + 25 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = np.zeros(len(time))
    for harmonic in range(1, int(min(3800, rate * 0.45) / 160)):
        hertz = harmonic * 130
        loud = sum(
            np.exp(-(((hertz - formant) / width) ** 2)) for formant, width in ((550, 250), (1500, 350), (2500, 400))
        )
        voice += (0.05 + loud) / harmonic**0.5 * np.sin(harmonic * phase)
    syllables = np.clip(1.6 * np.sin(2 * np.pi * 2.2 * time), 0, 1)
    voice *= syllables
    return (0.4 * voice / np.abs(voice).max()).astype(np.float32)


def _joined(engine: Enhancer, samples: Samples, rate: int, sizes: list[int]) -> Samples:
    made = [block.samples for block in engine.enhance(_cut(samples, rate, sizes))]
    return np.concatenate([np.zeros(0, np.float32), *made])


def _cut(samples: Samples, rate: int, sizes: list[int]) -> Iterator[Audio]:
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(samples):
            return
        yield Audio(samples[start : start + size], rate)
        start += size


def _level(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


def _lag(one: Samples, two: Samples) -> int:
    """Samples by which ``two`` is late, by cross-correlation."""
    n = 1 << (2 * len(one) - 1).bit_length()
    match = np.fft.irfft(np.fft.rfft(two, n) * np.conj(np.fft.rfft(one, n)), n)
    best = int(np.argmax(match))
    return best if best < n // 2 else best - n
