"""Jobs, what happened to them, and the webhooks that are owed for them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the three tables and their indexes."""
    op.create_table(
        "job",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("params", DOCUMENT, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("attached", sa.Boolean, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(128), nullable=False),
        sa.Column("lease", sa.String(64), nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("retention", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("stage", sa.String(64), nullable=False),
        sa.Column("timings", DOCUMENT, nullable=False),
        sa.Column("result", DOCUMENT),
        sa.Column("error", DOCUMENT),
        sa.Column("webhook", sa.Text),
        sa.Column("key", sa.String(255)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("owner", "key", name="uq_job_owner_key"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_job_state")
        ),
    )
    _index("ix_job_queue", "job", [sa.text("priority DESC"), "created", "id"], "state = 'queued'")
    _index("ix_job_lease", "job", ["lease_until"], "state = 'running'")
    _index("ix_job_created", "job", ["created", "id"])
    _index("ix_job_owner", "job", ["owner", "created", "id"])
    _index("ix_job_state", "job", ["state", "created", "id"])
    _index("ix_job_expires", "job", ["expires"], "expires IS NOT NULL")
    op.create_table(
        "job_event",
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("data", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("job", "seq", name="pk_job_event"),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name="fk_job_event_job", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_delivery"),
        sa.UniqueConstraint("job", name="uq_webhook_delivery_job"),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name="fk_webhook_delivery_job", ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('owed', 'delivered', 'given_up')", name=op.f("ck_webhook_delivery_state")),
    )
    _index("ix_webhook_delivery_due", "webhook_delivery", ["due"], "state = 'owed'")


def downgrade() -> None:
    """Drop them, with all that they hold."""
    for table in ("webhook_delivery", "job_event", "job"):
        op.drop_table(table)


def _index(name: str, table: str, columns: list[object], where: str | None = None) -> None:
    condition = {} if where is None else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    op.create_index(name, table, columns, **condition)  # type: ignore[arg-type]
