"""Blocking work as an iterator of events."""

import threading
from typing import Any

import pytest

from vivavoce.errors import Cancelled, InvalidInput
from vivavoce.studio.thread import Prompter, events_of
from vivavoce.work.events import Data, Done, Grown, Progress


def test_everything_comes_in_order_and_done_last() -> None:
    def work(prompter: Prompter) -> dict[str, Any]:
        for n in range(100):
            prompter.report(n / 100, "face")
            prompter.send(bytes([n]))
        return {"n": 100}

    events = list(events_of(work))
    assert [e.data[0] for e in events if isinstance(e, Data)] == list(range(100))
    assert [e.fraction for e in events if isinstance(e, Progress)] == [n / 100 for n in range(100)]
    assert events[-1] == Done({"n": 100})


def test_growth_never_makes_the_work_wait() -> None:
    told = threading.Event()

    def work(prompter: Prompter) -> dict[str, Any]:
        for size in range(1, 1000):
            prompter.grown(size)
        told.set()
        return {}

    events = events_of(work)
    first = next(events)
    assert told.wait(10), "the work waits for its reader"
    sizes = [first.size if isinstance(first, Grown) else 0] + [e.size for e in events if isinstance(e, Grown)]
    assert sizes[0] == 1
    assert sizes == sorted(set(sizes))


def test_what_the_work_raises_is_raised() -> None:
    def work(prompter: Prompter) -> dict[str, Any]:
        prompter.report(0, "voice")
        raise InvalidInput("No.")

    events = events_of(work)
    assert next(events) == Progress(0, "voice")
    with pytest.raises(InvalidInput, match=r"No\."):
        next(events)


@pytest.mark.parametrize("read", [1, 3, 40])
def test_closing_cancels_the_work_and_waits_for_its_end(read: int) -> None:
    ends: list[type[BaseException]] = []
    before = threading.active_count()

    def work(prompter: Prompter) -> dict[str, Any]:
        try:
            while True:
                prompter.report(0.5, "face")
                prompter.send(b"x")
        except BaseException as e:
            ends.append(type(e))
            raise

    events = events_of(work)
    for _ in range(read):
        next(events)
    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert ends == [Cancelled]
    assert threading.active_count() == before


def test_work_that_nobody_reads_is_never_begun() -> None:
    before = threading.active_count()
    events_of(lambda _: pytest.fail("begun")).close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
