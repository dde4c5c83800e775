"""What a training keeps over its attempts, and how it is told: without a server, with a clock of the test's own."""

from pathlib import Path

import pytest

from vivavoce.errors import Cancelled, InvalidInput
from vivavoce.nouns import Lesson
from vivavoce.studio.parameters import checked_options, consent_note, default_trainer, quality_of, read_options
from vivavoce.studio.training import Course


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
    with pytest.raises(InvalidInput, match="consent"):
        consent_note(False, "", "", required=True)
