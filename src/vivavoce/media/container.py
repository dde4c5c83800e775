"""Files of media: a stranger's, opened by its bytes alone and in formats that cannot reach for others; our own MP4."""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av

from vivavoce.errors import InvalidInput, UnsupportedMedia

__all__ = ["BROKEN", "mp4_options", "opened"]

BROKEN = (av.FFmpegError, OSError, ValueError)
"""What reading a damaged file raises: libav's own errors, and those of seeking to places that are not there."""


@contextmanager
def opened(source: Path | bytes, formats: str, allowed: str) -> Iterator[av.container.InputContainer]:
    """The container in ``source``: ``formats`` are demuxers that may read it, ``allowed`` tells the user what to send.

    Raises ``InvalidInput`` when it is empty, ``UnsupportedMedia`` when no demuxer reads it, ``OSError`` when a path
    cannot be opened.
    """
    with ExitStack() as stack:
        # libav sees opened bytes only: no name that it could take for a protocol, and no way to other files.
        file = stack.enter_context(source.open("rb") if isinstance(source, Path) else io.BytesIO(source))
        if not file.read(1):
            raise InvalidInput(f"The file is empty; {allowed}.")
        file.seek(0)
        try:
            container = stack.enter_context(av.open(file, "r", container_options={"format_whitelist": formats}))
        except BROKEN as error:
            raise UnsupportedMedia(f"The file cannot be read here; {allowed}.") from error
        yield container


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
