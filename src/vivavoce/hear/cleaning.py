"""Enhancers at any rate, and driven by pushing: what stands between an engine and a file or a live stream."""

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing

import numpy as np
import numpy.typing as npt

from vivavoce.errors import VivavoceError
from vivavoce.media.sound import Resampler
from vivavoce.nouns import Audio
from vivavoce.ports import Enhancer

__all__ = ["LiveCleaner", "cleaned", "evenly"]

Samples = npt.NDArray[np.float32]

_GAIN_FRAME = 0.01
"""Seconds over which the gain of the high band is measured."""
_FLOOR = 1e-10
"""Energy below which both are silent."""
_QUIETEST = 0.05
"""The high band is never turned down further; it is only a guess."""


def cleaned(cleaner: Enhancer, blocks: Iterator[Audio], rate: int) -> Generator[Audio]:
    """``blocks`` at ``rate`` Hz, with less noise, whatever the rate at which the engine works.

    What lies above the band of an engine for a lower rate is kept, and turned down by as much as the engine turns down
    the top of its own band at that moment: hiss goes with the hiss below it, and an s stays an s. As many samples
    come out as go in, in time with them.
    """
    rates = cleaner.traits.rates
    if not rates or rate in rates:
        yield from cleaner.enhance(blocks)
        return
    work = min((r for r in rates if r >= rate), default=max(rates))
    bands = _Bands(rate, work)
    for low in cleaner.enhance(bands.split(blocks)):
        yield Audio(bands.join(low.samples), rate)
    yield Audio(bands.rest(), rate)


def evenly(streams: Sequence[Generator[Samples]]) -> Generator[list[Samples]]:
    """Streams of arrays ``(…, n)`` that run at their own pace, in step: each time as much of each as all have given.

    They are closed at the end, or when this one is.
    """
    waiting: list[Samples] | None = None
    with ExitStack() as stack:
        for stream in streams:
            stack.enter_context(closing(stream))
        for blocks in itertools.zip_longest(*streams):
            if waiting is None:
                waiting = [block[..., :0] for block in blocks]
            waiting = [
                held if block is None else np.concatenate([held, block], axis=-1)
                for held, block in zip(waiting, blocks, strict=True)
            ]
            ready = min(held.shape[-1] for held in waiting)
            yield [held[..., :ready] for held in waiting]
            waiting = [held[..., ready:] for held in waiting]


class LiveCleaner:
    """An enhancer for sound that comes live: push a block, get what is ready; close it when the client leaves."""

    def __init__(self, cleaner: Enhancer, rate: int) -> None:
        self._given: deque[Audio] = deque()
        self._ended = False
        self._rate = rate
        self._stream = cleaned(cleaner, self._blocks(), rate)

    def feed(self, samples: Samples) -> Samples:
        """The next samples, shape ``(n,)``; gives those that are ready, late by the engine's lookahead and no more."""
        self._given.append(Audio(samples, self._rate))
        return next(self._stream).samples

    def finish(self) -> Samples:
        """The rest; nothing can be fed after it."""
        self._ended = True
        rest = [block.samples for block in self._stream]
        return np.concatenate([np.zeros(0, np.float32), *rest])

    def close(self) -> None:
        """Free what the engine holds."""
        self._stream.close()

    def _blocks(self) -> Iterator[Audio]:
        while not self._ended:
            if not self._given:
                raise VivavoceError("This enhancer cannot work live: it gives no block for each that it takes.")
            yield self._given.popleft()


class _Bands:
    """Parts a stream into what the engine hears and what lies above it, and joins the two again."""

    def __init__(self, rate: int, work: int) -> None:
        self._down, self._up, self._plain = Resampler(rate, work), Resampler(work, rate), Resampler(work, rate)
        self._work = work
        self._gains = _Gains(work, rate) if rate > work else None
        self._heard = _Waiting()
        """What the engine was given and has not answered yet, at its own rate."""
        self._whole, self._clean, self._band, self._gain = _Waiting(), _Waiting(), _Waiting(), _Waiting()
        """At the stream's rate, not given out yet: all of it, its low band cleaned and plain, the high band's gain."""

    def split(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """What the engine is to hear; ``join`` remembers the rest."""
        for block in blocks:
            self._whole.add(block.samples)
            yield self._lowered(self._down.feed(block.samples[None])[0])
        yield self._lowered(self._down.finish()[0])

    def join(self, cleaned: Samples) -> Samples:
        """The whole sound, for the next samples that the engine gave."""
        heard = self._heard.take(len(cleaned))
        self._clean.add(self._up.feed(cleaned[None])[0])
        if self._gains is not None:
            self._band.add(self._plain.feed(heard[None])[0])
            self._gain.add(self._gains.feed(heard, cleaned))
        return self._joined()

    def rest(self) -> Samples:
        """What the filters still hold, and not a sample more than came in."""
        self._clean.add(self._up.finish()[0])
        if self._gains is not None:
            self._band.add(self._plain.finish()[0])
            self._gain.add(self._gains.finish())
        for part in (self._clean, self._band, self._gain):
            part.add(np.zeros(max(0, len(self._whole) - len(part)), np.float32))
        return self._joined()

    def _lowered(self, samples: Samples) -> Audio:
        self._heard.add(samples)
        return Audio(samples, self._work)

    def _joined(self) -> Samples:
        parts = (
            (self._whole, self._clean) if self._gains is None else (self._whole, self._clean, self._band, self._gain)
        )
        ready = min(len(part) for part in parts)
        whole, clean, *high = (part.take(ready) for part in parts)
        return clean + (whole - high[0]) * high[1] if high else clean


class _Gains:
    """By how much an engine turns down the top of its band, as a gain for each sample of the stream above it."""

    def __init__(self, work: int, rate: int) -> None:
        self._length, self._step = round(_GAIN_FRAME * work), round(_GAIN_FRAME * rate)
        self._heard, self._cleaned = _Waiting(), _Waiting()
        self._last: float | None = None

    def feed(self, heard: Samples, cleaned: Samples) -> Samples:
        """Both at the engine's rate; the gain at the stream's rate, for whole frames of 10 ms."""
        self._heard.add(heard)
        self._cleaned.add(cleaned)
        frames = len(self._heard) // self._length
        if not frames:
            return np.zeros(0, np.float32)
        before, after = (
            _top(part.take(frames * self._length).reshape(frames, -1)) for part in (self._heard, self._cleaned)
        )
        gains = np.clip(np.sqrt((after + _FLOOR) / (before + _FLOOR)), _QUIETEST, 1)
        return self._line(gains)

    def finish(self) -> Samples:
        """For the last frame, which may not be whole."""
        return np.full(2 * self._step, 1.0 if self._last is None else self._last, np.float32)

    def _line(self, gains: npt.NDArray[np.float64]) -> Samples:
        """From the middle of each frame to that of the next, so that the gain makes no steps."""
        start = self._last if self._last is not None else float(gains[0])
        nodes = np.concatenate([[start], gains])
        self._last = float(nodes[-1])
        ramp = np.arange(self._step) / self._step
        return np.asarray(nodes[:-1, None] + np.diff(nodes)[:, None] * ramp, np.float32).ravel()


def _top(frames: Samples) -> npt.NDArray[np.float64]:
    """Energy of the upper part of the band: the second difference lets 6 kHz of 16 pass 12 times louder than 1 kHz."""
    return np.asarray((np.diff(frames, n=2, axis=1).astype(np.float64) ** 2).mean(axis=1))


class _Waiting:
    """Samples in a queue."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def take(self, count: int) -> Samples:
        taken, self._samples = self._samples[:count], self._samples[count:]
        return taken
