"""Takes jobs from the queue and has them done: as many at a time as there are workers, the most urgent first."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from vivavoce.errors import VivavoceError
from vivavoce.nouns import Job
from vivavoce.studio.ledger import Entry, Ledger

__all__ = ["Dispatcher", "Queue"]

_log = structlog.get_logger(__name__)
_LOOK_SECONDS = 60.0
"""A look at the queue at least so often, whatever was told."""
_PAUSE_SECONDS = 2.0
"""Before the next look at a queue that could not be read."""


class Queue(Protocol):
    """Where jobs come from."""

    async def claim(self, worker: str, kinds: Sequence[str]) -> Job | None:
        """The most urgent job, leased to ``worker``; None when there is none."""

    async def waiting(self, kinds: Sequence[str], timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until there is one, for ``timeout`` seconds at most."""


class Dispatcher:
    """Claims jobs of ``kinds`` and plays ``run`` on each, at most ``slots`` at a time; then ``ended``."""

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        run: Callable[[Entry], Awaitable[None]],
        *,
        kinds: Sequence[str],
        slots: int,
        ended: Callable[[Job], Awaitable[None]] | None = None,
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._run = run
        self._kinds = tuple(kinds)
        self._slots = slots
        self._after = ended
        self._running: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    def start(self) -> None:
        """Begin to claim."""
        self._loop = asyncio.create_task(self._claim_often(), name="dispatcher")

    async def rest(self) -> None:
        """Claim no more; what runs goes on."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])

    async def close(self) -> None:
        """Claim no more. What runs is stopped by the ledger; returns when it has ended."""
        await self.rest()
        if self._running:
            await asyncio.wait(self._running)

    async def _claim_often(self) -> None:
        while True:
            self._free.clear()
            if len(self._running) >= self._slots:
                await self._free.wait()
                continue
            try:
                if job := await self._queue.claim(self._ledger.worker, self._kinds):
                    self._begin(job)
                else:
                    await self._queue.waiting(self._kinds, _LOOK_SECONDS)
            except Exception as e:  # noqa: BLE001 - a table out of reach for a while must not end the claiming
                _log.warning("the queue cannot be read", error=type(e).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._do(job), name=f"job {job.id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.set()

    async def _do(self, job: Job) -> None:
        try:
            async with self._ledger.held(job) as entry:
                await self._run(entry)
        except VivavoceError as e:
            _log.info("a job did not succeed", job=job.id, kind=job.kind, code=e.code)
        except Exception:  # noqa: BLE001 - the ledger has logged and recorded it
            _log.info("a job did not succeed", job=job.id, kind=job.kind, code=VivavoceError.code)
        if self._after is not None:
            await self._after(job)
