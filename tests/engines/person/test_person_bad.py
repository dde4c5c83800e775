"""Films that are no good, or odd: refused with advice, or learnt all the same."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from shots import Form, Lazy, hdr_frame
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.prepare import prepare
from vivavoce.errors import FaceRejected, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.face.locate import FaceLocator
from vivavoce.media import video
from vivavoce.models import ModelStore

pytest_plugins = ["filmed"]
pytestmark = pytest.mark.slow

Bytes = npt.NDArray[np.uint8]
Write = Callable[..., Path]
FPS = 25
SMALL = (360, 640)


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

    library = learn(write(Lazy(large, 205)))
    assert library.footage.size == (1080, 1920)
    assert library.report["lost_share"] == 0
    assert len(b"".join(library.crops)) < 0.5e6 * library.report["seconds"]


def before_the_mouth(what: str, rgb: Bytes, points: npt.NDArray[np.float32]) -> Bytes:
    """A hand, made of the forehead's skin, or a black microphone, held before the mouth."""
    x, y = points[[13, 14], :2].mean(axis=0)
    eye = float(np.linalg.norm(points[263, :2] - points[33, :2]))
    mask = np.zeros(rgb.shape[:2], np.float32)
    wide, high, down = (0.5, 0.35, 0.1) if what == "hand" else (0.22, 0.3, 0.3)
    cv2.ellipse(mask, (int(x), int(y + down * eye)), (int(wide * eye), int(high * eye)), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None]
    from_x, from_y = points[151, :2]
    larger = np.array([[1.6, 0, x - 1.6 * from_x], [0, 1.6, y - 1.6 * from_y]])
    skin = cv2.warpAffine(rgb, larger, rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    return (rgb * (1 - soft) + (skin if what == "hand" else np.full_like(rgb, 35)) * soft).astype(np.uint8)


@pytest.mark.parametrize("what", ["hand", "microphone"])
def test_a_mouth_that_is_hidden_is_not_used(
    what: str, pictures: list[Bytes], write: Write, learn: Callable[[Path], Library], locator: FaceLocator
) -> None:
    shown = list(pictures)
    mesh = None
    for number in range(120, 150):
        mesh = locator.follow(pictures[number], mesh)
        assert mesh is not None
        shown[number] = before_the_mouth(what, pictures[number], mesh.points)
    library = learn(write(shown))
    assert not library.usable[121:149].any()
    assert (library.footage.weight[121:149] == 0).all(), "they are shown as they are"
    assert all(not (first < 149 and last > 121) for first, last in library.stretches)
    assert library.seen[:118].mean() > 0.99
    assert library.seen[152:].mean() > 0.99
    assert library.report["hidden_share"] == pytest.approx(0.12, abs=0.02)
    assert any("hands" in sentence for sentence in library.report["advice"])


def test_hdr_is_toned_down(pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]) -> None:
    form = Form({}, "yuv420p10le", 16, hdr_frame)
    library = learn(write(pictures[:210], form=form))
    assert any("HDR" in sentence for sentence in library.report["advice"])
    before = learn(write(pictures[:210]))
    number = int(np.flatnonzero(library.usable & before.usable)[0])
    hdr, sdr = (
        cv2.imdecode(np.frombuffer(made.crops[number], np.uint8), cv2.IMREAD_COLOR) for made in (library, before)
    )
    assert hdr is not None
    assert sdr is not None
    assert hdr.mean(axis=(0, 1)) == pytest.approx(sdr.mean(axis=(0, 1)), abs=6)
    assert library.report["lost_share"] == 0


def test_an_interlaced_film_is_learnt(pictures: list[Bytes], write: Write, learn: Callable[[Path], Library]) -> None:
    fields = [rgb.copy() for rgb in pictures]
    for first, second in zip(fields, pictures[1:], strict=False):
        first[1::2] = second[1::2]
    library = learn(write(fields, form=Form({"x264-params": "tff=1"})))
    assert any("progressive" in sentence for sentence in library.report["advice"])
    assert library.report["usable_frames"] > 150
    assert len(library) == 250
