"""What every enhancer of ours shares: filters work on hops of a fixed length, sound comes in blocks of any."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio

__all__ = ["HopFilter", "filtered"]

Samples = npt.NDArray[np.float32]


class HopFilter(Protocol):
    """One stream's filter: it remembers what came before."""

    hop: int
    """Samples that it takes and gives at a time."""
    delay: int
    """Samples by which what it gives lags behind what it takes."""

    def __call__(self, hop: Samples) -> Samples:
        """The next ``hop`` samples in, shape ``(hop,)``; as many out."""


def filtered(blocks: Iterator[Audio], make: Callable[[int], HopFilter], rates: tuple[int, ...] = ()) -> Iterator[Audio]:
    """Run a filter over blocks at one rate: its delay is made up for, and not a sample is lost.

    One block comes out for each that goes in, empty while the filter waits for more, and one with the rest at the
    end; so the stream can be driven by pushing, too. ``make`` gets the rate of the first block. Raises
    ``InvalidInput`` for a rate that is not among ``rates`` (none: any), or that changes.
    """
    stream, rate = None, 0
    for block in blocks:
        if stream is None:
            rate = block.rate
            if rates and rate not in rates:
                raise InvalidInput(f"This enhancer works at {_listed(rates)} Hz, not at {rate}; resample the sound.")
            stream = _Stream(make(rate))
        elif block.rate != rate:
            raise InvalidInput(f"The sound changes from {rate} to {block.rate} Hz on the way; resample it.")
        yield Audio(stream.feed(block.samples), rate)
    if stream is not None:
        yield Audio(stream.finish(), rate)


def _listed(rates: tuple[int, ...]) -> str:
    return " or ".join(str(rate) for rate in rates)


class _Stream:
    """Cuts sound into hops and keeps count, so that the n-th sample out is the n-th in."""

    def __init__(self, work: HopFilter) -> None:
        self._work = work
        self._waiting = np.zeros(0, np.float32)
        self._early = work.delay
        """Samples still to come out that lie before the start of the sound."""
        self._owed = 0

    def feed(self, samples: Samples) -> Samples:
        self._owed += len(samples)
        return self._run(samples)

    def finish(self) -> Samples:
        lacking = self._owed + self._early - len(self._waiting)
        if self._owed == 0:
            return np.zeros(0, np.float32)
        hops = -(-max(lacking, 0) // self._work.hop) + 1
        owed = self._owed
        return self._run(np.zeros(hops * self._work.hop, np.float32))[:owed]

    def _run(self, samples: Samples) -> Samples:
        hop = self._work.hop
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // hop * hop
        made = [self._work(self._waiting[i : i + hop]) for i in range(0, whole, hop)]
        self._waiting = self._waiting[whole:]
        out = np.concatenate([np.zeros(0, np.float32), *made])
        skipped = min(self._early, len(out))
        self._early -= skipped
        out = out[skipped:]
        self._owed -= len(out)
        return out
