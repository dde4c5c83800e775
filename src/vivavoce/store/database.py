"""One SQL database behind everything that must survive: SQLite in a file by default, PostgreSQL by its URL.

A transaction is a function of a connection, run to its end even when the caller is cancelled meanwhile: a client that
leaves never leaves a half-used connection behind. On SQLite writes take turns (a lock in the process,
``BEGIN IMMEDIATE`` and a busy timeout between processes), so that no writer ever meets "database is locked".
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vivavoce.errors import EngineUnavailable

__all__ = ["Database"]

T = TypeVar("T")

BUSY_SECONDS = 30
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = 0x76697661  # names our lock among PostgreSQL's advisory locks
_GONE = (OperationalError, InterfaceError, PoolTimeout, OSError)


class Database:
    """A database, its connections and its migrations. It belongs to one event loop."""

    engine: AsyncEngine

    def __init__(self, url: str) -> None:
        """``sqlite:////folder/file.db`` or ``postgresql://user:password@host/name``.

        Raises ``EngineUnavailable`` for another URL and for a missing driver. Nothing is opened yet.
        """
        self._url = _with_driver(url)
        self._turn: asyncio.Lock | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        sqlite = self.is_sqlite
        options: dict[str, Any] = (
            {"pool_size": 4, "max_overflow": 0, "connect_args": {"timeout": BUSY_SECONDS}}
            if sqlite
            else {"pool_size": 10, "max_overflow": 0, "pool_pre_ping": True}
        )
        try:
            self.engine = create_async_engine(
                self._url, hide_parameters=True, json_serializer=partial(json.dumps, allow_nan=False), **options
            )
        except ModuleNotFoundError:
            raise EngineUnavailable(
                "PostgreSQL needs a driver that is not installed; install it with: pip install 'vivavoce[postgres]'."
            ) from None
        except (ArgumentError, TypeError, ValueError):
            raise _unreadable() from None
        if sqlite:
            self._turn = asyncio.Lock()
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
        self._writing = self.engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self._url.get_backend_name() == "sqlite"

    async def start(self) -> None:
        """Bring the tables to the newest revision; servers that start at once wait for each other.

        Raises ``EngineUnavailable`` when the database cannot be reached or was made by a newer version.
        """
        try:
            if self.is_sqlite:
                await self._start_sqlite()
            else:
                async with self._writing.begin() as connection:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATING})
                    await connection.run_sync(_upgrade)
        except CommandError:
            raise EngineUnavailable(
                f"The database {self._name} was made by a newer vivavoce; start that version, or use another database."
            ) from None
        except Exception as e:
            if not isinstance(e, (SQLAlchemyError, OSError)) and not type(e).__module__.startswith("asyncpg"):
                raise
            raise EngineUnavailable(f"The database {self._name} cannot be used: {_reason(e)}.") from None

    async def close(self) -> None:
        """Wait for the transactions under way, and close the connections."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self.engine.dispose()

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` on one state of the database; what it writes is undone. Raises ``EngineUnavailable``."""
        return await self._to_the_end(self._read(work))

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], then: Callable[[T], object] | None = None
    ) -> T:
        """Run ``work`` in one transaction, then ``then`` on its result as soon as that is durable.

        If ``work`` raises, nothing has happened. Raises ``EngineUnavailable`` when the database has gone.
        """
        return await self._to_the_end(self._write(work, then))

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with self._gone():
            async with self.engine.connect() as connection:
                return await work(connection)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]], then: Callable[[T], object] | None) -> T:
        with self._gone():
            async with AsyncExitStack() as stack:
                if self._turn is not None:
                    await stack.enter_async_context(self._turn)
                connection = await stack.enter_async_context(self._writing.begin())
                result = await work(connection)
        if then is not None:
            then(result)
        return result

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen: nobody may be left who awaits it

    @contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except _GONE as e:
            raise EngineUnavailable(f"The database {self._name} does not answer: {_reason(e)}.") from e
        except DBAPIError as e:
            if not e.connection_invalidated:
                raise
            raise EngineUnavailable(f"The database {self._name} does not answer: {_reason(e)}.") from e

    async def _start_sqlite(self) -> None:
        lock = await asyncio.to_thread(_open_folder, Path(self._url.database or ""))
        try:
            # The change to WAL wants the file for itself and does not wait: starters take turns by the folder's lock.
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            async with self.engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                await (await driver.execute("PRAGMA journal_mode=WAL")).close()  # type: ignore[union-attr]
            async with self._writing.begin() as connection:
                await connection.run_sync(_upgrade)
        finally:
            os.close(lock)

    @property
    def _name(self) -> str:
        """Which database, without user, password and options."""
        url = self._url
        return str(url.database) if self.is_sqlite else f"postgresql://{url.host or ''}/{url.database or ''}"


def _with_driver(text_url: str) -> URL:
    try:
        url = make_url(text_url)
    except (ArgumentError, ValueError):
        raise _unreadable() from None
    if url.drivername in ("sqlite", "sqlite+aiosqlite"):
        if url.database in (None, "", ":memory:"):
            raise EngineUnavailable(
                "Jobs must survive a restart, so SQLite needs a file: VIVAVOCE_STORE__DATABASE=sqlite:////folder/file.db."
            )
        return url.set(drivername="sqlite+aiosqlite")
    if url.drivername in ("postgres", "postgresql", "postgresql+asyncpg"):
        query = dict(url.query)
        if mode := query.pop("sslmode", None):
            query["ssl"] = mode  # libpq's word, as others write these URLs, in the driver's
        return url.set(drivername="postgresql+asyncpg", query=query)
    raise _unreadable()


def _open_folder(file: Path) -> int:
    folder = file.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder, os.O_RDONLY | os.O_CLOEXEC)


def _unreadable() -> EngineUnavailable:
    return EngineUnavailable(
        "The database's URL cannot be used; allowed are sqlite:////folder/file.db and"
        " postgresql://user:password@host/name."
    )


def _reason(e: BaseException) -> str:
    """What the driver said, in one line; no statement, no parameter."""
    said = str(e.orig) if isinstance(e, DBAPIError) else str(e)
    line = (said.splitlines() or [""])[0].rpartition(">: ")[2].strip().rstrip(".")
    return line or type(e).__name__


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
