"""The job table among processes: two that share it, and one that is killed while it writes."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from databases import opened

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(programs: ExitStack, what: str, url: str, name: str) -> subprocess.Popen[str]:
    """One of ``claimers``' programs; ended with the test."""
    program = programs.enter_context(
        subprocess.Popen(
            [sys.executable, "-W", "error", str(TESTS / "store" / "claimers.py"), what, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(TESTS)},
        )
    )
    programs.callback(program.kill)
    return program


def _together(programs: ExitStack, what: str, url: str) -> list[list[str]]:
    """What two processes print that set off at the same time."""
    both = [started(programs, what, url, name) for name in ("a", "b")]
    for program in both:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
    for program in both:
        assert program.stdin
        program.stdin.write("go\n")
        program.stdin.flush()
    printed = [program.communicate(timeout=60)[0].split() for program in both]
    assert [program.returncode for program in both] == [0, 0]
    return printed


def test_two_processes_that_make_the_same_calls_make_each_job_once(programs: ExitStack, database_url: str) -> None:
    """Each call reads before it writes: on SQLite that fails with "database is locked" unless it locks first."""
    made = [id_ for some in _together(programs, "add_all", database_url) for id_ in some]
    assert len(made) == len(set(made)) == 330

    async def count() -> None:
        async with opened(database_url) as table:
            assert (await table.counts())["queued"] == 330

    asyncio.run(count())


def test_two_processes_take_each_job_once(programs: ExitStack, database_url: str) -> None:
    async def fill() -> None:
        async with opened(database_url) as table:
            await asyncio.gather(*(table.add("video", {"n": n}) for n in range(200)))

    asyncio.run(fill())
    taken = _together(programs, "claim_all", database_url)
    assert all(taken), "one of the two took all"
    assert len(taken[0] + taken[1]) == len(set(taken[0] + taken[1])) == 200


def test_a_process_killed_while_it_writes_leaves_a_whole_table(programs: ExitStack, database_url: str) -> None:
    """What it said was written is there, every row agrees with its events, and the next server goes on."""
    added: set[str] = set()
    finished: set[str] = set()
    for lines in (7, 40, 133):
        program = started(programs, "write_until_killed", database_url, "w")
        assert program.stdout
        said = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        said += program.stdout.read().splitlines()
        program.wait()
        added |= {line.split()[1] for line in said if line.startswith("added")}
        finished |= {line.split()[1] for line in said if line.startswith("finished")}

    async def look() -> None:
        async with opened(database_url, clock=lambda: time.time() + 60) as table:
            jobs, total = await table.list(limit=100_000)
            assert len(jobs) == total
            kept = {job.id: job for job in jobs}
            assert added <= kept.keys()
            assert all(kept[id_].state == "succeeded" for id_ in finished)
            owed: set[str] = set()
            while some := await table.due("w", limit=1000):
                owed |= {delivery.job.id for delivery in some}
            assert owed == {job.id for job in jobs if job.ended}
            for job in jobs:
                events = await table.events(job.id)
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert [e.data["state"] for e in events if e.type == "state"][-1] == job.state
            await table.recover()
            while taken := await table.claim("w", ["video"]):
                await table.finish(taken.id, taken.lease, "succeeded", result={})
            counts = await table.counts()
            assert counts["succeeded"] == total

    asyncio.run(look())
