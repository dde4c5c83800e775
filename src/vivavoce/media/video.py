"""Films: pictures and sound to H.264 and AAC in MP4, and pictures back out of a film."""

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput, UnsupportedMedia, VivavoceError
from vivavoce.media.container import BROKEN, opened
from vivavoce.media.encoder import AAC_FRAME, SOUND_RATE, Encoder
from vivavoce.media.remux import remux
from vivavoce.media.shown import HDR, Printer, woven
from vivavoce.nouns import Audio, Canvas, Frame
from vivavoce.ports import Report

__all__ = ["Film", "Probe", "encode", "grid", "oddities", "probe", "read_frames", "sound_ahead"]

_FORMATS = "asf,avi,flv,matroska,mov,mpeg,mpegts,ogg,webm"
_ALLOWED = "send MP4, MOV, WebM or MKV"
_QUEUE = 8  # pictures between the renderer and the encoder
_AHEAD = 0.5  # seconds
_GRID_LIMIT = 0.4  # seconds; a coarser grid would cost more silence than it saves


@dataclass(frozen=True, slots=True)
class Film:
    """What was encoded."""

    frames: int
    """Pictures."""
    seconds: float
    """Duration of the picture; the sound ends within one frame of it."""


def grid(fps: int) -> int:
    """How many pictures last a whole number of AAC frames, when that is a short time (0.4 s), else 1.

    Sound and picture of a chunk that lasts a multiple of it end together (25 fps: 8 pictures are 15 AAC frames). At the
    end of any other chunk the last picture stays for up to an AAC frame (21 ms) longer; nothing drifts.
    """
    frames = (Fraction(AAC_FRAME, SOUND_RATE) * fps).numerator
    return frames if frames <= _GRID_LIMIT * fps else 1


def encode(
    target: Path | BinaryIO,
    frames: Iterable[Frame],
    audio: Audio,
    canvas: Canvas,
    *,
    fragmented: bool = False,
    quality: int = 22,
    report: Report | None = None,
    growing: Path | None = None,
    grown: Callable[[int], None] = lambda _: None,
) -> Film:
    """Encode a film of ``frames`` and ``audio``.

    A path appears only when the film is whole: it is written beside as ``NAME.part`` and moved, unless the path itself
    ends in ``.part``. To a ``BinaryIO``, a fragmented film flows while it is made, any other is copied at the end.
    ``quality`` is x264's constant rate factor (0-51, lower is better). ``report`` is called about five times a second
    of film. The film lasts as long as the pictures; the sound is padded with silence or cut to match.

    With ``growing``, a path beside a plain film's own, the film can be watched there while it is made: a fragmented
    file that is always a new one, from which the film is copied at the end, packet by packet. ``grown`` is told after
    each fragment, from another thread, how many bytes of it can be read. When all went well the file stays, for those
    who still read it, and is the caller's to remove.

    ``frames`` is consumed in the calling thread, encoding runs in a thread of its own; whatever happens, ``frames`` is
    closed, the thread has ended and no part file remains. Raises ``InvalidInput`` for a canvas that H.264 cannot hold,
    ``VivavoceError`` for pictures of another size or none, and whatever ``frames``, ``report`` and ``target`` raise.
    """
    with _closed(frames):
        if not isinstance(target, Path):
            return _into_file(target, frames, audio, canvas, fragmented, quality, report)
        with _appearing(target) as part:
            if growing is None:
                pipeline = _Pipeline(str(part.absolute()), audio, canvas, fragmented, fragmented, quality)
                return _encoded(pipeline, frames, report)
            with _growing(growing) as file:
                film = _encoded(_Pipeline(_Growth(file, grown), audio, canvas, True, False, quality), frames, report)
                remux(growing, part)
            return film


def _into_file(
    target: BinaryIO,
    frames: Iterable[Frame],
    audio: Audio,
    canvas: Canvas,
    fragmented: bool,
    quality: int,
    report: Report | None,
) -> Film:
    if fragmented:
        return _encoded(_Pipeline(_Sink(target.write), audio, canvas, True, True, quality), frames, report)
    # The index of a plain MP4 is known last and stands first: it needs a file that can be rewritten.
    with tempfile.TemporaryDirectory(prefix="vivavoce-") as folder:
        film = encode(path := Path(folder) / "film.mp4", frames, audio, canvas, quality=quality, report=report)
        with path.open("rb") as file:
            shutil.copyfileobj(file, target)
    return film


def _encoded(pipeline: "_Pipeline", frames: Iterable[Frame], report: Report | None) -> Film:
    expected, step = pipeline.expected, max(1, pipeline.fps // 5)
    with pipeline:
        for number, frame in enumerate(frames):
            pipeline.put(frame)
            if report and number % step == 0:
                report(min(1.0, number / expected), "render")
        pipeline.finish()
        return Film(pipeline.count, pipeline.count / pipeline.fps)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A part file beside ``path`` that takes its place at the end, or vanishes."""
    part = path if path.suffix == ".part" else path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except BaseException:  # whatever came between, no half file may stay behind
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _growing(path: Path) -> Iterator[BinaryIO]:
    """A new file that others read while it is written; it vanishes when the work fails."""
    path.unlink(missing_ok=True)  # whoever still reads an older one keeps that
    try:
        with path.open("xb") as file:
            yield file
    except BaseException:  # whatever came between, no half film may stay behind
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _closed(frames: Iterable[Frame]) -> Iterator[None]:
    """Close a generator of frames at the end, so that an engine frees what it holds."""
    try:
        yield
    finally:
        if close := getattr(frames, "close", None):
            close()


class _Sink:
    """The write end that libav sees: no ``seek``, so that bytes only ever flow on, and none after an abort."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self.shut = False

    def write(self, data: bytes) -> int:
        if not self.shut:
            self._write(bytes(data))
        return len(data)

    def pause(self) -> None:
        """All that the encoder could write so far is here; called after each picture."""


class _Growth(_Sink):
    """A file whose readers are told how far they may read: at the ends of fragments, from the first on."""

    def __init__(self, file: BinaryIO, grown: Callable[[int], None]) -> None:
        super().__init__(file.write)
        self._file = file
        self._grown = grown
        self._size = self._told = 0

    def write(self, data: bytes) -> int:
        self._size += len(data)
        return super().write(data)

    def pause(self) -> None:
        if self._size > self._told and not self.shut:
            self._file.flush()
            if self._told:  # the header alone shows nothing
                self._grown(self._size)
            self._told = self._size


class _Pipeline:
    """A bounded queue of pictures and the thread that encodes them.

    The thread empties the queue even after a failure, so a waiting ``put`` never hangs.
    """

    def __init__(
        self, target: str | _Sink, audio: Audio, canvas: Canvas, fragmented: bool, live: bool, quality: int
    ) -> None:
        if canvas.width % 2 or canvas.height % 2 or min(canvas.size) < 2 or canvas.fps < 1:
            raise InvalidInput(f"A film needs an even width and height, not {canvas.width}x{canvas.height}.")
        self.count = 0
        self.fps = canvas.fps
        self.expected = canvas.frames(audio.seconds)
        self._shape = (canvas.height, canvas.width, 3)
        self._target = target
        self._encoder = partial(Encoder, target, audio, canvas, fragmented=fragmented, live=live, quality=quality)
        self._queue: queue.Queue[npt.NDArray[np.uint8] | None] = queue.Queue(_QUEUE)
        self._error: BaseException | None = None
        self._aborted = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)

    def __enter__(self) -> "_Pipeline":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._aborted = True
            if isinstance(self._target, _Sink):
                self._target.shut = True
            self._queue.put(None)
            self._thread.join()

    def put(self, frame: Frame) -> None:
        """Hand a picture on; waits while the queue is full, raises what the encoder raised."""
        if frame.image.shape != self._shape or frame.image.dtype != np.uint8:
            raise VivavoceError(f"The face engine made a picture {frame.image.shape} where {self._shape} was wanted.")
        self._raise()
        self._queue.put(frame.image)
        self.count += 1

    def finish(self) -> None:
        """Encode what waits, write the end of the file, end the thread."""
        if not self.count:
            raise VivavoceError("The face engine made no picture.")
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error:
            raise self._error

    def _run(self) -> None:
        pictures = self._pictures()
        try:
            with self._encoder() as encoder:
                for image in pictures:
                    if not self._aborted:
                        encoder.add(image)
                        self._pause()
                if not self._aborted:
                    encoder.finish()
            if not self._aborted:
                self._pause()
        except BaseException as error:  # noqa: BLE001  it is raised again in the caller's thread
            self._error = error
            for _ in pictures:
                pass

    def _pause(self) -> None:
        if isinstance(self._target, _Sink):
            self._target.pause()

    def _pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        while (image := self._queue.get()) is not None:
            yield image


@dataclass(frozen=True, slots=True)
class Probe:
    """What a film's headers say."""

    seconds: float
    width: int
    """Pixels, as shown: a film that was turned counts upright."""
    height: int
    fps: float
    video_codec: str
    audio_codec: str
    """"" when it has no sound."""

    @property
    def has_audio(self) -> bool:
        """Whether it has sound."""
        return bool(self.audio_codec)


def probe(path: Path) -> Probe:
    """Size, rate and codecs of a film.

    Raises ``UnsupportedMedia`` when it is no film, ``InvalidInput`` when it is empty, ``OSError`` when it is not there.
    """
    with _pictures(path) as (container, stream):
        sound = container.streams.audio
        width, height = stream.codec_context.width, stream.codec_context.height
        first = next(_decoded(container, stream), None)
        if first is None:
            raise UnsupportedMedia(f"The film holds no picture that can be read; {_ALLOWED}.")
        if first.rotation % 180:
            width, height = height, width
        length = container.duration or 0
        return Probe(
            length / av.time_base,
            width,
            height,
            float(stream.average_rate or stream.guessed_rate or 0),
            stream.codec_context.name,
            sound[0].codec_context.name if sound else "",
        )


def oddities(path: Path) -> frozenset[Literal["hdr", "interlaced"]]:
    """What makes a film look other than it was filmed: its first picture tells. Raises as ``probe`` does."""
    with _pictures(path) as (container, stream):
        first = next(_decoded(container, stream), None)
        found: set[Literal["hdr", "interlaced"]] = set()
        if stream.codec_context.color_trc in HDR:
            found.add("hdr")
        if first is not None and first.interlaced_frame:
            found.add("interlaced")
        return frozenset(found)


def sound_ahead(path: Path) -> float:
    """Seconds by which a film's sound begins before its picture; negative when it begins later, 0 without sound.

    Raises as ``probe`` does.
    """
    with _pictures(path) as (container, stream):
        sound = container.streams.audio[0] if container.streams.audio else None
        if sound is None or sound.start_time is None or stream.start_time is None:
            return 0.0
        starts = [
            float(s.start_time * s.time_base) for s in (stream, sound) if s.start_time is not None and s.time_base
        ]
        return starts[0] - starts[1] if len(starts) == 2 else 0.0


def read_frames(path: Path, since: float | None = None, size: tuple[int, int] | None = None) -> Iterator[Frame]:
    """The pictures of a film in order, upright, in SDR and without combs, with their times.

    Ends at the first place that cannot be read. With ``since``, seconds, only those from then on, as far as the film
    can be entered there. A film larger than ``size`` (width, height) is shrunk to it. Raises ``UnsupportedMedia`` when
    it is no film, ``InvalidInput`` when it is empty, ``OSError`` when it is not there.
    """
    printer = Printer()
    with _pictures(path) as (container, stream):
        if since is not None:
            _enter(container, since)
        for frame in woven(_decoded(container, stream)):
            if since is None or (frame.time or 0.0) >= since:
                yield Frame(printer.print(frame, size), frame.time or 0.0)


@contextmanager
def _pictures(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    with opened(path, _FORMATS, _ALLOWED) as container:
        if not container.streams.video:
            raise UnsupportedMedia(f"The file holds no moving picture; {_ALLOWED}.")
        yield container, container.streams.video[0]


def _enter(container: av.container.InputContainer, since: float) -> None:
    """Go to the keyframe before a time, some way ahead of it: the first pictures after a seek may be damaged."""
    try:
        container.seek(max(0, round((since - _AHEAD) * av.time_base)))
    except BROKEN:
        container.seek(0)


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(stream)
    except BROKEN:
        return  # cut off or damaged from here on
