"""Films as players, browsers and ``ffmpeg -f concat -c copy`` see them."""

import io
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import psutil
import pytest

from vivavoce.errors import Cancelled, InvalidInput, VivavoceError
from vivavoce.media.audio import decode, resample
from vivavoce.media.encoder import AAC_FRAME, SOUND_RATE
from vivavoce.media.remux import join
from vivavoce.media.video import Film, encode, grid, probe, read_frames
from vivavoce.nouns import Audio, Canvas, Frame

Joiner = Callable[[Path, list[Path]], Path]
SMALL = Canvas(128, 128, 25)
AUDIO = Audio(np.zeros(48_000, np.float32), 48_000)


def flat(count: int, canvas: Canvas = SMALL, colour: tuple[int, int, int] = (120, 80, 60)) -> Iterator[Frame]:
    for number in range(count):
        image = np.empty((canvas.height, canvas.width, 3), np.uint8)
        image[:] = colour
        yield Frame(image, number / canvas.fps)


def counting(count: int, canvas: Canvas = SMALL, first: int = 0) -> Iterator[Frame]:
    """Pictures whose brightness is their number."""
    for number in range(first, first + count):
        yield Frame(np.full((canvas.height, canvas.width, 3), 20 + number % 200, np.uint8), number / canvas.fps)


def spoken(seconds: float, rate: int = 22_050, frequency: float = 440, margin: float = 0.04) -> Audio:
    """A tone with soft ends between silences of ``margin`` seconds."""
    t = np.arange(round(seconds * rate)) / rate
    rise = np.clip((np.minimum(t, seconds - t) - margin) / 0.02, 0, 1)
    return Audio((0.4 * rise * np.sin(2 * np.pi * frequency * t)).astype(np.float32), rate)


def boxes(data: bytes) -> list[str]:
    """The names of the top-level boxes of an MP4."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size
    return names


def ends(path: Path) -> tuple[float, float]:
    """Where the picture and the sound end, in seconds."""
    last = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                length = packet.duration or 0
                last[packet.stream.type] = max(
                    last[packet.stream.type], float((packet.pts + length) * packet.time_base)
                )
    return last["video"], last["audio"]


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_film_is_what_was_asked_for(tmp_path: Path, fragmented: bool) -> None:
    path = tmp_path / "film.mp4"
    film = encode(path, counting(50), spoken(1.9), SMALL, fragmented=fragmented)
    assert film == Film(50, 2.0)
    facts = probe(path)
    assert (facts.width, facts.height, facts.fps) == (128, 128, 25)
    assert (facts.video_codec, facts.audio_codec, facts.has_audio) == ("h264", "aac", True)
    assert facts.seconds == pytest.approx(2, abs=0.03)
    with av.open(str(path)) as container:
        sound, stream = container.streams.audio[0], container.streams.video[0]
        assert (sound.rate, sound.layout.name, stream.pix_fmt) == (48_000, "mono", "yuv420p")
        assert (stream.start_time, sound.start_time) == (0, 0)
        assert not stream.codec_context.has_b_frames
    assert list(tmp_path.iterdir()) == [path]


def test_every_picture_arrives_in_order_and_on_time(tmp_path: Path) -> None:
    encode(tmp_path / "film.mp4", counting(60), AUDIO, SMALL)
    frames = list(read_frames(tmp_path / "film.mp4"))
    assert [round(float(f.image.mean())) - 20 for f in frames] == pytest.approx(range(60), abs=1)
    assert [f.time for f in frames] == pytest.approx([n / 25 for n in range(60)])


def test_the_index_comes_first(tmp_path: Path) -> None:
    encode(tmp_path / "film.mp4", flat(30), AUDIO, SMALL)
    names = boxes((tmp_path / "film.mp4").read_bytes())
    assert names.index("moov") < names.index("mdat")


def test_bytes_go_into_an_open_file_too() -> None:
    plain, flowing = io.BytesIO(), io.BytesIO()
    encode(plain, flat(25), AUDIO, SMALL)
    names = boxes(plain.getvalue())
    assert names.index("moov") < names.index("mdat")
    assert "moof" not in names
    encode(flowing, flat(25), AUDIO, SMALL, fragmented=True)
    assert boxes(flowing.getvalue()).count("moof") >= 4


COLOURS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (224, 172, 150),
    (96, 60, 44),
    (128, 128, 128),
]


def colour_card(canvas: Canvas) -> np.ndarray[Any, np.dtype[np.uint8]]:
    card = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    width = canvas.width // len(COLOURS)
    for place, colour in enumerate(COLOURS):
        card[:, place * width : (place + 1) * width] = colour
    return card


def test_colours_come_back_as_they_went_in(tmp_path: Path) -> None:
    canvas = Canvas(256, 64, 25)
    card, path = colour_card(canvas), tmp_path / "film.mp4"
    encode(path, (Frame(card, n / 25) for n in range(5)), AUDIO, canvas, quality=8)
    centres = [16 + 32 * n for n in range(len(COLOURS))]
    shown = next(read_frames(path)).image[32, centres]
    assert np.abs(shown.astype(int) - np.array(COLOURS)).max() <= 3
    if not (ffmpeg := shutil.which("ffmpeg")):
        pytest.skip("no ffmpeg on this machine")
    command = [ffmpeg, "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    theirs = np.frombuffer(raw, np.uint8).reshape(64, 256, 3)[32, centres]
    assert np.abs(theirs.astype(int) - np.array(COLOURS)).max() <= 4


@pytest.mark.parametrize("fps", [12, 13, 24, 25, 30, 50, 60])
def test_sound_and_picture_end_within_a_frame_of_each_other(tmp_path: Path, fps: int) -> None:
    canvas = Canvas(128, 128, fps)
    for count in (1, 2, fps - 1, fps, 2 * fps + 5):
        encode(tmp_path / "film.mp4", flat(count, canvas), AUDIO, canvas)
        picture, sound = ends(tmp_path / "film.mp4")
        assert picture == pytest.approx(count / fps, abs=1e-4)
        assert abs(sound - picture) <= min(1 / fps, AAC_FRAME / SOUND_RATE) + 1e-4
        assert round(sound * SOUND_RATE) % AAC_FRAME == 0


def test_the_grid_is_where_sound_and_picture_meet() -> None:
    assert {fps: grid(fps) for fps in (12, 24, 25, 30, 50, 60)} == {12: 1, 24: 1, 25: 8, 30: 1, 50: 16, 60: 1}
    assert 15 * AAC_FRAME / SOUND_RATE == 8 / 25


def test_sound_is_where_it_belongs(tmp_path: Path) -> None:
    clicks = np.zeros(22_050 * 3, np.float32)
    for second in (0.5, 1.25, 2.6):
        start = round(second * 22_050)
        clicks[start : start + 40] = 0.8
    for fragmented in (False, True):
        encode(tmp_path / "film.mp4", flat(75), Audio(clicks, 22_050), SMALL, fragmented=fragmented)
        sound = decode(tmp_path / "film.mp4", max_seconds=5)
        assert sound.seconds == pytest.approx(3, abs=0.022)
        for second in (0.5, 1.25, 2.6):
            around = slice(round((second - 0.05) * 48_000), round((second + 0.05) * 48_000))
            loud = np.flatnonzero(np.abs(sound.samples[around]) > 0.4)
            assert (loud[0] + loud[-1]) / 2 / 48_000 - 0.05 == pytest.approx(20 / 22_050, abs=0.0003)


def joined(folder: Path, files: list[Path]) -> Path:
    """The files joined as seed 001 shows; fails on any warning."""
    if not (ffmpeg := shutil.which("ffmpeg")):
        pytest.skip("no ffmpeg on this machine")
    (folder / "list.txt").write_text("".join(f"file '{f}'\n" for f in files))
    target = folder / "joined.mp4"
    command = [ffmpeg, "-v", "warning", "-f", "concat", "-safe", "0", "-i", str(folder / "list.txt"), "-c", "copy"]
    done = subprocess.run([*command, target], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return target


def click_level(samples: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """The loudest sample above 6 kHz: a jump of the wave is heard there, the soft tones are not."""
    spectrum = np.fft.rfft(samples)
    spectrum[: round(6000 * len(samples) / SOUND_RATE)] = 0
    return float(np.abs(np.fft.irfft(spectrum)).max())


def copied(folder: Path, files: list[Path]) -> Path:
    """The films joined by our own hand."""
    path = folder / "copied.mp4"
    seconds = join(files, path)
    assert ends(path)[1] == pytest.approx(seconds, abs=1e-3)
    return path


@pytest.mark.parametrize("join_by", [joined, copied])
@pytest.mark.parametrize(("fps", "fragmented"), [(25, False), (25, True), (50, False)])
def test_chunks_on_the_grid_join_to_the_sample(tmp_path: Path, fps: int, fragmented: bool, join_by: Joiner) -> None:
    canvas, files, sounds, count = Canvas(128, 128, fps), [], [], 0
    for number in range(7):
        frames = grid(fps) * (3 + number)
        sounds.append(spoken(frames / fps, frequency=300 + 60 * number))
        files.append(tmp_path / f"{number}.mp4")
        encode(files[-1], counting(frames, canvas, count), sounds[-1], canvas, fragmented=fragmented)
        count += frames
    film = join_by(tmp_path, files)
    assert ends(film) == pytest.approx((count / fps, count / fps), abs=1e-4)
    frames_back = list(read_frames(film))
    assert len(frames_back) == count
    assert [f.time for f in frames_back] == pytest.approx([n / fps for n in range(count)], abs=1e-4)

    sound = decode(film, max_seconds=60)
    wanted = np.concatenate([resample(s, SOUND_RATE).samples for s in sounds])
    assert len(sound.samples) == pytest.approx(len(wanted), abs=len(files))
    length = min(len(sound.samples), len(wanted))
    assert np.abs(sound.samples[:length] - wanted[:length]).max() < 0.05
    start = 0
    for piece in sounds:  # every chunk's sound lies where it was, to the sample
        end = start + round(piece.seconds * SOUND_RATE)
        reference = resample(piece, SOUND_RATE).samples[2000:-2000]
        shifts = range(-3, 4)
        scores = [
            float(reference @ sound.samples[start + 2000 + s : start + 2000 + s + len(reference)]) for s in shifts
        ]
        assert abs(shifts[int(np.argmax(scores))]) <= 1
        start = end
    assert click_level(sound.samples) < 0.003


@pytest.mark.parametrize("join_by", [joined, copied])
@pytest.mark.parametrize("fps", [12, 24, 30, 60])
def test_chunks_off_the_grid_join_without_drift(tmp_path: Path, fps: int, join_by: Joiner) -> None:
    canvas, files, sounds = Canvas(128, 128, fps), [], []
    for number in range(7):
        frames = fps // 2 + 7 * number + 1
        sounds.append(spoken(frames / fps, frequency=300 + 60 * number))
        files.append(tmp_path / f"{number}.mp4")
        encode(files[-1], counting(frames, canvas), sounds[-1], canvas)
    film = join_by(tmp_path, files)
    sound = decode(film, max_seconds=60)
    with av.open(str(film)) as container:
        times = [p.pts * float(p.time_base) for p in container.demux(video=0) if p.pts is not None and p.time_base]
    picture_start = sound_start = 0
    for file, piece in zip(files, sounds, strict=True):
        with av.open(str(file)) as container:
            count = container.streams.video[0].frames
        shown = times[picture_start]
        # By its samples, not its time stamps: a player that ignores these must not drift either.
        around = sound.samples[round(shown * SOUND_RATE) :][: round((piece.seconds) * SOUND_RATE)]
        loud = np.flatnonzero(np.abs(around) > 0.02)
        reference = np.flatnonzero(np.abs(resample(piece, SOUND_RATE).samples) > 0.02)
        assert abs(int(loud[0]) - int(reference[0])) / SOUND_RATE < 1 / fps
        picture_start += count
        sound_start += round(piece.seconds * SOUND_RATE)
    assert click_level(sound.samples) < 0.003


def test_what_does_not_fit_is_not_joined(tmp_path: Path) -> None:
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    encode(small, counting(8), spoken(0.32), SMALL)
    encode(large, counting(8, Canvas(256, 256, 25)), spoken(0.32), Canvas(256, 256, 25))
    for films in ([small, large], []):
        with pytest.raises(VivavoceError, match="join"):
            join(films, tmp_path / "film.mp4")


class Frames:
    """An engine's iterator that tells whether it was closed."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self._left = count
        self._error = error
        self.closed = False

    def __iter__(self) -> "Frames":
        return self

    def __next__(self) -> Frame:
        if not self._left:
            if self._error:
                raise self._error
            raise StopIteration
        self._left -= 1
        return Frame(np.zeros((128, 128, 3), np.uint8), 0.0)

    def close(self) -> None:
        self.closed = True


def resources() -> tuple[int, int]:
    return threading.active_count(), psutil.Process().num_fds()


@pytest.mark.parametrize("error", [ValueError("engine"), KeyboardInterrupt(), GeneratorExit(), Cancelled("left")])
@pytest.mark.parametrize("fragmented", [False, True])
def test_an_engine_that_fails_leaves_nothing(tmp_path: Path, error: BaseException, fragmented: bool) -> None:
    before = resources()
    frames = Frames(20, error)
    with pytest.raises(type(error)):
        encode(tmp_path / "film.mp4", frames, AUDIO, SMALL, fragmented=fragmented)
    assert frames.closed
    assert list(tmp_path.iterdir()) == []
    assert resources() == before


def test_a_report_that_cancels_ends_the_work(tmp_path: Path) -> None:
    before = resources()
    frames = Frames(10_000)
    seen = []

    def report(fraction: float, stage: str) -> None:
        seen.append(fraction)
        if len(seen) == 3:
            raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        encode(tmp_path / "film.mp4", frames, AUDIO, SMALL, report=report)
    assert frames.closed
    assert seen == sorted(seen)
    assert list(tmp_path.iterdir()) == []
    assert resources() == before


class Full:
    """A disk that is full from the box on that is named."""

    def __init__(self, box: bytes) -> None:
        self._box = box

    def write(self, data: bytes) -> int:
        if self._box in data:
            raise OSError(28, "No space left on device")
        return len(data)


@pytest.mark.parametrize("box", [b"ftyp", b"moof", b"mfra"])  # the first, one on the way, the last
def test_a_target_that_fails_ends_the_work(box: bytes) -> None:
    before = resources()
    frames = Frames(200)
    with pytest.raises(OSError, match="No space left"):
        encode(cast("Any", Full(box)), frames, AUDIO, SMALL, fragmented=True)
    assert frames.closed
    assert resources() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    before = resources()
    frames = Frames(100_000)
    with pytest.raises(FileNotFoundError):
        encode(tmp_path / "none" / "film.mp4", frames, AUDIO, SMALL)
    assert frames.closed
    assert resources() == before


def test_a_path_never_shows_half_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the film before")

    def watched() -> Iterator[Frame]:
        for frame in flat(40):
            assert path.read_bytes() == b"the film before"
            yield frame

    encode(path, watched(), AUDIO, SMALL)
    assert len(list(read_frames(path))) == 40
    part = tmp_path / "own.part"  # its owner moves it
    encode(part, flat(5), AUDIO, SMALL)
    assert len(list(read_frames(part))) == 5
    with pytest.raises(ValueError, match="engine"):
        encode(part, Frames(3, ValueError("engine")), AUDIO, SMALL)
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_another_size_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(VivavoceError, match="picture"):
        encode(tmp_path / "film.mp4", flat(5, Canvas(64, 64)), AUDIO, SMALL)
    with pytest.raises(VivavoceError, match="no picture"):
        encode(tmp_path / "film.mp4", flat(0), AUDIO, SMALL)
    with pytest.raises(InvalidInput, match="even"):
        encode(tmp_path / "film.mp4", flat(5, Canvas(127, 128)), AUDIO, Canvas(127, 128))


def test_the_same_film_twice_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        encode(tmp_path / name, counting(40), spoken(1.5), SMALL)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_films_that_are_none(tmp_path: Path) -> None:
    for data in (b"", b"hello", b"#EXTM3U\n/etc/hostname\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        (tmp_path / "film.mp4").write_bytes(data)
        with pytest.raises(InvalidInput, match="MP4"):
            probe(tmp_path / "film.mp4")
        with pytest.raises(InvalidInput, match="MP4"):
            next(read_frames(tmp_path / "film.mp4"))


def test_a_film_that_is_cut_off_gives_what_it_holds(tmp_path: Path) -> None:
    encode(tmp_path / "film.mp4", counting(100), AUDIO, SMALL, fragmented=True)
    data = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    assert 20 < len(list(read_frames(tmp_path / "half.mp4"))) < 80


def test_a_film_that_was_turned_is_read_upright(tmp_path: Path) -> None:
    image = np.full((128, 192, 3), 30, np.uint8)
    image[:64, :96] = 220  # bright at the top left
    path = tmp_path / "film.mp4"
    encode(path, (Frame(image, n / 25) for n in range(5)), AUDIO, Canvas(192, 128, 25))
    # A phone that was held upright writes this matrix: shown turned clockwise by a quarter.
    identity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    clockwise = struct.pack(">9I", 0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)
    head, picture_track, rest = path.read_bytes().partition(b"tkhd")
    path.write_bytes(head + picture_track + rest.replace(identity, clockwise, 1))
    facts = probe(path)
    assert (facts.width, facts.height) == (128, 192)
    shown = next(read_frames(path)).image
    assert shown.shape == (192, 128, 3)
    assert shown[:90, 70:].mean() > 210
    assert shown[:90, :58].mean() < 40
    assert shown[102:].mean() < 40
