"""The job table: what was asked for, who works on it, what came of it. It survives any process.

Each method is one transaction of ``queue``, ``leases``, ``history`` or ``deliveries``; what is added here is the clock,
and who hears of it.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.store import deliveries, history, queue
from vivavoce.store import leases as _leases
from vivavoce.store.database import Database
from vivavoce.store.deliveries import Delivery
from vivavoce.store.leases import Beat
from vivavoce.store.news import News
from vivavoce.store.queue import Share

__all__ = ["Beat", "Delivery", "JobTable", "Share"]

LOOK_SECONDS = 1.0
_QUEUE = "queue"  # no id has this form
_Jobs = list[Job]
_Events = list[JobEvent]
_Deliveries = list[Delivery]


class JobTable:
    """Jobs in a started database. ``id`` is a job's, ``owner`` None stands for everybody; times are Unix seconds.

    All methods raise ``EngineUnavailable`` when the database has gone.
    """

    def __init__(
        self, database: Database, *, lease_seconds: float = 15.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._latest = 0.0
        self._news = News()

    async def add(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        id: str | None = None,  # noqa: A002
        owner: str = "",
        priority: int = 0,
        key: str | None = None,
        unlike: Collection[str] = (),
        max_waiting: int | None = None,
        webhook: str | None = None,
        retention: float = 3600.0,
    ) -> tuple[Job, bool]:
        """Queue a detached job; returns it, and whether it is new.

        ``key`` is an idempotency key of that owner: the same key with the same kind and params gives the job that it
        made before; params named in ``unlike`` may differ, as ids of uploads do. An ``id`` that is taken gets a number.
        Raises ``Conflict`` when the others differ, ``Overloaded`` when ``max_waiting`` jobs wait already,
        ``InvalidInput``.
        """
        row = queue.new_row(
            self._created(), kind, params, owner=owner, priority=priority, key=key, webhook=webhook, retention=retention
        )
        row |= {} if id is None else {"id": id}
        return await self._database.write(
            lambda c: queue.add(c, dict(row), max_waiting, unlike, numbered=id is not None),
            lambda added: self._tell_queued(added[0]),
        )

    async def begin(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        worker: str,
        id: str | None = None,  # noqa: A002
        owner: str = "",
        priority: int = 0,
        retention: float = 3600.0,
    ) -> Job:
        """Record an attached job: it runs at once, leased to ``worker``; ``id`` is known already. ``InvalidInput``."""
        now = self._created()
        row = queue.new_row(
            now,
            kind,
            params,
            owner=owner,
            priority=priority,
            retention=retention,
            attached=True,
            state="running",
            started=now,
            attempt=1,
            worker=worker,
            lease=secrets.token_hex(16),
            lease_until=now + self._lease_seconds,
            **({} if id is None else {"id": id}),
        )
        job, _ = await self._database.write(lambda c: queue.add(c, row, None))
        return job

    async def claim(self, worker: str, kinds: Collection[str], share: Share = "all") -> Job | None:
        """Lease the waiting job with the highest priority, of those the oldest; None when none of these kinds waits."""
        now = self._clock()
        return await self._database.write(
            lambda c: queue.claim(c, worker, kinds, now, self._lease_seconds, share), self._tell_if_any
        )

    async def waiting(self, kinds: Collection[str], timeout: float, share: Share = "all") -> bool:  # noqa: ASYNC109
        """Wait until a job of these kinds is queued, for ``timeout`` seconds at most; returns whether one is."""
        return await self._look(
            _QUEUE, timeout, lambda: self._database.read(lambda c: queue.is_waiting(c, kinds, share))
        )

    async def beat(self, worker: str, leases: Mapping[str, str]) -> Beat:
        """Extend the leases (by job id) that the worker still holds; hear which it lost, and which are to end."""
        if not leases:
            return Beat(frozenset(), frozenset())
        until = self._clock() + self._lease_seconds
        return await self._database.write(lambda c: _leases.beat(c, worker, leases, until))

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
        """Append an event; ``progress`` (0-1) and ``stage`` are kept with the job as well. Raises ``LeaseLost``."""
        now = self._clock()
        return await self._database.write(
            lambda c: _leases.report(c, id, lease, now, type, data, progress=progress, stage=stage),
            lambda event: self._news.tell(event.job),
        )

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
        """End a job, once: ``succeeded``, ``failed`` or ``cancelled``. Raises ``LeaseLost``.

        When it was asked to end meanwhile it is cancelled, so look at the state of what is returned.
        """
        now = self._clock()
        return await self._database.write(
            lambda c: _leases.finish(c, id, lease, now, state, result=result, error=error, timings=timings), self._tell
        )

    async def release(self, id: str, lease: str) -> None:  # noqa: A002
        """Give a job back, by a worker that stops: queued again, the attempt not counted; an attached one fails.

        Raises ``LeaseLost``.
        """
        now = self._clock()
        await self._database.write(lambda c: _leases.release(c, id, lease, now), self._tell_queued)

    async def cancel(self, id: str, *, owner: str | None = None) -> Job:  # noqa: A002
        """A job that waits is cancelled; one that runs is asked to end (``cancel_requested``).

        Raises ``Conflict`` for one that has ended, ``NotFound``.
        """
        now = self._clock()
        return await self._database.write(lambda c: queue.cancel(c, id, owner, now), self._tell)

    async def cancelled(self, id: str) -> bool:  # noqa: A002
        """Wait until the job is asked to end (True) or has ended otherwise (False). Raises ``NotFound``.

        A cancel in this process is heard at once, one of another process within a second.
        """
        asked = False

        async def decided() -> bool:
            nonlocal asked
            _, state, requested = await self._database.read(lambda c: history.last_seq(c, id))
            asked = requested or state == "cancelled"
            return asked or state in ("succeeded", "failed")

        await self._look(id, None, decided)
        return asked

    async def workers(self) -> set[str]:
        """Who holds a running job."""
        return await self._database.read(_leases.workers)

    async def abandon(self, worker: str) -> None:
        """The worker is known to be gone: its leases end now, for ``recover`` to see."""
        await self._database.write(lambda c: _leases.abandon(c, worker))

    async def recover(self) -> _Jobs:
        """Free the jobs whose lease has run out, and return them as they are then.

        A detached one is queued again, or failed after three attempts (``worker-died``); an attached one is failed
        (``interrupted``); one that was asked to end is cancelled.
        """
        now = self._clock()
        return await self._database.write(lambda c: _leases.recover(c, now), self._tell_all)

    async def tried(self, kinds: Collection[str]) -> Sequence[str]:
        """Ids of the detached jobs with an attempt that came to nothing and told of something: it may be left."""
        return await self._database.read(lambda c: history.tried(c, kinds))

    async def get(self, id: str, *, owner: str | None = None) -> Job:  # noqa: A002
        """One job. Raises ``NotFound``, also when it is another owner's."""
        return await self._database.read(lambda c: history.get(c, id, owner))

    async def with_key(self, key: str, *, owner: str = "") -> Job | None:
        """The job that an idempotency key of that owner stands for, whatever its parameters; None when none does."""
        return await self._database.read(lambda c: history.with_key(c, key, owner))

    async def position(self, id: str) -> int | None:  # noqa: A002
        """How many jobs are ahead of a queued one, 0 = next; None when it does not wait."""
        return await self._database.read(lambda c: queue.position(c, id))

    async def events(self, id: str, *, after: int = 0, limit: int = 1000) -> _Events:  # noqa: A002
        """The events with ``seq > after``, in order; none for a job that is not there."""
        return await self._database.read(lambda c: history.events_after(c, id, after, limit))

    async def latest(self, id: str, type: str) -> JobEvent | None:  # noqa: A002
        """The last event of that type; None when there is none."""
        return await self._database.read(lambda c: history.latest(c, id, type))

    async def changed(self, id: str, after: int, timeout: float) -> bool:  # noqa: A002, ASYNC109
        """Wait for an event with ``seq > after``, for ``timeout`` seconds at most; returns whether there is one.

        One of this process is heard at once, one of another within a second. Raises ``NotFound``.
        """

        async def happened() -> bool:
            seq, _, _ = await self._database.read(lambda c: history.last_seq(c, id))
            return seq > after

        return await self._look(id, timeout, happened)

    async def list(
        self,
        *,
        owner: str | None = None,
        kind: str | Collection[str] | None = None,
        without: Collection[str] = (),
        state: JobState | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[_Jobs, int]:
        """Jobs, of one kind, of several, or of all ``without`` some, newest first; and how many there are in all."""
        return await self._database.read(lambda c: history.page(c, owner, kind, state, limit, offset, without))

    async def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, every state named."""
        return await self._database.read(history.counts)

    async def forget(self, before: float) -> _Jobs:
        """Remove ended jobs that expire at or before ``before``, with their events, and return them.

        One whose webhook is still owed stays. Up to 500 at once: call it until none is returned.
        """
        return await self._database.write(lambda c: history.forget(c, before))

    async def remove(self, id: str, *, owner: str | None = None) -> tuple[Job, _Events]:  # noqa: A002
        """Remove a job that has ended, with its events, and return both; its idempotency key is free again.

        Raises ``Conflict`` for one that has not ended or whose webhook is still owed, ``NotFound``.
        """
        return await self._database.write(lambda c: history.remove(c, id, owner))

    async def due(self, worker: str, limit: int = 20) -> _Deliveries:
        """Webhooks to send now, handed to this worker alone for a minute."""
        now = self._clock()
        return await self._database.write(lambda c: deliveries.due(c, worker, limit, now))

    async def delivered(self, id: str) -> None:  # noqa: A002
        """The client has it; ``id`` is the delivery's."""
        await self._database.write(lambda c: deliveries.settle(c, id, state="delivered"))

    async def postponed(self, id: str, until: float) -> None:  # noqa: A002
        """Try again at ``until``."""
        await self._database.write(lambda c: deliveries.settle(c, id, due=until))

    async def given_up(self, id: str, reason: str) -> None:  # noqa: A002
        """Never try again."""
        await self._database.write(lambda c: deliveries.settle(c, id, state="given_up", reason=reason))

    def _created(self) -> float:
        """Now, but later than any time given before: the queue keeps the order of arrival."""
        self._latest = max(self._clock(), self._latest + 1e-6)
        return self._latest

    def _tell(self, job: Job) -> None:
        self._news.tell(job.id)

    def _tell_if_any(self, job: Job | None) -> None:
        if job is not None:
            self._tell(job)

    def _tell_queued(self, job: Job) -> None:
        self._tell(job)
        if job.state == "queued":
            self._news.tell(_QUEUE)

    def _tell_all(self, jobs: _Jobs) -> None:
        for job in jobs:
            self._tell_queued(job)

    async def _look(self, topic: str, timeout: float | None, true: Callable[[], Awaitable[bool]]) -> bool:  # noqa: ASYNC109
        """Until it is true, looking when something was told and, for the sake of other processes, each second."""
        loop = asyncio.get_running_loop()
        until = float("inf") if timeout is None else loop.time() + timeout
        with self._news.listening(topic) as listener:
            while not await true():
                left = until - loop.time()
                if left <= 0:
                    return False
                await listener.wait(min(left, LOOK_SECONDS))
        return True
