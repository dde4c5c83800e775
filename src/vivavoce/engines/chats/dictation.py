"""A text that a service writes while it is read."""

import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any

from vivavoce.engines.network.client import Client
from vivavoce.errors import Cancelled, VivavoceError

__all__ = ["Dictation"]

Write = Callable[[Callable[[str], None]], Coroutine[Any, Any, None]]


class Dictation(Iterator[str]):
    """Pieces of a text in the order in which they are written; writing begins when the first is asked for.

    The service is not held up by a slow reader. ``close`` may be called from any thread and at any moment, also while
    another thread waits for a piece, which then raises ``Cancelled``.
    """

    def __init__(self, client: Client, write: Write) -> None:
        """``write(put)`` makes the call and puts every piece as it comes; it raises when the text is not whole."""
        self._client = client
        self._write = write
        self._pieces: SimpleQueue[str | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._running: Future[None] | None = None

    def __next__(self) -> str:
        with self._lock:
            if self._closed:
                raise StopIteration
            if self._running is None:
                self._running = self._client.start(self._write(self._pieces.put))
                self._running.add_done_callback(lambda _: self._pieces.put(None))
            running = self._running
        piece = self._pieces.get()
        if self._closed:
            raise Cancelled("The work was cancelled.")
        if piece is not None:
            return piece
        self._closed = True
        try:
            running.result()
        except CancelledError:
            raise Cancelled("The work was cancelled.") from None
        except VivavoceError as e:
            raise e from None
        raise StopIteration

    def close(self) -> None:
        """End whatever runs; nothing comes after."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            running.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()
