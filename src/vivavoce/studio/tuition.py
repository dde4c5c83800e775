"""A training as the server sees it: in a process of its own, so that nobody waits behind it, and what it tells."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from vivavoce.errors import VivavoceError, WorkerDied
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.workrooms import WorkRooms
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.crew import apprentice
from vivavoce.studio.ledger import Entry
from vivavoce.studio.tasks import Tasks
from vivavoce.work.events import Event, Learnt, Progress
from vivavoce.work.local import LocalExecutor

__all__ = ["TRAINING", "Tuition"]

_log = structlog.get_logger(__name__)
TRAINING = "model_training"
"""The kind of its jobs."""
_DEATHS = 3
"""How often its process may die, one time after another, without getting any further."""
_SOONEST, _LATEST, _SHARE = 1.0, 10.0, 300.0
"""Seconds between two notes of progress: a 300th of the time so far, within these."""
_PREVIEW_SECONDS = 4.0
"""Between two pictures, when it has only begun."""


class Tuition:
    """``local`` gives an upload as a file of this machine."""

    def __init__(
        self,
        config: StudioConfig,
        artifacts: ArtifactStore,
        local: Callable[[str, str], AbstractAsyncContextManager[Path | None]],
    ) -> None:
        self._config = config
        self._artifacts = artifacts
        self._local = local
        self._rooms = WorkRooms(config.trainings)

    async def run(self, entry: Entry, suffix: str) -> None:
        """Learn the person in the job's upload, whose files end in ``suffix``."""
        told = _Telling(entry, self._artifacts)
        async with self._local(entry.job.params["source"], suffix) as source:
            params = {
                **entry.job.params,
                "job": entry.job.id,
                "source": str(source),
                "folder": str(self._rooms.path(entry.job.id)),
            }
            async with told.noting():
                done = await self._taught(entry, params, told)
        entry.result.update(done)
        if told.preview:
            entry.result["preview"] = told.preview

    async def _taught(self, entry: Entry, params: dict[str, Any], told: "_Telling") -> dict[str, Any]:
        """However often its process dies, as long as it gets further in between."""
        deaths, furthest = 0, -1.0
        while True:
            try:
                async with self._school(str(params.get("device", ""))) as tasks:
                    return dict(await tasks.done("train", params, entry, told))
            except WorkerDied:
                deaths = 1 if told.furthest > furthest else deaths + 1
                furthest = told.furthest
                if deaths >= _DEATHS:
                    raise
                _log.warning("a training is taken up again", job=entry.job.id)

    @asynccontextmanager
    async def _school(self, device: str) -> AsyncGenerator[Tasks]:
        """A worker for this training alone: it loads no voice, and sees one graphics card or none."""
        executor = LocalExecutor(partial(apprentice, self._config, device), 1, 1)
        try:
            await executor.start()
            yield Tasks(self._config, executor)
        finally:
            await executor.close()


class _Telling:
    """Writes into the job what its worker tells: now and then, and never leaves out the last before a silence."""

    def __init__(self, entry: Entry, artifacts: ArtifactStore) -> None:
        self.furthest = 0.0
        """The largest fraction that was told."""
        self.preview = ""
        """Id of the latest picture."""
        self._entry = entry
        self._artifacts = artifacts
        self._began = monotonic()
        self._pictured = self._noted = -1e9
        self._stage = ""
        self._unnoted: Learnt | None = None
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    async def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            await self._entry.progress(event.fraction, event.stage)
        elif isinstance(event, Learnt):
            lesson = event.lesson
            self.furthest = max(self.furthest, lesson.fraction)
            pictured = await self._show(lesson.preview)
            self._unnoted = event
            if pictured or lesson.stage != self._stage or self._wait <= 0:
                await self._note()
            else:
                self._news.set()

    @asynccontextmanager
    async def noting(self) -> AsyncGenerator[None]:
        """Within the block, what came too soon after another note is written when its time has come."""
        noting = asyncio.create_task(self._note_later(), name=f"notes of {self._entry.job.id}")
        try:
            yield
        finally:
            noting.cancel()
            await asyncio.wait([noting])

    @property
    def _wait(self) -> float:
        """Seconds until the next note."""
        now = monotonic()
        return self._noted + min(_LATEST, max(_SOONEST, (now - self._began) / _SHARE)) - now

    async def _note_later(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(max(0.0, self._wait))
            with suppress(VivavoceError):  # a lost lease is told by the heartbeat
                await self._note()

    async def _note(self) -> None:
        async with self._turn:  # else an older one may be written behind a newer one
            event, self._unnoted = self._unnoted, None
            if event is None:
                return
            lesson = event.lesson
            self._noted, self._stage = monotonic(), lesson.stage
            more: dict[str, Any] = {"epoch": lesson.epoch, "epochs": lesson.epochs, "remaining": event.remaining}
            if lesson.loss is not None:
                more["loss"] = float(f"{lesson.loss:.6g}")
            if self.preview:
                more["preview"] = self.preview
            await self._entry.progress(lesson.fraction, lesson.stage, more, every=0.0)

    async def _show(self, jpeg: bytes) -> bool:
        """Keep a picture; fewer and fewer of them, and none where they cannot be kept: the training is worth more."""
        now = monotonic()
        if not jpeg or now - self._pictured < max(_PREVIEW_SECONDS, (now - self._began) / _SHARE):
            return False
        self._pictured = now
        name = self._artifacts.new_id()
        part = self._artifacts.part(name, ".jpg")
        try:
            part.write_bytes(jpeg)
            await self._artifacts.publish(part, name, ".jpg")
        except (OSError, VivavoceError) as e:
            _log.warning("a picture of a training was not kept", job=self._entry.job.id, error=type(e).__name__)
            return False
        finally:
            part.unlink(missing_ok=True)
        self._entry.artifacts.append(name)
        self.preview = name
        return True
