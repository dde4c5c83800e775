"""``clean.speex``: SpeexDSP's noise suppressor. No model, hundreds of times real time, gentle: the default."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vivavoce.engines.cleaners.hops import filtered
from vivavoce.nouns import Audio, CleanTraits

__all__ = ["SpeexCleaner", "SpeexFilter"]

Samples = npt.NDArray[np.float32]

_HOP = 0.02
"""Seconds; it looks at windows of two hops, and what it gives lags by one."""
_FULL_SCALE = np.float32(32767)


class SpeexCleaner:
    """Suppresses steady noise by up to 15 dB, at any rate; what is clean stays as it is."""

    def __init__(self) -> None:
        import speexdsp_ns  # noqa: F401  where it is missing, that is said now and not in the middle of a request

    @property
    def traits(self) -> CleanTraits:
        """Any rate, 40 ms."""
        return CleanTraits(lookahead=2 * _HOP, licence="BSD-3-Clause")

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """See ``ports.Enhancer``."""
        return filtered(blocks, SpeexFilter)


class SpeexFilter:
    """One stream's suppressor, see ``hops.HopFilter``."""

    def __init__(self, rate: int) -> None:
        from speexdsp_ns import NoiseSuppression

        self.hop = self.delay = round(_HOP * rate)
        self._state = NoiseSuppression.create(self.hop, rate)

    def __call__(self, hop: Samples) -> Samples:
        """The next 20 ms."""
        pcm = np.rint(np.clip(hop, -1, 1) * _FULL_SCALE).astype("<i2")
        made = self._state.process(pcm.tobytes())
        # The binding hands bytes out as text; what is no UTF-8 comes as surrogates.
        data = made if isinstance(made, bytes) else made.encode("utf-8", "surrogateescape")
        return np.frombuffer(data, "<i2").astype(np.float32) / _FULL_SCALE
