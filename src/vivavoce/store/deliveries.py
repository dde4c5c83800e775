"""Webhooks that are owed: written in the transaction that ends a job, so that a crash between the two loses none."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.nouns import Job
from vivavoce.store.documents import scrubbed
from vivavoce.store.tables import OWED, deliveries, job_of, jobs

__all__ = ["HELD_SECONDS", "Delivery", "due", "settle"]

HELD_SECONDS = 60.0
"""A delivery that was handed out is handed out again after this time, unless something became of it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that a client is owed about the end of a job."""

    id: str
    job: Job
    url: str
    attempt: int
    """Counts from 1."""
    created: float
    """When the job ended, Unix seconds."""


async def due(connection: AsyncConnection, worker: str, limit: int, now: float) -> list[Delivery]:
    """Take the oldest that are due, each for one worker."""
    oldest = (
        select(deliveries.c.id)
        .where(deliveries.c.state == OWED, deliveries.c.due <= now)
        .order_by(deliveries.c.due)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = (await connection.scalars(oldest)).all()
    if not ids:
        return []
    taken = (
        update(deliveries)
        .where(deliveries.c.id.in_(ids))
        .values(attempt=deliveries.c.attempt + 1, worker=worker, due=now + HELD_SECONDS)
        .returning(deliveries.c.id, deliveries.c.job, deliveries.c.url, deliveries.c.attempt, deliveries.c.created)
    )
    rows = (await connection.execute(taken)).all()
    theirs = await connection.execute(select(jobs).where(jobs.c.id.in_([row.job for row in rows])))
    by_id = {row["id"]: job_of(row) for row in theirs.mappings()}
    found = [Delivery(row.id, by_id[row.job], row.url, row.attempt, row.created) for row in rows]
    return sorted(found, key=lambda delivery: delivery.created)


async def settle(
    connection: AsyncConnection,
    id: str,  # noqa: A002
    *,
    state: str = "owed",
    due: float = 0.0,
    reason: str = "",
) -> None:
    """What became of an owed delivery: delivered, given up with a reason, or due later. Once settled, it stays so."""
    await connection.execute(
        update(deliveries)
        .where(deliveries.c.id == id, deliveries.c.state == OWED)
        .values(state=state, due=due, reason=scrubbed(reason))
    )
