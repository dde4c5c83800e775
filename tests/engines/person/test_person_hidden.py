"""What is before a mouth is seen by its colours, and light that changes is not taken for it."""

import numpy as np
import numpy.typing as npt
import pytest

from heads import N, face, spoken
from vivavoce.engines.person.hidden import AREAS, hidden
from vivavoce.engines.person.look import View

F32 = npt.NDArray[np.float32]
COVERED = np.arange(100, 118)
SEEN, UNCUT = np.ones(N, bool), np.zeros(N, bool)


def flesh(seed: int = 0) -> F32:
    """Colours of a mouth that speaks: they follow its opening, and tremble."""
    chance = np.random.default_rng(seed)
    usual, opened = chance.normal(0, 0.3, (40, 3)), chance.normal(0, 0.2, (40, 3))
    return (usual + spoken()[:, None, None] * opened + chance.normal(0, 0.03, (N, 40, 3))).astype(np.float32)


def covered(areas: tuple[int, ...]) -> F32:
    shown = flesh()
    for area in areas:
        shown[np.ix_(COVERED, np.array(AREAS[area]))] = [0.1, -0.2, -0.9]
    return shown


def test_areas_hold_every_place_once() -> None:
    assert sorted(place for area in AREAS for place in area) == list(range(40))
    view = View(np.full((224, 224, 3), (200, 150, 120), np.uint8), face(spoken())[0, :, :2])
    assert view.flesh().shape == (40, 3)
    assert view.flesh() == pytest.approx(0, abs=0.01), "one colour is the light's"


@pytest.mark.parametrize("areas", [(0, 1, 2, 3, 4, 5), (3, 4, 5, 6, 7, 8)], ids=["lips", "below"])
def test_what_covers_the_mouth_is_found(areas: tuple[int, ...]) -> None:
    found = np.flatnonzero(hidden(covered(areas), face(spoken()), SEEN, UNCUT))
    assert set(COVERED[1:-1]) <= set(found) <= set(range(COVERED[0] - 1, COVERED[-1] + 2))


def test_what_is_not_seen_is_not_judged() -> None:
    gone = SEEN.copy()
    gone[COVERED] = False
    assert not hidden(covered((0, 1, 2, 3, 4, 5)), face(spoken()), gone, UNCUT).any()


def test_clean_films_are_left_alone() -> None:
    for seed in range(5):
        assert not hidden(flesh(seed), face(spoken()), SEEN, UNCUT).any()


def test_another_scene_is_judged_by_itself() -> None:
    """Shorter than half of the film, so it would be what is strange."""
    other = flesh()
    other[150:] += np.random.default_rng(9).normal(0, 0.5, (40, 3)).astype(np.float32)
    cut = UNCUT.copy()
    cut[150] = True
    assert not hidden(other, face(spoken()), SEEN, cut).any()
    assert not hidden(other, face(spoken()), SEEN, UNCUT).any(), "the light has changed: too many to be a hand"
