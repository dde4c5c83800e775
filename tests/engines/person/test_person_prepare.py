"""A real film becomes a library: what it holds, that it goes on where it was killed, and films that are no good."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.bench import person as bench
from vivavoce.engines.person import store
from vivavoce.engines.person.evaluate import ROWS, Bench, held_out, paint_with
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.pose import gap_of
from vivavoce.engines.person.prepare import prepare
from vivavoce.errors import Cancelled, FaceRejected, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.face.locate import FaceLocator
from vivavoce.media import audio, video
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore

pytestmark = pytest.mark.slow

Bytes = npt.NDArray[np.uint8]
FPS = 25
SMALL = (360, 640)


@pytest.fixture(scope="module")
def source(shared: Path) -> Path:
    return shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"


@pytest.fixture(scope="module")
def man(source: Path, locator: FaceLocator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared video, learnt."""
    into = tmp_path_factory.mktemp("heads") / "man"
    into.mkdir()
    prepare(source, into, ModelStore())
    return into


@pytest.fixture(scope="module")
def pictures(source: Path) -> list[Bytes]:
    """The first 10 s, small."""
    shown = (f.image for f in islice(video.read_frames(source), 250))
    return [np.asarray(cv2.resize(rgb, SMALL, interpolation=cv2.INTER_AREA), np.uint8) for rgb in shown]


Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a film of pictures with the shared video's sound, or none."""
    folder = tmp_path_factory.mktemp("films")
    heard = audio.decode(source, max_seconds=60, rate=16_000).samples

    def write(
        shown: "Sequence[Bytes] | _Lazy",
        fps: int = FPS,
        *,
        sound: npt.NDArray[np.float32] | None = heard,
        times: list[int] | None = None,
    ) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.mp4"
        with av.open(str(path), "w") as film:
            stream = film.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "ultrafast"})
            stream.height, stream.width = shown[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            speech = film.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
            for number, rgb in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = times[number] if times else number, Fraction(1, fps)
                film.mux(stream.encode(frame))
            film.mux(stream.encode(None))
            if speech is not None and sound is not None:
                length = round(len(shown) / fps * 16_000) // 1024 * 1024
                for at in range(0, length, 1024):
                    piece = np.zeros(1024, np.float32)
                    part = sound[at : at + 1024]
                    piece[: len(part)] = part
                    block = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
                    block.sample_rate, block.pts = 16_000, at
                    film.mux(speech.encode(block))
                film.mux(speech.encode(None))
        return path

    return write


@pytest.fixture
def learn(locator: FaceLocator, tmp_path: Path) -> Callable[[Path], Library]:
    def learn(film: Path) -> Library:
        into = tmp_path / f"head{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        avatar = prepare(film, into, ModelStore())
        assert avatar.engine == "person"
        return store.load(into)

    return learn


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    return (
        all(map(plain, value)) if isinstance(value, list) else value is None or type(value) in (str, int, float, bool)
    )


def test_the_library_of_a_person(man: Path) -> None:
    library = store.load(man)
    report = library.report
    assert plain(report)
    assert len(library) == len(library.footage.track.points) == 502
    assert library.seen.all()
    assert report["speech_seconds"] == pytest.approx(14.7, abs=2)
    assert 0.08 < report["blurred_share"] < 0.3
    assert report["closed_frames"] >= 40
    assert report["cuts"] == 0
    assert report["own_voice"] >= 0.42
    assert any("a minute" in sentence for sentence in report["advice"])
    assert all(last - first >= 4 * FPS for first, last in library.stretches)
    closed = library.opening < 0.01
    assert gap_of(library.head.shape)[closed & library.usable].mean() < 0.03
    assert np.corrcoef(library.opening, gap_of(library.head.shape))[0, 1] > 0.75
    size = sum((man / name).stat().st_size for name in ("person.npz", "person.jpegs"))
    assert size <= 1e6 + 0.6e6 * report["seconds"]
    with Reel(man / "idle.mp4") as reel:
        film = video.read_frames(man / "source")
        for number, frame in islice(enumerate(film), 0, 502, 50):
            luma = cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV_I420)[: frame.image.shape[0]]
            assert np.abs(reel[number][0].astype(int) - luma).mean() < 3, "reels that were joined are in step"


def test_it_speaks_with_its_own_sound(man: Path, locator: FaceLocator, tmp_path: Path) -> None:
    """The acceptance lines; see ``bench.person`` for all of them."""
    with Bench(man, store.load(man), locator) as judged:
        scores = held_out(judged, paint_with(judged), strip=tmp_path / "strip.png")
    nearest, _, _, true, own, other = (scores[name] for name in ROWS)
    assert own.psnr > nearest.psnr
    assert own.psnr - other.psnr >= 1.0
    assert 0.8 <= own.sharp <= 1.25
    assert own.opening >= 0.6
    assert abs(own.lag) <= 1
    assert own.flicker[0] <= 1.2
    assert true.psnr >= 25.5
    assert true.opening >= 0.95
    strip = cv2.imread(str(tmp_path / "strip.png"))
    assert strip is not None
    assert strip.shape == (300, 1500, 3)
    assert bench.table(scores).count("\n") == len(ROWS) + 1


def test_killed_it_goes_on_to_the_same_end(
    pictures: list[Bytes], write: Write, locator: FaceLocator, tmp_path: Path
) -> None:
    film = write(pictures)
    ends = []
    for name in ("whole", "killed"):
        work, into = tmp_path / f"work-{name}", tmp_path / name
        work.mkdir()
        into.mkdir()
        if name == "killed":
            _kill_at_the_first_block(film, into, work)
            made = sorted(work.rglob("block-*.npz"))
            assert made
            stamps = [path.stat().st_mtime_ns for path in made]
        prepare(film, into, ModelStore(), work=work)
        if name == "killed":
            assert [path.stat().st_mtime_ns for path in made] == stamps, "what was done is not done again"
        ends.append(store.load(into))
    whole, killed = ends
    assert killed.points == pytest.approx(whole.points, abs=1.0)
    assert np.abs(killed.points - whole.points).mean() < 0.02
    assert (killed.usable == whole.usable).mean() > 0.99
    assert killed.basis @ whole.basis.T == pytest.approx(np.eye(6), abs=0.05)


def _kill_at_the_first_block(film: Path, into: Path, work: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vivavoce.engines.person.prepare import prepare; "
        "from vivavoce.models import ModelStore; film, into, work = map(Path, sys.argv[1:]); "
        "prepare(film, into, ModelStore(), work=work, report=lambda x, stage: print(stage, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, film, into, work], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in process.stdout:
        if any(work.rglob("block-*.npz")):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "it was killed before its end"


def test_who_reports_may_cancel(pictures: list[Bytes], write: Write, locator: FaceLocator, tmp_path: Path) -> None:
    def report(fraction: float, stage: str) -> None:
        if stage == "track" and fraction > 0.2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        prepare(write(pictures), tmp_path, ModelStore(), report=report)
    assert not (tmp_path / "avatar.json").exists()


def test_what_is_no_use_is_refused_with_advice(
    pictures: list[Bytes], write: Write, locator: FaceLocator, tmp_path: Path
) -> None:
    grey = [np.full_like(pictures[0], 90) for _ in range(220)]
    still = [pictures[100]] * 220
    broken = tmp_path / "broken.mp4"
    data = write(pictures).read_bytes()
    broken.write_bytes(data[:2000] + bytes(len(data) - 2000))
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    wrong: list[tuple[Path, type[Exception], str]] = [
        (write(grey), FaceRejected, "face"),
        (write(pictures[:25]), InvalidInput, "at least 8 s"),
        (write(pictures[::5] * 5, 5), InvalidInput, "25 or 30"),
        (write(still), FaceRejected, "speak"),
        (write(grey[:180] + pictures[:40]), FaceRejected, "face"),
        (broken, InvalidInput, "damaged|read"),
        (text, UnsupportedMedia, "send"),
    ]
    for film, kind, advice in wrong:
        into = tmp_path / film.stem
        into.mkdir(exist_ok=True)
        with pytest.raises(kind, match=advice):
            prepare(film, into, ModelStore())
        assert not (into / "avatar.json").exists()


def test_a_long_film_is_refused_before_it_is_read(tmp_path: Path, locator: FaceLocator) -> None:
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for pts in (0, 25 * 1900):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    with pytest.raises(TooLarge, match="1800 s"):
        prepare(path, tmp_path, ModelStore())


def test_films_without_a_word_still_give_a_mouth(
    pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]
) -> None:
    for sound in (None, np.zeros(16_000 * 20, np.float32)):
        library = learn(write(pictures, sound=sound))
        assert library.voice is None
        assert library.usable.sum() > 100
        assert any("no speech" in sentence for sentence in library.report["advice"])


def test_cuts_and_lost_faces_end_runs(pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]) -> None:
    dark = [(rgb * 0.35).astype(np.uint8) for rgb in pictures[120:]]
    gone = [np.full_like(pictures[0], 90) for _ in range(30)]
    library = learn(write([*pictures[:120], *dark, *gone, *pictures[:20]]))
    runs = [set(library.run[a:b][library.run[a:b] >= 0].tolist()) for a, b in ((0, 119), (121, 249), (281, 299))]
    assert [len(run) for run in runs] == [1, 1, 1], "one run each"
    assert len(set.union(*runs)) == 3
    assert not library.seen[252:279].any()
    assert not library.usable[252:279].any()
    assert library.report["cuts"] == 2
    assert library.report["lost_share"] == pytest.approx(0.1, abs=0.03)
    assert all(not (first < 265 < last) for first, last in library.stretches)


def test_of_two_people_the_larger_that_stays_is_followed(
    pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]
) -> None:
    def beside(number: int) -> Bytes:
        person = pictures[number]
        half = cv2.resize(pictures[(number + 90) % 250], None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        wide = np.full((640, 720, 3), 120, np.uint8)
        wide[:, 360:] = person
        wide[100 : 100 + half.shape[0], 20 : 20 + half.shape[1]] = half
        if number < 40:  # at first the other one is nearer to the camera
            wide[:, :360] = pictures[(number + 90) % 250]
            wide[:, 360:] = 120
            wide[100 : 100 + half.shape[0], 400 : 400 + half.shape[1]] = cv2.resize(person, (270, 480))
        return wide

    library = learn(write([beside(i) for i in range(250)]))
    nose = library.points[60:, 1, 0]
    assert (nose > 360).all(), "the one on the right stays longer, and is larger then"


def test_uneven_rates_and_doubled_pictures_stay_in_time(
    pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]
) -> None:
    even = learn(write(pictures))
    kept = [i for i in range(250) if i % 7 not in (3, 5)]
    uneven = learn(write([pictures[i] for i in kept], times=kept))
    fps = float(uneven.footage.fps)
    assert len(uneven) == pytest.approx(250 * fps / FPS, abs=3)
    at = np.minimum((np.arange(len(uneven)) * FPS / fps).round().astype(int), 249)
    apart = np.linalg.norm(uneven.points[:, 1, :2] - even.points[at, 1, :2], axis=1)
    assert np.median(apart) < 0.03 * even.footage.track.eye


def test_a_film_that_lies_on_its_side_is_stood_up(
    pictures: list[Bytes], write: Write, learn: Callable[[Path], Library], tmp_path: Path
) -> None:
    turned = write([np.ascontiguousarray(np.rot90(rgb)) for rgb in pictures])
    data = bytearray(turned.read_bytes())
    matrix = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
    there = data.index(matrix, data.index(b"tkhd"))
    quarter = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    data[there : there + 36] = quarter
    film = tmp_path / "turned.mp4"
    film.write_bytes(data)
    about = video.probe(film)
    assert (about.width, about.height) == SMALL
    library = learn(film)
    assert library.footage.size == SMALL
    assert np.abs(np.degrees(library.head.angles[:, 2])).max() < 45


def test_a_film_that_is_damaged_in_the_middle_is_used_as_far_as_it_goes(
    pictures: list[Bytes], write: Write, learn: Callable[[Path], Library], tmp_path: Path
) -> None:
    data = bytearray(write([*pictures, *pictures[:60]]).read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) * 9 // 10
    data[middle : middle + 3000] = bytes(3000)
    film = tmp_path / "hurt.mp4"
    film.write_bytes(data)
    library = learn(film)
    assert len(library) >= 8 * FPS * 0.95
    assert library.usable.sum() > 60


def test_a_film_of_4k_is_made_smaller(pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]) -> None:
    def large() -> Iterator[Bytes]:
        for rgb in pictures[:205]:
            yield np.asarray(cv2.resize(rgb, (2160, 3840), interpolation=cv2.INTER_LINEAR), np.uint8)

    library = learn(write(_Lazy(large)))
    assert library.footage.size == (1080, 1920)
    assert library.report["lost_share"] == 0
    assert len(b"".join(library.crops)) < 0.5e6 * library.report["seconds"]


class _Lazy:
    """Pictures that are made when they are wanted: 5 GB would not fit."""

    def __init__(self, make: Callable[[], Iterator[Bytes]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Bytes]:
        return self._make()

    def __getitem__(self, number: int) -> Bytes:
        return next(islice(self._make(), number, None))

    def __len__(self) -> int:
        return 205


def test_the_report_is_told_to_the_user(man: Path) -> None:
    facts = json.loads((man / "avatar.json").read_text())
    assert facts["person"]["advice"][0] in facts["warnings"]
    assert {finding["check"] for finding in facts["report"]["findings"]} >= {"light", "sharpness", "face-size"}
