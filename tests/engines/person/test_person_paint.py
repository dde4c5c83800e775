"""One picture with another mouth: on a portrait whose every landmark and pixel is known."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from carried import AWAY, SIZE, N, opens, person, picture
from vivavoce.engines.person.colour import ring, spread
from vivavoce.engines.person.crops import Crops
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import view
from vivavoce.engines.person.mask import OUTLINE, Layout, mask
from vivavoce.engines.person.mouths import joins, mouths, sober
from vivavoce.engines.person.paint import CONTROLS, Mouth, Painter, lower_share
from vivavoce.engines.person.warp import Box, Grain, carried, fields, window
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas

Bytes = npt.NDArray[np.uint8]
OPEN, SHUT = int(opens()[:100].argmax()), int(np.flatnonzero(opens() == 0)[3])


@pytest.fixture(scope="module")
def made() -> Library:
    return person()


@pytest.fixture(scope="module")
def painter(made: Library) -> Painter:
    return Painter(made, Canvas(*SIZE))


def planes(number: int) -> Planes:
    width, height = SIZE
    flat = np.asarray(cv2.cvtColor(picture(number), cv2.COLOR_RGB2YUV_I420), np.uint8)
    chroma = flat[height:].reshape(2, height // 2, width // 2)
    return flat[:height], chroma[0], chroma[1]


def mouth(made: Library, unit: int, **more: tuple[tuple[int, float], ...]) -> Mouth:
    return Mouth(unit, made.fast[unit], **more)


def shaped(made: Library, base: int, unit: int) -> npt.NDArray[np.float32]:
    """Landmarks of a face that stands where ``base`` does, with the mouth of ``unit``."""
    change = made.head.scale[base] * (made.fast[unit] - made.fast[base]) @ made.head.rotation[base].T
    return np.asarray(made.points[base] + change, np.float32)


def opening(made: Library, image: Bytes, base: int, unit: int) -> float:
    return view(image, shaped(made, base, unit)).opening()


@pytest.mark.parametrize("layout", list(Layout))
def test_the_mouth_is_that_of_the_source_and_the_rest_is_the_films(
    made: Library, painter: Painter, layout: Layout
) -> None:
    for base, unit in ((SHUT, OPEN), (OPEN, SHUT)):
        image = painter.paint(base, planes(base), mouth(made, unit), layout)
        before = painter.screen.show(planes(base))
        assert image.shape == before.shape
        assert image.dtype == np.uint8
        seen = opening(made, image, base, unit)
        assert seen == pytest.approx(float(made.opening[unit]), abs=0.06)
        assert (seen < 0.01) == (unit == SHUT)
        eyes = int(made.points[base, 145, 1])
        assert np.array_equal(image[:eyes], before[:eyes]), "above the cheeks nothing changes"
        chin = int(made.points[base, 152, 1] + 0.4 * made.footage.track.eye)
        assert np.array_equal(image[chin:], before[chin:]), "below the throat nothing changes"


def test_a_pictures_own_mouth_changes_nothing_that_can_be_seen(made: Library, painter: Painter) -> None:
    for base in (SHUT, OPEN):
        before = painter.screen.show(planes(base)).astype(np.float32)
        again = painter.paint(base, planes(base), mouth(made, base))
        assert np.abs(again - before).mean() < 0.15
        assert np.sqrt(((again - before) ** 2).mean()) < 1.5


def test_a_face_that_is_lost_passes_through(made: Library, painter: Painter) -> None:
    shown = painter.screen.show(planes(AWAY))
    assert np.array_equal(painter.paint(AWAY, planes(AWAY), mouth(made, OPEN)), shown)
    changed = []
    for base in (AWAY - 2, AWAY - 8):
        image = painter.paint(base, planes(base), mouth(made, OPEN))
        changed.append(float(np.abs(image.astype(int) - painter.screen.show(planes(base))).sum()))
    assert 0 < changed[0] < 0.8 * changed[1], "beside it the mouth is driven half"


def test_what_fades_shines_through_without_its_detail(made: Library, painter: Painter) -> None:
    base = SHUT
    alone = painter.paint(base, planes(base), mouth(made, SHUT))
    both = painter.paint(base, planes(base), mouth(made, SHUT, fading=((OPEN, 0.4),)))
    x, y = made.points[base, [13, 14, 17], :2].mean(axis=0).astype(int)
    near = slice(y - 14, y + 14), slice(x - 18, x + 18)
    darker = alone[near].mean() - both[near].mean()
    full = alone[near].mean() - painter.paint(base, planes(base), Mouth(OPEN, made.fast[SHUT]))[near].mean()
    assert 0.2 * full < darker < 0.6 * full
    detail = [float(cv2.Laplacian(image[near], cv2.CV_32F).std()) for image in (alone, both)]
    assert detail[1] == pytest.approx(detail[0], rel=0.25)


@pytest.mark.parametrize("canvas", [Canvas(240, 240), Canvas(128, 128), Canvas(640, 360), Canvas(360, 640)])
def test_canvases_of_any_shape(made: Library, canvas: Canvas) -> None:
    painter = Painter(made, canvas)
    source = planes(SHUT)
    if painter.screen.take.width != SIZE[0]:
        small = np.ascontiguousarray(picture(SHUT)[::2, ::2])
        flat = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2YUV_I420), np.uint8)
        chroma = flat[240:].reshape(2, 120, 120)
        source = flat[:240], chroma[0], chroma[1]
    image = painter.paint(SHUT, source, mouth(made, OPEN))
    assert image.shape == (canvas.height, canvas.width, 3)
    points = shaped(made, SHUT, OPEN)
    points[:, :2] = painter.screen.to_canvas(points[:, :2])
    points[:, 2] *= painter.screen.scale
    assert view(image, points).opening() > 0.05


def test_a_face_at_the_edge_of_the_picture(made: Library) -> None:
    """Half of the mouth lies outside: no error, and what is inside is painted up to the last row."""
    moved = made.points.copy()
    moved[..., 1] += SIZE[1] - made.points[SHUT, 14, 1]
    corners = made.corners + np.array([0, round(SIZE[1] - float(made.points[SHUT, 14, 1]))])
    down = np.array([0.0, float(moved[0, 0, 1] - made.points[0, 0, 1]), 0.0])
    low = replace(made, points=moved, corners=corners, head=replace(made.head, shift=made.head.shift + down))
    grey = np.full((SIZE[1], SIZE[0]), 128, np.uint8), *(np.full((240, 240), 128, np.uint8) for _ in range(2))
    image = Painter(low, Canvas(*SIZE)).paint(SHUT, (grey[0], grey[1], grey[2]), mouth(low, OPEN))
    assert image.shape == (*SIZE[::-1], 3)
    assert np.abs(image[-1].astype(int) - 128).max() > 5


def test_a_source_is_as_soft_as_its_base(made: Library) -> None:
    soft = replace(made, skin=np.where(np.arange(N) == SHUT, -1.2, made.skin).astype(np.float32))
    images = [Painter(lib, Canvas(*SIZE)).paint(SHUT, planes(SHUT), mouth(lib, OPEN)) for lib in (made, soft)]
    x, y = made.points[SHUT, 14, :2].astype(int)
    detail = [float(cv2.Laplacian(i[y - 20 : y + 30, x - 30 : x + 30], cv2.CV_32F).std()) for i in images]
    assert detail[1] < 0.75 * detail[0]


# -- what it is made of


def test_a_spline_is_the_moves_at_its_points_and_a_plane_everywhere() -> None:
    chance = np.random.default_rng(0)
    target = chance.uniform(40, 200, (60, 2))
    plane = target @ np.array([[0.1, -0.2], [0.05, 0.3]]) + [3, -4]
    bumps = np.stack([4 * np.sin(target[:, 0] / 30), 3 * np.cos(target[:, 1] / 25)], axis=1)
    grain = Grain.of(110)
    box = Box.around(target, 20, grain)
    found = fields(target, np.hstack([plane, bumps]), box, grain)
    assert found.shape == ((box.size[1] // grain.step), (box.size[0] // grain.step), 4)
    rows, columns = np.mgrid[: found.shape[0], : found.shape[1]]
    nodes = np.stack([columns, rows], axis=-1) * grain.step + (grain.step - 1) / 2 + box.origin
    assert found[..., :2] == pytest.approx(nodes @ np.array([[0.1, -0.2], [0.05, 0.3]]) + [3, -4], abs=1e-2)
    size = box.size
    full = cv2.resize(found, size)
    there = full[(target[:, 1] - box.y0).round().astype(int), (target[:, 0] - box.x0).round().astype(int), 2:]
    assert np.abs(there - bumps).mean() < 0.25


def test_carrying_is_the_same_at_every_size() -> None:
    ramp = np.add.outer(np.arange(96), 2 * np.arange(96)).astype(np.uint8)
    image = np.dstack([ramp >> 1] * 3).astype(np.uint8)
    field = np.full((8, 8, 2), [6.0, 3.0], np.float32)
    fine = carried(image, field, (48, 48), cv2.INTER_LINEAR)
    assert np.array_equal(fine, image[3:51, 6:54])
    field = np.full((8, 8, 2), [6.0, 6.0], np.float32)
    small = np.asarray(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), np.uint8)
    coarse = carried(small, field, (48, 48), cv2.INTER_LINEAR, scale=3)
    assert np.array_equal(coarse, small[2:18, 2:18])
    assert window((48, 48), 6)[0].max() == 0
    assert window((48, 48), 6)[4, 4, 0] == 1


def test_a_membrane_knows_the_inside_from_its_edge() -> None:
    across, down = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 30))
    cover = np.clip(1.6 - 1.5 * np.hypot(across, down), 0, 1).astype(np.float32)
    light = np.dstack([10 * across, 5 * down, np.full_like(across, -8)]).astype(np.float32)
    inside = cover > 0.9
    found = spread(light + 30 * inside[..., None].astype(np.float32), ring(cover))
    assert np.abs(found - light)[inside].max() < 4, "what is inside does not count"
    assert np.abs(spread(1000 * light, ring(cover))).max() <= 40


@pytest.mark.parametrize("layout", list(Layout))
def test_masks_hold_the_lips_and_end_within_the_face(made: Library, layout: Layout) -> None:
    points = {i: made.points[OPEN, i, :2].astype(np.float64) for i in OUTLINE}
    grain = Grain.of(made.footage.track.eye)
    box = Box.around(np.array(list(points.values())), 30, grain)
    cover = mask(points, box, grain, layout)
    assert cover.shape == box.size[::-1]
    assert cover.min() == 0
    assert cover.max() <= 1

    def at(index: int) -> float:
        x, y = (made.points[OPEN, index, :2] - box.origin).round().astype(int)
        return float(cover[y, x])

    assert min(at(i) for i in (0, 13, 14, 17, 37, 267, 84, 314)) > 0.7
    assert max(at(i) for i in (152, 58, 288, 1)) < 0.2
    assert max(cover[0].max(), cover[-1].max(), cover[:, 0].max(), cover[:, -1].max()) == 0


def test_crops_are_the_films_pixels_and_only_the_last_ones_are_kept(
    made: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = Crops(made, 1.0)
    x, y = made.corners[SHUT]
    crop = crops[SHUT]
    height, width = crop.rgb.shape[:2]
    assert np.abs(crop.rgb.astype(int) - picture(SHUT)[y : y + height, x : x + width]).mean() < 2
    assert crop.place(np.array([x + 5.0, y + 7.0])) == pytest.approx([5, 7])
    half = Crops(made, 0.5)[SHUT]
    assert half.place(np.array([x - 0.5, y - 0.5])) == pytest.approx([-0.5, -0.5])
    assert half.rgb.shape[1] == pytest.approx(width / 2, abs=1)
    assert crops[SHUT] is crop
    monkeypatch.setattr("vivavoce.engines.person.crops._KEPT", 3 * crop.rgb.nbytes / 1e6)
    for number in range(SHUT + 1, SHUT + 6):
        crops[number].coarse(4)
    assert crops[SHUT] is not crop


# -- what each frame's mouth is


def test_runs_join_softly_and_shut_lips_stay_shut(made: Library) -> None:
    bases = np.arange(12)
    units = np.array([SHUT] * 4 + [OPEN, OPEN + 1, OPEN + 2, OPEN + 3] + [SHUT] * 4)
    assert joins(units).tolist() == [False, True, True, True, True, False, False, False, True, True, True, True]
    found = list(mouths(made, bases, units))
    assert [f.unit for f in found] == units.tolist()
    for f in found:
        assert sum(share for _, share in f.fading) < 0.5
        for other, _ in f.fading:
            assert (made.opening[f.unit] < 0.01) == (made.opening[other] < 0.01), "open lips do not shine through shut"
    gap = [float(f.fast[14, 1] - f.fast[13, 1]) for f in found]
    own = [float(made.fast[u, 14, 1] - made.fast[u, 13, 1]) for u in units]
    assert np.abs(np.diff(gap)).max() < np.abs(np.diff(own)).max(), "the shape jumps less than the pictures do"
    more = np.zeros((12, 468, 3), np.float32)
    more[:, 14, 1] = 0.03
    wider = [float(f.fast[14, 1]) for f in mouths(made, bases, units, more)]
    assert np.array(wider) == pytest.approx([float(f.fast[14, 1]) + 0.03 for f in found], abs=1e-4)


def test_long_films_are_made_in_blocks_that_do_not_show(made: Library) -> None:
    chance = np.random.default_rng(1)
    units = chance.choice(np.flatnonzero(made.usable), 600)
    bases = np.zeros(600, np.intp)
    whole = [m.fast for m in mouths(made, bases, units)]
    part = [m.fast for m in mouths(made, bases[200:320], units[200:320])]
    assert np.stack(part[4:-4]) == pytest.approx(np.stack(whole[204:316]), abs=1e-6)


def test_a_grin_is_made_sober(made: Library) -> None:
    slow = made.slow.copy()
    slow[10, 14, 1] += 0.1
    slow[10, [87, 317], 1] += 0.1
    grinning = replace(made, slow=slow)
    calm = sober(grinning, np.array([9, 10]))
    assert np.array_equal(calm[0], slow[9])
    assert float(calm[1, 14, 1] - calm[1, 13, 1]) < 0.02


def test_the_nose_does_not_speak(made: Library) -> None:
    share = lower_share(made)
    assert share[[4, 33, 263, 10]].max() < 0.01
    assert share[[0, 14, 17, 61, 152]].min() > 0.75
    assert len(CONTROLS) == 131


def test_what_moves_a_picture_does_not_depend_on_those_beside_it() -> None:
    rng = np.random.default_rng(0)
    target, moves = rng.uniform(0, 300, (131, 2)), rng.normal(0, 5, (131, 8))
    box, grain = Box(0, 0, 312, 228), Grain.of(165)
    assert np.array_equal(fields(target, moves[:, :4], box, grain), fields(target, moves, box, grain)[..., :4])
