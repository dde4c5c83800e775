"""What passes between a listener and its client: sound and commands in, events out, neither without bounds."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Inbox", "Outbox"]

_COMMAND = 800
"""Samples that a command counts for: a flood of them is held back as one of sound is."""
_UNREAD = 256
"""Events that may wait to be read; then the listener waits too."""
Sound = npt.NDArray[np.float32]
C = TypeVar("C")
E = TypeVar("E")


class Inbox(Generic[C]):
    """Pieces of sound, and commands between them; who puts in more than ``limit`` samples waits."""

    def __init__(self, limit: int) -> None:
        self._items: deque[Sound | C] = deque()
        self._limit, self._weight = limit, 0
        self._closed = False
        self._news, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, item: Sound | C) -> None:
        """Add one, when there is room; once closed, it is dropped."""
        while self._weight >= self._limit and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._items.append(item)
            self._weight += _weight(item)
            self._news.set()

    async def take(self) -> Sound | C | None:
        """The next one; None once it is closed."""
        while not self._items and not self._closed:
            self._news.clear()
            await self._news.wait()
        if self._closed:
            return None
        item = self._items.popleft()
        self._weight -= _weight(item)
        self._room.set()
        return item

    def close(self) -> None:
        """Nothing is taken any more; nobody waits."""
        self._closed = True
        self._items.clear()
        self._news.set()
        self._room.set()


def _weight(item: object) -> int:
    return len(item) if isinstance(item, np.ndarray) else _COMMAND


class Outbox(Generic[E]):
    """Events, in order, until it is closed."""

    def __init__(self) -> None:
        self._events: deque[E] = deque()
        self._error: BaseException | None = None
        self._news, self._read = asyncio.Event(), asyncio.Event()
        self.closed = False
        """Whether nothing is to be added."""

    def put(self, event: E, *, instead: Callable[[E], bool] | None = None) -> None:
        """Add one; it takes the place of the last one if that is unread and ``instead`` says so."""
        if self.closed:
            return
        if instead is not None and self._events and instead(self._events[-1]):
            self._events.pop()
        self._events.append(event)
        self._news.set()

    async def take(self) -> E:
        """The next one. Raises ``StopAsyncIteration``, or the error it was closed with, when there are no more."""
        while not self._events:
            if self._error is not None:
                raise self._error
            if self.closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._read.set()
        return self._events.popleft()

    async def drained(self) -> None:
        """Wait until somebody has read."""
        while len(self._events) > _UNREAD and not self.closed:
            self._read.clear()
            await self._read.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Add no more; ``error`` is raised after the last one. Closing again changes nothing."""
        if not self.closed:
            self.closed, self._error = True, error
            self._news.set()
            self._read.set()
