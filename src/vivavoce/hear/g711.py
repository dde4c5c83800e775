"""Telephone sound, ITU-T G.711: eight bits a sample, expanded to sixteen by its two laws."""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["RATE", "Law", "expanded"]

RATE = 8_000
"""Hz."""
Law = Literal["mu", "a"]
_BIAS = 0x84


def _mu() -> npt.NDArray[np.int16]:
    """The μ-law's values by byte."""
    code = ~np.arange(256, dtype=np.uint8)
    size = ((code & 0x0F).astype(np.int32) * 8 + _BIAS << (code >> 4 & 7)) - _BIAS
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a() -> npt.NDArray[np.int16]:
    """The A-law's values by byte."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 0x0F).astype(np.int32) * 16
    size = np.where(segment == 0, step + 8, step + 0x108 << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


_TABLES = {"mu": _mu(), "a": _a()}


def expanded(data: bytes, law: Law) -> bytes:
    """The same sound as 16-bit samples, little-endian."""
    return _TABLES[law][np.frombuffer(data, np.uint8)].astype("<i2").tobytes()
