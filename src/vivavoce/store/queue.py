"""Jobs on their way in: recorded once for each idempotency key, refused when too many wait, taken by age and rank."""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, func, not_, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.errors import Conflict, InvalidInput, NotFound, Overloaded
from vivavoce.nouns import Job
from vivavoce.store.documents import checked
from vivavoce.store.states import append, end, note, numbered
from vivavoce.store.tables import QUEUED, job_of, jobs
from vivavoce.store.voices import CLONE

__all__ = ["Share", "add", "cancel", "claim", "is_waiting", "missing", "new_row", "position"]

Share = Literal["all", "home", "away"]
"""Which jobs are claimed: all, those that only this server can do, or those that any machine can."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NUMBERS = 1000
"""Jobs that may want the same id."""
_ADDING = 0x76766A71  # names our lock among PostgreSQL's advisory locks


def new_row(now: float, kind: str, params: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """A row that waits, with an id that sorts by time and cannot be guessed. Raises ``InvalidInput``."""
    row: dict[str, Any] = {
        "id": f"{int(now * 1e6):014x}{secrets.token_hex(9)}",
        "kind": kind,
        "state": "queued",
        "params": checked(params),
        "attached": False,
        "attempt": 0,
        "worker": "",
        "lease": "",
        "lease_until": 0.0,
        "cancel_requested": False,
        "created": now,
        "started": None,
        "finished": None,
        "expires": None,
        "progress": 0.0,
        "stage": "",
        "timings": {},
        "result": None,
        "error": None,
        "webhook": None,
        "key": None,
        "fingerprint": None,
        "last_seq": 1,
    }
    return row | values


async def add(
    connection: AsyncConnection,
    row: dict[str, Any],
    max_waiting: int | None,
    unlike: Collection[str] = (),
    *,
    numbered: bool = False,
) -> tuple[Job, bool]:
    """Record ``row``, or find the job of its idempotency key, whose parameters but for ``unlike`` must be the same.

    With ``numbered``, an id that is taken gets a number: ``ID_2``, ``ID_3``, … .
    """
    if max_waiting is not None and connection.dialect.name == "postgresql":
        # Two that count at the same time would both find room.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADDING})
    if row["key"] is not None:
        if not _KEY.fullmatch(row["key"]):
            raise InvalidInput("An idempotency key is 1 to 255 visible ASCII characters; a UUID is a good one.")
        compared = {name: value for name, value in row["params"].items() if name not in unlike}
        kept = json.dumps([row["kind"], compared], sort_keys=True)
        row["fingerprint"] = hashlib.sha256(kept.encode()).hexdigest()
        if (old := await _with_key(connection, row)) is not None:
            return old, False
    if max_waiting is not None:
        waiting = await connection.scalar(select(func.count()).select_from(jobs).where(jobs.c.state == QUEUED))
        if (waiting or 0) >= max_waiting:
            raise Overloaded(f"{waiting} jobs are waiting already, which is the most that may; try again later.")
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new, wanted = None, row["id"]
    for number in range(2, _NUMBERS) if numbered else (2,):
        once = insert(jobs).values(row).on_conflict_do_nothing(index_elements=None if numbered else ["owner", "key"])
        new = (await connection.execute(once.returning(jobs))).mappings().one_or_none()
        if new is not None or not await _is_taken(connection, row["id"]):
            break
        row["id"] = f"{wanted}_{number}"
    if new is None:  # another server was faster with the same key
        old = await _with_key(connection, row)
        if old is None:
            raise Conflict("Another call with this idempotency key is under way; send it again.")
        return old, False
    await append(
        connection,
        new["id"],
        1,
        row["created"],
        "state",
        {"state": row["state"]} | ({"attempt": 1} if row["attached"] else {}),
    )
    return job_of(new), True


async def claim(
    connection: AsyncConnection,
    worker: str,
    kinds: Collection[str],
    now: float,
    lease_seconds: float,
    share: Share = "all",
) -> Job | None:
    """Take the job that goes first, in one statement."""
    first = (
        select(jobs.c.id)
        .where(_fits(kinds, share))
        .order_by(jobs.c.priority.desc(), jobs.c.created, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = await numbered(
        connection,
        and_(jobs.c.id == first, jobs.c.state == QUEUED),
        state="running",
        attempt=jobs.c.attempt + 1,
        worker=worker,
        lease=secrets.token_hex(16),
        lease_until=now + lease_seconds,
        started=now,
    )
    if row is None:
        return None
    job = job_of(row)
    await append(connection, job.id, row["last_seq"], now, "state", {"state": "running", "attempt": job.attempt})
    return job


async def cancel(connection: AsyncConnection, id: str, owner: str | None, now: float) -> Job:  # noqa: A002
    """End a job that waits; ask one that runs to end."""
    row = (await connection.execute(select(jobs).where(_whose(id, owner)).with_for_update())).mappings().one_or_none()
    if row is None:
        raise missing()
    job = job_of(row)
    if job.ended:
        raise Conflict(f"This job has ended already ({job.state}); only one that waits or runs can be cancelled.")
    if job.state == "queued":
        return await end(connection, jobs.c.id == id, now, "cancelled") or job
    if job.cancel_requested:
        return job
    asked = await note(connection, jobs.c.id == id, now, "cancel", {}, cancel_requested=True)
    return job if asked is None else job_of(asked)


async def position(connection: AsyncConnection, id: str) -> int | None:  # noqa: A002
    """How many wait before it."""
    mine = jobs.alias()
    own = (
        (await connection.execute(select(mine).where(mine.c.id == id, mine.c.state == QUEUED))).mappings().one_or_none()
    )
    if own is None:
        return None
    before = or_(
        jobs.c.priority > own["priority"],
        and_(
            jobs.c.priority == own["priority"],
            or_(jobs.c.created < own["created"], and_(jobs.c.created == own["created"], jobs.c.id < id)),
        ),
    )
    return await connection.scalar(select(func.count()).select_from(jobs).where(jobs.c.state == QUEUED, before)) or 0


async def is_waiting(connection: AsyncConnection, kinds: Collection[str], share: Share = "all") -> bool:
    """Whether a claim of one of these kinds would find something."""
    found = select(jobs.c.id).where(_fits(kinds, share)).limit(1)
    return await connection.scalar(found) is not None


def _fits(kinds: Collection[str], share: Share) -> ColumnElement[bool]:
    """What waits and may be claimed. Voices of people lie with the server, and so does what has no voice at all."""
    waits = and_(jobs.c.state == QUEUED, jobs.c.kind.in_(kinds))
    anywhere = func.coalesce(jobs.c.params["voice_engine"].as_string(), CLONE) != CLONE
    match share:
        case "home":
            return and_(waits, not_(anywhere))
        case "away":
            return and_(waits, anywhere)
    return waits


def missing() -> NotFound:
    """No such job, or somebody else's."""
    return NotFound("There is no such job; it may have been removed since its end.")


async def _is_taken(connection: AsyncConnection, id: str) -> bool:  # noqa: A002
    return await connection.scalar(select(jobs.c.id).where(jobs.c.id == id)) is not None


async def _with_key(connection: AsyncConnection, row: dict[str, Any]) -> Job | None:
    same = select(jobs).where(jobs.c.owner == row["owner"], jobs.c.key == row["key"])
    old = (await connection.execute(same)).mappings().one_or_none()
    if old is None:
        return None
    if old["fingerprint"] != row["fingerprint"]:
        raise Conflict("This idempotency key was used for another call; use a new key for each new call.")
    return job_of(old)


def _whose(id: str, owner: str | None) -> ColumnElement[bool]:  # noqa: A002
    mine = jobs.c.id == id
    return mine if owner is None else and_(mine, jobs.c.owner == owner)
