"""A stranger's sound file read in pieces, its channels kept; a WAV file written in pieces: hours at constant memory.

The only code that opens a stranger's sound file; ``media.audio`` collects what it gives.
"""

import itertools
import math
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
import numpy.typing as npt
import soxr

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.container import BROKEN, opened
from vivavoce.media.truncation import Truncation, truncation

__all__ = ["Resampler", "Sound", "WavWriter", "sound"]

Samples = npt.NDArray[np.float32]

# Demuxers that hold sound and cannot name another file; playlists, SVG and pictures are not among them.
_FORMATS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
# Of these, the ones whose length is counted in their header; that of the others is guessed from the bit rate.
_COUNTED = {"aiff", "ape", "au", "caf", "flac", "matroska", "mov", "ogg", "tta", "w64", "wav", "webm", "wv"}
# Of these, those that never claim more than is there.
_BOUND = {"avi", "caf", "ogg", "w64", "wav"}
# And those that count nothing but sound, so that their last packet has to end where the header says.
_EXACT = {"aiff", "ape", "au", "flac", "tta", "wv"}
# Decoders of sound for these; those of pictures are not even looked for, see ``container.opened``.
_DECODERS = ",".join(
    (
        "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,alac,amrnb,amrwb,ape,dca,eac3,flac,g722,g726",
        "gsm,gsm_ms,ilbc,libopus,libvorbis,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,pcm_alaw,pcm_f32be,pcm_f32le",
        "pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s64le,pcm_s8",
        "pcm_u8,speex,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice",
    )
)

_LEAST_RATE = 4_000  # Hz; below it speech is not intelligible
_KEPT_RATE = 48_000  # Hz; above it nothing can be heard
_MOST_RATE = 96_000  # Hz; studios record so, and a resampler's filter grows with it
_MOST_CHANNELS = 6  # a film's 5.1
_FULL_SCALE = {"u8": (128, 128), "s16": (0, 2**15), "s32": (0, 2**31), "s64": (0, 2**63), "flt": (0, 1), "dbl": (0, 1)}
_WAV_LIMIT = 2**32 - 1
_ALLOWED = "send WAV, MP3, FLAC, OGG, WebM or M4A"
_AGAIN = "upload it again"
_TOLERANCE = 0.1
"""Seconds that may be missing at the end: less is a matter of rounding."""
_PIECE = 0.25
"""Seconds; frames of decoders are joined until they last so long."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound that is being read."""

    rate: int
    """Of the blocks, Hz."""
    channels: int
    """1 or 2."""
    seconds: float | None
    """What the file says of its length, or what its size tells; None when nothing does. For showing progress only."""
    blocks: Iterator[Samples]
    """Pieces of shape ``(channels, n)``, full scale at -1 and 1 (sound of floats may go beyond)."""


@contextmanager
def sound(
    source: Path | bytes, *, max_seconds: float, most_channels: int = 2, rate: int | None = None
) -> Iterator[Sound]:
    """Open a file of any common format.

    ``rate`` in Hz resamples it; without, it keeps its own rate up to 48 kHz. More than ``most_channels`` (1 or 2)
    channels are mixed to one.

    Raises ``UnsupportedMedia`` when it is no sound file, ``InvalidInput`` when it is empty, damaged, cut off, or has
    more channels or samples a second than are read, ``TooLarge`` when it says that it lasts longer than
    ``max_seconds``, ``OSError`` when a path cannot be opened. The blocks raise ``TooLarge`` as soon as more than
    ``max_seconds`` have been read, ``InvalidInput`` for values that are no numbers, and at the end for a file that
    turns out to be cut off only there.
    """
    cut = truncation(source)
    with _opened(source, cut) as container:
        claimed = _claimed(container)
        formats = set(container.format.name.split(","))
        if claimed is not None and formats & _COUNTED and claimed > max_seconds + 1:
            raise TooLarge(_too_long(max_seconds))
        if cut is not None:
            _refuse(cut, None if formats & _BOUND else claimed)
        frames = _frames(container, claimed if formats & _EXACT else None)
        first = next(frames, None)
        if first is None:
            raise InvalidInput(f"The file holds no sound that can be read, it may be damaged or cut off; {_ALLOWED}.")
        channels = first.layout.nb_channels if first.layout.nb_channels <= most_channels else 1
        rate = rate or min(first.sample_rate, _KEPT_RATE)
        planes = ((_planes(frame, channels), frame.sample_rate) for frame in itertools.chain([first], frames))
        yield Sound(rate, channels, claimed, _bounded(_at_rate(_joined(planes), rate), max_seconds * rate, max_seconds))


@contextmanager
def _opened(source: Path | bytes, cut: Truncation | None) -> Iterator[av.container.InputContainer]:
    """A container with sound in it; one that cannot be read because it is cut off is called so."""
    with ExitStack() as stack:
        try:
            container = stack.enter_context(opened(source, _FORMATS, _ALLOWED, decoders=_DECODERS))
        except UnsupportedMedia:
            if cut is None:
                raise
            raise InvalidInput(_cut_off(cut.share, cut.seconds)) from None
        if not container.streams.audio:
            raise UnsupportedMedia(f"The file holds no sound; {_ALLOWED}.")
        yield container


class Resampler:
    """Changes the rate of a stream (soxr, high quality), its channels together; in time with what goes in."""

    def __init__(self, source: int, target: int, channels: int = 1) -> None:
        self._stream = soxr.ResampleStream(source, target, channels) if source != target else None
        self._channels = channels

    def feed(self, block: Samples) -> Samples:
        """Shape ``(channels, n)`` in and ``(channels, m)`` out; what the filter still holds comes out later."""
        return self._run(block, last=False)

    def finish(self) -> Samples:
        """The rest."""
        return self._run(np.zeros((self._channels, 0), np.float32), last=True)

    def _run(self, block: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            return block
        made: Samples = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return made.T


class WavWriter:
    """Writes 16-bit PCM into a file, block by block; a context, whole when it ends.

    Beyond 4 GB, which the sizes in a WAV header cannot say, the file becomes an RF64 (EBU Tech 3306).
    """

    def __init__(self, target: Path, rate: int, channels: int = 1) -> None:
        self._rate, self._channels = rate, channels
        self._file = target.open("wb")
        self._file.write(self._header(0))
        self.frames = 0
        """Samples of each channel written so far."""

    def write(self, block: Samples) -> None:
        """Add a block of shape ``(channels, n)``; values beyond -1 and 1 are clipped."""
        pcm = np.rint(np.clip(block, -1, 1) * np.float32(32767)).astype("<i2")
        self._file.write(np.ascontiguousarray(pcm.T).tobytes())
        self.frames += block.shape[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            self._file.seek(0)
            self._file.write(self._header(self.frames * self._channels * 2))

    def _header(self, size: int) -> bytes:
        """80 bytes; the chunk that an RF64 needs is kept free in every file."""
        form = struct.pack(
            "<HHIIHH", 1, self._channels, self._rate, self._rate * self._channels * 2, self._channels * 2, 16
        )
        long = size + 72 > _WAV_LIMIT
        sizes = struct.pack("<QQQI", size + 72, size, size // (self._channels * 2), 0)
        free = b"ds64" + struct.pack("<I", 28) + sizes if long else b"JUNK" + struct.pack("<I", 28) + bytes(28)
        most = 0xFFFFFFFF
        return b"".join(
            [
                b"RF64" if long else b"RIFF",
                struct.pack("<I", most if long else size + 72),
                b"WAVE",
                free,
                b"fmt " + struct.pack("<I", len(form)) + form,
                b"data" + struct.pack("<I", most if long else size),
            ]
        )


def _claimed(container: av.container.InputContainer) -> float | None:
    """Seconds that the file says it lasts."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _too_long(max_seconds: float) -> str:
    return f"The sound lasts longer than {max_seconds:g} seconds; send a shorter piece."


def _refuse(cut: Truncation, claimed: float | None) -> None:
    """Raise ``InvalidInput`` for a file that is cut off, unless hardly anything is missing."""
    seconds = cut.seconds or claimed
    if cut.share is None or seconds is None or seconds * (1 - cut.share) > _TOLERANCE:
        raise InvalidInput(_cut_off(cut.share, seconds))


def _cut_off(share: float | None, seconds: float | None) -> str:
    if share is None:
        return f"The file is cut off at its end; {_AGAIN}."
    if seconds is None:
        return f"The file is cut off: {math.floor(100 * share)} % of it is there; {_AGAIN}."
    return f"The file is cut off: it says that it lasts {seconds:.1f} s and holds {seconds * share:.1f} s; {_AGAIN}."


def _frames(container: av.container.InputContainer, seconds: float | None) -> Iterator[av.AudioFrame]:
    """What can be decoded, up to the first place that cannot be read any further.

    Raises ``InvalidInput`` for a frame with too many channels or samples a second, and when that place is not where the
    file has to end: after ``seconds``, where these are known.
    """
    packets = container.demux(container.streams.audio[0])
    reached = 0.0
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *BROKEN):
            break
        if packet.pts is not None and packet.time_base is not None and not packet.is_corrupt:
            reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        try:
            frames = packet.decode()
        except BROKEN:
            continue  # a damaged packet; the next may be whole
        for frame in frames:
            _check(frame)
            yield frame
    if seconds is not None and reached < seconds - _TOLERANCE:
        raise InvalidInput(_cut_off(reached / seconds, seconds))


def _check(frame: av.AudioFrame) -> None:
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if channels > _MOST_CHANNELS:
        raise InvalidInput(
            f"The sound has {channels} channels; up to {_MOST_CHANNELS} can be read, mix it to mono or stereo."
        )
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise InvalidInput(
            f"The sound has {rate} samples a second; {_LEAST_RATE} to {_MOST_RATE} can be read, save it with 48000."
        )


def _planes(frame: av.AudioFrame, channels: int) -> Samples:
    """A frame's sound, shape ``(channels, n)``; mixed to one channel where it has another number of them."""
    data: npt.NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    offset, scale = _FULL_SCALE[frame.format.packed.name]
    if len(data) != channels:
        mixed = data.mean(axis=0, dtype=np.float64)
        data = np.broadcast_to(mixed, (channels, len(mixed)))
    return ((data - np.float64(offset)) / scale).astype(np.float32)


def _joined(frames: Iterator[tuple[Samples, int]]) -> Iterator[tuple[Samples, int]]:
    """The same sound in pieces long enough to be worth a call, each at one rate."""
    held: list[Samples] = []
    length, rate = 0, 0
    for block, block_rate in frames:
        if held and (block_rate != rate or length >= _PIECE * rate):
            yield np.concatenate(held, axis=1), rate
            held, length = [], 0
        held.append(block)
        length, rate = length + block.shape[1], block_rate
    if held:
        yield np.concatenate(held, axis=1), rate


def _at_rate(blocks: Iterator[tuple[Samples, int]], rate: int) -> Iterator[Samples]:
    """All blocks at one rate; a stream that changes its own on the way is resampled part by part."""
    resampler, source = None, 0
    for block, block_rate in blocks:
        if block_rate != source:
            if resampler:
                yield resampler.finish()
            resampler, source = Resampler(block_rate, rate, len(block)), block_rate
        if resampler:
            yield resampler.feed(block)
    if resampler:
        yield resampler.finish()


def _bounded(blocks: Iterator[Samples], most: float, max_seconds: float) -> Iterator[Samples]:
    """Blocks that hold something, until there are too many of them."""
    length = 0
    for block in blocks:
        length += block.shape[1]
        if length > most:
            raise TooLarge(_too_long(max_seconds))
        if not np.isfinite(block).all():
            raise InvalidInput("The sound file holds values that are no numbers; save it again as WAV or FLAC.")
        if block.shape[1]:
            yield block
