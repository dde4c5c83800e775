"""What a training keeps over its attempts, and how it is told: without a server, with a clock of the test's own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vivavoce.errors import Cancelled, InvalidInput
from vivavoce.nouns import Avatar, FaceTraits, Frame, Lesson
from vivavoce.ports import Tell
from vivavoce.studio.parameters import (
    OPTIONS,
    checked_options,
    consent_note,
    default_trainer,
    options_of,
    quality_of,
    read_options,
)
from vivavoce.studio.thread import events_of
from vivavoce.studio.training import Course, _taught
from vivavoce.work.events import Done


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def lesson(epoch: int, of: int = 10, *, loss: float | None = None, preview: bytes = b"") -> Lesson:
    return Lesson(epoch / of, "refine", epoch, of, loss, preview)


def test_time_and_losses_go_on_from_attempt_to_attempt(tmp_path: Path) -> None:
    clock = Clock()
    first = Course(tmp_path, clock=clock)
    for epoch in (1, 2, 3):
        clock.now += 10
        first.hear(lesson(epoch, loss=1 / epoch), lambda *_: None)
    clock.now += 5  # and it is killed: what was heard last had been written down
    second = Course(tmp_path, clock=clock)
    assert second.seconds == pytest.approx(30)
    assert second.losses == [[1, 1.0], [2, 0.5], [3, 0.333333]]
    clock.now += 10
    second.hear(lesson(3, loss=0.25), lambda *_: None)
    assert second.losses[-1] == [3, 0.25], "an epoch that is learnt again counts once"
    assert second.seconds == pytest.approx(40)


def test_a_damaged_note_begins_anew(tmp_path: Path) -> None:
    Course(tmp_path).save()
    (tmp_path / "course.json").write_text("[1, ")
    assert Course(tmp_path).losses == []


def test_what_remains_is_told_by_the_pace_of_the_last_minute(tmp_path: Path) -> None:
    clock, told = Clock(), []
    course = Course(tmp_path, clock=clock)
    for epoch in range(1, 51):
        clock.now += 2 if epoch <= 10 else 4
        course.hear(lesson(epoch, 100), lambda _, left: told.append(left))
    assert told[0] is None
    assert told[9] == pytest.approx(90 * 2, rel=0.05)
    assert told[-1] == pytest.approx(50 * 4, rel=0.05)


def test_until_there_are_epochs_what_remains_is_what_was_said(tmp_path: Path) -> None:
    clock, told = Clock(), []
    course = Course(tmp_path, expected=3600.0, clock=clock)
    for n in range(30):  # the film is watched in half a minute, which is 3 % of all
        clock.now += 1
        course.hear(Lesson(n / 1000, "track"), lambda _, left: told.append(left))
    assert told[0] == pytest.approx(3599)
    assert told[-1] == pytest.approx(3570)
    told.clear()
    for n in range(1, 21):  # and then a step takes 2 s, of which there are 10000
        clock.now += 2
        course.hear(Lesson(0.06 + 0.94 * n / 10_000, "head", 1, 100), lambda _, left: told.append(left))
    assert told[0] == pytest.approx(3568), "the pace of one stage is not that of another"
    assert told[-1] == pytest.approx(20_000, rel=0.01)


class Painter:
    """A trainer that plans all its steps beforehand, and can stop in the midst of an epoch."""

    traits = FaceTraits(device="cpu", licence="own")

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def prepare(self, *_: object) -> Avatar:
        raise AssertionError

    def animate(self, *_: object, **__: object) -> Iterator[Frame]:
        raise AssertionError

    def train(self, source: Path, into: Path, *, epochs: int, tell: Tell, enough: int = 0, **rest: object) -> Avatar:
        assert source.exists()
        assert rest.keys() == {"work", "options"}
        self.asked.append((epochs, enough))
        (into / "reel").write_text("half")
        if not enough:
            for n in range(1000):
                tell(Lesson(n / 1000, "head", 1 + n // 500, epochs, 1.0))
                threading.Event().wait(0.002)
        return Avatar(into.name, into, "painter")


def test_one_that_stops_amid_an_epoch_is_told_so_and_how_many_were_planned(tmp_path: Path) -> None:
    engine, source, into = Painter(), tmp_path / "film.mp4", tmp_path / "made"
    source.touch()
    into.mkdir()
    params = {"source": str(source), "epochs": 2, "options": {"max_minutes": 0.001}}
    course = Course(tmp_path / "work", 0.06)
    for event in events_of(lambda prompter: {"made": _taught(engine, params, into, course, prompter).name}):
        last = event
    assert isinstance(last, Done)
    assert engine.asked == [(2, 0), (2, 1)]
    assert course.epochs == 1
    again = Course(tmp_path / "work", 0.06)
    list(events_of(lambda prompter: {"made": _taught(engine, params, into, again, prompter).name}))
    assert engine.asked[-1] == (2, 1), "an attempt that died after its time was over ends there too"


def test_an_engine_that_tells_all_the_time_is_not_repeated_all_the_time(tmp_path: Path) -> None:
    clock, told = Clock(), []
    course = Course(tmp_path, clock=clock)
    for n in range(1000):
        clock.now += 0.001
        course.hear(Lesson(n / 1000, "track"), lambda one, _: told.append(one))
    assert 15 <= len(told) <= 25
    course.hear(lesson(1, preview=b"jpeg"), lambda one, _: told.append(one))
    course.hear(lesson(1, preview=b"jpeg"), lambda one, _: told.append(one))
    assert [one.preview for one in told[-2:]] == [b"jpeg", b"jpeg"], "pictures are never left out"


def test_the_time_ends_the_refinement_alone(tmp_path: Path) -> None:
    clock = Clock()
    course = Course(tmp_path, 60.0, clock=clock)
    clock.now += 100
    course.hear(Lesson(0.3, "track"), lambda *_: None)  # before there are epochs there is nothing to keep
    with pytest.raises(Cancelled):
        course.hear(lesson(4), lambda *_: None)
    assert course.epochs == 4
    again = Course(tmp_path, 60.0, clock=clock)
    assert again.epochs == 4, "an attempt that dies now ends there as well"
    again.hear(lesson(4), lambda *_: None)


def test_many_losses_are_thinned_and_the_last_is_kept(tmp_path: Path) -> None:
    course = Course(tmp_path)
    for epoch in range(1, 5001):
        course.hear(lesson(epoch, 5000, loss=1 / epoch), lambda *_: None)
    assert len(course.losses) <= 401
    assert course.losses[-1][0] == 5000
    assert [pair[0] for pair in course.losses] == sorted(pair[0] for pair in course.losses)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("lr=0.001", {"lr": 0.001}),
        (" LR = 1e-3 , batch=4, ", {"lr": 0.001, "batch": 4}),
        ("lr=0.001，batch=4", {"lr": 0.001, "batch": 4}),
        ('{"lr": 0.001, "batch": "4", "quality": "BEST"}', {"lr": 0.001, "batch": 4, "quality": "best"}),
    ],
)
def test_the_two_ways_to_write_parameters(text: str, options: dict[str, object]) -> None:
    assert read_options(text) == options


def test_parameters_of_a_command_and_of_an_engine() -> None:
    with pytest.raises(InvalidInput, match="quality, lr, batch"):
        checked_options({"speed": 1})
    with pytest.raises(InvalidInput, match="twice"):
        checked_options({"lr": 0.1, "LR ": 0.2})
    assert default_trainer("photo", ["person", "toy"]) == "person"
    assert default_trainer("toy", ["person", "toy"]) == "toy"
    assert default_trainer("photo", []) == "photo"
    assert quality_of({"engine": "person", "person": {"cuts": 0}}) == {"cuts": 0}
    assert quality_of({"engine": "photo"}) is None
    assert options_of("synctalk") == [name for name in OPTIONS if name != "quality"]
    assert options_of("person") == [name for name in OPTIONS if name not in ("size", "ear")]
    with pytest.raises(InvalidInput, match="consent"):
        consent_note(False, "", "", required=True)
