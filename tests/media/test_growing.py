"""Films that can be watched while they are made: what grows, what stays, and what is left when it goes wrong."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from test_video import AUDIO, SMALL, Frames, boxes, counting, ends, joined, resources, spoken

from vivavoce.errors import Cancelled
from vivavoce.media.audio import decode
from vivavoce.media.remux import remux
from vivavoce.media.video import encode, grid, probe, read_frames
from vivavoce.nouns import Canvas, Frame


def contents(path: Path) -> dict[str, Any]:
    """What a player gets: the codecs' parameters, and each packet with its times."""
    held: dict[str, Any] = {}
    with av.open(str(path)) as container:
        for stream in container.streams:
            context = stream.codec_context
            facts = (stream.time_base, stream.start_time, stream.duration, context.extradata, context.profile)
            held[stream.type] = [facts]
        for packet in container.demux():
            if packet.dts is not None:
                times = (packet.pts, packet.dts, packet.duration)
                held[packet.stream.type].append((*times, packet.is_keyframe, bytes(packet)))
    return held


@pytest.mark.parametrize("fps", [12, 24, 25, 30, 50, 60])
@pytest.mark.parametrize("seconds", [0.04, 0.2, 2.3])
def test_the_film_that_stays_is_the_film_that_would_have_been_made(tmp_path: Path, fps: int, seconds: float) -> None:
    canvas = Canvas(128, 96, fps)
    count = canvas.frames(seconds)
    plain = encode(tmp_path / "plain.mp4", counting(count, canvas), spoken(seconds), canvas)
    path, growing = tmp_path / "film.mp4", tmp_path / "film.growing"
    film = encode(path, counting(count, canvas), spoken(seconds), canvas, growing=growing)
    assert film == plain
    assert contents(path) == contents(tmp_path / "plain.mp4")
    assert contents(growing)["video"][1:] == contents(path)["video"][1:]
    names = boxes(path.read_bytes())
    assert names.index("moov") < names.index("mdat")
    assert "moof" not in names
    assert abs(path.stat().st_size - (tmp_path / "plain.mp4").stat().st_size) < 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.growing", "film.mp4", "plain.mp4"]


def test_what_is_announced_can_be_read_and_watched(tmp_path: Path) -> None:
    growing, sizes = tmp_path / "film.growing", []

    def grown(size: int) -> None:
        sizes.append(size)
        data = growing.read_bytes()
        assert len(data) >= size
        assert boxes(data[:size])[-1] in {"mdat", "mfra"}, "what can be read ends with a fragment"

    encode(tmp_path / "film.mp4", counting(100), AUDIO, SMALL, growing=growing, grown=grown)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == growing.stat().st_size
    assert len(sizes) in range(15, 19), "a fragment every 240 ms"
    first = tmp_path / "first.mp4"
    first.write_bytes(growing.read_bytes()[: sizes[0]])
    assert len(list(read_frames(first))) in range(5, 8)
    assert probe(first).has_audio


def test_the_first_fragment_leaves_while_the_engine_works(tmp_path: Path) -> None:
    told = threading.Event()

    def engine() -> Iterator[Frame]:
        for number, frame in enumerate(counting(100)):
            if number == 40:
                assert told.wait(10), "nothing to watch after 40 of 100 pictures"
            yield frame

    growing = tmp_path / "film.growing"
    encode(tmp_path / "film.mp4", engine(), AUDIO, SMALL, growing=growing, grown=lambda _: told.set())


def test_grown_films_join_to_the_sample(tmp_path: Path) -> None:
    files, count = [], 0
    for number in range(5):
        frames = grid(25) * (3 + number)
        files.append(tmp_path / f"{number}.mp4")
        sound = spoken(frames / 25, frequency=300 + 60 * number)
        encode(files[-1], counting(frames, first=count), sound, SMALL, growing=tmp_path / f"{number}.growing")
        count += frames
    film = joined(tmp_path, files)
    assert ends(film) == pytest.approx((count / 25, count / 25), abs=1e-4)
    assert [f.time for f in read_frames(film)] == pytest.approx([n / 25 for n in range(count)], abs=1e-4)
    assert len(decode(film, max_seconds=60).samples) == pytest.approx(count / 25 * 48_000, abs=5)


@pytest.mark.parametrize("error", [ValueError("engine"), Cancelled("left"), GeneratorExit()])
def test_a_film_that_fails_leaves_neither_file(tmp_path: Path, error: BaseException) -> None:
    before, frames = resources(), Frames(60, error)
    with pytest.raises(type(error)):
        encode(tmp_path / "film.mp4", frames, AUDIO, SMALL, growing=tmp_path / "film.growing")
    assert frames.closed
    assert list(tmp_path.iterdir()) == []
    assert resources() == before


def test_an_audience_that_fails_ends_the_work(tmp_path: Path) -> None:
    def grown(_: int) -> None:
        raise Cancelled("Nobody watches.")

    before, frames = resources(), Frames(10_000)
    with pytest.raises(Cancelled):
        encode(tmp_path / "film.mp4", frames, AUDIO, SMALL, growing=tmp_path / "film.growing", grown=grown)
    assert frames.closed
    assert list(tmp_path.iterdir()) == []
    assert resources() == before


def test_a_folder_that_is_not_there_leaves_neither_file(tmp_path: Path) -> None:
    growing = tmp_path / "none" / "film.growing"
    with pytest.raises(FileNotFoundError):
        encode(tmp_path / "film.mp4", Frames(30), AUDIO, SMALL, growing=growing)
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_does_not_touch_what_is_being_read(tmp_path: Path) -> None:
    growing = tmp_path / "film.growing"
    encode(tmp_path / "film.mp4", counting(30), AUDIO, SMALL, growing=growing)
    first = growing.read_bytes()
    with growing.open("rb") as reader:
        encode(tmp_path / "film.mp4", counting(60, first=5), AUDIO, SMALL, growing=growing)
        assert reader.read() == first
        assert os.fstat(reader.fileno()).st_ino != growing.stat().st_ino


def test_what_is_no_film_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with pytest.raises(av.FFmpegError):
        remux(tmp_path / "a", tmp_path / "b.mp4")
