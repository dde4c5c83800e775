"""Heads of frames of FLAC and MP3: how far a file reaches, and how far it says it should."""

import io
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Reached", "Xing", "flac_end", "xing"]

_FLAC_FRAME = 1 << 16
"""Bytes looked at where a file does not say how large its frames are."""
_LARGEST = 1 << 22
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 256 << (n - 8) for n in range(8, 16)}}
_AFTER = {6: 1, 7: 2}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}

_MP3_RATES = (44_100, 48_000, 32_000)
_LOOK = 4096
"""Bytes behind the tags in which the first frame of an MP3 begins."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the frames of a file go."""

    samples: int
    rate: int
    """Hz."""


def flac_end(file: BinaryIO, size: int) -> tuple[Reached | None, int]:
    """How far the last frame of a FLAC file reaches (None where none is found), and how many samples it says it has.

    The second is 0 where it does not say (RFC 9639, sections 8.2 and 9.1). The last frame may itself be cut.
    """
    file.seek(8)
    info = file.read(18)
    if len(info) < 18:
        return None, 0
    packed = int.from_bytes(info[10:18])
    rate, total = packed >> 44, packed & ((1 << 36) - 1)
    block, frame = int.from_bytes(info[:2]), int.from_bytes(info[7:10]) or _FLAC_FRAME
    file.seek(max(0, size - min(2 * frame + 32, _LARGEST)))
    tail = file.read()
    furthest, at = 0, tail.find(b"\xff")
    while at >= 0:  # the furthest: a place that only looks like a frame tells no more than the true one
        furthest = max(furthest, _flac_frame(tail[at : at + 16], block, total))
        at = tail.find(b"\xff", at + 1)
    return (Reached(furthest, rate) if furthest and rate else None), total


def _flac_frame(head: bytes, block: int, total: int) -> int:
    """The sample after a frame with this head; 0 when it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[3] >> 4 > 10:
        return 0
    ones = 8 - (~head[4] & 0xFF).bit_length()  # a number as in UTF-8: its first byte tells how many follow
    count = max(1, ones)
    if ones == 1 or ones > 7 or any(byte >> 6 != 2 for byte in head[5 : 4 + count]):
        return 0
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    at, code = 4 + count, head[2] >> 4
    width = _AFTER.get(code, 0)
    length = int.from_bytes(head[at : at + width]) + 1 if width else _BLOCKS.get(code, 0)
    at += width + _RATE_BYTES.get(head[2] & 15, 0)
    if not length or at >= len(head) or _crc8(head[:at]) != head[at]:
        return 0
    end = (number if head[1] & 1 else number * block) + length
    return end if end <= total else 0


def _crc8(data: bytes) -> int:
    """With the polynomial x^8 + x^2 + x + 1 (RFC 9639, section 9.1.8)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


@dataclass(frozen=True, slots=True)
class Xing:
    """What the header of an MP3 file says, where it has the one that Xing began and LAME writes."""

    start: int
    """The first byte of its frames."""
    size: int
    """Bytes of its frames."""
    seconds: float


def xing(file: BinaryIO) -> Xing | None:
    """The counts in the first frame of an MP3 file; None where there are none, or it is no MP3 file."""
    file.seek(0)
    head = file.read(10)
    at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        at = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        at += 10 if head[5] & 16 else 0
    file.seek(at, io.SEEK_SET)
    data = file.read(_LOOK)
    begin = next((i for i in range(len(data) - 4) if _is_layer_three(data[i : i + 4])), None)
    if begin is None:
        return None
    frame = data[begin:]
    version, mono = frame[1] >> 3 & 3, frame[3] >> 6 == 3  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    tag = 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))
    if frame[tag : tag + 4] not in (b"Xing", b"Info") or frame[tag + 7] & 3 != 3:
        return None
    rate = _MP3_RATES[frame[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    frames, size = (int.from_bytes(frame[tag + i : tag + i + 4]) for i in (8, 12))
    return Xing(at + begin, size, frames * (1152 if version == 3 else 576) / rate) if size else None


def _is_layer_three(head: bytes) -> bool:
    return (
        head[0] == 0xFF
        and head[1] >> 5 == 7
        and head[1] >> 3 & 3 != 1
        and head[1] >> 1 & 3 == 1
        and head[2] >> 4 not in (0, 15)
        and head[2] >> 2 & 3 != 3
    )
