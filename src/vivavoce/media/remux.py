"""From a film that could be watched while it was made to the file that stays: the same packets, the index first."""

from pathlib import Path

import av

from vivavoce.media.container import mp4_options

__all__ = ["remux"]


def remux(source: Path, target: Path) -> None:
    """Copy the packets of a fragmented MP4 of ours into an MP4 whose index stands first; nothing is encoded again.

    Pictures, sound, times and durations are those of ``source``, so films still join to the sample. Raises ``OSError``
    when either file cannot be opened, and libav's errors when ``source`` is no film.
    """
    with (
        av.open(str(source.absolute()), "r", format="mov") as film,
        av.open(str(target.absolute()), "w", format="mp4", container_options=mp4_options(_clock(film))) as copy,
    ):
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in film.streams}
        for packet in film.demux():
            if packet.dts is not None:  # the last one of each stream is empty
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)


def _clock(film: av.container.InputContainer) -> int:
    """Ticks a second of the picture's time stamps."""
    base = film.streams.video[0].time_base
    assert base is not None
    return base.denominator
