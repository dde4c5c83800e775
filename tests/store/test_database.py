"""Databases as an operator names them: URLs, files, servers that start together, errors that keep a password."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from databases import PostgresCluster, opened
from vivavoce.errors import EngineUnavailable
from vivavoce.store.database import Database
from vivavoce.store.tables import metadata

TESTS = Path(__file__).resolve().parents[1]


def test_the_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found

    async def story() -> None:
        database = Database(database_url)
        await database.start()
        assert await database.read(lambda c: c.run_sync(differences)) == []
        await database.close()

    asyncio.run(story())


def test_sqlite_is_set_for_many_writers(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(f"sqlite:///{tmp_path}/new folder/100%/jobs.db")
        await database.start()

        async def ask(name: str) -> object:
            return await database.read(lambda c: c.scalar(text(f"PRAGMA {name}")))

        assert await ask("journal_mode") == "wal"
        assert await ask("synchronous") == 1
        assert await ask("foreign_keys") == 1
        assert await ask("busy_timeout") == 30_000
        await database.close()

    asyncio.run(story())
    assert not list((tmp_path / "new folder" / "100%").glob("*-wal"))


def test_servers_that_start_together_do_not_collide(database_url: str) -> None:
    program = [sys.executable, "-W", "error", str(TESTS / "store" / "claimers.py"), "start_only", database_url, ""]
    servers = [
        subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(TESTS)},
        )
        for _ in range(3)
    ]
    for server in servers:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
    for server in servers:
        assert server.stdin
        server.stdin.write("go\n")
        server.stdin.flush()
    for server in servers:
        _, errors = server.communicate(timeout=60)
        assert server.returncode == 0, errors
    asyncio.run(_count(database_url, 3))


async def _count(url: str, queued: int) -> None:
    async with opened(url) as table:
        assert (await table.counts())["queued"] == queued


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://root:hunter2@host/db",
        "postgresql://user:hun:ter2@host:hunter2/db",
        "sqlite://",
        "sqlite:///:memory:",
        "redis://:hunter2@host",
    ],
)
def test_a_url_that_cannot_be_used_is_one_sentence_without_the_password(url: str) -> None:
    with pytest.raises(EngineUnavailable) as failure:
        Database(url)
    assert "sqlite:////folder/file.db" in str(failure.value)
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("url", ["postgresql://user:hunter2@127.0.0.1:1/db", "postgres://u:hunter2@nowhere.invalid/db"])
def test_a_database_that_is_not_there_is_one_sentence_without_the_password(url: str) -> None:
    pytest.importorskip("asyncpg")

    async def story() -> str:
        database = Database(url)
        try:
            with pytest.raises(EngineUnavailable) as failure:
                await database.start()
        finally:
            await database.close()
        return str(failure.value)

    said = asyncio.run(story())
    assert "cannot be used: " in said
    assert "hunter2" not in said
    assert said.count("\n") == 0


def test_a_database_that_does_not_exist_is_named(postgres: PostgresCluster) -> None:
    async def story() -> None:
        database = Database(postgres.new_url().replace("/t", "/no_such_", 1))
        with pytest.raises(EngineUnavailable, match=r'database "no_such_.*" does not exist'):
            await database.start()
        await database.close()

    asyncio.run(story())


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("not a database at all, but a text that is long enough to be looked at" * 20)

    async def story() -> None:
        database = Database(f"sqlite:///{tmp_path}/jobs.db")
        with pytest.raises(EngineUnavailable, match="file is not a database"):
            await database.start()
        await database.close()

    asyncio.run(story())


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    async def story() -> None:
        async with opened(database_url) as table:
            job, _ = await table.add("video", {})
            await table._database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
        database = Database(database_url)
        with pytest.raises(EngineUnavailable, match="made by a newer vivavoce"):
            await database.start()
        assert await database.read(lambda c: c.scalar(text("SELECT id FROM job"))) == job.id
        await database.close()

    asyncio.run(story())


def test_a_caller_that_leaves_does_not_break_a_transaction(database_url: str) -> None:
    """Tasks are cancelled at any moment, as clients leave; nothing stays locked, and all that was begun is whole."""

    async def story() -> None:
        async with opened(database_url) as table:
            tasks = [asyncio.create_task(table.add("video", {"n": n})) for n in range(40)]
            for turn, task in enumerate(tasks):
                for _ in range(turn):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(20):
                last, _ = await table.add("video", {"n": -1})
            jobs, total = await table.list(limit=100)
            assert total == len(jobs)
            assert jobs[0].id == last.id
            for job in jobs:
                assert [event.seq for event in await table.events(job.id)] == [1]

    asyncio.run(story())


def test_a_database_that_goes_away_is_said(postgres: PostgresCluster) -> None:
    async def story() -> None:
        async with opened(postgres.new_url()) as table:
            await table.add("video", {})

            async def kill() -> None:
                async with table._database.engine.connect() as other:
                    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    await other.execute(text(end + " AND pid <> pg_backend_pid()"))

            async def ask_twice(connection: AsyncConnection) -> None:
                await connection.execute(text("SELECT 1"))
                await kill()
                await connection.execute(text("SELECT 1"))

            with pytest.raises(EngineUnavailable, match="does not answer"):
                await table._database.read(ask_twice)
            _, total = await table.list()
            assert total == 1

    asyncio.run(story())
