"""Films of ours copied packet by packet: one that could be watched while it was made, or several in a row."""

from collections.abc import Sequence
from pathlib import Path

import av

from vivavoce.errors import VivavoceError
from vivavoce.media.container import mp4_options
from vivavoce.media.synthetic import MARK

__all__ = ["join", "remux"]


def remux(source: Path, target: Path) -> None:
    """Copy the packets of a fragmented MP4 of ours into an MP4 whose index stands first; nothing is encoded again.

    Pictures, sound, times and durations are those of ``source``, so films still join to the sample. Raises ``OSError``
    when either file cannot be opened, and libav's errors when ``source`` is no film.
    """
    with (
        av.open(str(source.absolute()), "r", format="mov") as film,
        av.open(str(target.absolute()), "w", format="mp4", container_options=mp4_options(_clock(film))) as copy,
    ):
        copy.metadata.update(MARK)
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in film.streams}
        for packet in film.demux():
            if packet.dts is not None:  # the last one of each stream is empty
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)


def join(sources: Sequence[Path], target: Path) -> float:
    """Copy films of one request, in order, into one MP4 whose index stands first; returns its seconds.

    Each begins where the sound of the one before ends, as joined films do in every player. All must have the same size,
    rates and codecs, as chunks of one scene have. Raises ``VivavoceError`` for none or for films that do not fit,
    ``OSError`` when a file cannot be opened, and libav's errors when one is no film.
    """
    if not sources:
        raise VivavoceError("There is no film to join.")
    with av.open(str(sources[0].absolute()), "r", format="mov") as first:
        options, kind = mp4_options(_clock(first)), _kind(first)
        with av.open(str(target.absolute()), "w", format="mp4", container_options=options) as joined:
            joined.metadata.update(first.metadata)
            streams = {stream.index: joined.add_stream_from_template(stream) for stream in first.streams}
            seconds = 0.0
            for source in sources:
                with av.open(str(source.absolute()), "r", format="mov") as film:
                    if _kind(film) != kind:
                        raise VivavoceError("Films of different sizes or rates cannot be joined.")
                    seconds += _append(film, joined, streams, seconds)
    return seconds


def _append(
    film: av.container.InputContainer,
    joined: av.container.OutputContainer,
    streams: dict[int, av.stream.Stream],
    start: float,
) -> float:
    """Copy a film's packets, moved by ``start`` seconds; returns how long it lasts."""
    lasts = max(float(s.duration * s.time_base) for s in film.streams if s.duration and s.time_base)
    for packet in film.demux():
        if packet.dts is not None and packet.pts is not None:  # the last one of each stream is empty
            assert packet.time_base is not None
            moved = round(start / packet.time_base)
            packet.dts, packet.pts = packet.dts + moved, packet.pts + moved
            packet.stream = streams[packet.stream.index]
            joined.mux(packet)
    return lasts


def _kind(film: av.container.InputContainer) -> tuple[object, ...]:
    """What must be the same in films that are joined."""
    picture, sound = film.streams.video[0], film.streams.audio[0]
    size = picture.codec_context.width, picture.codec_context.height
    return (*size, picture.time_base, picture.codec_context.extradata, sound.rate, sound.codec_context.extradata)


def _clock(film: av.container.InputContainer) -> int:
    """Ticks a second of the picture's time stamps."""
    base = film.streams.video[0].time_base
    assert base is not None
    return base.denominator
