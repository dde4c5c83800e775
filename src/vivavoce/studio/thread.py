"""Turns work that blocks into an iterator of events: what a performer has to be.

The work runs in a thread of its own and reports; whoever reads the iterator may close it at any moment, and the work
ends at its next report.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import Full, Queue
from threading import Event as Flag
from threading import Thread
from typing import Any, TypeVar

from vivavoce.errors import Cancelled
from vivavoce.nouns import Lesson
from vivavoce.work.events import Data, Done, Event, Grown, Learnt, Progress

__all__ = ["Prompter", "attended", "events_of"]

T = TypeVar("T")

WAITING = 16
"""Events that may wait for their reader: beyond that the work pauses."""
BEAT = 0.2
"""Seconds between two signs of life while something is silent: a cancel is heard with the next."""


class Prompter:
    """The work's side: where it reports to."""

    def __init__(self) -> None:
        self._queue: Queue[Event | BaseException | None] = Queue(WAITING)
        self._cancelled = Flag()
        self.notes: dict[str, Any] = {}
        """What else is to be said in the result: ``voice_fallback``."""

    def report(self, fraction: float, stage: str) -> None:
        """Tell how far the work is, 0–1; raises ``Cancelled`` when nobody wants it any more."""
        if self._cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        self._queue.put(Progress(fraction, stage))

    def learnt(self, lesson: Lesson, remaining: float | None) -> None:
        """The same of a training, with the seconds that are left."""
        if self._cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        self._queue.put(Learnt(lesson, remaining))

    def grown(self, size: int) -> None:
        """Tell that so many bytes of the growing film can be read; never waits, the next one says more."""
        with suppress(Full):
            self._queue.put_nowait(Grown(size))

    def send(self, block: bytes) -> None:
        """Hand out bytes of the result; waits while the reader is behind."""
        if not self._cancelled.is_set():
            self._queue.put(Data(block))

    def run(self, work: Callable[["Prompter"], dict[str, Any]]) -> None:
        """Do the work and put its end, good or bad, behind everything it reported."""
        try:
            self._queue.put(Done(work(self)))
        except BaseException as e:  # noqa: BLE001 - it is raised again in the thread that reads
            self._queue.put(e)
        finally:
            self._queue.put(None)

    def events(self) -> Iterator[Event]:
        """What the work reports, until its end; raises what it raised."""
        ended = False
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
            ended = True
        finally:
            self._cancelled.set()
            while not ended:  # whoever is blocked on the full queue goes on, and then ends
                ended = self._queue.get() is None


def events_of(work: Callable[[Prompter], dict[str, Any]]) -> Iterator[Event]:
    """Run ``work`` in a thread and yield what it reports, then ``Done`` with what it returns.

    Closing the iterator cancels: ``Prompter.report`` raises in the work, and the thread is waited for.
    """
    prompter = Prompter()
    thread = Thread(target=prompter.run, args=(work,), name="performance")
    thread.start()
    try:
        yield from prompter.events()
    finally:
        thread.join()


def attended(work: Callable[[], T], tell: Callable[[], object]) -> T:
    """The result of ``work``, done in a thread of its own while ``tell`` is called again and again.

    What ``tell`` raises (``Prompter.report``: a cancel) is raised at once. Then nobody waits for the work any more: it
    goes to its end unheard, for a thread cannot be stopped.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as e:  # noqa: BLE001 - it is raised again in the thread that waits
            done.set_exception(e)

    Thread(target=run, name="attended", daemon=True).start()
    while not wait((done,), BEAT).done:
        tell()
    return done.result()
