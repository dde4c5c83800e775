"""Speech that was made here, as a file of the format that a client wants, marked as synthetic where the format can."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vivavoce.media.audio import resample, write_wav
from vivavoce.media.synthetic import MARK, mark_wav
from vivavoce.nouns import Audio

__all__ = ["FORMATS", "PCM_RATE", "write"]

FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""Formats and their media types; ``pcm`` is 16 bits, little-endian, mono at ``PCM_RATE``, without any header."""
PCM_RATE = 24_000
"""Hz: what OpenAI's API promises of raw sound."""

_ENCODERS = {
    "mp3": ("mp3", "libmp3lame", "s16p", 24_000, 64_000),
    "opus": ("ogg", "libopus", "s16", 48_000, 32_000),
    "aac": ("adts", "aac", "fltp", 24_000, 64_000),
    "flac": ("flac", "flac", "s16", None, None),
}
"""By format: libav's container, encoder and sample format, Hz (None: the voice's own), bits a second."""
_BLOCK = 4096
"""Samples that are handed to an encoder at once."""


def write(target: Path, audio: Audio, form: str) -> None:
    """Write mono sound in one of ``FORMATS``. Sound of a WAV or FLAC file keeps its rate. Raises ``OSError``."""
    match form:
        case "wav":
            write_wav(target, audio, audio.rate)
            mark_wav(target)
        case "pcm":
            target.write_bytes(_pcm(resample(audio, PCM_RATE)).tobytes())
        case _:
            _encode(target, audio, form)


def _encode(target: Path, audio: Audio, form: str) -> None:
    container_name, codec, layout, rate, bits = _ENCODERS[form]
    sound = resample(audio, rate or audio.rate)
    tagged: dict[str, Any] = {"options": {"id3v2_version": "3"}} if form == "mp3" else {}
    with av.open(str(target.absolute()), "w", format=container_name, **tagged) as container:
        if form != "aac":  # ADTS has no place for it
            container.metadata.update(MARK)
        stream = container.add_stream(codec, rate=sound.rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.format = av.AudioFormat(layout)
        if bits:
            stream.bit_rate = bits
        samples = _pcm(sound) if layout.startswith("s16") else np.clip(sound.samples, -1, 1)
        for at in range(0, len(samples), _BLOCK):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + _BLOCK], format=layout, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = sound.rate, at, Fraction(1, sound.rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pcm(audio: Audio) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.rint(np.clip(audio.samples, -1, 1) * 32767).astype("<i2")
