"""The tables of jobs, as SQL has them, and the way from a row to a noun.

``job`` is one row a request; ``job_event`` what happened to it, numbered from 1 without gaps (``job.last_seq`` is the
counter: taking a number locks the row); ``webhook_delivery`` what is owed to clients when jobs have ended.
Any change here needs a revision in ``migrations/versions``; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB

from vivavoce.nouns import Job, JobEvent

__all__ = [
    "JSON_DOCUMENT",
    "OWED",
    "QUEUED",
    "RUNNING",
    "deliveries",
    "event_of",
    "events",
    "job_of",
    "jobs",
    "metadata",
]

JSON_DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON on SQLite, JSONB on PostgreSQL; ``None`` is SQL's NULL."""

# Written out, not bound: SQLite uses a partial index only where it can read the condition in the statement.
QUEUED = literal_column("'queued'", String)
RUNNING = literal_column("'running'", String)
OWED = literal_column("'owed'", String)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "job",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("params", JSON_DOCUMENT, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("attached", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(128), nullable=False),
    Column("lease", String(64), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("retention", Double, nullable=False),
    Column("expires", Double),
    Column("progress", Double, nullable=False),
    Column("stage", String(64), nullable=False),
    Column("timings", JSON_DOCUMENT, nullable=False),
    Column("result", JSON_DOCUMENT),
    Column("error", JSON_DOCUMENT),
    Column("webhook", Text),
    Column("key", String(255)),
    Column("fingerprint", String(64)),
    Column("last_seq", Integer, nullable=False),
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
    UniqueConstraint("owner", "key"),
)
Index(
    "ix_job_queue",
    jobs.c.priority.desc(),
    jobs.c.created,
    jobs.c.id,
    sqlite_where=jobs.c.state == QUEUED,
    postgresql_where=jobs.c.state == QUEUED,
)
Index(
    "ix_job_lease", jobs.c.lease_until, sqlite_where=jobs.c.state == RUNNING, postgresql_where=jobs.c.state == RUNNING
)
Index("ix_job_created", jobs.c.created, jobs.c.id)
Index("ix_job_owner", jobs.c.owner, jobs.c.created, jobs.c.id)
Index("ix_job_state", jobs.c.state, jobs.c.created, jobs.c.id)
Index(
    "ix_job_expires",
    jobs.c.expires,
    sqlite_where=jobs.c.expires.is_not(None),
    postgresql_where=jobs.c.expires.is_not(None),
)

events = Table(
    "job_event",
    metadata,
    Column("job", String(64), ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("type", String(32), nullable=False),
    Column("data", JSON_DOCUMENT, nullable=False),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "webhook_delivery",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("job", String(64), ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("due", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("state IN ('owed', 'delivered', 'given_up')", name="state"),
    UniqueConstraint("job"),
)
Index(
    "ix_webhook_delivery_due",
    deliveries.c.due,
    sqlite_where=deliveries.c.state == OWED,
    postgresql_where=deliveries.c.state == OWED,
)

_NOT_OF_A_JOB = frozenset({"retention", "key", "fingerprint", "last_seq"})


def job_of(row: RowMapping | dict[str, Any]) -> Job:
    """A whole row of ``job`` as a noun."""
    values = {name: value for name, value in row.items() if name not in _NOT_OF_A_JOB}
    for name in ("lease_until", "progress"):
        values[name] = float(values[name])  # SQLite's RETURNING gives 0 as it was written, without its column's type
    return Job(**values)


def event_of(row: RowMapping | dict[str, Any]) -> JobEvent:
    """A whole row of ``job_event`` as a noun."""
    return JobEvent(**row)
