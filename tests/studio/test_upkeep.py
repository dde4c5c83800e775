"""Clearing up behind servers that died, wherever they were in clearing up behind others."""

import asyncio
from pathlib import Path

import pytest

from databases import Clock, opened
from vivavoce.nouns import Job
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.jobs import JobTable
from vivavoce.studio.upkeep import Upkeep
from vivavoce.studio.webhooks import Webhooks


class Rooms:
    """A server's table, results and upkeep."""

    def __init__(self, table: JobTable, clock: Clock, folder: Path) -> None:
        self.table = table
        self.clock = clock
        self.artifacts = ArtifactStore(folder / "artifacts")
        self._folder = folder

    async def attempt(self) -> tuple[Job, str]:
        """A job is claimed, and an attempt publishes the sound of a piece and tells of it."""
        job = await self.table.claim("somebody", ["video"])
        assert job is not None
        id_ = self.artifacts.new_id()
        part = self.artifacts.part(id_, ".wav")
        part.write_bytes(b"sound")
        await self.artifacts.publish(part, id_, ".wav")
        await self.table.report(job.id, job.lease, "sound", {"index": 0, "text": "x", "id": id_, "seconds": 1.0})
        return job, id_

    async def finish(self, job: Job, *pieces: str) -> None:
        await self.table.finish(job.id, job.lease, "succeeded", result={"pieces": [{"id": id_} for id_ in pieces]})

    async def die(self) -> None:
        """The worker is gone, and so is the server that freed its jobs, before it had cleared up behind them."""
        self.clock.now += 60
        assert await self.table.recover()

    async def begin(self) -> None:
        """A server starts, looks round, and ends."""
        avatars = AvatarLibrary(self._folder / "avatars", self._folder / "builtin")
        webhooks = Webhooks(self.table, lambda _: {}, secret="", worker="w")
        upkeep = Upkeep(self.table, self.artifacts, avatars, webhooks, retention=3600, high_water=1e12)
        await upkeep.start()
        await upkeep.close()

    async def lying(self) -> set[str]:
        return {held.name.removesuffix(".wav") for held in await self.artifacts._place.list()}


@pytest.mark.parametrize("deaths", [1, 2])
@pytest.mark.parametrize("when", ["waiting", "working", "done", "given up", "cancelled"])
def test_what_an_attempt_made_goes_although_the_server_that_freed_its_job_died_too(
    tmp_path: Path, deaths: int, when: str
) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(f"sqlite:///{tmp_path}/jobs.db", clock=clock) as table:
            rooms = Rooms(table, clock, tmp_path)
            await table.add("video", {})
            other, kept = await rooms.attempt()
            await rooms.finish(other, kept)
            job, _ = await table.add("video", {})
            vain = set()
            for _ in range(3 if when == "given up" else deaths):
                vain.add((await rooms.attempt())[1])
                await rooms.die()
            left = {kept}
            if when in ("working", "done"):
                again, id_ = await rooms.attempt()
                left.add(id_)
                if when == "done":
                    await rooms.finish(again, id_)
            if when == "cancelled":
                await table.cancel(job.id)
            assert await rooms.lying() == left | vain
            await rooms.begin()
            assert await rooms.lying() == left
            await rooms.begin()
            assert await rooms.lying() == left

    asyncio.run(story())
