"""Keeps the books of the requests that run here: each is a job in the table, beaten for, cancelled and ended once.

An *attached* request is recorded while its client waits; a *detached* job was claimed from the queue. Both are held in
the same way, so that one cancel reaches either and a lost lease stops the work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

import structlog

from vivavoce.errors import Cancelled, LeaseLost, NotFound, VivavoceError
from vivavoce.nouns import Job, JobEvent, JobState

__all__ = ["BATCH", "LIVE", "Beat", "Entry", "Jobs", "Ledger", "Order"]

_log = structlog.get_logger(__name__)
LIVE, BATCH = 10, 0
"""Priorities: somebody waits for it, or nobody does."""
_PROGRESS_SECONDS = 0.5
"""Between two notes of progress."""
_INTERNAL = "Something went wrong on the server; it has been logged."


class Beat(Protocol):
    """What a heartbeat hears."""

    @property
    def lost(self) -> frozenset[str]:
        """Jobs that belong to another worker now, or to none."""

    @property
    def cancelled(self) -> frozenset[str]:
        """Jobs that somebody wants to end."""


class Jobs(Protocol):
    """What the ledger needs of a job table: ours, or a server's over HTTP."""

    async def begin(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        worker: str,
        id: str | None = None,  # noqa: A002  the field's own word
        owner: str = "",
        priority: int = 0,
        retention: float = 3600.0,
    ) -> Job:
        """Record an attached job that runs at once."""

    async def beat(self, worker: str, leases: Mapping[str, str]) -> Beat:
        """Keep the leases alive."""

    async def report(
        self,
        id: str,  # noqa: A002
        lease: str,
        type: str,  # noqa: A002
        data: Mapping[str, Any],
        *,
        progress: float | None = None,
        stage: str | None = None,
    ) -> JobEvent:
        """Append an event."""

    async def finish(
        self,
        id: str,  # noqa: A002
        lease: str,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, str] | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> Job:
        """End the job; one winner."""

    async def release(self, id: str, lease: str) -> None:  # noqa: A002
        """Give the job back to the queue."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks, and how urgent it is."""

    owner: str = ""
    """A fingerprint of the caller's key, "" without keys."""
    priority: int = LIVE
    id: str = field(default_factory=lambda: uuid4().hex)
    """Of the job that the request becomes."""


class Entry:
    """A job that runs here."""

    def __init__(self, jobs: Jobs, job: Job, task: "asyncio.Task[Any]") -> None:
        self.job = job
        self.result: dict[str, Any] = {}
        """What the work fills in; recorded when it ends well."""
        self.artifacts: list[str] = []
        """Ids of what was published on the way; removed again when the job is cancelled or lost."""
        self.ended = asyncio.Event()
        self.recorded = False
        """Whether the job's end stands in the table."""
        self._jobs = jobs
        self._task = task
        self._timings: dict[str, float] = {}
        self._began = monotonic()
        self._noted = (-1.0, "")
        self._reason: VivavoceError | None = None

    async def report(self, type: str, data: Mapping[str, Any]) -> None:  # noqa: A002
        """Append an event that readers of the job see. Raises ``LeaseLost``."""
        await self._jobs.report(self.job.id, self.job.lease, type, data)

    async def progress(
        self, fraction: float, stage: str, more: Mapping[str, Any] | None = None, *, every: float = _PROGRESS_SECONDS
    ) -> None:
        """Note how far the work is, when the stage changed or ``every`` seconds have passed. Raises ``LeaseLost``.

        ``more`` is told with it.
        """
        now = monotonic()
        if stage == self._noted[1] and now - self._noted[0] < every:
            return
        self._noted = (now, stage)
        data = {"progress": round(fraction, 3), "stage": stage, **(more or {})}
        await self._jobs.report(self.job.id, self.job.lease, "progress", data, progress=fraction, stage=stage)

    def took(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken; stages of parallel pieces add up."""
        self._timings[stage] = self._timings.get(stage, 0.0) + seconds

    def stop(self, reason: VivavoceError) -> None:
        """Cancel the work; whoever waits for it gets ``reason``."""
        if self._reason is None and not self.ended.is_set():
            self._reason = reason
            self._task.cancel()

    @property
    def reason(self) -> VivavoceError | None:
        """Why the work was stopped from here; None when it was not."""
        return self._reason

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of each stage, and in all."""
        total = {"total": monotonic() - self._began}
        return {stage: round(seconds, 3) for stage, seconds in (self._timings | total).items()}

    def settle(self) -> None:
        """Take back the cancellation that ``stop`` asked for, now that it has been obeyed."""
        if self._reason is not None:
            self._task.uncancel()


class Ledger:
    """The jobs that run in this process. To be made and used in one event loop."""

    def __init__(
        self,
        jobs: Jobs,
        worker: str,
        *,
        retention: float = 3600.0,
        remove: Callable[[str], Awaitable[object]] | None = None,
        beat_seconds: float = 2.0,
    ) -> None:
        self.worker = worker
        self._jobs = jobs
        self._retention = retention
        self._remove = remove
        self._beat_seconds = beat_seconds
        self._held: dict[str, Entry] = {}
        self._closing = False
        self._beating: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def start(self) -> None:
        """Begin to beat for what is held."""
        self._beating = asyncio.create_task(self._beat_often(), name="heartbeat")

    async def close(self) -> None:
        """Stop everything: what is detached goes back to the queue, what is attached ends with its client."""
        self._closing = True
        held = list(self._held.values())
        for entry in held:
            entry.stop(Cancelled("The server is shutting down."))
        await asyncio.gather(*(entry.ended.wait() for entry in held))
        self._ending.set()
        if self._beating is not None:
            await self._beating

    @asynccontextmanager
    async def entry(self, kind: str, params: Mapping[str, Any], order: Order) -> AsyncIterator[Entry]:
        """Record an attached request for as long as the block runs; it ends as the block does."""
        begin = self._jobs.begin(
            kind,
            params,
            worker=self.worker,
            id=order.id,
            owner=order.owner,
            priority=order.priority,
            retention=self._retention,
        )
        beginning = asyncio.ensure_future(begin)
        try:
            job = await asyncio.shield(beginning)
        except asyncio.CancelledError:  # its client has left; the job may stand in the table all the same
            await _whole(self._never_held(beginning))
            raise
        async with self.held(job) as entry:
            yield entry

    @asynccontextmanager
    async def held(self, job: Job) -> AsyncIterator[Entry]:
        """Hold a running job for as long as the block runs: the block's end is the job's.

        Raises ``Cancelled`` in place of the cancellation that a ``cancel`` caused, ``LeaseLost`` when the job went to
        another worker, and what the block raises.
        """
        task = asyncio.current_task()
        assert task is not None
        entry = self._held[job.id] = Entry(self._jobs, job, task)
        try:
            yield entry
            await _whole(self._finish(entry, "succeeded", result=entry.result))
        except asyncio.CancelledError:
            await _whole(self._stopped(entry))
            if entry.reason is None:
                raise
            entry.settle()
            raise entry.reason from None
        except LeaseLost:
            await self._undo(entry)
            raise
        except VivavoceError as e:
            await self._failed(entry, e.code, str(e))
            raise
        except Exception as e:
            _log.exception("a job failed", job=job.id, kind=job.kind, error=type(e).__name__)
            await self._failed(entry, VivavoceError.code, _INTERNAL)
            raise
        finally:
            self._held.pop(job.id, None)
            entry.ended.set()

    def holds(self, id: str) -> bool:  # noqa: A002
        """Whether the job runs in this process."""
        return id in self._held

    async def stop(self, id: str) -> None:  # noqa: A002
        """Stop a job that runs here because its cancellation was asked for; returns when its work has ended."""
        entry = self._held.get(id)
        if entry is not None:
            entry.stop(Cancelled("The job was cancelled."))
            await entry.ended.wait()

    # ---- how a job ends

    async def _finish(self, entry: Entry, state: JobState, **more: Any) -> None:
        job = entry.job
        done = await self._jobs.finish(job.id, job.lease, state, timings=entry.timings, **more)
        entry.recorded = True
        if state == "succeeded" and done.state != state:  # a cancel came in between: it wins
            await self._undo(entry)
            raise Cancelled("The job was cancelled.")

    async def _failed(self, entry: Entry, code: str, message: str) -> None:
        with suppress(LeaseLost, NotFound):
            await self._finish(entry, "failed", error={"code": code, "message": message})
            if not entry.job.attached:  # else a client may be playing the pieces that are finished
                await self._undo(entry)

    async def _stopped(self, entry: Entry) -> None:
        """The work was cancelled: by request, because its client left, because the lease is lost, or at the end."""
        if entry.recorded:
            return
        await self._undo(entry)
        with suppress(LeaseLost, NotFound):
            if self._closing and not entry.job.attached:
                await self._jobs.release(entry.job.id, entry.job.lease)
            elif not isinstance(entry.reason, LeaseLost):
                await self._finish(entry, "cancelled")

    async def _never_held(self, beginning: "asyncio.Future[Job]") -> None:
        """End a job that was cancelled while it was being recorded."""
        with suppress(VivavoceError):
            job = await beginning
            await self._jobs.finish(job.id, job.lease, "cancelled")

    async def _undo(self, entry: Entry) -> None:
        """Remove what was published; what cannot be removed now goes with age: the job ends all the same."""
        if self._remove is not None:
            for artifact in entry.artifacts:
                try:
                    await self._remove(artifact)
                except Exception as e:  # noqa: BLE001 - see above
                    _log.warning("a result was not removed", job=entry.job.id, error=type(e).__name__)
        entry.artifacts.clear()

    # ---- heartbeat

    async def _beat_often(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_seconds):
                    await self._ending.wait()
            if self._held:
                try:
                    await self._beat()
                except Exception as e:  # noqa: BLE001 - a table out of reach for a while must not end the beating
                    _log.warning("no heartbeat", error=type(e).__name__)

    async def _beat(self) -> None:
        heard = await self._jobs.beat(self.worker, {id_: entry.job.lease for id_, entry in self._held.items()})
        for id_ in heard.lost:
            if entry := self._held.get(id_):
                entry.stop(LeaseLost("The job was given to another worker."))
        for id_ in heard.cancelled:
            if entry := self._held.get(id_):
                entry.stop(Cancelled("The job was cancelled."))


async def _whole(step: Coroutine[Any, Any, None]) -> None:
    """Do a step to its end even when this task is cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.result()
        raise
