"""The inside of the mouth at render time: close-ups, partners, and a net that is put where the lips are. No torch."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from carried import AWAY, SIZE, avatar, opens, person, picture
from vivavoce.engines.person import engine, store
from vivavoce.engines.person.engine import PersonFace
from vivavoce.engines.person.inner import (
    APART,
    CHANNELS,
    FILE,
    HEIGHT,
    LIPS,
    REACH,
    SAID,
    WIDTH,
    Inner,
    close_up,
    partners_of,
)
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.mask import Layout
from vivavoce.engines.person.paint import Mouth, Painter
from vivavoce.engines.speakers import graph
from vivavoce.errors import EngineUnavailable, NotFound
from vivavoce.face import mesh as m
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas, Lesson
from vivavoce.testing import sample_speech

OPEN, SHUT = int(opens()[:100].argmax()), int(np.flatnonzero(opens() == 0)[3])


def net(red: float, *, down: float = 0.0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    """ONNX that adds so many grey levels of red, and takes each pixel from so many below it, wherever it may."""
    zero = np.zeros((1, 1, 1, 1), np.float32)
    add = np.array([0, down, red / 255, 0, 0], np.float32).reshape(1, SAID, 1, 1)
    nodes: list[graph.Node] = [
        ("Gather", ["seen", "first"], ["colours"], {"axis": 1}),
        ("Mul", ["colours", "zero"], ["nothing"], {}),
        ("Add", ["nothing", "add"], ["said"], {}),
    ]
    weights: dict[str, npt.NDArray[Any]] = {"first": np.arange(SAID), "zero": zero, "add": add}
    return graph.model(nodes, weights, ("seen", (1, CHANNELS, *size)), ("said", (1, SAID, *size)))


def planes(number: int) -> Planes:
    width, height = SIZE
    flat = np.asarray(cv2.cvtColor(picture(number), cv2.COLOR_RGB2YUV_I420), np.uint8)
    chroma = flat[height:].reshape(2, height // 2, width // 2)
    return flat[:height], chroma[0], chroma[1]


@pytest.fixture(scope="module")
def made() -> Library:
    return person()


def painted(made: Library, inner: Inner | None, layout: Layout = Layout.FULL) -> npt.NDArray[np.int_]:
    mouth = Mouth(OPEN, made.fast[OPEN])
    return Painter(made, Canvas(*SIZE), inner).paint(SHUT, planes(SHUT), mouth, layout).astype(int)


def shaped(made: Library, base: int, unit: int) -> npt.NDArray[np.float32]:
    """Where the face's landmarks lie in a picture of ``base`` with the mouth of ``unit``."""
    change = made.head.scale[base] * (made.fast[unit] - made.fast[base]) @ made.head.rotation[base].T
    return np.asarray(made.points[base] + change, np.float32)[:, :2]


@pytest.mark.parametrize("layout", list(Layout))
def test_a_net_changes_what_is_between_the_lips_and_nothing_else(made: Library, layout: Layout) -> None:
    inner = Inner(net(60), partners_of(made))
    change = painted(made, inner, layout) - painted(made, None, layout)
    points = shaped(made, SHUT, OPEN)
    ring = np.vstack([points[list(m.INNER_UPPER)], points[list(m.INNER_LOWER)][::-1]])
    inside = np.zeros(SIZE[::-1], np.uint8)
    cv2.fillPoly(inside, [np.round(ring).astype(np.int32)], 1)
    kernel = np.ones((3, 3), np.uint8)
    assert change[cv2.erode(inside, kernel) > 0, 0].mean() == pytest.approx(60, abs=3)
    assert np.abs(change[..., 1:]).max() == 0
    reach = round(0.08 * made.footage.track.eye)
    assert np.abs(change[cv2.dilate(inside, kernel, iterations=reach) == 0]).max() == 0


def test_a_net_that_adds_nothing_changes_nothing(made: Library) -> None:
    assert np.array_equal(painted(made, Inner(net(0), partners_of(made))), painted(made, None))


def test_what_is_between_the_lips_slides_by_so_many_eye_distances(made: Library) -> None:
    """Over a chequered mouth: what is shown lies as far below in the picture without the net."""
    close = close_up(np.zeros((400, 400, 3), np.uint8), np.zeros((400, 400, 2), np.float32), *_ellipse())
    chequers = np.random.default_rng(5).integers(0, 255, (50, 50, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(chequers, (400, 400), interpolation=cv2.INTER_CUBIC), np.uint8)
    slid = image.copy()
    Inner(net(0, down=3.0), partners_of(made)).refine(slid, close)
    core = slice(193, 207), slice(180, 220)
    below = slice(199, 213), slice(180, 220)
    assert np.abs(slid[core].astype(int) - image[below]).mean() < 2
    assert np.array_equal(slid[:150], image[:150])
    half = image.copy()
    Inner(net(0, down=3.0), partners_of(made)).refine(half, close, 0.5)
    assert np.abs(2 * half[core].astype(int) - image[core] - slid[core]).max() <= 2


def _ellipse() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Open lips in the middle of 400 by 400 pixels, of a face twice as large as a close-up's."""
    lips = np.zeros((len(LIPS), 2))
    for (upper, lower), size in (((m.INNER_UPPER, m.INNER_LOWER), 1.0), ((m.OUTER_UPPER, m.OUTER_LOWER), 1.3)):
        for part, way in ((upper, -1.0), (lower, 1.0)):
            t = np.linspace(0, np.pi, len(part))
            at = np.stack([-60 * np.cos(t), 30 * way * np.sin(t)], axis=1)
            lips[[LIPS.index(i) for i in part]] = size * at + 199.5
    return lips, np.array([1.0, 0.0]), 256.0


def test_how_far_the_skull_goes_elsewhere(made: Library) -> None:
    """This person's head only moves to and fro: the upper lip stays with the skull, the lower one leaves it."""
    inner = Inner(net(0), partners_of(made))
    painter, unit = Painter(made, Canvas(*SIZE), inner), SHUT
    partner = inner.partner(unit)
    assert partner is not None
    found = painter.close_up(OPEN, planes(OPEN), Mouth(unit, made.fast[unit]), partner, Layout.FULL, 0)
    assert found is not None
    assert np.abs(found[0].slide).max() < 1.5, "its own shape: carried as the skull is"
    wide = painter.close_up(SHUT, planes(SHUT), Mouth(unit, made.fast[OPEN]), partner, Layout.FULL, 0)
    assert wide is not None
    slide = wide[0].slide
    assert slide.shape == (HEIGHT, WIDTH, 2)
    lower = slide[HEIGHT - 12 : HEIGHT - 6, WIDTH // 2, 1].mean()
    assert lower < slide[4:10, WIDTH // 2, 1].mean() - 3, "the lower lip was carried down, away from the skull"
    assert np.abs(slide).max() <= REACH


def test_a_face_that_fades_away_is_changed_as_little(made: Library) -> None:
    inner = Inner(net(100), partners_of(made))
    mouth = Mouth(OPEN, made.fast[OPEN])
    faint = AWAY - 1
    assert 0 < made.footage.weight[faint] < 0.5
    plain, more = (Painter(made, Canvas(*SIZE), i).paint(faint, planes(faint), mouth) for i in (None, inner))
    assert 0 < np.abs(more.astype(int) - plain).max() <= 100 * float(made.footage.weight[faint]) + 2


def test_close_ups_are_upright_and_of_one_size() -> None:
    """A mouth that is turned and enlarged looks the same close up."""
    seen = []
    for turn, scale in ((0.0, 1.0), (0.5, 1.7), (-0.3, 0.8)):
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        t = np.linspace(0, 2 * np.pi, len(LIPS), endpoint=False)
        lips = np.stack([40 * np.cos(t), 14 * np.sin(t)], axis=1) @ matrix.T + 200
        image = np.zeros((400, 400, 3), np.uint8)
        cv2.circle(
            image, tuple(int(v) for v in (matrix @ [20, 0] + 200).round()), round(6 * scale), (255, 255, 255), -1
        )
        slide = np.broadcast_to(matrix @ [0.0, 5.0], (400, 400, 2)).astype(np.float32)
        close = close_up(image, slide, lips, matrix[:, 0], 128 * scale)
        assert close.slide == pytest.approx(np.broadcast_to([0.0, 5.0], close.slide.shape), abs=1e-3)
        assert close.second.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(close.view(image), close.second)
        assert close.stacked(close.second).shape == (CHANNELS, HEIGHT, WIDTH)
        seen.append(np.argwhere(close.second[..., 0] > 128).mean(axis=0))
    middle = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    for at in seen:
        assert at - middle == pytest.approx([0, 20], abs=1.0)


def test_partners_are_alike_and_of_another_moment(made: Library) -> None:
    partners = partners_of(made)
    usable = np.flatnonzero(made.usable)
    assert (partners[~made.usable] == -1).all()
    assert made.usable[partners[usable]].all()
    assert (np.abs(partners[usable] - usable) > APART * float(made.footage.fps)).all()
    apart = np.abs(made.features[partners[usable], 0] - made.features[usable, 0]).mean()
    chance = np.abs(made.features[usable, 0] - np.roll(made.features[usable, 0], 40)).mean()
    assert apart < 0.2 * chance
    few = replace(made, usable=np.arange(len(made)) < 5)
    assert (partners_of(few) == -1).all()
    assert Inner(net(50), partners_of(few)).partner(3) is None


def test_an_avatar_with_a_net_shows_it(made: Library, tmp_path: Path) -> None:
    plain, refined = avatar(tmp_path / "plain"), avatar(tmp_path / "refined")
    (refined.path / FILE).write_bytes(net(60))
    speech = sample_speech(0.4)
    films = [
        np.stack([f.image for f in PersonFace(offline=True).animate(a, speech, canvas=Canvas(240, 240))])
        for a in (plain, refined)
    ]
    change = films[1].astype(int) - films[0]
    assert change[..., 0].max() > 40
    assert np.abs(change[..., 1:]).max() == 0


def test_what_is_no_net_of_ours_is_said(made: Library, tmp_path: Path) -> None:
    folder = avatar(tmp_path / "anna").path
    assert Inner.load(folder, made) is None
    for wrong in (b"", b"no model", net(1, size=(8, 8)), net(1)[:100]):
        (folder / FILE).write_bytes(wrong)
        with pytest.raises(NotFound, match="damaged"):
            Inner.load(folder, made)
    (folder / FILE).write_bytes(net(1))
    assert Inner.load(folder, store.load(folder)) is not None


def test_without_torch_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    told: list[Lesson] = []
    with pytest.raises(EngineUnavailable, match=r"torch.*pip install 'vivavoce\[train\]'.*leave quality out"):
        PersonFace(offline=True).train(
            tmp_path / "film.mp4",
            tmp_path,
            work=tmp_path / "work",
            epochs=1,
            options={"quality": "best"},
            tell=told.append,
        )
    assert not told, "before anything is done"
    assert not (tmp_path / "work").exists()


def test_it_costs_a_few_milliseconds(made: Library) -> None:
    """All but the net itself: the close-up, and laying what the net says over the mouth."""
    inner = Inner(net(5), partners_of(made))
    mouth = Mouth(OPEN, made.fast[OPEN])
    spent: list[list[float]] = [[], []]
    painters = [Painter(made, Canvas(*SIZE), i) for i in (None, inner)]
    for _ in range(15):
        for painter, times in zip(painters, spent, strict=True):
            began = time.thread_time()
            painter.paint(SHUT, planes(SHUT), mouth)
            times.append(time.thread_time() - began)
    assert np.median(spent[1]) - np.median(spent[0]) < 0.004
