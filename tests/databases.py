"""Databases for tests: SQLite in a file, and a PostgreSQL of the tests' own where Debian's binaries are installed."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vivavoce.store.database import Database
from vivavoce.store.jobs import JobTable


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(url: str, **options: object) -> AsyncIterator[JobTable]:
    """A job table of the database at ``url``, open for as long as the block lasts."""
    database = Database(url)
    await database.start()
    try:
        yield JobTable(database, **options)  # type: ignore[arg-type]
    finally:
        await database.close()


class PostgresCluster:
    """A PostgreSQL server in a folder of its own, reachable through a socket in it and nowhere else."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="vivavoce-pg-"))
        self._user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        if self._user:
            shutil.chown(self._folder, self._user)

    def start(self) -> None:
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "vivavoce", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        settings = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off -c shared_buffers=32MB"
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", str(self._folder / "log"), "-o", settings)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._folder / "data"))
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_url(self) -> str:
        """An empty database."""
        name = f"t{uuid.uuid4().hex}"
        self._run("createdb", "-h", str(self._folder), "-U", "vivavoce", name)
        return f"postgresql://vivavoce@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The PostgreSQL that all tests share; skips where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    pytest.importorskip("asyncpg", reason="the extra postgres is not installed")
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    cluster = PostgresCluster(found[-1].parent)
    try:
        cluster.start()
    except (AssertionError, OSError, LookupError) as e:
        pytest.skip(f"PostgreSQL does not start here: {e}")
    yield cluster
    cluster.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, on each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.new_url()
