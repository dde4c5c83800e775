"""``clean.gtcrn``: GTCRN, a recurrent net of 48 thousand weights (Rong et al., ICASSP 2024), on a CPU, 16 kHz.

It looks at the spectrum of 32 ms at a time and gives the cleaned one; what it remembers goes in and out as tensors,
so that one session serves any number of streams.
"""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.cleaners.hops import filtered
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, CleanTraits

__all__ = ["HOP", "LICENCE", "LOOKAHEAD", "RATE", "GtcrnCleaner", "GtcrnFilter"]

Samples = npt.NDArray[np.float32]

RATE = 16_000
"""Hz."""
HOP = 256
_WINDOW = 512
LOOKAHEAD = _WINDOW / RATE
"""Seconds."""
LICENCE = "MIT (GTCRN and its weights)"


class GtcrnCleaner:
    """Suppresses noise of any kind; the weights come through the model store with the first stream."""

    def __init__(self, models_dir: Path | None = None, models_cache: Path | None = None, offline: bool = False) -> None:
        self._models = ModelStore(models_dir, models_cache, offline)
        self._session: Any = None
        self._lock = Lock()

    @property
    def traits(self) -> CleanTraits:
        """16 kHz, 32 ms."""
        return CleanTraits((RATE,), LOOKAHEAD, LICENCE)

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """See ``ports.Enhancer``. Raises ``EngineUnavailable`` when the weights cannot be had."""
        return filtered(blocks, lambda _: self.stream(), (RATE,))

    def stream(self) -> "GtcrnFilter":
        """The filter of a new stream. Raises ``EngineUnavailable`` when the weights cannot be had."""
        with self._lock:  # two streams may begin before the net is loaded
            if self._session is None:
                self._session = _session(self._models.path("gtcrn"))
        return GtcrnFilter(self._session)


class GtcrnFilter:
    """One stream: short-time Fourier transform in square-root Hann windows, net, overlap-add; a ``HopFilter``."""

    hop = delay = HOP

    def __init__(self, session: Any) -> None:
        self._session = session
        first, *caches = session.get_inputs()
        self._input = first.name
        self._caches = {cache.name: np.zeros(cache.shape, np.float32) for cache in caches}
        self._window = np.sqrt(np.hanning(_WINDOW + 1)[:-1]).astype(np.float32)
        self._heard = np.zeros(_WINDOW, np.float32)
        self._tail = np.zeros(HOP, np.float32)

    def __call__(self, hop: Samples) -> Samples:
        """The next 16 ms."""
        self._heard = np.concatenate([self._heard[HOP:], hop])
        spectrum = np.fft.rfft(self._heard * self._window).astype(np.complex64)
        made, *caches = self._session.run(
            None, {self._input: spectrum.view(np.float32).reshape(1, -1, 1, 2), **self._caches}
        )
        self._caches = dict(zip(self._caches, caches, strict=True))
        clean = np.ascontiguousarray(made, np.float32).view(np.complex64).ravel()
        frame = np.fft.irfft(clean, _WINDOW).astype(np.float32) * self._window
        ready = self._tail + frame[:HOP]
        self._tail = frame[HOP:]
        return ready


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a hop takes a millisecond; more would only wait
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
