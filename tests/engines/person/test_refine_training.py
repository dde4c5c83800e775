"""The refinement's training: what it learns from, that it ends alike however often it was ended, and its own rule."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carried import SIZE, avatar, person
from vivavoce.engines.person import store
from vivavoce.engines.person.engine import PersonFace
from vivavoce.engines.person.evaluate import OWN, TRUE, Bench
from vivavoce.engines.person.inner import APART, CHANNELS, FILE, HEIGHT, REACH, WIDTH, Close, partners_of
from vivavoce.engines.person.learn import restricted
from vivavoce.engines.person.paint import Painter
from vivavoce.engines.person.refine.judge import Figures, judged, objections
from vivavoce.engines.person.refine.pairs import MARGIN, Pairs, _thinned, held_back, make_pairs, taught
from vivavoce.engines.person.voice import GUARD
from vivavoce.errors import Cancelled
from vivavoce.face.locate import FaceLocator
from vivavoce.models import ModelStore
from vivavoce.nouns import Canvas, Lesson
from vivavoce.testing import sample_speech


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return avatar(tmp_path_factory.mktemp("people") / "david").path


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """An avatar of the test's own."""
    return Path(shutil.copytree(folder, tmp_path / "david"))


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Pairs:
    library = store.load(folder)
    known = taught(len(library), held_back(len(library)))
    return make_pairs(folder, restricted(library, known), np.flatnonzero(known & library.usable)[:24])


def figures(**more: Any) -> Figures:
    usual = Figures(inner=18.0, mouth=24.0, sharp=1.0, inner_sharp=1.0, flicker=(1.1, 1.2), opening=0.95)
    return replace(usual, **more)


BETTER = figures(inner=19.0, mouth=24.3)


# -- what it learns from


def test_a_tenth_is_held_back_with_pictures_beside_it() -> None:
    for count in (150, 456, 1500):
        parts = held_back(count)
        assert sum(len(part) for part in parts) == pytest.approx(count / 10, abs=2)
        known = taught(count, parts)
        for part in parts:
            assert (np.diff(part) == 1).all()
            assert not known[part[0] - GUARD : part[-1] + 1 + GUARD].any()
        assert known.sum() == pytest.approx(0.9 * count - 4 * GUARD, abs=3)
        assert max(part[-1] for part in parts) < count * 10 / 11, "what evaluate holds out decides nothing"


def test_pairs_are_painted_from_other_moments_and_lie_on_the_filmed_mouth(pairs: Pairs) -> None:
    height, width = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    assert pairs.filmed.shape == (len(pairs), height, width, 3)
    assert pairs.painted.shape == pairs.second.shape == (len(pairs), 4, height, width, 3)
    seen, filmed = pairs.seen(3, 2)
    assert seen.shape == (CHANNELS, height, width)
    assert filmed.shape == (3, height, width)
    assert seen.min() >= -1
    assert seen.max() <= 2
    error = np.abs(pairs.painted[:, 0].astype(float) - pairs.filmed).mean()
    other = np.abs(np.roll(pairs.painted[:, 0], 7, axis=0).astype(float) - pairs.filmed).mean()
    assert 0 < error < 0.7 * other
    for i in range(len(pairs)):  # the carried mouth is dark between the lips where they are apart
        assert (pairs.inside[i] > 128).sum() > 20
        assert pairs.lips[i][pairs.inside[i] > 250].min() > 100


def test_pairs_are_kept_as_they_are(pairs: Pairs, tmp_path: Path) -> None:
    pairs.save(tmp_path / "pairs.npz")
    again = Pairs.load(tmp_path / "pairs.npz")
    assert all(np.array_equal(getattr(again, name), getattr(pairs, name)) for name in Pairs.__slots__)
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.npz"]


def test_of_a_long_film_neighbours_from_all_over_it_are_painted() -> None:
    assert np.array_equal(_thinned(np.arange(600)), np.arange(600))
    some = _thinned(np.arange(1500))
    assert 450 <= len(some) <= 600
    assert some[0] < 10
    assert some[-1] > 1490
    assert (np.diff(some)[::2] == 1).all()


def test_a_film_without_other_moments_teaches_nothing(folder: Path) -> None:
    library = store.load(folder)
    moment = replace(library, usable=library.usable & (np.arange(len(library)) < 10))
    with pytest.raises(ValueError, match="hardly any"):
        make_pairs(folder, moment)


def test_no_pair_shows_what_is_held_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = store.load(folder)
    parts = held_back(len(library))
    known = taught(len(library), parts)
    used: set[int] = set()
    close_up = Painter.close_up

    def noted(painter: Painter, number: int, planes: Any, mouth: Any, partner: int, *more: Any) -> Any:
        used.update([number, mouth.unit, partner, *(unit for unit, _ in mouth.fading)])
        assert abs(mouth.unit - number) > APART * 25
        assert abs(partner - number) > APART * 25
        assert abs(partner - mouth.unit) > APART * 25
        return close_up(painter, number, planes, mouth, partner, *more)

    monkeypatch.setattr(Painter, "close_up", noted)
    make_pairs(folder, restricted(library, known), np.flatnonzero(known & library.usable)[::9])
    assert used
    assert known[list(used)].all()


# -- the rule


def test_it_is_used_where_it_is_better_and_nothing_is_worse() -> None:
    assert objections({TRUE: figures(), OWN: figures()}, {TRUE: BETTER, OWN: BETTER}) == ()
    assert objections({TRUE: figures()}, {TRUE: BETTER}) == ()


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"inner": 17.9}, "inside of the mouth"),
        ({"mouth": 23.9}, "no nearer"),
        ({"sharp": 0.89}, "blurs"),
        ({"inner_sharp": 0.89}, "blurs"),
        ({"flicker": (1.12, 1.2)}, "flickers"),
        ({"flicker": (1.1, 1.3)}, "flickers"),
        ({"opening": 0.944}, "in time"),
    ],
)
@pytest.mark.parametrize("row", [TRUE, OWN])
def test_one_thing_that_is_worse_speaks_against_it(row: str, worse: dict[str, Any], words: str) -> None:
    after = {TRUE: BETTER, OWN: BETTER} | {row: replace(BETTER, **worse)}
    found = objections({TRUE: figures(), OWN: figures()}, after)
    assert len(found) == 1
    assert words in found[0]


def test_a_library_that_is_soft_itself_excuses_nothing() -> None:
    soft = figures(sharp=0.84, inner_sharp=0.84)
    assert objections({TRUE: soft}, {TRUE: replace(BETTER, inner_sharp=0.89)})
    assert objections({TRUE: soft}, {TRUE: replace(BETTER, sharp=0.89)})
    assert objections({TRUE: soft}, {TRUE: BETTER}) == ()


def test_what_changes_nothing_is_not_used() -> None:
    assert objections({TRUE: figures()}, {TRUE: figures()})


# -- learning


@pytest.mark.neural
def test_it_begins_with_nothing(pairs: Pairs) -> None:
    pytest.importorskip("torch")
    from vivavoce.engines.person.refine.lessons import School

    seen = np.stack([pairs.seen(i, 0)[0][:, MARGIN:-MARGIN, MARGIN:-MARGIN] for i in range(4)])
    assert School().refined(seen) == pytest.approx(seen[:, :3], abs=1e-5)


@pytest.mark.neural
@pytest.mark.slow
def test_a_film_of_a_new_net_is_the_librarys(own: Path, folder: Path) -> None:
    pytest.importorskip("torch")
    from vivavoce.engines.person.refine.lessons import School

    (own / FILE).write_bytes(School().exported())
    speech, engine = sample_speech(0.8), PersonFace(offline=True)
    plain, refined = (
        np.stack([f.image for f in engine.animate(_avatar(at), speech, canvas=Canvas(*SIZE))]) for at in (folder, own)
    )
    assert np.abs(refined.astype(int) - plain).max() <= 1


def _avatar(folder: Path) -> Any:
    from vivavoce.nouns import Avatar

    return Avatar(folder.name, folder, "person")


@pytest.mark.neural
@pytest.mark.slow
def test_it_learns_and_the_net_that_is_exported_says_the_same(pairs: Pairs, folder: Path) -> None:
    pytest.importorskip("torch")
    from vivavoce.engines.person.inner import Inner
    from vivavoce.engines.person.refine.lessons import School

    school = School()
    losses = [school.learn(pairs) for _ in range(6)]
    assert losses[-1] < losses[0]
    rows = [pairs.seen(i, 0) for i in range(len(pairs))]
    seen, filmed = (np.stack([r[k][:, MARGIN:-MARGIN, MARGIN:-MARGIN] for r in rows]) for k in (0, 1))
    inside = seen[:, 6:7]
    made = school.refined(seen)
    before, after = ((inside * (a - filmed) ** 2).sum() for a in (seen[:, :3], made))
    assert after < before
    inner = Inner(school.exported(), partners_of(store.load(folder)))
    flat = np.eye(2, 3)
    for i in range(3):  # what onnxruntime and OpenCV make of it is what torch does
        view = np.round(255 * np.clip(seen[i, :3], 0, 1)).astype(np.uint8).transpose(1, 2, 0).copy()
        second = np.round(255 * np.clip(seen[i, 3:6], 0, 1)).astype(np.uint8).transpose(1, 2, 0)
        inner.refine(view, Close(flat, second, seen[i, 6], seen[i, 7], seen[i, 8:].transpose(1, 2, 0) * REACH))
        assert np.abs(view / 255 - np.clip(made[i].transpose(1, 2, 0), 0, 1)).mean() < 0.004


@pytest.mark.neural
@pytest.mark.slow
def test_interrupted_it_comes_to_the_same_end(own: Path, tmp_path: Path, locator: FaceLocator) -> None:
    pytest.importorskip("torch")
    from vivavoce.engines.person.refine.refinement import refine

    models = ModelStore()
    losses: list[list[float]] = []
    found: list[dict[str, Any]] = []
    for name, stops in (("once", ()), ("often", (1, 2, 4))):
        told: list[Lesson] = []
        for stop in (*stops, None):

            def tell(lesson: Lesson, told: list[Lesson] = told, stop: int | None = stop) -> None:
                told.append(lesson)
                if lesson.epoch and lesson.epoch == stop:
                    raise Cancelled("enough")

            try:
                refine(own, tmp_path / name, models, epochs=5, options={"batch": 4}, tell=tell)
            except Cancelled:
                assert not (own / FILE).exists()
        epochs = [lesson.epoch for lesson in told if lesson.epoch]
        assert epochs == [1, 2, 3, 4, 5], "none is learnt twice"
        assert all(lesson.preview[:2] == b"\xff\xd8" for lesson in told if lesson.epoch)
        losses.append([lesson.loss or 0.0 for lesson in told if lesson.epoch])
        facts = json.loads((own / "avatar.json").read_text(encoding="utf-8"))["person"]["refinement"]
        assert facts["epochs"] == 5
        assert facts["used"] == (own / FILE).exists() == (not facts["against"])
        (own / FILE).unlink(missing_ok=True)
        found.append(facts)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for side in ("before", "after"):
        for key in ("inner_psnr", "mouth_psnr", "sharpness"):
            assert found[0][side][TRUE][key] == pytest.approx(found[1][side][TRUE][key], abs=0.02)


@pytest.mark.neural
@pytest.mark.slow
def test_fewer_epochs_than_were_learnt_simply_end(own: Path, tmp_path: Path, locator: FaceLocator) -> None:
    """As when the time was over: what was learnt by then is judged."""
    pytest.importorskip("torch")
    from vivavoce.engines.person.refine.refinement import refine

    options: dict[str, float | str] = {"batch": 4}
    refine(own, tmp_path / "work", ModelStore(), epochs=2, options=options, tell=lambda _: None)
    told: list[Lesson] = []
    refine(own, tmp_path / "work", ModelStore(), epochs=1, options=options, tell=told.append)
    assert not any(lesson.epoch for lesson in told)
    assert told[-1].fraction == 1.0
    state = next((tmp_path / "work").rglob("*.pt"))
    state.write_bytes(state.read_bytes()[:1000])
    refine(own, tmp_path / "work", ModelStore(), epochs=1, options=options, tell=told.append)
    assert [lesson.epoch for lesson in told if lesson.epoch] == [1], "what cannot be read is learnt anew"


@pytest.mark.neural
@pytest.mark.slow
def test_a_net_that_spoils_the_mouth_is_found_out(own: Path, locator: FaceLocator) -> None:
    from test_refine_inner import net

    with Bench(own, person(), locator) as bench:
        verdict = judged(bench, net(90))
    assert any("inside of the mouth" in words for words in verdict.against)
    assert verdict.after[TRUE].inner < verdict.before[TRUE].inner - 1
