"""Where a rendered picture comes to lie: in the film it is of, to the pixel, and on canvases of other shapes."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from carried import avatar, person
from vivavoce.engines.nerf.recordings import Recording
from vivavoce.engines.nerf.stages import filmed, lone
from vivavoce.engines.nerf.training.layers import Square, cut, square_around
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.face.screen import Screen
from vivavoce.media import audio as sounds
from vivavoce.media.reel import Reel, write_reel
from vivavoce.nouns import Audio, Canvas

Bytes = npt.NDArray[np.uint8]


def shown(canvas: Canvas, tmp_path: Path, masks: Bytes | None, colour: int | None) -> tuple[Bytes, Bytes]:
    """A frame of the film with its own square laid over it, or one of a colour; and the bare film."""
    made, library = avatar(tmp_path / "person"), person()
    square = square_around(library.points, library.footage.size, 320)
    stage = filmed(library.footage, (square.x, square.y, square.side), 320, canvas, masks, face=masks is not None)
    screen = Screen(library.footage, canvas, enlargement=1.0)
    with Reel(made.path / "idle.mp4") as whole, Reel(made.path / stage.reel) as reel:
        picture = cut(picture_of(whole[3]), square)
        if colour is not None:
            picture = np.full_like(picture, colour)
        return stage.show(3, picture, reel[3]), screen.show(reel[3])


@pytest.mark.parametrize("canvas", [Canvas(480, 480), Canvas(256, 256), Canvas(640, 360)])
def test_a_films_own_square_changes_nothing_but_its_sharpness(canvas: Canvas, tmp_path: Path) -> None:
    made, bare = shown(canvas, tmp_path, None, None)
    assert made.shape == (canvas.height, canvas.width, 3)
    difference = np.abs(made.astype(int) - bare.astype(int)).mean()
    assert difference < 2.5
    for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        moved = np.abs(np.roll(made, step, axis).astype(int) - bare.astype(int)).mean()
        assert difference < 0.8 * moved


def test_only_what_the_mask_shows_is_laid_over(tmp_path: Path) -> None:
    masks = np.zeros((8, 96, 96), np.uint8)
    masks[3, 40:56, 40:56] = 255
    made, bare = shown(Canvas(480, 480), tmp_path, masks, 255)
    changed = np.abs(made.astype(int) - bare.astype(int)).max(axis=2) > 8
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    library = person()
    square = square_around(library.points, library.footage.size, 160)
    screen = Screen(library.footage, Canvas(480, 480), enlargement=1.0)
    part = np.array([[40, 40], [56, 56]]) * square.side / 96 + [square.x, square.y] - 0.5
    (x0, y0), (x1, y1) = screen.to_canvas(part)
    assert abs(columns[0] - x0) <= 4
    assert abs(columns[-1] - x1) <= 4
    assert abs(rows[0] - y0) <= 4
    assert abs(rows[-1] - y1) <= 4
    assert (made[int((y0 + y1) / 2), int((x0 + x1) / 2)] > 250).all()


def test_a_lone_picture_fills_a_canvas_of_its_shape_and_is_continued_on_others() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    picture = np.repeat(np.repeat(picture[::8, ::8], 8, 0), 8, 1)
    same = lone((64, 64), Canvas(64, 64), None).show(0, picture, None)
    assert np.array_equal(same, picture)
    wide = lone((64, 64), Canvas(256, 128), None).show(0, picture, None)
    assert wide.shape == (128, 256, 3)
    inside = wide[:, 64:192].reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(inside - picture).mean() < 12
    # what goes on beside it is blurred
    assert np.abs(np.diff(wide[:, :60].astype(int), axis=1)).max() < 12
    nearly = lone((64, 64), Canvas(140, 128), None).show(0, picture, None)
    assert nearly.shape == (128, 140, 3)


def test_a_lone_picture_is_laid_over_its_film(tmp_path: Path) -> None:
    film = np.full((64, 64, 3), 40, np.uint8)
    write_reel(tmp_path / "film.mp4", [film] * 3, (64, 64), Fraction(25))
    masks = np.zeros((3, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 255
    with Reel(tmp_path / "film.mp4") as reel:
        made = lone((64, 64), Canvas(64, 64), masks).show(1, np.full((64, 64, 3), 200, np.uint8), reel[1])
    assert np.abs(made[32, 32].astype(int) - 200).max() <= 1
    assert np.abs(made[2, 2].astype(int) - 40).max() <= 3


def test_squares_and_their_points_belong_together() -> None:
    square = Square(100, 40, 200, 50)
    assert square.placed(np.array([[100.0, 40.0], [299.0, 239.0]]) + 1.5).tolist() == [[0, 0], [49.75, 49.75]]
    points = person().points
    found = square_around(points, (480, 480), 160)
    inside = found.placed(points)[..., :2]
    assert inside.min() > 0
    assert inside.max() < 160


def speech(seconds: float, seed: int) -> Audio:
    chance = np.random.default_rng(seed)
    loud = np.repeat(chance.uniform(0, 1, int(seconds * 10)) ** 2, 1600)
    return Audio((0.3 * loud * chance.standard_normal(len(loud))).astype(np.float32), 16_000)


def test_a_recording_is_recognised_and_a_part_of_it_is_found(tmp_path: Path) -> None:
    own = speech(12, 1)
    sounds.write_wav(tmp_path / "own.wav", own, 16_000)
    recording = Recording.load(tmp_path / "own.wav")
    assert recording is not None
    assert recording.found_in(own) == 0
    louder = Audio(own.samples * np.float32(1.4), own.rate)
    assert recording.found_in(louder) == 0
    later = Audio(own.samples[4 * 16_000 : 7 * 16_000], own.rate)
    assert recording.found_in(later) == pytest.approx(4.0, abs=0.02)
    assert recording.found_in(speech(12, 2)) is None
    assert recording.found_in(Audio(own.samples[:1600], own.rate)) is None
    (tmp_path / "none.wav").write_bytes(b"RIFF")
    assert Recording.load(tmp_path / "none.wav") is None
