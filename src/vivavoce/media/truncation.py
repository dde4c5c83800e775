"""Whether a stranger's sound file is cut off, told from what it says of itself, before any of it is decoded.

Only what a file proves counts: a container that says more than is there. What was streamed or recorded in a browser
leaves such counts open, and is as long as it is: WAV with sizes of 0 or all ones, WebM of unknown size, MP3 and ADTS
without a header, Ogg that ends between two pages.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from vivavoce.media.frames import flac_end, xing

__all__ = ["Truncation", "truncation"]

_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"mfra", b"uuid", b"pnot"}
_NEEDED = {b"moov", b"moof", b"mdat"}
_PAGE = 65_307
"""Bytes of the largest page of Ogg (RFC 3533)."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_W64 = b"riff\x2e\x91\xcf\x11"
_ASF, _PROPERTIES = bytes.fromhex("3026b2758e66cf11"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BROADCAST = 1
_PLAIN = {1, 3, 6, 7, 0xFFFE}
"""Sound in WAV of which every second has as many bytes: PCM, A-law, µ-law. Of others the rate is a guess."""
_MOST_CHUNKS = 10_000
"""More have only files that were made to be slow."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """How much of a file is there."""

    share: float | None = None
    """Of what it says it holds, 0-1; None where nothing tells how much should have followed."""
    seconds: float | None = None
    """What it says of its length, where its bytes have told that."""


def truncation(source: Path | bytes) -> Truncation | None:
    """What is missing at the end of a file; None where nothing proves that anything is. Reads a few kilobytes of it.

    Raises ``OSError`` when a path cannot be opened.
    """
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(64)
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] in (b"WAVE", b"AVI "):
            return _riff(file, size, head)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return next((_short(size, at, n) for name, at, n in _chunks(file, "big") if name == b"SSND"), None)
        if head[:4] == b".snd":
            return _short(size, int.from_bytes(head[4:8]), int.from_bytes(head[8:12]))
        if head[:8] == _W64:
            return _w64(file, size)
        if head[:4] == b"caff":
            return _caf(file, size)
        if head[4:8] in _BOXES:
            return _boxes(file, size)
        if head[:4] == _EBML:
            return _matroska(head, size)
        if head[:4] == b"OggS":
            return _ogg(file, size)
        if head[:4] == b"fLaC":
            held, total = flac_end(file, size)
            short = held is not None and held.samples < total
            return Truncation(held.samples / total, total / held.rate) if held is not None and short else None
        if head[:8] == _ASF:
            return _asf(file, size)
        return _mp3(file, size)


def _short(size: int, start: int, declared: int, rate: float = 0.0) -> Truncation | None:
    """The verdict on ``declared`` bytes of sound from ``start`` on, ``rate`` of them a second.

    Who writes into a pipe leaves a placeholder of 32 bits: 0, or about the largest number, signed or not.
    """
    if 0x7F000000 <= declared <= 0x80001000 or declared >= 0xFFFFF000:
        return None
    return _long(size, start, declared, rate)


def _long(size: int, start: int, declared: int, rate: float = 0.0) -> Truncation | None:
    """The same for a size of 64 bits."""
    if declared <= 0 or declared >= 1 << 60 or start + declared <= size:
        return None
    return Truncation(max(0, size - start) / declared, declared / rate if rate > 0 else None)


def _chunks(file: BinaryIO, order: Literal["big", "little"]) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and declared size of each chunk of an IFF or RIFF file."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], order)
        yield head[:4], at + 8, length
        at += 8 + length + length % 2


def _riff(file: BinaryIO, size: int, head: bytes) -> Truncation | None:
    if head[8:12] == b"AVI ":
        return _short(size, 8, int.from_bytes(head[4:8], "little"))
    rate, long = 0, 0
    for kind, place, length in _chunks(file, "little"):
        if kind == b"data":
            return _short(size, place, length, rate) if length != 0xFFFFFFFF else _long(size, place, long, rate)
        file.seek(place)
        if kind == b"fmt ":
            form = file.read(12)
            rate = int.from_bytes(form[8:], "little") if int.from_bytes(form[:2], "little") in _PLAIN else 0
        if kind == b"ds64":
            long = int.from_bytes(file.read(16)[8:], "little")
    return None


def _w64(file: BinaryIO, size: int) -> Truncation | None:
    """Sony Wave64: chunks named by 16 bytes, aligned to 8, whose sizes count their own heads of 24."""
    at, rate = 40, 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(24 + 12)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:
            return None
        if head[:4] == b"data":
            return _long(size, at + 24, length - 24, rate)
        if head[:4] == b"fmt ":
            rate = int.from_bytes(head[32:36], "little")
        at += (length + 7) // 8 * 8
    return None


def _caf(file: BinaryIO, size: int) -> Truncation | None:
    """Apple's Core Audio Format; a size of -1 reaches to the end of the file."""
    file.seek(20)  # its first chunk describes the sound
    hertz, size_of_packet, frames_of_packet = struct.unpack(">d8xII", file.read(24).ljust(24, b"\0"))
    rate = hertz * size_of_packet / frames_of_packet if frames_of_packet else 0.0
    at = 8
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:], signed=True)
        if len(head) < 12 or length < 0:
            return None
        if head[:4] == b"data":
            return _long(size, at + 12, length - 4, rate)  # it begins with a counter of edits
        at += 12 + length
    return None


def _boxes(file: BinaryIO, size: int) -> Truncation | None:
    """MP4, M4A, MOV (ISO/IEC 14496-12): a box that reaches beyond the file, or sound without the index of it."""
    at, seen = 0, set()
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(16)
        kind, length = head[4:8], int.from_bytes(head[:4])
        if len(head) < 8 or kind not in _BOXES:
            break
        seen.add(kind)
        if length == 1:
            length = int.from_bytes(head[8:])
        if length < 8:  # 0: to the end of the file
            break
        if at + length > size and kind in _NEEDED:
            return Truncation(None if b"moof" in seen else size / (at + length))  # what else was to come none knows
        at += length
    return Truncation() if b"mdat" in seen and b"moov" not in seen else None


def _asf(file: BinaryIO, size: int) -> Truncation | None:
    """ASF, WMA (Microsoft's specification of 2004, section 3.2): the size of the file is among its properties."""
    file.seek(0)
    head = file.read(4096)
    at = head.find(_PROPERTIES)
    if at < 0 or len(head) < at + 104:
        return None
    length, played, preroll = (int.from_bytes(head[at + i : at + i + 8], "little") for i in (40, 64, 80))
    if head[at + 88] & _BROADCAST or not length or length <= size:
        return None
    return Truncation(size / length, max(0.0, played / 1e7 - preroll / 1e3))


def _matroska(head: bytes, size: int) -> Truncation | None:
    """Matroska and WebM (RFC 9559): a segment of a known size; live recordings leave it open."""
    length, at = _vint(head, 4)
    at += length
    if head[at : at + 4] != _SEGMENT:
        return None
    length, start = _vint(head, at + 4)
    return None if length < 0 else _long(size, start, length)


def _vint(data: bytes, at: int) -> tuple[int, int]:
    """A number of EBML's variable length and the place after it; -1 where it is unknown."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8 or at + width > len(data):
        return -1, at
    bits = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
    return (-1 if bits == (1 << 7 * width) - 1 else bits), at + width


def _ogg(file: BinaryIO, size: int) -> Truncation | None:
    """Ogg (RFC 3533): the last page is cut. One that is whole may be the last of a recording that was broken off."""
    start = max(0, size - 2 * _PAGE)
    file.seek(start)
    tail = file.read()
    at = _first_page(tail)
    while at >= 0:
        end = _page_end(tail, at)
        if end > len(tail):
            return Truncation()
        if not tail[end : end + 4] or tail[end : end + 4] != b"OggS"[: len(tail) - end]:
            return None  # it ends here, but for what is none of its own
        at = end
    return None


def _first_page(tail: bytes) -> int:
    """Where the first page begins that another follows or the end; four letters alone may stand inside of one."""
    at = tail.find(b"OggS")
    while at > 0:
        end = _page_end(tail, at)
        if end <= len(tail) and tail[end : end + 4] == b"OggS"[: len(tail) - end]:
            return at
        at = tail.find(b"OggS", at + 1)
    return at


def _page_end(tail: bytes, at: int) -> int:
    """Where a page ends; beyond the tail when its head is cut already."""
    count = tail[at + 26] if at + 26 < len(tail) else 256
    lacing = tail[at + 27 : at + 27 + count]
    return at + 27 + count + sum(lacing) if len(lacing) == count else len(tail) + 1


def _mp3(file: BinaryIO, size: int) -> Truncation | None:
    told = xing(file)
    if told is None or told.start + told.size <= size:
        return None
    return Truncation(max(0, size - told.start) / told.size, told.seconds)
