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

_RATES = 16_000, 44_100
"""Hz; what an engine for any rate is tried at."""
_SECONDS = 1.8
_SAME = 1e-4
"""By how much two runs over the same sound may differ."""
_IN_TIME = 0.001
"""Seconds by which sound may be moved."""
_CHANGED = -12.0, 3.0
"""dB by which a voice without noise may change: a machine's buzz is no real voice, some nets take much of it away."""
_QUIETER = -1.0
"""dB by which steady noise changes at the least."""


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
        _check_live(engine, speech, whole, rate)
        _check_sound(engine, speech, whole, rate)
        _check_apart(engine, speech, rate)
    rate = (traits.rates or _RATES)[0]
    require(not list(engine.enhance(iter(()))), "Out of no sound comes none.")
    check_closing(lambda: engine.enhance(Audio(_speech(rate), rate) for _ in itertools.count()), "enhance")


def _check_blocks(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    parts = _joined(engine, speech, rate, [1, 333, 4097, 0])
    require(len(parts) == len(speech), f"As many samples come out as go in ({len(parts)}, {len(speech)}; {rate} Hz).")
    _same(parts, whole, f"Blocks of any length give the same sound at {rate} Hz")
    for few in (0, 1, rate // 50 + 1):
        made = _joined(engine, speech[:few], rate, [max(few, 1)])
        require(len(made) == few, f"Of {few} samples come {few}, not {len(made)}.")


def _check_live(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    """One block out for each in, and never later than the lookahead."""
    given = 0
    step = rate // 50

    def source() -> Iterator[Audio]:
        nonlocal given
        for start in range(0, len(speech), step):
            given += 1
            yield Audio(speech[start : start + step], rate)

    taken = np.zeros(0, np.float32)
    with closing(cast("Any", engine.enhance(source()))) as stream:
        for number, block in enumerate(stream, 1):
            taken = np.concatenate([taken, block.samples])
            if number <= len(speech) // step:
                require(given == number, "One block comes out for each that goes in, if need be an empty one.")
                late, allowed = given * step - len(taken), engine.traits.lookahead * rate + 1
                require(late <= allowed, f"Sound is never later than the lookahead ({late} > {allowed:.0f} samples).")
    _same(taken, whole, f"Blocks of 20 ms give the same sound at {rate} Hz")


def _check_sound(engine: Enhancer, speech: Samples, whole: Samples, rate: int) -> None:
    require(whole.dtype == np.float32 and whole.ndim == 1, "Sound is mono float32, shape (n,).")
    require(np.isfinite(whole).all() and np.abs(whole).max() <= 1.5, "Sound is finite and about as loud as it was.")
    gain = _level(whole) - _level(speech)
    require(_CHANGED[0] <= gain <= _CHANGED[1], f"A voice without noise can still be heard (changed by {gain:.1f} dB).")
    moved = abs(_lag(speech, whole)) / rate
    require(moved <= _IN_TIME, f"Sound stays in time (moved by {moved * 1000:.1f} ms at {rate} Hz).")
    noise = np.random.default_rng(5).normal(0, 0.05, len(speech)).astype(np.float32)
    left = _joined(engine, noise, rate, [rate // 10])[-rate // 2 :]
    fallen = _level(left) - _level(noise[-rate // 2 :])
    require(fallen <= _QUIETER, f"After a second steady noise is quieter than before (by {-fallen:.1f} dB).")
    silence = _joined(engine, np.zeros(rate // 2, np.float32), rate, [rate])
    require(np.abs(silence).max() < 1e-3, "Silence stays silent.")


def _check_apart(engine: Enhancer, speech: Samples, rate: int) -> None:
    """Two streams read in turn sound as each does alone."""
    pair_of = speech[: len(speech) // 2], speech[len(speech) // 2 :]
    alone = [_joined(engine, samples, rate, [rate // 10]) for samples in pair_of]
    streams = [engine.enhance(_cut(samples, rate, [rate // 10])) for samples in pair_of]
    made: tuple[list[Samples], list[Samples]] = ([], [])
    for pair in itertools.zip_longest(*streams):
        for block, blocks in zip(pair, made, strict=True):
            if block is not None:
                blocks.append(block.samples)
    for wanted, blocks in zip(alone, made, strict=True):
        _same(np.concatenate(blocks), wanted, "Two streams read in turn sound as each does alone")


def _same(one: Samples, other: Samples, what: str) -> None:
    apart = float(np.abs(one - other).max()) if len(one) == len(other) else np.inf
    require(apart <= _SAME, f"{what} (apart by {apart:.2g}).")


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
    return np.asarray(0.4 * voice / np.abs(voice).max(), np.float32)


def _joined(engine: Enhancer, samples: Samples, rate: int, sizes: list[int]) -> Samples:
    made = [block.samples for block in engine.enhance(_cut(samples, rate, sizes))]
    whole: Samples = np.concatenate([np.zeros(0, np.float32), *made])
    return whole


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
