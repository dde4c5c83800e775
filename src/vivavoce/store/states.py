"""The one way in which a job's row changes: the row, its event and what is owed for its end, in one transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.nouns import Job, JobState
from vivavoce.store.documents import scrubbed
from vivavoce.store.tables import deliveries, events, job_of, jobs

__all__ = ["append", "change", "end", "note", "numbered"]

CANCELLED = {"code": "cancelled", "message": "It was cancelled."}


async def change(
    connection: AsyncConnection, where: ColumnElement[bool], now: float, data: Mapping[str, Any], **values: Any
) -> Job | None:
    """Change the one row that ``where`` names, and append a ``state`` event; None when there is none such."""
    row = await note(connection, where, now, "state", data, **values)
    return None if row is None else job_of(row)


async def note(
    connection: AsyncConnection,
    where: ColumnElement[bool],
    now: float,
    type: str,  # noqa: A002
    data: Mapping[str, Any],
    **values: Any,
) -> RowMapping | None:
    """Change the row and append an event of this type; returns the row as it is then."""
    row = await numbered(connection, where, **values)
    if row is not None:
        await append(connection, row["id"], row["last_seq"], now, type, data)
    return row


async def numbered(connection: AsyncConnection, where: ColumnElement[bool], **values: Any) -> RowMapping | None:
    """Change the row and take the number (``last_seq``) of the event that must follow; none is missed."""
    changed = await connection.execute(
        update(jobs).where(where).values(last_seq=jobs.c.last_seq + 1, **values).returning(jobs)
    )
    row: RowMapping | None = changed.mappings().one_or_none()
    return row


async def append(
    connection: AsyncConnection,
    job: str,
    seq: int,
    now: float,
    type: str,  # noqa: A002
    data: Mapping[str, Any],
) -> None:
    """Write an event whose number is taken already."""
    await connection.execute(insert(events).values(job=job, seq=seq, time=now, type=type, data=data))


async def end(
    connection: AsyncConnection,
    where: ColumnElement[bool],
    now: float,
    state: JobState,
    *,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, str] | None = None,
    timings: Mapping[str, float] | None = None,
) -> Job | None:
    """End the one row that ``where`` names; None when there is none such. Its event says all."""
    if state == "cancelled":
        result, error = None, CANCELLED
    told = {"result": scrubbed(result), "error": scrubbed(error), "timings": scrubbed(timings or {})}
    job = await change(
        connection,
        where,
        now,
        {"state": state, **told},
        state=state,
        lease="",
        lease_until=0.0,
        stage="",
        finished=now,
        expires=now + jobs.c.retention,
        **({"progress": 1.0} if state == "succeeded" else {}),
        **told,
    )
    if job is not None and job.webhook:
        await connection.execute(
            insert(deliveries).values(
                id=job.id,
                job=job.id,
                url=job.webhook,
                state="owed",
                created=now,
                due=now,
                attempt=0,
                worker="",
                reason="",
            )
        )
    return job
