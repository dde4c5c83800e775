"""A face followed through a film: what the smoothing keeps, and where the head is."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.photo import bundle
from vivavoce.face.footage import Footage, Take, load, quiet_span, save, swing
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.rest import calm, resting
from vivavoce.face.track import RIGID, Track, canonical, smoothed, track

ANNA = bundle.load(Path(bundle.__file__).parents[2] / "artwork" / "avatars" / "anna").mesh.points
EYE = float(np.linalg.norm(ANNA[263, :2] - ANNA[33, :2]))
LIPS = [13, 14, 82, 87, 312, 317, 17, 18, 200, 199, 175, 152]


def filmed(n: int, *, noise: float = 0.0, speaks: bool = False) -> tuple[Track, npt.NDArray[np.float64]]:
    """A head that turns slowly from side to side, and its yaw in radians."""
    rng = np.random.default_rng(1)
    yaw = 0.25 * np.sin(np.linspace(0, 2 * np.pi, n))
    centre = ANNA.mean(axis=0)
    meshes: list[FaceMesh | None] = []
    for k, angle in enumerate(yaw):
        face = ANNA - centre
        if speaks:
            face = face.copy()
            face[[14, 87, 317, 17, 18, 200, 199, 175, 152], 1] += 0.08 * EYE * (1 + np.sin(k * 1.1)) * (k % 20 < 14)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        points = face @ turn.T + centre + [k * 0.2, 0, 0] + rng.normal(0, noise, face.shape)
        meshes.append(FaceMesh(points.astype(np.float32)))
    return track(meshes), yaw


def test_smoothing_removes_tremble_and_keeps_the_motion() -> None:
    clean, _ = filmed(100)
    shaky, _ = filmed(100, noise=0.01 * EYE)
    steady = smoothed(shaky)

    def off(other: Track) -> float:
        return float(np.abs(other.points - clean.points)[..., :2].mean())

    assert off(steady) < 0.6 * off(shaky)
    assert np.abs(smoothed(clean).points - clean.points)[..., :2].max() < 0.02 * EYE


def test_a_cut_is_not_smoothed_over() -> None:
    clean, _ = filmed(40)
    points = clean.points.copy()
    points[20:, :, 0] += 3 * EYE
    cut = smoothed(Track(points, clean.seen, clean.confidence))
    assert np.abs(cut.points[19] - points[19]).max() < 0.05 * EYE
    assert np.abs(cut.points[20] - points[20]).max() < 0.05 * EYE


def test_the_heads_turn_is_parted_from_the_face() -> None:
    followed, yaw = filmed(80)
    heads = canonical(followed)
    found = heads.angles[:, 0]
    assert abs(np.corrcoef(found, yaw)[0, 1]) > 0.999
    assert np.abs(np.abs(found - found[0]) - np.abs(yaw - yaw[0])).max() < 0.01
    assert np.abs(heads.shape - heads.shape[0])[:, list(RIGID)].max() < 0.01, "the same face in every picture"
    assert np.abs(heads.posed(heads.shape) - followed.points).max() < 0.05


def test_a_speaking_mouth_is_brought_to_rest() -> None:
    silent, _ = filmed(80)
    speaking, _ = filmed(80, speaks=True)
    shut = int(calm(speaking).argmax())
    rest = resting(speaking, canonical(speaking), shut)
    wrong = np.abs(speaking.points[:, LIPS, :2] - silent.points[:, LIPS, :2]).max()
    assert wrong > 0.1 * EYE
    assert np.abs(rest[:, LIPS] - silent.points[:, LIPS, :2]).max() < 0.03 * EYE
    eyes = [33, 133, 263, 362, 70, 300]
    assert (rest[:, eyes] == speaking.points[:, eyes, :2]).all()


def test_pictures_without_a_face_take_the_nearest_ones_place() -> None:
    mesh = FaceMesh(ANNA)
    gone = track([None, mesh, None, FaceMesh(ANNA + 5)])
    assert list(gone.seen) == [False, True, False, True]
    assert (gone.points[0] == ANNA).all()
    assert list(gone.confidence) == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="no face"):
        track([None, None])


def test_swing_goes_forth_and_back_without_a_jump() -> None:
    numbers = swing(50, np.arange(400))
    assert numbers.min() == 0
    assert numbers.max() == 49
    assert np.abs(np.diff(numbers)).max() <= 1
    assert (np.bincount(numbers, minlength=50) > 0).all(), "every picture is shown"
    later = swing(50, np.arange(123, 200))
    assert (later == numbers[123:200]).all()
    loop = swing(40, np.arange(90) / 90, periodic=True)
    assert abs(int(loop[-1]) - int(loop[0])) <= 1
    assert list(swing(1, np.arange(3))) == [0, 0, 0]
    assert swing(2, np.arange(9)).max() == 1


def test_footage_is_kept_and_a_quiet_span_found(tmp_path: Path) -> None:
    followed, _ = filmed(60)
    footage = Footage(
        fps=Fraction(30000, 1001),
        takes=(Take("idle.mp4", 1080, 1920), Take("idle-360.mp4", 360, 640)),
        first=3,
        last=57,
        track=followed,
        rest=followed.points[..., :2],
        weight=np.ones(60, np.float32),
        light=np.full((60, 24, 24, 3), 2.5, np.float32),
        blur=np.zeros(60, np.float32),
        teeth=None,
        reference=np.full((40, 30, 3), 7, np.uint8),
        origin=(5, 6),
        number=9,
    )
    save(footage, tmp_path)
    again = load(tmp_path)
    assert again.fps == footage.fps
    assert again.takes == footage.takes
    assert (again.track.points == followed.points).all()
    assert (again.reference == 7).all()
    assert (again.light == 2.5).all()
    assert np.allclose(again.mesh.points[:, :2], followed.points[9, :, :2] - [5, 6])
    first, length = quiet_span(again, 60)
    assert first >= 3
    assert first + length <= 57
