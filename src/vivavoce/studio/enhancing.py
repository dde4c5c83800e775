"""A sound file with less noise: any format in, WAV out, as long, as loud and in as many channels as before.

It passes twice, hours at constant memory. The engine runs while the file is decoded; what it gives lies on the disk
until it is known by how much the engine has turned the speech itself down. Then that is made up for, peaks are limited
instead of clipped, and the WAV is written.
"""

import itertools
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.hear.cleaning import cleaned, evenly
from vivavoce.hear.noise import LevelMatch, Loudness, NoiseMeter
from vivavoce.media.limiter import Limiter
from vivavoce.media.sound import Sound, WavWriter, sound
from vivavoce.nouns import Audio
from vivavoce.ports import Enhancer, Report

__all__ = ["enhance"]

Samples = npt.NDArray[np.float32]

_STAGE = "enhance"
_FIRST_PASS = 0.9
"""Share of the work."""
_PATIENCE = 0.4
"""Seconds between two reports."""
_DIGITAL_SILENCE = -99.0
"""dB of full scale; there is nothing below."""
_NO_SPEECH = -15.0
"""dB of speech over noise below which nobody speaks."""
_BLOCK = 1.0
"""Seconds that the second pass takes at a time."""


def enhance(
    source: Path, target: Path, cleaner: Enhancer, *, name: str, max_seconds: float, report: Report
) -> dict[str, Any]:
    """Clean ``source`` with ``cleaner`` (its ``name`` goes into the answer) and write 16-bit WAV to ``target``.

    The rate stays up to 48 kHz, mono stays mono, stereo stereo; more channels become one. Speech is as loud as before
    to within a decibel, and lasts as long to the sample. ``report`` is called at least every half second.

    Gives ``seconds``, ``rate``, ``channels``, ``engine``; ``speech_level``, ``noise_before`` and ``noise_after`` (dB
    of full scale), ``snr_before`` and ``snr_after`` (dB), and ``gain`` (dB by which all was turned up, so that speech
    is as loud as before). Where nobody speaks, level and ratios are None. Raises what ``media.sound.sound`` and the
    engine raise; then there is no target.
    """
    told = _Told(report)
    with sound(source, max_seconds=max_seconds) as read, tempfile.TemporaryFile(dir=target.parent) as raw:
        before, after, match = NoiseMeter(read.rate), NoiseMeter(read.rate), LevelMatch(read.rate)
        frames = 0
        for whole, clean in _pairs(read, cleaner):
            for meter, heard in ((before, whole), (after, clean)):
                meter.feed(heard.mean(axis=0))
            match.feed(whole.mean(axis=0), clean.mean(axis=0))
            raw.write(np.ascontiguousarray(clean.T).tobytes())
            frames += clean.shape[1]
            told(_FIRST_PASS * frames / read.rate / (read.seconds or max_seconds))
        if not frames:
            raise InvalidInput("The file holds no sound that can be read, it may be damaged; save it again as WAV.")
        was, now = before.loudness, after.loudness
        gain = match.gain if was.snr > _NO_SPEECH else 1.0
        raw.seek(0)
        try:
            _write(target, raw, read, frames, gain, told)
        except BaseException:  # whatever ends it, a cancel too: half a file must not stay
            target.unlink(missing_ok=True)
            raise
    length = {"seconds": round(frames / read.rate, 3), "rate": read.rate, "channels": read.channels}
    return length | {"engine": name} | _levels(was, now, 20 * float(np.log10(gain)))


def _levels(was: Loudness, now: Loudness, gain: float) -> dict[str, float | None]:
    spoken = was.snr > _NO_SPEECH and was.speech > _DIGITAL_SILENCE
    return {
        "speech_level": round(was.speech, 1) if spoken else None,
        "noise_before": round(was.noise, 1),
        "noise_after": round(now.noise + gain, 1),
        "snr_before": round(was.snr, 1) if spoken else None,
        "snr_after": round(now.snr, 1) if spoken else None,
        "gain": round(gain, 1),
    }


def _pairs(read: Sound, cleaner: Enhancer) -> Iterator[tuple[Samples, Samples]]:
    """The sound as it was and as it is now, both ``(channels, n)``; each channel has a stream of its own."""
    plain, *branches = itertools.tee(_limited(read), read.channels + 1)
    channels = [_channel(cleaner, branch, number, read.rate) for number, branch in enumerate(branches)]
    with closing(evenly([(block for block in plain), *channels])) as parts:
        for was, *now in parts:
            yield was, np.stack(now)


def _limited(read: Sound) -> Iterator[Samples]:
    """The sound as it was read, but never beyond full scale: an engine would clip it."""
    limiter = Limiter(read.rate, read.channels, ceiling=1.0)
    for block in read.blocks:
        yield limiter.feed(block)
    yield limiter.finish()


def _channel(cleaner: Enhancer, blocks: Iterator[Samples], number: int, rate: int) -> Generator[Samples]:
    """One channel, cleaned, in blocks of shape ``(n,)``."""
    with closing(cleaned(cleaner, (Audio(block[number], rate) for block in blocks), rate)) as stream:
        for out in stream:
            yield out.samples


def _write(target: Path, raw: IO[bytes], read: Sound, frames: int, gain: float, told: "_Told") -> None:
    """The second pass: what lies in ``raw``, turned up by ``gain`` and limited."""
    size = round(_BLOCK * read.rate) * read.channels * 4
    limiter = Limiter(read.rate, read.channels)
    with WavWriter(target, read.rate, read.channels) as wav:
        while data := raw.read(size):
            block = np.frombuffer(data, np.float32).reshape(-1, read.channels).T
            wav.write(limiter.feed(block * np.float32(gain)))
            told(_FIRST_PASS + (1 - _FIRST_PASS) * wav.frames / frames)
        wav.write(limiter.finish())


class _Told:
    """Reports progress, but not for every block."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._next = 0.0

    def __call__(self, fraction: float) -> None:
        if time.monotonic() >= self._next:
            self._report(min(max(fraction, 0.0), 1.0), _STAGE)
            self._next = time.monotonic() + _PATIENCE
