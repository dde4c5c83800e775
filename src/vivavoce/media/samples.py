"""A few pictures out of a film, quickly: for judging it, not for showing it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vivavoce.errors import UnsupportedMedia
from vivavoce.media.container import BROKEN, opened
from vivavoce.media.shown import Printer

__all__ = ["Sample", "samples"]

_FORMATS = "avi,matroska,mov,webm"
_ALLOWED = "send MP4, MOV, WebM or MKV"


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a film."""

    rgb: npt.NDArray[np.uint8]
    """``(height, width, 3)``, upright."""
    scale: float
    """Pixels of the film to one of the sample's."""


def samples(source: Path, times: Sequence[float], *, max_side: int) -> Iterator[Sample]:
    """Pictures near ``times`` (seconds, rising), their longer side at most ``max_side`` pixels.

    Where keyframes are frequent only they are decoded. Ends early where the film cannot be read any further.
    Raises ``UnsupportedMedia`` when it is no film.
    """
    with opened(source, _FORMATS, _ALLOWED) as container:
        if not container.streams.video:
            raise UnsupportedMedia(f"The file holds no moving picture; {_ALLOWED}.")
        stream = container.streams.video[0]
        keys = _keyframes(container, stream, times[-1]) if times else 0
        try:
            container.seek(0)
            # Pictures that no other is made from need not be decoded: one beside them will do as well.
            stream.codec_context.skip_frame = "NONKEY" if keys >= len(times) else "NONREF"
            stream.thread_type = "AUTO"
            yield from _near(container, stream, times, max_side)
        except BROKEN:
            return


def _keyframes(container: av.container.InputContainer, stream: av.VideoStream, until: float) -> int:
    """How many keyframes there are before a time; reads the index or the packets, decodes nothing."""
    count = 0
    try:
        for packet in container.demux(stream):
            if packet.pts is None or float(packet.pts * (packet.time_base or 0)) > until:
                break
            count += packet.is_keyframe
    except BROKEN:
        return 0
    return count


def _near(
    container: av.container.InputContainer, stream: av.VideoStream, times: Sequence[float], max_side: int
) -> Iterator[Sample]:
    waiting, printer = list(times), Printer()
    start: float | None = None
    for frame in container.decode(stream):
        now = frame.time or 0.0
        start = now if start is None else start
        if not waiting:
            return
        if now - start < waiting[0]:
            continue
        while waiting and waiting[0] <= now - start:
            waiting.pop(0)
        scale = max(1.0, max(frame.width, frame.height) / max_side)
        size = round(frame.width / scale), round(frame.height / scale)
        yield Sample(printer.print(frame, size[::-1] if round(frame.rotation / 90) % 2 else size), scale)
