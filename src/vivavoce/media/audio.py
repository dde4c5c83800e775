"""Sound in whole, whatever it is packed in, and sound out as WAV; ``media.sound`` does both in pieces."""

import wave
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from vivavoce.errors import InvalidInput
from vivavoce.media.sound import sound
from vivavoce.nouns import Audio

__all__ = ["decode", "is_silent", "resample", "write_wav"]


def decode(source: Path | bytes, *, max_seconds: float, rate: int | None = None) -> Audio:
    """The sound of a file of any common format, mixed to mono.

    ``rate`` in Hz resamples it; without, it keeps its own rate up to 48 kHz. Sound louder than full scale is turned
    down. Never holds more than ``max_seconds``.

    Raises ``UnsupportedMedia`` when it is no sound file, ``InvalidInput`` when it is empty, damaged, cut off, not
    numbers, or of more channels or samples a second than ``media.sound`` reads, ``TooLarge`` when it lasts longer than
    ``max_seconds``; ``OSError`` when a path cannot be opened.
    """
    with sound(source, max_seconds=max_seconds, most_channels=1, rate=rate) as read:
        pieces = [block[0] for block in read.blocks]
        rate = read.rate
    if not pieces:
        raise InvalidInput("The file holds no sound that can be read, it may be damaged; save it again as WAV or FLAC.")
    samples: npt.NDArray[np.float32] = np.concatenate(pieces)
    peak = np.max(np.abs(samples))
    return Audio(samples / peak if peak > 1 else samples, rate)


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
