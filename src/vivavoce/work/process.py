"""A worker process as the executor sees it: messages in and out, and a sure end."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from vivavoce.work.events import Performer
from vivavoce.work.wire import Failed, Stop, pack, read

__all__ = ["Gone", "WorkerProcess"]

_GRACE = 0.8  # seconds to exit by itself
_BUFFER = 1 << 20  # bytes that may wait here before the worker has to
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


log = structlog.get_logger(__name__)


class Gone(Exception):
    """The worker has closed its end: it died or was stopped."""


class WorkerProcess:
    """One process. Made by :meth:`start`; :meth:`end` must follow."""

    def __init__(self, process: subprocess.Popen[bytes], stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self.pid = process.pid
        self._process = process
        self._reader, self._writer = stream
        self._pending: asyncio.Task[Any] | None = None

    @classmethod
    async def start(cls, factory: Callable[[], Performer]) -> "WorkerProcess":
        """Start a fresh interpreter, free of this one's state and locks, that will call ``factory``."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = _popen(theirs.fileno())
            except BaseException:  # whatever came between, no socket may stay open
                ours.close()
                raise
        try:
            stream = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER)
            stream[1].write(pack(factory))
        except BaseException:  # also a cancelled start: neither socket nor process may stay behind
            ours.close()
            process.kill()
            process.wait()
            raise
        return cls(process, stream)

    def send(self, message: object) -> None:
        """Send without waiting; a message to a dead worker is lost, and reading tells."""
        self._writer.write(pack(message))

    def incoming(self) -> "asyncio.Task[Any]":
        """The next message as a task, to wait for it beside something else; :meth:`read` takes it."""
        if self._pending is None:
            self._pending = asyncio.create_task(self._read())
        return self._pending

    async def read(self) -> Any:
        """The next message. Raises ``Gone`` once the worker is dead; a cancelled read loses nothing."""
        message = await asyncio.shield(self.incoming())
        self._pending = None
        return message

    async def loaded(self) -> None:
        """Wait until the performer is loaded. Raises what loading it raised, or ``Gone``."""
        if isinstance(message := await self.read(), Failed):
            raise message.error()

    def kill(self) -> None:
        """End it now; :meth:`read` then raises ``Gone``."""
        self._process.kill()

    async def end(self) -> None:
        """Let it exit, or kill it; returns when neither process nor connection is left."""
        self.send(Stop())
        with suppress(Gone, TimeoutError):
            async with asyncio.timeout(_GRACE):
                while True:
                    await self.read()
        self._process.kill()
        if self._process.poll() is None:
            await _exit_of(self.pid)
            self._process.wait()
        with suppress(Gone):
            while True:  # what it wrote before it died
                await self.read()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> Any:
        try:
            return await read(self._reader)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Gone from error
        except Exception as error:
            log.error("a worker sent what cannot be read", pid=self.pid, exc_info=error)
            self.kill()
            raise Gone from error


def _popen(fd: int) -> subprocess.Popen[bytes]:
    # As many renderers as cores run side by side: more threads in each would only fight.
    # Each film is encoded in a thread of its own: with many heaps of the C library each would keep the largest it held.
    environment = dict.fromkeys(_ONE_THREAD, "1") | {"MALLOC_ARENA_MAX": "2"} | os.environ
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-P", "-m", "vivavoce.work.worker", str(fd)],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a library prints must not mix with a command's output
        pass_fds=(fd,),
        env=environment,
    )


async def _exit_of(pid: int) -> None:
    """Wait, without blocking the loop, until our child ``pid`` can be reaped."""
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    fd = os.pidfd_open(pid)
    try:
        loop.add_reader(fd, exited.set)
        await exited.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
