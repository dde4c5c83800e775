"""Jobs that run: every write about one names its lease, so of two workers that believe they have it, one wins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.errors import LeaseLost
from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.store.documents import scrubbed
from vivavoce.store.states import change, end, note
from vivavoce.store.tables import RUNNING, job_of, jobs

__all__ = ["MAX_ATTEMPTS", "Beat", "abandon", "beat", "finish", "recover", "release", "report", "workers"]

MAX_ATTEMPTS = 3
_ATTEMPTS = {"model_training": 10}
"""Of kinds that go on where the attempt before was: hours of work are not lost to a machine that restarts often."""
INTERRUPTED = {
    "code": "interrupted",
    "message": "The server stopped while it worked on this; ask for it again.",
}
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker hears when it says that it lives."""

    lost: frozenset[str]
    """Ids of jobs that are its own no longer: stop, and write nothing."""
    cancelled: frozenset[str]
    """Ids of jobs that are to end: stop, then finish them as cancelled."""


async def beat(connection: AsyncConnection, worker: str, leases: Mapping[str, str], until: float) -> Beat:
    """Extend what is still held."""
    held = (
        update(jobs)
        .where(
            jobs.c.id.in_(leases), jobs.c.lease.in_(leases.values()), jobs.c.state == RUNNING, jobs.c.worker == worker
        )
        .values(lease_until=until)
        .returning(jobs.c.id, jobs.c.lease, jobs.c.cancel_requested)
    )
    rows = [row for row in await connection.execute(held) if leases[row.id] == row.lease]
    return Beat(frozenset(leases) - {row.id for row in rows}, frozenset(row.id for row in rows if row.cancel_requested))


async def report(
    connection: AsyncConnection,
    id: str,  # noqa: A002
    lease: str,
    now: float,
    type: str,  # noqa: A002
    data: Mapping[str, Any],
    *,
    progress: float | None,
    stage: str | None,
) -> JobEvent:
    """Append an event, and keep how far the work is."""
    kept: dict[str, Any] = scrubbed(data)
    values: dict[str, Any] = {}
    if progress is not None:
        values["progress"] = min(1.0, max(0.0, progress))
    if stage is not None:
        values["stage"] = scrubbed(stage)[:64]
    row = await note(connection, _held(id, lease), now, type, kept, **values)
    if row is None:
        raise _lost()
    return JobEvent(id, row["last_seq"], now, type, kept)


async def finish(
    connection: AsyncConnection,
    id: str,  # noqa: A002
    lease: str,
    now: float,
    state: JobState,
    **told: Mapping[str, Any] | None,
) -> Job:
    """End it. Once it was asked to end, it has been cancelled, whatever came of it."""
    undisturbed = true() if state == "cancelled" else jobs.c.cancel_requested.is_(False)
    job = await end(connection, and_(_held(id, lease), undisturbed), now, state, **told)
    job = job or await end(connection, _held(id, lease), now, "cancelled", timings=told.get("timings"))
    if job is None:
        raise _lost()
    return job


async def release(connection: AsyncConnection, id: str, lease: str, now: float) -> Job:  # noqa: A002
    """Give it back unfinished, by a worker that ends as it should: the attempt is not counted."""
    row = (await connection.execute(select(jobs).where(_held(id, lease)).with_for_update())).mappings().one_or_none()
    job = None if row is None else await _let_go(connection, job_of(row), now, counted=False)
    if job is None:
        raise _lost()
    return job


async def workers(connection: AsyncConnection) -> set[str]:
    """Who holds a running job."""
    return set((await connection.execute(select(jobs.c.worker).where(jobs.c.state == RUNNING).distinct())).scalars())


async def abandon(connection: AsyncConnection, worker: str) -> None:
    """End the leases of a worker that is known to be gone."""
    await connection.execute(
        update(jobs).where(jobs.c.state == RUNNING, jobs.c.worker == worker).values(lease_until=0.0)
    )


async def recover(connection: AsyncConnection, now: float) -> list[Job]:
    """Let go of all whose lease has run out."""
    late = (
        select(jobs)
        .where(jobs.c.state == RUNNING, jobs.c.lease_until < now)
        .order_by(jobs.c.lease_until)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = (await connection.execute(late)).mappings().all()
    freed = [await _let_go(connection, job_of(row), now, counted=True) for row in rows]
    return [job for job in freed if job is not None]


async def _let_go(connection: AsyncConnection, job: Job, now: float, *, counted: bool) -> Job | None:
    held = _held(job.id, job.lease)
    if job.cancel_requested:
        return await end(connection, held, now, "cancelled")
    if job.attached:
        return await end(connection, held, now, "failed", error=INTERRUPTED)
    if counted and job.attempt >= _ATTEMPTS.get(job.kind, MAX_ATTEMPTS):
        return await end(connection, held, now, "failed", error=_died(job.attempt))
    return await change(
        connection,
        held,
        now,
        {"state": "queued"},
        state="queued",
        attempt=job.attempt if counted else job.attempt - 1,
        worker="",
        lease="",
        lease_until=0.0,
        started=None,
        progress=0.0,
        stage="",
    )


def _died(times: int) -> dict[str, str]:
    message = f"The worker died {times} times while it worked on this; ask for less, or tell the operator."
    return {"code": "worker-died", "message": message}


def _held(id: str, lease: str) -> ColumnElement[bool]:  # noqa: A002
    return and_(jobs.c.id == id, jobs.c.lease == lease, jobs.c.state == RUNNING)


def _lost() -> LeaseLost:
    return LeaseLost("This job is held by this worker no longer: it ended, or was given to another meanwhile.")
