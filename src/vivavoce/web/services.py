"""What the routes share: the studio and its stores, started and ended with the server."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request

from vivavoce.errors import EngineUnavailable, VivavoceError, WorkerDied
from vivavoce.nouns import Job
from vivavoce.registry import Registry
from vivavoce.settings import Settings
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.bucket import bucket_at
from vivavoce.store.conversations import ConversationStore
from vivavoce.store.database import Database
from vivavoce.store.files import FileStore
from vivavoce.store.jobs import JobTable
from vivavoce.store.remains import process_name
from vivavoce.store.speakers import SpeakerStore
from vivavoce.store.voices import VoiceStore
from vivavoce.store.workrooms import WorkRooms
from vivavoce.studio.addresses import Gate
from vivavoce.studio.chatting import Chatting
from vivavoce.studio.crew import performer
from vivavoce.studio.dispatch import Dispatcher
from vivavoce.studio.films import Films
from vivavoce.studio.hearing import Hearing
from vivavoce.studio.ledger import Ledger
from vivavoce.studio.listeners import Listeners
from vivavoce.studio.people import People
from vivavoce.studio.replies import Replies
from vivavoce.studio.scene import Stager, builtin_avatars
from vivavoce.studio.service import DETACHED, UPLOADS, Studio
from vivavoce.studio.spoken import Manner
from vivavoce.studio.tuition import TRAINING
from vivavoce.studio.upkeep import Upkeep
from vivavoce.studio.webhooks import Webhooks
from vivavoce.web.views import job_view
from vivavoce.work.local import LocalExecutor
from vivavoce.work.machine import MachineMeter

__all__ = ["Services", "Use", "owner_of"]

_log = structlog.get_logger(__name__)
_REMOTE_SECONDS = 5.0
"""How long a cancelled job that runs elsewhere is waited for."""


class Services:
    """Everything behind the routes of one server."""

    def __init__(self, settings: Settings) -> None:
        config = settings.studio()
        self.settings = settings
        held = settings.store
        self._bucket = bucket_at(held.url, endpoint=held.endpoint, region=held.region) if held.url else None
        self.artifacts = ArtifactStore(config.artifacts, self._bucket)
        self.avatars = AvatarLibrary(config.avatars, builtin_avatars())
        self.stager = Stager(config, Registry(), self.avatars)
        self.files = FileStore(config.data_dir / "files")
        self.machine = MachineMeter(config.data_dir)
        chats = settings.chats
        self.talks = ConversationStore(
            config.data_dir / "conversations",
            turns=chats.history_turns,
            tokens=chats.history_tokens,
            seconds=chats.session_seconds,
        )
        self.films = Films()
        self._database = Database(held.database_url(config.data_dir))
        self.jobs = JobTable(self._database)
        self._ledger = Ledger(
            self.jobs,
            process_name(),
            retention=settings.history_seconds,
            remove=partial(self.artifacts.remove, even_if_read=True),
        )
        self.webhooks = Webhooks(
            self.jobs,
            lambda job: job_view(job, retention=settings.retention_seconds).model_dump(),
            secret=settings.webhooks.secret.get_secret_value(),
            worker=process_name(),
            gate=Gate(settings.webhooks.allow),
        )
        self.upkeep = Upkeep(
            self.jobs,
            self.artifacts,
            self.avatars,
            self.webhooks,
            retention=settings.retention_seconds,
            high_water=held.high_water,
            rooms=WorkRooms(config.trainings),
            files=partial(self.files.sweep, settings.retention_seconds, settings.audio.files_bytes),
            talks=self.talks.sweep,
        )
        workers = settings.work.workers
        self._executor = LocalExecutor(partial(performer, config), workers, Studio.most_tasks(config, workers))
        self.studio = Studio(config, self._executor, self.artifacts, self.films, self._ledger)
        self.speakers = SpeakerStore(config.data_dir / "speakers")
        self.voices = VoiceStore(config.voices)
        self.people = People(config, Registry(), self.studio, self.voices, self.artifacts)
        self.hearing = Hearing(config, Registry(), self.studio)
        self.replies = Replies(
            config.chat_options,
            self.talks,
            engine=config.chat,
            system=config.chat_system,
            limits=config.chat_limits,
            most=config.waiting,
        )
        self.chatting = Chatting(self.studio, self.artifacts, self.replies)
        audio = settings.audio
        self.listeners = Listeners(
            self.hearing.hear,
            language=config.language,
            most=audio.sessions,
            manner=Manner(
                endpoint_seconds=audio.endpoint_ms / 1000,
                window_seconds=audio.window_seconds,
                emit_seconds=audio.emit_seconds,
            ),
        )
        queue = self.jobs if settings.work.videos else _AtHome(self.jobs)
        held_by = partial(Dispatcher, queue, self._ledger, self.studio.run, ended=self.upkeep.settle)
        short = [kind for kind in DETACHED if kind != TRAINING]
        # Trainings take hours, in processes of their own: nothing else shall wait for their places.
        self._dispatchers = (
            held_by(kinds=short, slots=workers),
            held_by(kinds=[TRAINING], slots=settings.work.trainings),
        )
        self.naming = asyncio.Lock()
        """Held while a name is looked for and taken: two calls may want the same."""
        self._offer: Mapping[str, Any] | None = None
        self._offered = asyncio.Event()
        self._able: Mapping[str, Any] | None = None
        self._asking = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the table, take up what a dead server left, and begin to load in the background."""
        await asyncio.to_thread(self.artifacts.clear_parts)
        await asyncio.to_thread(self.voices.clear)
        await self._database.start()
        await self._look_at_bucket()
        await self.upkeep.start()
        self._ledger.start()
        self._starting = asyncio.create_task(self._start())
        self.webhooks.start()

    async def close(self) -> None:
        """Cancel all work, end the workers. What is queued, or runs for nobody, is taken up at the next start."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        for dispatcher in self._dispatchers:
            await dispatcher.rest()
        await self.hearing.close()
        await self.studio.close()
        await asyncio.to_thread(self.replies.close)
        await self._ledger.close()
        for dispatcher in self._dispatchers:
            await dispatcher.close()
        await self._executor.close()
        await self.webhooks.close()
        await self.upkeep.close()
        if self._starting is not None:
            with suppress(asyncio.CancelledError, VivavoceError):  # its failure was logged when it happened
                await self._starting
        await self._database.close()

    @property
    def offer(self) -> Mapping[str, Any] | None:
        """What the engines offer (``Studio.describe``); ``None`` while they are loading."""
        return self._offer

    async def ready(self) -> Mapping[str, Any]:
        """Wait until the engines are loaded. Raises ``EngineUnavailable`` when they could not be."""
        if self._starting is None:
            raise EngineUnavailable("The server is not running.")
        if self._offer is None:
            offered = asyncio.create_task(self._offered.wait())
            await asyncio.wait([self._starting, offered], return_when=asyncio.FIRST_COMPLETED)
            offered.cancel()
        if self._offer is not None:
            return self._offer
        try:
            await asyncio.shield(self._starting)
        except VivavoceError as e:
            raise EngineUnavailable("The engines did not start; the server's log says why.") from e
        raise EngineUnavailable("The engines are not loaded; try again in a moment.")

    async def able(self) -> Mapping[str, Any]:
        """``cloners`` and ``trainers``, see ``Studio.able``; asked for once, by the first who wants to know."""
        await self.ready()
        async with self._asking:
            if self._able is None:
                self._able = await self.studio.able()
        return self._able

    # ---- jobs

    async def submit(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        owner: str,
        id: str | None = None,  # noqa: A002
        key: str | None = None,
        webhook: str | None = None,
        priority: int = 0,
    ) -> tuple[Job, bool]:
        """Queue a job that needs no client; whether it is new, or the one that the key stands for.

        Raises ``Overloaded``, and ``Conflict`` when the key was used for something else.
        """
        job, created = await self.jobs.add(
            kind,
            params,
            id=id,
            owner=owner,
            priority=priority,
            key=key,
            unlike=UPLOADS,
            max_waiting=self.settings.limits.queued,
            webhook=webhook,
            retention=self.settings.history_seconds,
        )
        return job, created

    async def claim(self, worker: str, kinds: Sequence[str], seconds: float) -> Job | None:
        """A job for a worker elsewhere, waited for so long; what needs the voice of somebody stays here."""
        job = await self.jobs.claim(worker, kinds, "away")
        if job is None and seconds and await self.jobs.waiting(kinds, seconds, "away"):
            return await self.jobs.claim(worker, kinds, "away")
        return job

    async def cancel(self, id: str, *, owner: str | None) -> Job:  # noqa: A002  the field's own word
        """Cancel a job; returns it when its work has ended. Raises ``NotFound``, ``Conflict`` when it has ended."""
        job = await self.jobs.cancel(id, owner=owner)
        if self._ledger.holds(id):
            await self._ledger.stop(id)
        elif not job.ended:
            job = await self.ended(id, _REMOTE_SECONDS)
        await self.upkeep.settle(job)
        return await self.jobs.get(id)

    async def ended(self, id: str, seconds: float) -> Job:  # noqa: A002
        """The job when it has ended, or when so many seconds have passed."""
        after = 0
        until = asyncio.get_running_loop().time() + seconds
        while True:
            for event in await self.jobs.events(id, after=after):
                after = event.seq
            job = await self.jobs.get(id)  # after the events: what comes now is news to ``changed``
            left = until - asyncio.get_running_loop().time()
            if job.ended or left <= 0:
                return job
            await self.jobs.changed(id, after, left)

    @asynccontextmanager
    async def local(self, id: str | None, suffix: str) -> AsyncGenerator[Path | None]:  # noqa: A002
        """What a client sent, as a file of this machine; removed at the end."""
        try:
            async with self.studio.local(id, suffix) as path:
                yield path
        finally:
            if id is not None:
                await self.artifacts.remove(id, even_if_read=True)

    # ---- loading

    async def _start(self) -> None:
        try:
            await asyncio.gather(self._executor.start(), self._describe())
        except VivavoceError as e:
            _log.error("the engines did not start", reason=str(e))
            raise
        _log.info("all workers are ready", workers=self._executor.capacity)

    async def _look_at_bucket(self) -> None:
        """Tell the operator early of a bucket that is out of reach; it may be back before the first film is made."""
        if self._bucket is not None:
            try:
                await self._bucket.check()
            except EngineUnavailable as e:
                _log.error("the bucket cannot be used", reason=str(e))

    async def _describe(self) -> None:
        """Requests can be served from here on: the first worker has answered.

        Not before: where the engines cannot be loaded, jobs wait for a server that can.
        """
        while self._offer is None:
            with suppress(WorkerDied):  # the executor tries another one, or gives up
                self._offer = await self.studio.describe()
        self._offered.set()
        for dispatcher in self._dispatchers:
            dispatcher.start()
        _log.info("ready", loaded=self._offer["loaded"])


class _AtHome:
    """The queue of a server that leaves to other machines what they can do."""

    def __init__(self, jobs: JobTable) -> None:
        self._jobs = jobs

    async def claim(self, worker: str, kinds: Sequence[str]) -> Job | None:
        """The most urgent job that only this server can do."""
        return await self._jobs.claim(worker, kinds, "home")

    async def waiting(self, kinds: Sequence[str], timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until there is one."""
        return await self._jobs.waiting(kinds, timeout, "home")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
"""A route's parameter of this type is the server's services."""


def owner_of(request: Request) -> str:
    """Whose request it is: a fingerprint of its key, "" where no keys are needed."""
    return str(getattr(request.state, "owner", ""))
