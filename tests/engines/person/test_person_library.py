"""What a library is made of, kept and judged by: on faces that are known to the pixel."""

import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from heads import FPS, LOWER_LIP, N, face, library, spoken, windows
from vivavoce.engines.person import store
from vivavoce.engines.person.curves import correlation, gaussian, lowest, stretches
from vivavoce.engines.person.learn import restricted
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import crop_of, packed, unpacked, view
from vivavoce.engines.person.measures import psnr, similarity, ssim, timing
from vivavoce.engines.person.pose import features_of, gap_of, heads, slow_part
from vivavoce.engines.person.verdict import verdict
from vivavoce.engines.person.voice import predicted
from vivavoce.errors import NotFound
from vivavoce.face import mesh as m

F32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def made() -> Library:
    return library()


def test_smoothing_keeps_what_is_even_and_ends_where_a_stretch_ends() -> None:
    even = np.full((30, 2), 7.0, np.float32)
    assert gaussian(even, 3.0) == pytest.approx(even)
    assert list(stretches(np.array([0, 0, -1, 2, 2, 2, 3]))) == [(0, 2), (3, 6), (6, 7)]
    assert lowest(np.array([5.0, 1, 5, 5, 5, 9], np.float32), 0.0, 3).tolist() == [1, 1, 1, 5, 5, 5]


def test_a_nod_is_no_speech_and_a_grin_is_no_opening() -> None:
    opens = spoken()
    grin = np.clip((np.arange(N) - 100) / 20, 0, 1).astype(np.float32)
    points = face(opens, grin)
    head = heads(points, np.ones(N, bool), np.zeros(N, np.intp))
    back = head.posed(head.shape)
    assert back == pytest.approx(points, abs=0.05)
    still = head.shape[:, [33, 263, 1, 10]]
    assert np.abs(still - still.mean(axis=0)).max() < 0.01, "the head's own motion is taken out"
    slow = slow_part(head.shape, np.zeros(N, np.intp), FPS)
    fast = gap_of(head.shape) - gap_of(slow)
    assert correlation(fast, opens) > 0.95
    before, during = fast[20:90][opens[20:90] == 0], fast[140:220][opens[140:220] == 0]
    assert abs(np.median(during) - np.median(before)) < 0.01, "a grin that stays is no part of speech"
    assert gap_of(slow)[180] - gap_of(slow)[50] > 0.03


def test_a_stretch_does_not_hear_of_the_one_before() -> None:
    opens = spoken()
    shape = heads(face(opens), np.ones(N, bool), np.zeros(N, np.intp)).shape.copy()
    shape[120:, list(LOWER_LIP), 1] += 0.2
    parts = (np.arange(N) >= 120).astype(np.intp)
    slow = gap_of(slow_part(shape, parts, FPS))
    assert slow[121] - slow[118] == pytest.approx(0.2, abs=0.03)


def test_features_are_those_of_the_face(made: Library) -> None:
    features = features_of(made.head.shape, made.slow)
    assert features[:, 0] == pytest.approx(gap_of(made.head.shape))
    assert correlation(features[:, 3], spoken()) > 0.9, "the lower lip"
    assert np.abs(features[:, 4]).max() < 0.01, "the upper lip does not move"


def test_the_voice_is_learnt_and_told_how_far_to_trust_it(made: Library) -> None:
    assert made.voice is not None
    assert made.voice.sure > 0.7
    opens = gap_of(made.head.shape) - gap_of(made.slow)
    half = library(fit=np.arange(N) < 160)
    assert half.voice is not None
    guess = (predicted(half.voice, windows(spoken()))[160:] @ half.basis + half.centre).reshape(80, -1, 2)
    assert correlation(guess[:, 35, 1] - guess[:, 25, 1], opens[160:]) > 0.7
    deaf = library()
    noise = np.random.default_rng(0).normal(size=(N, 180)).astype(np.float32)
    assert deaf.voice is not None
    parts = restricted(replace(deaf, voice=replace(deaf.voice, windows=noise)), np.ones(N, bool))
    assert parts.voice is not None
    assert abs(parts.voice.sure) < 0.35


def test_what_is_held_out_teaches_nothing(made: Library) -> None:
    known = np.arange(N) < 200
    one = restricted(made, known)
    assert not one.usable[200:].any()
    assert (one.run[200:] == -1).all()
    assert len(one) == N
    changed = replace(made, points=made.points.copy(), opening=made.opening.copy())
    changed.points[200:, list(LOWER_LIP), 1] += 30
    changed.opening[200:] = 1.0
    other = restricted(changed, known)
    for name in ("basis", "centre"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-5), name
    assert other.slow[:200] == pytest.approx(one.slow[:200], abs=1e-5)
    assert one.voice is not None
    assert other.voice is not None
    assert other.voice.alpha == pytest.approx(one.voice.alpha, abs=1e-4)


def same(a: Library, b: Library) -> None:
    near = {"points": 0.02, "slow": 1e-3, "features": 1e-6}
    for field in fields(Library):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            assert other == pytest.approx(one, abs=near.get(field.name, 1e-6)), field.name
            assert other.dtype == one.dtype, field.name
    assert b.head.shape == pytest.approx(a.head.shape, abs=1e-3)
    assert b.crops == a.crops
    assert b.stretches == a.stretches
    assert b.report == a.report


def test_a_library_comes_back_as_it_was(made: Library, tmp_path: Path) -> None:
    told = replace(made, stretches=((0, 120), (130, 240)), report=verdict(made, 9.0, 9.6))
    store.save(told, tmp_path, {"name": "anna"})
    back = store.load(tmp_path)
    same(told, back)
    assert back.voice is not None
    assert made.voice is not None
    assert back.voice.sure == made.voice.sure
    assert store.about(tmp_path)["name"] == "anna"
    store.save(replace(told, voice=None), tmp_path, {})
    assert store.load(tmp_path).voice is None


@pytest.mark.parametrize("broken", ["person.npz", "person.jpegs", "avatar.npz", "avatar.json"])
@pytest.mark.parametrize("how", ["missing", "cut", "noise"])
def test_a_damaged_library_is_not_found(made: Library, tmp_path: Path, broken: str, how: str) -> None:
    store.save(made, tmp_path, {})
    path = tmp_path / broken
    data = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    if how == "noise" and broken == "person.jpegs":
        pytest.skip("a picture of noise is seen when it is painted")
    if how == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(len(data)))
    with pytest.raises(NotFound, match=r"add its video again\.$"):
        store.load(tmp_path)


def test_another_version_says_what_to_do(made: Library, tmp_path: Path) -> None:
    store.save(made, tmp_path, {})
    facts = json.loads((tmp_path / "avatar.json").read_text())
    for version, advice in ((0, "add its video again"), (99, "update the program")):
        (tmp_path / "avatar.json").write_text(json.dumps({**facts, "version": version}))
        with pytest.raises(NotFound, match=advice):
            store.load(tmp_path)


def mouth(gap: int, inside: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint8], F32]:
    """A face of skin with red lips, ``gap`` pixels apart, and what lies between; and its landmarks."""
    points = face(np.array([gap / 10], np.float32))[0]
    rgb = np.full((400, 320, 3), (200, 150, 130), np.uint8)

    def fill(upper: tuple[int, ...], lower: tuple[int, ...], colour: tuple[int, int, int]) -> None:
        ring = np.vstack([points[list(upper), :2], points[list(lower), :2][::-1]])
        cv2.fillPoly(rgb, [np.round(ring).astype(np.int32)], colour)

    fill(m.OUTER_UPPER, m.OUTER_LOWER, (170, 80, 80))
    if gap:
        fill(m.INNER_UPPER, m.INNER_LOWER, inside)
    return rgb, points


@pytest.mark.parametrize("inside", [(30, 15, 15), (220, 210, 190)], ids=["dark", "teeth"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_pixels_tell_a_shut_mouth(inside: tuple[int, int, int], scale: float) -> None:
    found = []
    for gap in (0, 6, 14):
        rgb, points = mouth(gap, inside)
        rgb = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8)
        found.append(view(rgb, points * scale).opening())
    assert found[0] < 0.01
    assert 0.03 < found[1] < found[2]


def test_blur_is_seen_in_skin_and_lips() -> None:
    rgb, points = mouth(6, (30, 15, 15))
    rgb = np.clip(rgb + np.random.default_rng(0).normal(0, 12, rgb.shape), 0, 255).astype(np.uint8)
    sharp = view(rgb, points).sharpness()
    soft = view(np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2.5), np.uint8), points).sharpness()
    assert soft[0] < sharp[0] - 0.45
    assert soft[1] < sharp[1] - 0.45


def test_a_crop_holds_the_lower_face_and_fits_its_budget() -> None:
    rgb, points = mouth(6, (30, 15, 15))
    box = crop_of(points, (320, 400))
    assert box is not None
    x0, y0, x1, y1 = box
    chin = points[m.CHIN]
    assert x0 < chin[0] < x1
    assert y0 < points[2, 1] < chin[1] < y1
    noisy = np.random.default_rng(0).integers(0, 255, (y1 - y0, x1 - x0, 3), np.uint8)
    sizes, quality = [], 92
    for _ in range(12):
        data, quality = packed(noisy, 12_000, quality)
        sizes.append(len(data))
    assert sizes[-1] < sizes[0]
    assert unpacked(packed(rgb, 1e6)[0]).shape == rgb.shape
    with pytest.raises(ValueError, match="no picture"):
        unpacked(b"no jpeg")
    assert crop_of(points + np.array([5000, 0, 0], np.float32), (320, 400)) is None


def test_measures_say_what_they_should() -> None:
    chance = np.random.default_rng(0)
    a = np.asarray(cv2.GaussianBlur(chance.integers(0, 255, (60, 80), np.uint8), (0, 0), 2), np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, np.asarray(cv2.GaussianBlur(a, (0, 0), 4), np.uint8)) < 0.8
    assert psnr(a, a + np.uint8(10)) == pytest.approx(20 * np.log10(255 / 10), abs=0.5)
    curve = np.sin(np.arange(60) / 3)
    assert timing(np.roll(curve, 2), curve)[1] == 2, "two frames late"
    turn = similarity(np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[5.0, 5], [5, 7], [3, 5]]))
    assert turn @ np.array([1, 1, 1]) == pytest.approx([3, 7])
