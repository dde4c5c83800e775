"""Sound as clients stream it, 16-bit samples at a rate of theirs, to samples at the detector's rate."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import soxr

from vivavoce.errors import InvalidInput
from vivavoce.hear.vad import RATE

__all__ = ["HIGHEST", "LOWEST", "PcmStream"]

LOWEST, HIGHEST = 8_000, 48_000
"""Hz."""
_PIECE = 0.5
"""Seconds of a long block that are converted at a time, so that others get their turn between."""


class PcmStream:
    """One stream of mono PCM16, little-endian, cut anywhere: half a sample waits for its other half.

    Raises ``InvalidInput`` for a rate that is not taken.
    """

    def __init__(self, rate: int) -> None:
        if not LOWEST <= rate <= HIGHEST:
            raise InvalidInput(f"The sample rate {rate} is not taken; send 8000 to 48000 Hz, best 16000.")
        self.rate = rate
        self._odd = b""
        self._resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="MQ")

    def samples(self, pcm: bytes) -> Iterator[npt.NDArray[np.float32]]:
        """The next samples at ``vad.RATE``, -1 to 1, in pieces."""
        step = int(self.rate * _PIECE) * 2
        whole = self._odd + pcm
        even = len(whole) // 2 * 2
        self._odd = whole[even:]
        for at in range(0, even, step):
            block = np.frombuffer(whole[at : min(at + step, even)], "<i2").astype(np.float32) / np.float32(32768)
            if len(piece := self._convert(block, last=False)):
                yield piece

    def end(self) -> npt.NDArray[np.float32]:
        """What the resampler still holds; half a sample that is left over is dropped."""
        return self._convert(np.zeros(0, np.float32), last=True)

    def _convert(self, block: npt.NDArray[np.float32], *, last: bool) -> npt.NDArray[np.float32]:
        if self._resampler is None:
            return block
        return np.asarray(self._resampler.resample_chunk(block, last=last), np.float32)
