"""One MP4 file, made so that the files of one request join without a click.

Joining files by copying (``ffmpeg -f concat -c copy``) is exact only when every file begins at time 0 in both streams,
holds whole AAC frames, and has nothing to skip. So the encoder's priming packet is left out instead of being hidden by
an edit list (the sound has to begin and end with 25 ms of silence), there are no B-frames, and the sound fills the AAC
frame in which the picture ends. It is the longer of the two, so joined sound has no gaps, which some players skip.
"""

import math
from contextlib import nullcontext, suppress
from fractions import Fraction
from typing import Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.media.audio import resample
from vivavoce.media.container import BROKEN, mp4_options
from vivavoce.media.synthetic import MARK
from vivavoce.nouns import Audio, Canvas

__all__ = ["AAC_FRAME", "SOUND_RATE", "Encoder", "Sink"]

SOUND_RATE = 48_000
"""Samples a second of the sound in every film, Hz."""
AAC_FRAME = 1024
"""Samples in one AAC frame."""

_FRAGMENT = 0.24  # seconds; flushing every frame made Chromium start later, not sooner
_LOOKAHEAD = 4  # pictures of delay; against tune=zerolatency it halves the bytes at less CPU
# Numbers of ITU-T H.273: primaries and transfer of BT.709, the matrix of BT.601.
_BT709 = 1
_BT601 = 6
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG


class Sink(Protocol):
    """Where the bytes go when it is no file."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``."""


class Encoder:
    """One MP4 file: pictures come in, sound is encoded up to the time of the last picture.

    A context; the file is closed at its end and whole only after :meth:`finish`. A ``fragmented`` file can be read
    while it is written, and holds the same packets. A ``live`` one has a whole picture every second instead of every
    other. Its metadata says that it is synthetic (``synthetic.MARK``).
    """

    def __init__(
        self,
        target: str | Sink,
        audio: Audio,
        canvas: Canvas,
        *,
        fragmented: bool = False,
        live: bool = False,
        quality: int = 22,
    ) -> None:
        self._fps = canvas.fps
        self._samples = resample(audio, SOUND_RATE).samples
        self._pictures = self._blocks = self._packets = 0
        options = mp4_options(_clock(canvas.fps), _fragment(canvas.fps) if fragmented else 0)
        self._container = av.open(target, "w", format="mp4", container_options=options, buffer_size=1 << 16)
        self._video = _video_stream(self._container, canvas, live, quality)
        self._audio = self._container.add_stream("aac", rate=SOUND_RATE, layout="mono", options={"aac_coder": "fast"})
        self._audio.bit_rate = 96_000
        self._container.metadata.update(MARK)
        self._container.start_encoding()

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Encode one picture, and the sound up to its end."""
        frame = av.VideoFrame.from_ndarray(_i420(image), format="yuv420p")
        frame.pts, frame.time_base = self._pictures, Fraction(1, self._fps)
        frame.color_primaries = frame.color_trc = _BT709
        frame.colorspace = _BT601
        frame.color_range = _LIMITED_RANGE
        self._pictures += 1
        self._add_sound(_sound_frames(self._pictures, self._fps))
        self._container.mux(self._video.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold. Sound beyond the last whole frame that is wanted is dropped."""
        self._container.mux(self._video.encode(None))
        self._audio.encode(None)

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Closing writes the file's end: where that fails after a failure, the first one tells more.
        with suppress(*BROKEN) if kind else nullcontext():
            self._container.close()

    def _add_sound(self, packets: int) -> None:
        while self._packets < packets:
            block = np.zeros((1, AAC_FRAME), np.float32)
            part = self._samples[self._blocks * AAC_FRAME : (self._blocks + 1) * AAC_FRAME]
            block[0, : len(part)] = part
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = (
                SOUND_RATE,
                self._blocks * AAC_FRAME,
                Fraction(1, SOUND_RATE),
            )
            self._blocks += 1
            for packet in self._audio.encode(frame):
                # The first packet is the encoder's priming, 1024 samples before time 0.
                if packet.pts is not None and packet.pts >= 0:
                    self._container.mux(packet)
                    self._packets += 1


def _sound_frames(pictures: int, fps: int) -> int:
    """How many AAC frames cover the pictures: rounded up, unless that is more than one picture too long."""
    exact = Fraction(pictures * SOUND_RATE, fps * AAC_FRAME)
    up = math.ceil(exact)
    return up if up - exact <= Fraction(SOUND_RATE, fps * AAC_FRAME) else up - 1


def _clock(fps: int) -> int:
    """Ticks a second in which every picture lasts a whole number."""
    return 90_000 if 90_000 % fps == 0 else 1000 * fps


def _fragment(fps: int) -> int:
    """The length of a fragment in microseconds: whole pictures."""
    return round(1e6 * max(1, round(_FRAGMENT * fps)) / fps)


def _video_stream(container: av.container.OutputContainer, canvas: Canvas, live: bool, quality: int) -> av.VideoStream:
    # A talking head needs none of these: a quarter less time than the preset's own, for a tenth more bytes.
    options = {"preset": "veryfast", "crf": str(quality), "bf": "0", "threads": "1", "subq": "1"}
    options |= {"rc-lookahead": str(_LOOKAHEAD), "x264-params": "partitions=none:me=dia:weightp=0:scenecut=0"}
    stream = container.add_stream("libx264", rate=canvas.fps, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = canvas.width, canvas.height, "yuv420p"
    context.thread_count = 1
    context.max_b_frames = 0
    context.gop_size = canvas.fps if live else 2 * canvas.fps
    context.color_primaries = context.color_trc = _BT709
    context.colorspace = _BT601
    context.color_range = _LIMITED_RANGE
    return stream


def _i420(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB ``(h, w, 3)`` to I420 ``(3h/2, w)``, BT.601 in limited range: the quickest way there is."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
