"""Speech taken apart into pitch, spectral envelope and breath, and put together again: WORLD (Morise et al., 2016)."""

import importlib
import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable

__all__ = ["BINS", "HOP", "RATE", "Parts", "analyse", "check", "sound"]

Floats = npt.NDArray[np.float32]

RATE = 16_000
"""Hz."""
HOP = 80
"""Samples from frame to frame: 5 ms."""
BINS = 513
"""Of an envelope, from 0 Hz to half of ``RATE``."""
_LOWEST, _HIGHEST = 60.0, 450.0
"""Hz, of pitch."""
_FLOOR = 1e-14
"""Of power; digital silence has none."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Speech in frames."""

    pitch: Floats
    """Hz, shape ``(n,)``; 0 where there is no voice."""
    envelope: Floats
    """Natural logarithm of power, shape ``(n, BINS)``."""
    breath: Floats
    """How much of it is noise, in WORLD's code of few numbers, shape ``(n, k)``."""

    def __len__(self) -> int:
        return len(self.pitch)


def check() -> None:
    """Raise ``EngineUnavailable`` when WORLD is not installed; imports nothing."""
    if importlib.util.find_spec("pyworld") is None or importlib.util.find_spec("pkg_resources") is None:
        raise EngineUnavailable("The cloner world is not installed; run `pip install 'vivavoce[clone]'`.")


def analyse(samples: npt.NDArray[np.floating], *, clean: bool = False) -> Parts:
    """Take mono sound at ``RATE`` apart, shape ``(n,)``, to ``n // HOP + 1`` frames.

    A synthetic voice is ``clean``: its pitch can be found ten times faster.
    """
    world = _world()
    sound = np.ascontiguousarray(samples, np.float64)
    if clean:
        rough, times = world.dio(sound, RATE, f0_floor=_LOWEST, f0_ceil=_HIGHEST)
        pitch = world.stonemask(sound, rough, times, RATE)
    else:
        pitch, times = world.harvest(sound, RATE, f0_floor=_LOWEST, f0_ceil=_HIGHEST)
    envelope = np.log(np.maximum(world.cheaptrick(sound, pitch, times, RATE), _FLOOR))
    breath = world.code_aperiodicity(world.d4c(sound, pitch, times, RATE), RATE)
    return Parts(pitch.astype(np.float32), envelope.astype(np.float32), breath.astype(np.float32))


def sound(parts: Parts) -> Floats:
    """Put speech together: mono at ``RATE``, about ``len(parts) * HOP`` samples; of any loudness."""
    world = _world()
    breath = world.decode_aperiodicity(np.ascontiguousarray(parts.breath, np.float64), RATE, 2 * (BINS - 1))
    envelope = np.exp(np.ascontiguousarray(parts.envelope, np.float64))
    made = world.synthesize(np.ascontiguousarray(parts.pitch, np.float64), envelope, breath, RATE)
    return np.asarray(made, np.float32)


def _world() -> Any:
    check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks setuptools for its version, which setuptools warns of
        return importlib.import_module("pyworld")
