"""``clean.auto``: hears how noisy it is and picks: what is clean stays as it is, what is noisy goes through the nets.

GTCRN tells speech from noise, so what it takes away is the measure of the noise. It is not left alone with the
cleaning: two nets that err in different places are better mixed than either is. The second is RNNoise where that is
installed, else GTCRN once more, its windows half a hop later. Where the weights of GTCRN cannot be had, Speex does
the work, and the log says so.
"""

import itertools
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from vivavoce.engines.cleaners.gtcrn import HOP, GtcrnCleaner
from vivavoce.engines.cleaners.rnnoise import RNNoiseCleaner
from vivavoce.engines.cleaners.speex import SpeexCleaner
from vivavoce.errors import EngineUnavailable
from vivavoce.hear.cleaning import cleaned, evenly
from vivavoce.nouns import Audio, CleanTraits
from vivavoce.ports import Enhancer

__all__ = ["AutoCleaner"]

Samples = npt.NDArray[np.float32]

_log = structlog.get_logger(__name__)
_SHARE_OF_RNNOISE, _SHARE_OF_SHIFTED = 0.3, 0.5
"""Of the second net in the mixture."""
_LOOKAHEAD = 0.35
"""Seconds; the most, for sound of 8 kHz. It is 0.1 at 16 and 48 kHz."""
_NOISY, _CLEAN = 11.0, 17.0
"""dB of speech over noise, as measured here: up to the first all noise is taken, from the second on none."""
_RETRY = 600.0
"""Seconds after which weights that could not be had are asked for again."""
_STEP = 0.01
"""Seconds from one measurement to the next."""
_MEMORY = 3.0
"""Seconds of the past by which the noise is judged."""
_FADE = 0.1
"""Seconds in which a change of mind is carried out by 63 %."""
_SILENT = 1e-9
"""Power, of full scale, below which nothing is noise."""


class AutoCleaner:
    """Picks by measured noise; arguments are those of ``clean.gtcrn``."""

    def __init__(self, models_dir: Path | None = None, models_cache: Path | None = None, offline: bool = False) -> None:
        self._gtcrn = GtcrnCleaner(models_dir, models_cache, offline)
        self._speex = SpeexCleaner()
        self._again = 0.0
        self._second: Enhancer
        try:
            self._second, self._share = RNNoiseCleaner(), _SHARE_OF_RNNOISE
        except EngineUnavailable:
            self._second, self._share = _Shifted(self._gtcrn), _SHARE_OF_SHIFTED

    @property
    def traits(self) -> CleanTraits:
        """Any rate."""
        return CleanTraits((), _LOOKAHEAD, "the licences of clean.gtcrn, clean.rnnoise and clean.speex")

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """See ``ports.Enhancer``."""
        return self._mixed(blocks) if self._has_weights() else self._speex.enhance(blocks)

    def _has_weights(self) -> bool:
        """Whether GTCRN can work; where it cannot, it is not tried again for a while, since a fetch may take long."""
        if time.monotonic() < self._again:
            return False
        try:
            self._gtcrn.stream()
        except EngineUnavailable as e:
            self._again = time.monotonic() + _RETRY
            _log.warning("clean.auto falls back to clean.speex", reason=str(e))
            return False
        return True

    def _mixed(self, blocks: Iterator[Audio]) -> Generator[Audio]:
        first = next(blocks, None)
        if first is None:
            return
        rate = first.rate
        plain, *branches = itertools.tee(itertools.chain([first], blocks), 3)
        streams = [
            _samples(cleaned(net, branch, rate))
            for net, branch in zip((self._gtcrn, self._second), branches, strict=True)
        ]
        mixer = _Mixer(rate)
        with closing(evenly([(block.samples for block in plain), *streams])) as parts:
            for was, told, other in parts:
                yield Audio(mixer.feed(was, told, told + np.float32(self._share) * (other - told)), rate)
        yield Audio(mixer.finish(), rate)


class _Shifted:
    """GTCRN with its windows half a hop later."""

    def __init__(self, gtcrn: GtcrnCleaner) -> None:
        self._gtcrn = gtcrn
        self.traits = gtcrn.traits

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        first = next(blocks, None)
        if first is None:
            return
        ahead = Audio(np.concatenate([np.zeros(HOP // 2, np.float32), first.samples]), first.rate)
        skip = HOP // 2
        for block in self._gtcrn.enhance(itertools.chain([ahead], blocks)):
            yield Audio(block.samples[skip:], block.rate)
            skip -= min(skip, len(block.samples))


def _samples(stream: Generator[Audio]) -> Generator[Samples]:
    with closing(stream):
        for block in stream:
            yield block.samples


class _Mixer:
    """Measures how far speech stands out of the noise, and gives back what need not have been taken."""

    def __init__(self, rate: int) -> None:
        self._length = round(_STEP * rate)
        self._waiting = np.zeros((3, 0), np.float32)
        self._speech, self._noise, self._steps = 0.0, 0.0, 0
        """Mean powers of the last seconds, and how many steps there have been."""
        self._kept = 0.0
        """Share of what was taken that is given back."""

    def feed(self, was: Samples, told: Samples, clean: Samples) -> Samples:
        """One stretch of sound: before, what GTCRN takes for speech, and cleaned. Gives whole steps of 10 ms."""
        sound = np.concatenate([self._waiting, np.stack([was, told, clean])], axis=1)
        whole = sound.shape[1] // self._length * self._length
        self._waiting = sound[:, whole:]
        was, told, clean = sound[:, :whole].reshape(3, -1, self._length)
        kept = [self._share(*powers) for powers in zip(_power(told), _power(was - told), strict=True)]
        return self._mixed(was.ravel(), clean.ravel(), kept)

    def finish(self) -> Samples:
        """The rest."""
        was, _, clean = self._waiting
        return np.asarray(clean + self._kept * (was - clean), np.float32)

    def _share(self, speech: float, noise: float) -> float:
        """The share of the noise to be kept after one more step."""
        self._steps += 1
        weight = max(1 / self._steps, _STEP / _MEMORY)
        self._speech += weight * (speech - self._speech)
        self._noise += weight * (noise - self._noise)
        snr = 10 * np.log10((self._speech + _SILENT) / (self._noise + _SILENT))
        return float(np.clip((snr - _NOISY) / (_CLEAN - _NOISY), 0, 1))

    def _mixed(self, was: Samples, clean: Samples, wanted: list[float]) -> Samples:
        nodes = [self._kept]
        for share in wanted:
            nodes.append(nodes[-1] + (share - nodes[-1]) * _STEP / _FADE)
        self._kept = nodes[-1]
        ramp = np.arange(self._length) / self._length
        kept = np.asarray(nodes)[:-1, None] + np.diff(nodes)[:, None] * ramp
        return np.asarray(clean + kept.ravel() * (was - clean), np.float32)


def _power(frames: Samples) -> npt.NDArray[np.float64]:
    return np.asarray((frames.astype(np.float64) ** 2).mean(axis=1))
