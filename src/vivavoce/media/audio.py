"""Sound in, whatever it is packed in, and sound out as WAV. The only code that opens a stranger's sound file."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soxr

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.container import BROKEN, opened
from vivavoce.nouns import Audio

__all__ = ["decode", "is_silent", "resample", "write_wav"]

Samples = npt.NDArray[np.float32]

# Demuxers that hold sound and cannot name another file; playlists, SVG and pictures are not among them.
_FORMATS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"

_LOWEST_RATE = 4_000  # Hz; below it speech is not intelligible
_HIGHEST_RATE = 48_000  # Hz; bounds the memory of a file that claims more
_FULL_SCALE = {"u8": (128, 128), "s16": (0, 2**15), "s32": (0, 2**31), "s64": (0, 2**63), "flt": (0, 1), "dbl": (0, 1)}
_ALLOWED = "send WAV, MP3, FLAC, OGG, WebM or M4A"


def decode(source: Path | bytes, *, max_seconds: float, rate: int | None = None) -> Audio:
    """The sound of a file of any common format, mixed to mono.

    ``rate`` in Hz resamples it; without, it keeps its own rate up to 48 kHz. Sound louder than full scale is turned
    down. A file that is cut off gives what can be read of it. Never holds more than ``max_seconds``.

    Raises ``UnsupportedMedia`` when it is no sound file, ``InvalidInput`` when it is empty, damaged or not numbers,
    ``TooLarge`` when it lasts longer than ``max_seconds``; ``OSError`` when a path cannot be opened.
    """
    with opened(source, _FORMATS, _ALLOWED) as container:
        if not container.streams.audio:
            raise UnsupportedMedia(f"The file holds no sound; {_ALLOWED}.")
        samples, rate = _collect(_blocks(container), max_seconds, rate)
    peak = float(np.max(np.abs(samples))) if len(samples) else 0.0
    if not np.isfinite(peak):
        raise InvalidInput("The sound file holds values that are no numbers; save it again as WAV or FLAC.")
    return Audio(samples / np.float32(peak) if peak > 1 else samples, rate)


def resample(audio: Audio, rate: int) -> Audio:
    """The same sound at ``rate`` Hz (soxr, high quality); as long as before to within a sample."""
    if audio.rate == rate:
        return audio
    return Audio(soxr.resample(audio.samples, audio.rate, rate).astype(np.float32, copy=False), rate)


def write_wav(target: Path | BinaryIO, audio: Audio, rate: int = 16_000) -> None:
    """Write mono PCM of 16 bits at ``rate`` Hz; values beyond -1 and 1 are clipped."""
    samples = resample(audio, rate).samples
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
    with wave.open(str(target) if isinstance(target, Path) else target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())


def is_silent(audio: Audio, below: float = -50.0) -> bool:
    """Whether no sample is louder than ``below`` dB of full scale."""
    return len(audio.samples) == 0 or float(np.max(np.abs(audio.samples))) < 10 ** (below / 20)


def _blocks(container: av.container.InputContainer) -> Iterator[tuple[Samples, int]]:
    """Pieces of mono sound and their rates, up to the first place that cannot be read any further."""
    stream = container.streams.audio[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *BROKEN):
            return
        try:
            frames = packet.decode()
        except BROKEN:
            continue  # a damaged packet; the next may be whole
        for frame in frames:
            yield _mono(frame), frame.sample_rate


def _collect(blocks: Iterator[tuple[Samples, int]], max_seconds: float, rate: int | None) -> tuple[Samples, int]:
    """Join the pieces at one rate; a stream that changes its rate on the way is resampled piece by piece."""
    pieces: list[Samples] = []
    length, resampler, source = 0, None, 0
    for block, block_rate in blocks:
        if block_rate < _LOWEST_RATE:
            raise InvalidInput(f"The sound has {block_rate} samples a second; at least {_LOWEST_RATE} are needed.")
        rate = rate or min(block_rate, _HIGHEST_RATE)
        if block_rate != source:
            if resampler:
                pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            source, resampler = block_rate, soxr.ResampleStream(block_rate, rate, 1) if block_rate != rate else None
        pieces.append(resampler.resample_chunk(block) if resampler else block)
        length += len(pieces[-1])
        if length > max_seconds * rate:
            raise TooLarge(f"The sound lasts longer than {max_seconds:g} seconds; send a shorter piece.")
    if resampler:
        pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    if not rate or not sum(map(len, pieces)):
        raise InvalidInput(f"The file holds no sound that can be read, it may be damaged or cut off; {_ALLOWED}.")
    return np.concatenate(pieces), rate


def _mono(frame: av.AudioFrame) -> Samples:
    """The mean of a frame's channels, -1 to 1, shape ``(n,)``."""
    data: npt.NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    offset, scale = _FULL_SCALE[frame.format.packed.name]
    mixed: npt.NDArray[np.float64] = data.mean(axis=0, dtype=np.float64)
    return ((mixed - offset) / scale).astype(np.float32)
