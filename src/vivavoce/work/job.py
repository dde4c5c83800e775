"""A task on its way through the executor, and its events as the caller reads them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from types import TracebackType

from vivavoce.errors import Cancelled
from vivavoce.work.events import Data, Event, Grown, Learnt, Progress, Task

__all__ = ["Events", "Job"]

_AHEAD = 8  # events that wait for a slow reader before the worker has to


class Job:
    """A submitted task."""

    def __init__(self, number: int, task: Task) -> None:
        self.number = number
        self.task = task
        self.restarted = False
        self.answered = False
        """Whether data was handed on, so that it cannot be done again."""
        self.stopped = asyncio.Event()
        self.finished = asyncio.Event()
        self._error: Exception | None = None
        self._events: deque[Event] = deque()
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()

    async def deliver(self, event: Event) -> None:
        """Hand an event to the reader. Waits while that is far behind; progress and growth are dropped instead."""
        if isinstance(event, Progress | Grown | Learnt) and len(self._events) >= _AHEAD:
            return
        while len(self._events) >= _AHEAD:
            self._room.clear()
            await self._room.wait()
        if not self.stopped.is_set():
            self.answered |= isinstance(event, Data)
            self._events.append(event)
            self._arrival.set()

    def stop(self) -> None:
        """Nobody wants it any more: what waits is dropped, and so is what comes."""
        self.stopped.set()
        self._events.clear()
        self._room.set()

    def end(self, error: Exception | None = None) -> None:
        """There will be no further events; the reader gets ``error`` after those that wait."""
        self._error = Cancelled("The work was cancelled.") if self.stopped.is_set() else error
        self.finished.set()
        self._arrival.set()

    async def next(self) -> Event | None:
        """The next event, None after the last. Raises the error that ended the job."""
        while not self._events:
            if self.finished.is_set():
                if self._error:
                    raise self._error
                return None
            self._arrival.clear()
            await self._arrival.wait()
        self._room.set()
        return self._events.popleft()


class Events(AsyncGenerator[Event, None]):
    """The events of one task. A class, because closing a generator that was never begun would not cancel anything."""

    def __init__(self, job: Job, stop: Callable[[Job], None]) -> None:
        self._job = job
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def asend(self, value: None) -> Event:  # noqa: ARG002  the generator protocol's signature
        """The next event; ``StopAsyncIteration`` after the last."""
        if self._closed:
            raise StopAsyncIteration
        try:
            event = await self._job.next()
        except BaseException:  # also a cancelled reader: its job ends with it
            self._close()
            raise
        if event is None:
            self._closed = True
            raise StopAsyncIteration
        return event

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,  # noqa: ARG002
    ) -> Event:
        """Close, and raise what was thrown in."""
        await self.aclose()
        if isinstance(typ, BaseException):
            raise typ
        raise val if isinstance(val, BaseException) else typ()

    async def aclose(self) -> None:
        """Cancel the work if it goes on; returns when the worker has let go of it, within a second."""
        self._close()
        await self._job.finished.wait()

    def __del__(self) -> None:
        if not self._job.finished.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop, self._job)

    def _close(self) -> None:
        self._closed = True
        if not self._job.finished.is_set():
            self._stop(self._job)
