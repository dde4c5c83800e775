"""Reels: a film without sound that can be replayed forth and back, and entered anywhere, without holding it in memory.

Keyframes stand close together, so going backwards costs one short group of pictures, not the film. Pictures stay in
I420 until somebody wants them: that is half the memory of RGB, and a crop of them is cheap.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.media.container import BROKEN, opened

__all__ = ["GROUP", "Planes", "Reel", "ReelWriter", "join_reels", "write_reel"]

GROUP = 12
"""Pictures from keyframe to keyframe: 37 MB of them at 1080x1920."""
_CLOCK = 90_000

Bytes = npt.NDArray[np.uint8]
Planes = tuple[Bytes, Bytes, Bytes]
"""Luma ``(height, width)`` and two of colour ``(height / 2, width / 2)``; BT.601 in limited range."""


class ReelWriter:
    """Writes a reel; a context, whole when it ends without an error."""

    def __init__(self, target: Path, size: tuple[int, int], fps: Fraction, quality: int = 18) -> None:
        if size[0] % 2 or size[1] % 2 or min(size) < 2:
            raise InvalidInput(f"A film needs an even width and height, not {size[0]}x{size[1]}.")
        self._container = av.open(str(target.absolute()), "w", format="mp4")
        # As sharp as the preset veryfast three steps lower, in a third of the time; decoding is quicker as well.
        options = {"preset": "ultrafast", "crf": str(quality), "bf": "0", "threads": "1"}
        options |= {"x264-params": "scenecut=0:8x8dct=1:subme=1"}
        self._stream = self._container.add_stream("libx264", rate=fps, options=options)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        context.thread_count, context.gop_size, context.max_b_frames = 1, GROUP, 0
        self.count = 0

    def add(self, rgb: Bytes) -> None:
        """One more picture, RGB ``(height, width, 3)``."""
        self.add_planes(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8))

    def add_planes(self, planes: Bytes) -> None:
        """One more picture, as I420 ``(height * 3 / 2, width)``."""
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = self.count
        self.count += 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> "ReelWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def write_reel(target: Path, pictures: Iterable[Bytes], size: tuple[int, int], fps: Fraction) -> int:
    """Write all ``pictures`` (RGB, of ``size`` width and height); how many there were."""
    with ReelWriter(target, size, fps) as writer:
        for rgb in pictures:
            writer.add(rgb)
    return writer.count


def join_reels(parts: Sequence[tuple[Path, int]], target: Path) -> None:
    """Copy reels of one size and rate, packet by packet, into one; all but the last hold whole groups of pictures.

    ``parts`` are the reels and how many pictures they have. Raises libav's errors when one of them is no reel.
    """
    with av.open(str(target.absolute()), "w", format="mp4") as joined:
        stream: Any = None
        before = 0
        for part, count in parts:
            with av.open(str(part.absolute()), "r", format="mov") as reel:
                source = reel.streams.video[0]
                stream = stream or joined.add_stream_from_template(source)
                step = 1 / (Fraction(source.average_rate or 25) * Fraction(source.time_base or 1))
                for packet in reel.demux(source):
                    if packet.dts is not None and packet.pts is not None:  # the last one is empty
                        packet.dts, packet.pts = packet.dts + round(before * step), packet.pts + round(before * step)
                        packet.stream = stream
                        joined.mux(packet)
            before += count


class Reel:
    """Reads a reel picture by picture, in any order; neighbours are cheap. One thread; ``close`` it.

    Raises ``NotFound`` when the file is missing or no reel.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._context = opened(path, "mov", "the reel is damaged", ours=True)
        try:
            self._container = self._context.__enter__()
        except (InvalidInput, OSError) as error:
            raise NotFound(f"The film of the avatar {path.parent.name!r} is missing; add its video again.") from error
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self._step = 1 / (Fraction(self._stream.average_rate or 25) * Fraction(self._stream.time_base or 1))
        self._group: dict[int, Planes] = {}
        self._decoder: Any = None
        self._next = -1

    def __getitem__(self, number: int) -> Planes:
        """Picture ``number`` as planes, which belong to the reel: read only."""
        if number not in self._group:
            self._read_group(number // GROUP)
        return self._group[number]

    def _read_group(self, group: int) -> None:
        """The pictures from keyframe to keyframe; the group before is forgotten."""
        wanted = range(group * GROUP, (group + 1) * GROUP)
        try:
            if self._decoder is None or self._next != wanted.start:
                self._container.seek(round(wanted.start * self._step), stream=self._stream)
                self._decoder = self._container.decode(self._stream)
            self._group = {}
            for frame in self._decoder:
                number = round((frame.pts or 0) / self._step)
                if number in wanted:
                    self._group[number] = _planes(frame)
                if number >= wanted.stop - 1:
                    break
        except BROKEN as error:
            raise NotFound(f"The film of the avatar {self._path.parent.name!r} is damaged.") from error
        self._next = wanted.stop
        if not self._group:
            raise NotFound(f"The film of the avatar {self._path.parent.name!r} is cut off; add its video again.")
        last = max(self._group)
        for number in wanted:  # a film that was cut off stands still
            self._group.setdefault(number, self._group[last])

    def close(self) -> None:
        """Free the decoder and the file."""
        self._group, self._decoder = {}, None
        self._context.__exit__(None, None, None)

    def __enter__(self) -> "Reel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _planes(frame: av.VideoFrame) -> Planes:
    """The planes of a decoded picture, without the padding of their rows."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        frame = frame.reformat(format="yuv420p")
    out = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        out.append(rows[: plane.height, : plane.width])
    return out[0], out[1], out[2]
