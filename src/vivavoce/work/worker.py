"""The inside of a worker process: loads the engines once, then performs task after task.

The main thread works; a second thread listens, so that a cancel or the end of the executor is heard while a task runs.
Started as ``python -m vivavoce.work.worker FD`` with the socket as an inherited file descriptor.
"""

import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable

import structlog

from vivavoce import logs
from vivavoce.errors import Cancelled, VivavoceError
from vivavoce.work.events import Done, Event, Performer, Task
from vivavoce.work.wire import Cancel, Failed, Happened, Hello, Perform, pack, receive

__all__ = ["Worker", "main"]

_NICENESS = 5  # the web process answers first
_PARTING = 0.8  # seconds for a running task to let go after the executor has gone
_INTERNAL = "Something went wrong inside the server; its log says what."

log = structlog.get_logger()


class Worker:
    """Performs what comes over ``connection`` until that closes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Perform | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        """Load the performer that the first message makes, say hello, work until told to stop."""
        factory: Callable[[], Performer] = receive(self._connection)
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        try:
            performer = factory()
        except Exception as error:  # noqa: BLE001  whatever an engine raises while loading, the executor has to hear
            self._send(self._failed(error, "loading the engines failed"))
            return
        self._send(Hello())
        while (order := self._inbox.get()) is not None:
            self._perform(performer, order)
            # Not clear(): the cancel of the next task may have been heard already.
            self._cancelled.difference_update([n for n in tuple(self._cancelled) if n <= order.number])
        if close := getattr(performer, "close", None):
            close()
        self._ended.set()

    def _listen(self) -> None:
        try:
            while isinstance(message := receive(self._connection), Perform | Cancel):
                if isinstance(message, Perform):
                    self._inbox.put(message)
                else:
                    self._cancelled.add(message.number)
        except (EOFError, OSError):
            pass  # the executor is gone, which means the same as a stop
        self._cancelled = _Everything()
        self._inbox.put(None)
        if not self._ended.wait(_PARTING):
            os._exit(1)

    def _perform(self, performer: Performer, order: Perform) -> None:
        try:
            self._run(performer, order)
        except Exception as error:  # noqa: BLE001  no error of an engine may end the worker
            self._send(self._failed(error, "a task failed", order.task))

    def _run(self, performer: Performer, order: Perform) -> None:
        events = performer(order.task)
        last: Event | None = None
        try:
            for last in events:
                self._check(order.number)
                if isinstance(last, Done):
                    break
                self._send(Happened(last))
        finally:
            if close := getattr(events, "close", None):
                close()
        if not isinstance(last, Done):
            raise RuntimeError(f"the performer ended {order.task.kind!r} without Done")
        self._send(Happened(last))

    def _check(self, number: int) -> None:
        if number in self._cancelled:
            raise Cancelled("The work was cancelled.")

    def _failed(self, error: Exception, what: str, task: Task | None = None) -> Failed:
        if isinstance(error, VivavoceError):
            return Failed.of(error)
        log.error(what, task=task and task.id, kind=task and task.kind, exc_info=error)
        return Failed(VivavoceError.__name__, _INTERNAL)

    def _send(self, message: object) -> None:
        try:
            self._connection.sendall(pack(message))
        except OSError:
            self._cancelled = _Everything()  # nobody is left to hear it; the listener ends the process


class _Everything(set[int]):
    """A set that holds every number."""

    def __contains__(self, _: object) -> bool:
        return True


def main() -> None:
    """Entry point of the process."""
    logs.configure()
    # Ctrl-C in a terminal, and a service manager's stop, reach the whole group; the executor decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which the engines' own processes would inherit
    os.nice(_NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        connection.set_inheritable(False)
        Worker(connection).run()


if __name__ == "__main__":
    main()
