"""``clean.rnnoise``: RNNoise (Valin, 2018, arXiv:1709.08243), strong, also on noise that comes and goes; 48 kHz.

The library, its net inside, comes in the wheel of ``pyrnnoise``. It is called directly: the Python package around it
draws in a plotting library and a decoder that nothing here needs.
"""

import ctypes
import weakref
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.cleaners.hops import filtered
from vivavoce.errors import EngineUnavailable
from vivavoce.nouns import Audio, CleanTraits

__all__ = ["RNNoiseCleaner"]

Samples = npt.NDArray[np.float32]

_RATE = 48_000
_HOP = 480
_DELAY = 2 * _HOP
_FULL_SCALE = np.float32(32768)
_FLOATS = ctypes.POINTER(ctypes.c_float)


class RNNoiseCleaner:
    """Suppresses all that is no voice; of soft speech in loud noise it may take too much."""

    def __init__(self) -> None:
        self._library = _library()

    @property
    def traits(self) -> CleanTraits:
        """48 kHz, 30 ms."""
        return CleanTraits((_RATE,), (_DELAY + _HOP) / _RATE, "BSD-3-Clause (RNNoise and its net)")

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """See ``ports.Enhancer``."""
        return filtered(blocks, lambda _: _RNNoiseFilter(self._library), (_RATE,))


class _RNNoiseFilter:
    """One stream's state, freed with it."""

    hop, delay = _HOP, _DELAY

    def __init__(self, library: Any) -> None:
        self._process = library.rnnoise_process_frame
        self._state = library.rnnoise_create(None)
        weakref.finalize(self, library.rnnoise_destroy, self._state)

    def __call__(self, hop: Samples) -> Samples:
        frame = np.ascontiguousarray(hop * _FULL_SCALE, np.float32)
        there = frame.ctypes.data_as(_FLOATS)
        self._process(self._state, there, there)
        return frame / _FULL_SCALE


def _library() -> Any:
    """The shared library inside the installed distribution; raises ``EngineUnavailable``."""
    try:
        inside = next(f for f in files("pyrnnoise") or () if f.name in {"librnnoise.so", "librnnoise.dylib"})
        library = ctypes.CDLL(str(inside.locate()))
    except (PackageNotFoundError, StopIteration) as e:
        raise EngineUnavailable("RNNoise is not installed; add it with `pip install 'vivavoce[rnnoise]'`.") from e
    except OSError as e:
        raise EngineUnavailable(f"The library of RNNoise cannot be loaded on this machine: {e}.") from e
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.restype = None
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library
