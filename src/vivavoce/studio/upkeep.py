"""Keeps the house of a server: takes up what dead workers left, forgets what is old, clears up behind jobs."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from time import time

import structlog

from vivavoce.errors import NotFound, VivavoceError
from vivavoce.nouns import Job, JobState
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.jobs import JobTable
from vivavoce.store.remains import is_dead
from vivavoce.store.workrooms import WorkRooms
from vivavoce.studio.service import DETACHED, RECORDING, SOURCE, UPLOADS
from vivavoce.studio.tuition import TRAINING
from vivavoce.studio.webhooks import Webhooks

__all__ = ["Upkeep"]

_log = structlog.get_logger(__name__)
_SWEEPS = 10
"""Sweeps within the life of a result: it is removed at most a tenth of its life late."""
_RECOVER_SECONDS = 5.0
"""Between two looks for jobs whose worker is gone."""
_NOBODYS_SECONDS = 60.0
"""Age of an upload that belongs to no job: younger ones may be on their way to theirs."""
_PAGE = 200
"""Jobs looked at in one go."""
_PUBLISHED = ("sound", "film")
"""Events that name a file."""
_ALL = 1_000_000
"""More events than a job has."""


class Upkeep:
    """``retention`` are the seconds that results are kept; ``high_water`` how full the disk may be (``sweep``).

    ``rooms`` hold what trainings have reached. ``files`` sweeps what clients keep by name, ``talks`` conversations that
    are over; both return how many went.
    """

    def __init__(
        self,
        jobs: JobTable,
        artifacts: ArtifactStore,
        avatars: AvatarLibrary,
        webhooks: Webhooks,
        *,
        retention: float,
        high_water: float,
        rooms: WorkRooms | None = None,
        files: Callable[[], int] = lambda: 0,
        talks: Callable[[], int] = lambda: 0,
    ) -> None:
        self._jobs = jobs
        self._artifacts = artifacts
        self._avatars = avatars
        self._webhooks = webhooks
        self._retention = retention
        self._high_water = high_water
        self._rooms = rooms
        self._files = files
        self._talks = talks
        self._ending = asyncio.Event()
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what dead processes of this machine held; from then on keep the house."""
        for worker in await self._jobs.workers():
            if is_dead(worker):
                await self._jobs.abandon(worker)
        await self._recover()
        self._keeping = [
            asyncio.create_task(self._sweep_often(), name="sweeper"),
            asyncio.create_task(self._recover_often(), name="recovery"),
        ]

    async def close(self) -> None:
        """Stop after the round that is under way."""
        self._ending.set()
        if self._keeping:
            await asyncio.wait(self._keeping)

    async def sweep(self) -> int:
        """Remove results that are older than the retention, or too many for the disk; returns how many files."""
        while await self._jobs.forget(time()):
            pass
        going = await self._going()
        wanted = {str(job.params[field]) for job in going for field in UPLOADS if job.params.get(field)}
        if self._rooms is not None:
            await asyncio.to_thread(self._rooms.sweep, {job.id for job in going})
        # A server that died between taking an upload and its job, or before it cleared up, leaves uploads of nobody's.
        forgotten = await asyncio.to_thread(self._files)
        forgotten += await asyncio.to_thread(self._talks)
        forgotten += await self._artifacts.sweep(_NOBODYS_SECONDS, keep=wanted, only=(RECORDING, SOURCE))
        return forgotten + await self._artifacts.sweep(self._retention, keep=wanted, high_water=self._high_water)

    async def _going(self) -> list[Job]:
        """Jobs that have not ended yet, however long they wait: what clients sent for them is needed."""
        states: tuple[JobState, ...] = ("queued", "running")
        going: list[Job] = []
        for kind, state in itertools.product(DETACHED, states):
            total, seen = 1, 0
            while seen < total:
                jobs, total = await self._jobs.list(kind=kind, state=state, limit=_PAGE, offset=seen)
                seen += _PAGE
                going += jobs
        return going

    async def settle(self, job: Job) -> None:
        """When a job has ended: what its client sent is not needed any more, and somebody may want to be told."""
        if job.kind in DETACHED and (await self._now(job)).ended:
            self._webhooks.wake()
            if job.kind in ("prepare", TRAINING):  # a worker that did not let go was killed
                await asyncio.to_thread(self._avatars.clear)
            if job.kind == TRAINING and self._rooms is not None:
                await asyncio.to_thread(self._rooms.remove, job.id)
            for field in UPLOADS:
                if upload := job.params.get(field):
                    await self._artifacts.remove(upload, even_if_read=True)

    async def _now(self, job: Job) -> Job:
        try:
            return await self._jobs.get(job.id)
        except NotFound:
            return job

    async def _recover(self) -> None:
        """Take up the jobs of workers that are gone."""
        recovered = await self._jobs.recover()
        if recovered:
            _log.warning("jobs of a dead worker", again=sum(not j.ended for j in recovered), jobs=len(recovered))
        for job in recovered:
            await self._clear_up(job)

    async def _clear_up(self, job: Job) -> None:
        """Do what is left to do behind a job whose worker died."""
        try:
            await self._remove_tries(job)
            await self.settle(job)
        except VivavoceError as e:  # a bucket out of reach must not stop the start; a sweep takes it later
            _log.warning("what a dead worker made is left", job=job.id, reason=str(e))

    async def _remove_tries(self, job: Job) -> None:
        """Remove what attempts that died or failed have published: the next one makes its own.

        What a client waited for stays as long as any result: it may be playing what was finished.
        """
        if job.attached:
            return
        events = await self._jobs.events(job.id, limit=_ALL)
        until = max((e.seq for e in events if e.type == "state" and e.data["state"] != "running"), default=0)
        tried = {e.data["id"] for e in events if e.seq < until and e.type in _PUBLISHED}
        result = (await self._now(job)).result or {}  # read after the events: when they tell of its end, it is there
        for id_ in tried - {piece["id"] for piece in result.get("pieces", ())}:
            await self._artifacts.remove(id_, even_if_read=True)

    async def _recover_often(self) -> None:
        try:  # a server may have died between freeing a job, or ending it, and clearing up behind it
            for id_ in await self._jobs.tried(_PUBLISHED):
                with suppress(NotFound):
                    await self._clear_up(await self._jobs.get(id_))
        except Exception as e:  # noqa: BLE001 - as below
            _log.warning("no look for what dead workers made", error=type(e).__name__)
        while not await self._pause(_RECOVER_SECONDS):
            try:
                await self._recover()
            except Exception as e:  # noqa: BLE001 - a table out of reach for a while must not end the watch
                _log.warning("no look for lost jobs", error=type(e).__name__)

    async def _sweep_often(self) -> None:
        while not self._ending.is_set():
            try:
                removed = await self.sweep()
            except Exception as e:  # noqa: BLE001 - a full or vanished disk must not end the sweeping
                _log.warning("sweeping failed", reason=str(e))
            else:
                if removed:
                    _log.info("swept", removed=removed)
            await self._pause(self._retention / _SWEEPS)

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or until the server ends; whether it ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        return self._ending.is_set()
