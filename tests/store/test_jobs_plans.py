"""What is asked often finds its rows by an index, however long the history is."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import event, text

from databases import Clock, PostgresCluster, opened
from vivavoce.store.jobs import JobTable

Ask = Callable[[JobTable], Awaitable[object]]

ASKED: dict[str, tuple[Ask, str]] = {
    "claim": (lambda t: t.claim("w", ["video", "prepare"]), "ix_job_queue"),
    "claim elsewhere": (lambda t: t.claim("w", ["video"], "away"), "ix_job_queue"),
    "claim here": (lambda t: t.claim("w", ["video", "prepare"], "home"), "ix_job_queue"),
    "recover": (lambda t: t.recover(), "ix_job_lease"),
    "forget": (lambda t: t.forget(1.0), "ix_job_expires"),
    "list of an owner": (lambda t: t.list(owner="anna"), "ix_job_owner"),
    "list of all": (lambda t: t.list(), "ix_job_created"),
    "list of some kinds": (lambda t: t.list(owner="anna", kind=["video", "chat"]), "ix_job_owner"),
    "list of a state": (lambda t: t.list(state="failed"), "ix_job_state"),
    "idempotency key": (lambda t: t.add("video", {}, owner="anna", key="k"), "uq_job_owner_key|autoindex_job_2"),
    "due": (lambda t: t.due("w"), "ix_webhook_delivery_due"),
    "position": (lambda t: _position(t), "ix_job_queue|ix_job_state"),
}


async def _position(table: JobTable) -> None:
    (job,), _ = await table.list(state="queued")
    assert await table.position(job.id) == 0


async def statements(table: JobTable, ask: Ask) -> list[tuple[str, object]]:
    """What a method asks, with the parameters."""
    seen: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if re.match(r"SELECT (?!pg_adv)|UPDATE", statement):
            seen.append((statement, parameters))

    event.listen(table._database.engine.sync_engine, "before_cursor_execute", note)
    try:
        await ask(table)
    finally:
        event.remove(table._database.engine.sync_engine, "before_cursor_execute", note)
    return seen


async def filled(table: JobTable) -> None:
    """A long history, a few that run and wait."""
    await table.add("video", {})
    insert = """
        INSERT INTO job (id, kind, state, params, owner, attached, priority, attempt, worker, lease, lease_until,
            cancel_requested, created, retention, expires, progress, stage, timings, last_seq)
        SELECT 'j' || n, 'video', CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END, '{}', 'o' || (n % 200),
            FALSE, 0, 1, '', '', 0, FALSE, n, 3600, 1000 + n, 1, '', '{}', 2 FROM numbers"""
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
    if table._database.is_sqlite:
        await table._database.write(lambda c: c.execute(text(numbers + insert)))
    else:
        await table._database.write(lambda c: c.execute(text(numbers + insert.replace("'{}'", "'{}'::jsonb"))))
    await table._database.write(lambda c: c.execute(text("ANALYZE")))


@pytest.mark.parametrize("what", ASKED)
def test_sqlite_searches_by_index(tmp_path: Path, what: str) -> None:
    ask, index = ASKED[what]

    async def story() -> None:
        async with opened(f"sqlite:///{tmp_path}/jobs.db", clock=Clock()) as table:
            await filled(table)
            plans = []
            for statement, parameters in await statements(table, ask):
                found = await table._database.read(
                    lambda c, s=statement, p=parameters: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", p)  # type: ignore[misc]
                )
                plans.append("; ".join(row[3] for row in found))
            assert any(re.search(index, plan) for plan in plans), plans
            assert not [plan for plan in plans if re.search(r"SCAN job(?! USING)|TEMP B-TREE", plan)], plans

    asyncio.run(story())


@pytest.mark.parametrize("what", sorted(set(ASKED) - {"due"}))  # a table of a few rows is read as it is
def test_postgresql_searches_by_index(postgres: PostgresCluster, what: str) -> None:
    ask, index = ASKED[what]

    async def story() -> None:
        async with opened(postgres.new_url(), clock=Clock()) as table:
            await filled(table)
            plans = []
            for statement, parameters in await statements(table, ask):
                found = await table._database.read(
                    lambda c, s=statement, p=parameters: c.exec_driver_sql(f"EXPLAIN {s}", p)  # type: ignore[misc]
                )
                plans.append("\n".join(row[0] for row in found))
            assert any(re.search(index, plan) for plan in plans), plans

    asyncio.run(story())
