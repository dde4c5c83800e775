"""Reading what jobs were and are, and forgetting them."""

from collections.abc import Collection, Sequence
from typing import get_args

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.errors import Conflict
from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.store.queue import missing
from vivavoce.store.tables import OWED, deliveries, event_of, events, job_of, jobs

__all__ = ["counts", "events_after", "forget", "get", "last_seq", "latest", "page", "remove", "tried", "with_key"]

_AT_ONCE = 500
_ALL = 1_000_000
"""More events than a job has."""


async def get(connection: AsyncConnection, id: str, owner: str | None) -> Job:  # noqa: A002
    """One job."""
    whose = true() if owner is None else jobs.c.owner == owner
    row = (await connection.execute(select(jobs).where(jobs.c.id == id, whose))).mappings().one_or_none()
    if row is None:
        raise missing()
    return job_of(row)


async def with_key(connection: AsyncConnection, key: str, owner: str) -> Job | None:
    """The job of an idempotency key."""
    same = select(jobs).where(jobs.c.owner == owner, jobs.c.key == key)
    row = (await connection.execute(same)).mappings().one_or_none()
    return None if row is None else job_of(row)


async def last_seq(connection: AsyncConnection, id: str) -> tuple[int, JobState, bool]:  # noqa: A002
    """How many events it has, its state, and whether it was asked to end."""
    looked = select(jobs.c.last_seq, jobs.c.state, jobs.c.cancel_requested).where(jobs.c.id == id)
    row = (await connection.execute(looked)).one_or_none()
    if row is None:
        raise missing()
    return row.last_seq, row.state, row.cancel_requested


async def events_after(connection: AsyncConnection, id: str, after: int, limit: int) -> list[JobEvent]:  # noqa: A002
    """Events in order."""
    later = select(events).where(events.c.job == id, events.c.seq > after).order_by(events.c.seq).limit(limit)
    return [event_of(row) for row in (await connection.execute(later)).mappings()]


async def latest(connection: AsyncConnection, id: str, type: str) -> JobEvent | None:  # noqa: A002
    """The last event of a type."""
    last = select(events).where(events.c.job == id, events.c.type == type).order_by(events.c.seq.desc()).limit(1)
    row = (await connection.execute(last)).mappings().one_or_none()
    return None if row is None else event_of(row)


async def page(
    connection: AsyncConnection,
    owner: str | None,
    kind: str | Collection[str] | None,
    state: JobState | None,
    limit: int,
    offset: int,
    without: Collection[str] = (),
) -> tuple[list[Job], int]:
    """Newest first, and how many there are in all."""
    kinds = [kind] if isinstance(kind, str) else kind
    asked = ((jobs.c.owner, owner), (jobs.c.state, state))
    of_kind = and_(
        true() if kinds is None else jobs.c.kind.in_(kinds), jobs.c.kind.not_in(without) if without else true()
    )
    wanted: ColumnElement[bool] = and_(of_kind, *(column == value for column, value in asked if value is not None))
    total = await connection.scalar(select(func.count()).select_from(jobs).where(wanted)) or 0
    newest = select(jobs).where(wanted).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit).offset(offset)
    return [job_of(row) for row in (await connection.execute(newest)).mappings()], total


async def tried(connection: AsyncConnection, kinds: Collection[str]) -> Sequence[str]:
    """Ids of detached jobs with events of these kinds whose last attempt was not the first, or did not succeed."""
    vain = jobs.c.state.in_(("queued", "failed", "cancelled")) & (jobs.c.attempt > 0)
    again = jobs.c.state.in_(("running", "succeeded")) & (jobs.c.attempt > 1)
    told = exists().where(events.c.job == jobs.c.id, events.c.type.in_(kinds))
    found = await connection.scalars(select(jobs.c.id).where(jobs.c.attached.is_(False), vain | again, told))
    return found.all()


async def counts(connection: AsyncConnection) -> dict[JobState, int]:
    """How many of each state."""
    found = await connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    numbers: dict[JobState, int] = dict.fromkeys(get_args(JobState), 0)
    return numbers | {row[0]: row[1] for row in found}


async def forget(connection: AsyncConnection, before: float) -> list[Job]:
    """Remove what has ended and expired, but not while a webhook is owed for it."""
    owed = exists().where(deliveries.c.job == jobs.c.id, deliveries.c.state == OWED)
    expired = (
        select(jobs.c.id)
        .where(jobs.c.expires.is_not(None), jobs.c.expires <= before, ~owed)
        .order_by(jobs.c.expires)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = (await connection.scalars(expired)).all()
    if not ids:
        return []
    gone = await connection.execute(delete(jobs).where(jobs.c.id.in_(ids)).returning(jobs))
    return [job_of(row) for row in gone.mappings()]


async def remove(
    connection: AsyncConnection,
    id: str,  # noqa: A002
    owner: str | None,
) -> tuple[Job, list[JobEvent]]:
    """Remove one that has ended, with its events; returns both as they were."""
    whose = true() if owner is None else jobs.c.owner == owner
    row = (await connection.execute(select(jobs).where(jobs.c.id == id, whose).with_for_update())).mappings().first()
    if row is None:
        raise missing()
    job = job_of(row)
    if not job.ended:
        raise Conflict(f"This job is {job.state}; cancel it first, then its record can be removed.")
    owed = select(deliveries.c.id).where(deliveries.c.job == id, deliveries.c.state == OWED)
    if await connection.scalar(owed) is not None:
        raise Conflict("The webhook of this job is still being sent; remove the record when that is over.")
    happened = await events_after(connection, id, 0, _ALL)
    await connection.execute(delete(jobs).where(jobs.c.id == id))
    return job, happened
