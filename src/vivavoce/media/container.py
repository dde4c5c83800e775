"""Files of media: a stranger's, opened by its bytes alone and in formats that cannot reach for others; our own MP4."""

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av

from vivavoce.errors import InvalidInput, UnsupportedMedia

__all__ = ["BROKEN", "mp4_options", "opened"]

BROKEN = (av.FFmpegError, OSError, ValueError)
"""What reading a damaged file raises: libav's own errors, and those of seeking to places that are not there."""

_PACKED = re.compile(rb"cmov.{4}dcomzlib.{4}cmvd", re.DOTALL)
_PACKED_LENGTH = 24
_LOOK = 1 << 20
"""Bytes read at a time."""


@contextmanager
def opened(
    source: Path | bytes, formats: str, allowed: str, *, decoders: str = "", ours: bool = False
) -> Iterator[av.container.InputContainer]:
    """The container in ``source``: ``formats`` are demuxers that may read it, ``allowed`` tells the user what to send.

    ``decoders`` names those that may be used to look at its streams; none: all. libav decodes a little of every stream
    to find out what it is, so a picture of gigapixels beside a sound would fill the memory before it is asked for. A
    file of ``ours`` is not searched for what only a stranger would put there.

    Raises ``InvalidInput`` when it is empty, ``UnsupportedMedia`` when no demuxer reads it, ``OSError`` when a path
    cannot be opened.
    """
    with ExitStack() as stack:
        # libav sees opened bytes only: no name that it could take for a protocol, and no way to other files.
        file = stack.enter_context(source.open("rb") if isinstance(source, Path) else io.BytesIO(source))
        if not file.read(1):
            raise InvalidInput(f"The file is empty; {allowed}.")
        if not ours and _has_packed_index(file):
            raise UnsupportedMedia(f"The index of the file is compressed, which nothing has done for long; {allowed}.")
        file.seek(0)
        options = {"format_whitelist": formats} | ({"codec_whitelist": decoders} if decoders else {})
        try:
            container = stack.enter_context(av.open(file, "r", container_options=options))
        except BROKEN as error:
            raise UnsupportedMedia(f"The file cannot be read here; {allowed}.") from error
        yield container


def _has_packed_index(file: io.BufferedIOBase) -> bool:
    """Whether there is a compressed index of QuickTime's: libav unpacks it whole, half a megabyte to 500."""
    file.seek(0)
    held = b""
    while piece := file.read(_LOOK):
        held = held[-_PACKED_LENGTH:] + piece
        if b"cmov" in held and _PACKED.search(held):
            return True
    return False


def mp4_options(clock: int, fragment: int = 0) -> dict[str, str]:
    """The muxer's options for a film of ours, with ``clock`` ticks a second of picture.

    A ``fragment`` lasts that many microseconds and leaves at once; without fragments the index stands first.
    """
    # An edit list would hide what joining by copy then brings out.
    options = {"use_editlist": "0", "video_track_timescale": str(clock)}
    if not fragment:
        return options | {"movflags": "+faststart"}
    return options | {
        "movflags": "+empty_moov+default_base_moof",
        "frag_duration": str(fragment),
        "flush_packets": "1",
    }
