"""The studio as the web sees it: asynchronous use cases, each one request, each cancelled as a whole.

A use case checks, cuts and orders; workers do everything that costs. Every request is a job in the ledger. Closing an
iterator or cancelling a call ends all work of that request, and no half-made file stays behind.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vivavoce.errors import NotFound, Overloaded
from vivavoce.nouns import Avatar, Canvas
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.films import Films
from vivavoce.studio.ledger import Entry, Ledger, Order
from vivavoce.studio.scene import Scene
from vivavoce.studio.shooting import SAID_AHEAD, Said, Shooting, Step
from vivavoce.studio.tasks import Executor, Tasks
from vivavoce.studio.tuition import TRAINING, Tuition
from vivavoce.text import languages
from vivavoce.text.chunking import chunks
from vivavoce.text.subtitles import cues, srt, vtt
from vivavoce.work.events import Event, Progress

__all__ = ["DETACHED", "RECORDING", "REMOTE", "SOURCE", "UPLOADS", "Studio"]

T = TypeVar("T")
Put = Callable[[T], Awaitable[None]]
DETACHED = ("video", "prepare", TRAINING)
"""Kinds of job that need no client: ``Studio.run`` does them."""
REMOTE = ("video",)
"""Kinds that a worker on another machine may do."""
RECORDING, SOURCE = ".sound", ".source"
"""Suffixes of what clients sent, kept until the job has ended."""
UPLOADS = ("recording", "source")
"""Parameters that name what clients sent."""
_UNREAD = 8
"""Results that may wait for their reader."""


class Studio:
    """The use cases."""

    def __init__(
        self, config: StudioConfig, executor: Executor, artifacts: ArtifactStore, films: Films, ledger: Ledger
    ) -> None:
        self._config = config
        self._tasks = Tasks(config, executor)
        self._artifacts = artifacts
        self._films = films
        self._ledger = ledger
        self._tuition = Tuition(config, artifacts, self.local)
        self._open = 0
        self._requests: set[asyncio.Task[None]] = set()
        self._idles: dict[tuple[Path, int, Canvas], asyncio.Lock] = {}
        self._listening: dict[tuple[Path, int, Canvas], str] = {}

    @staticmethod
    def cut(scene: Scene, size: int, first: int | None = None) -> list[str]:
        """The scene's text in pieces of at most ``size`` words; the first of at most ``first``, to be ready sooner."""
        language = languages.resolve(scene.language)
        if first is None or first >= size:
            return chunks(scene.text, size, language)
        begun = chunks(scene.text, first, language)
        rest = (" " if language.spaced else "").join(begun[1:])
        return [begun[0], *chunks(rest, size, language)] if rest else begun

    def shoot(
        self,
        scene: Scene,
        texts: Sequence[str],
        order: Order | None = None,
        *,
        kind: str = "chunks",
        recording: Path | None = None,
        noted: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Step]:
        """Say and film the pieces of a text, or a recording in one piece; ``noted`` are the job's parameters.

        ``Said`` and ``Filmed`` of each piece come in order, as soon as they are there, and ``Progress`` in between.
        A film's id can be opened as soon as it is said. Raises ``Overloaded`` at once, and whatever the first failing
        piece raises.
        """

        async def produce(put: Put[Step], tell: Callable[[Step], None], entry: Entry) -> None:
            await self.film(scene, texts, entry, put, tell, recording=recording)

        return self.request(kind, scene.params(pieces=len(texts)) if noted is None else noted, order, produce)

    def stream(
        self, scene: Scene, order: Order | None = None, *, recording: Path | None = None
    ) -> AsyncGenerator[bytes]:
        """A fragmented MP4 of the whole text, in blocks, while it is made."""

        async def produce(put: Put[bytes], _: Callable[[bytes], None], entry: Entry) -> None:
            await self._watch(scene, recording, entry, put)

        return self.request("stream", scene.params(), order, produce)

    async def idle(self, avatar: Avatar, canvas: Canvas, order: Order | None = None) -> str:
        """The id of a film of the avatar listening, to be played in a loop; kept as long as results are."""
        key = (avatar.path, (avatar.path / "avatar.json").stat().st_mtime_ns, canvas)
        async with self._idles.setdefault(key, asyncio.Lock()):
            kept = self._listening.get(key)
            if kept is not None:
                with suppress(NotFound):
                    await self._artifacts.find(kept, ".mp4")
                    return kept
            params = {
                "avatar": avatar.name,
                "face_engine": avatar.engine,
                "canvas": (canvas.width, canvas.height, canvas.fps),
            }
            with self._admitted():
                async with self._ledger.entry("idle", params, order or Order()) as entry:
                    async with self._making(entry, ".mp4") as (name, part):
                        await self._tasks.done("idle", params | {"video": str(part)}, entry)
                    entry.result["id"] = name
            self._listening[key] = name
            return name

    async def check(self, source: Path, order: Order | None = None) -> Mapping[str, Any]:
        """What an avatar of a picture or a video would be like, see ``studio.inspection``; nothing of it is kept."""
        return await self.attend("check", {"source": str(source)}, order)

    async def attend(
        self,
        kind: str,
        params: Mapping[str, Any],
        order: Order | None = None,
        *,
        noted: Mapping[str, Any] | None = None,
        kept: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {},
    ) -> Mapping[str, Any]:
        """One task that a client waits for, as a job of its own: ``noted`` are its parameters, ``kept`` its result."""
        with self._admitted():
            async with self._ledger.entry(kind, noted or {}, order or Order()) as entry:

                async def hear(event: Event) -> None:
                    if isinstance(event, Progress):
                        await entry.progress(event.fraction, event.stage)

                done = await self._tasks.done(kind, params, entry, hear)
                entry.result.update(kept(done))
                return done

    async def request(
        self,
        kind: str,
        params: Mapping[str, Any],
        order: Order | None,
        produce: Callable[[Put[T], Callable[[T], None], Entry], Awaitable[None]],
    ) -> AsyncGenerator[T]:
        """A job of ``kind``: yield what ``produce`` puts, and what it tells when somebody is listening.

        It runs in an asyncio task of its own: when the reader is cancelled, that task still cleans up to the end.
        """
        queue: asyncio.Queue[T | _End] = asyncio.Queue(_UNREAD)

        def tell(item: T) -> None:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(item)

        async def run() -> None:
            error = None
            try:
                with self._admitted():
                    async with self._ledger.entry(kind, params, order or Order()) as entry:
                        await produce(queue.put, tell, entry)
            except Exception as e:  # noqa: BLE001 - whatever it is, the reader raises it
                error = e
            await queue.put(_End(error))

        task = asyncio.create_task(run())
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        try:
            while not isinstance(item := await queue.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def film(
        self,
        scene: Scene,
        texts: Sequence[str] | AsyncIterable[str],
        entry: Entry,
        put: Put[Step],
        tell: Callable[[Progress], None],
        *,
        recording: Path | None = None,
    ) -> None:
        """Say and film the pieces of a text, which may still be written meanwhile, within a job; see ``Shooting``."""
        shooting = Shooting(
            scene,
            texts,
            recording,
            entry,
            tasks=self._tasks,
            artifacts=self._artifacts,
            films=self._films,
            put=put,
            tell=tell,
        )
        await shooting.run()

    @property
    def tasks(self) -> Tasks:
        """For what is no job of its own."""
        return self._tasks

    async def describe(self) -> Mapping[str, Any]:
        """What the workers' engines offer: ``voices`` by engine, ``device``, whether the defaults are ``loaded``."""
        return await self._tasks.done("describe", {})

    async def able(self) -> Mapping[str, Any]:
        """What learns people and their voices here: ``cloners``, and ``trainers`` among the face engines."""
        return await self._tasks.done("able", {})

    async def run(self, entry: Entry) -> None:
        """Do a detached job (``DETACHED``)."""
        match entry.job.kind:
            case "video":
                await self._video(entry)
            case "prepare":
                await self._prepare(entry)
            case "model_training":
                await self._tuition.run(entry, SOURCE)
            case kind:
                raise NotFound(f"There is no kind of job {kind!r} here.")

    @staticmethod
    def most_tasks(config: StudioConfig, capacity: int) -> int:
        """How many tasks all requests together may have at an executor: it need not refuse any of them."""
        return (config.waiting + capacity) * (SAID_AHEAD + capacity + 1)

    async def close(self) -> None:
        """Cancel every request and wait until its work has ended."""
        for request in self._requests:
            request.cancel()
        if self._requests:
            await asyncio.wait(self._requests)

    # ---- one request

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._open >= self._config.waiting:
            raise Overloaded(f"{self._open} requests are under way, as many as are allowed; try again in a moment.")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _watch(self, scene: Scene, recording: Path | None, entry: Entry, put: Put[bytes]) -> None:
        """Film the scene, and put its bytes as they come to be."""
        opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def hear(step: Step) -> None:
            if isinstance(step, Said):
                opened.set_result(step.id)

        async def follow() -> None:
            film = self._films.get(await opened)
            if film is not None:
                async with aclosing(film.follow()) as blocks:
                    async for block in blocks:
                        await put(block)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(follow())
                await self.film(scene, [scene.text], entry, hear, lambda _: None, recording=recording)
        except ExceptionGroup as e:  # the reader of a film that failed raises the same
            raise e.exceptions[0] from None

    # ---- detached jobs

    async def _video(self, entry: Entry) -> None:
        """One film of a text or of a recording, with its subtitles."""
        scene = Scene.of(entry.job.params)
        words: list[tuple[str, float, float]] = []

        async def hear(step: Step) -> None:
            if isinstance(step, Said):
                words.extend(step.words)

        async with self.local(entry.job.params.get("recording"), RECORDING) as recording:
            await self.film(scene, [scene.text], entry, hear, lambda _: None, recording=recording)
        piece = entry.result["pieces"][0]
        if words:
            made = cues(words, spaced=languages.resolve(scene.language).spaced)
            for suffix, text in ((".vtt", vtt(made)), (".srt", srt(made))):
                await self._write(piece["id"], suffix, text)
            piece["captions"] = True

    async def _prepare(self, entry: Entry) -> None:
        """An avatar of an uploaded picture or video."""

        async def hear(event: Event) -> None:
            if isinstance(event, Progress):
                await entry.progress(event.fraction, event.stage)

        params = {**entry.job.params, "job": entry.job.id}
        async with self.local(params.pop("source"), SOURCE) as source:
            done = await self._tasks.done("prepare", params | {"source": str(source)}, entry, hear)
        entry.result.update(done)

    # ---- files

    @asynccontextmanager
    async def _making(self, entry: Entry, suffix: str) -> AsyncIterator[tuple[str, Path]]:
        """A new id, and where a worker writes its file: published when the block ends well, else removed."""
        name = self._artifacts.new_id()
        part = self._artifacts.part(name, suffix)
        try:
            yield name, part
            entry.artifacts.append(name)
            await self._artifacts.publish(part, name, suffix)
        finally:
            part.unlink(missing_ok=True)

    async def _write(self, name: str, suffix: str, text: str) -> None:
        part = self._artifacts.part(name, suffix)
        try:
            await asyncio.to_thread(part.write_text, text, "utf-8")
            await self._artifacts.publish(part, name, suffix)
        finally:
            part.unlink(missing_ok=True)

    @asynccontextmanager
    async def local(self, id: str | None, suffix: str) -> AsyncIterator[Path | None]:  # noqa: A002
        """An artifact as a file of this machine."""
        if id is None:
            yield None
            return
        found = await self._artifacts.find(id, suffix)
        if found.path is not None:
            async with found.reading():
                yield found.path
            return
        part = self._artifacts.part(self._artifacts.new_id(), suffix)
        try:
            with part.open("wb") as file:
                async for block in found.read(0, found.size):
                    await asyncio.to_thread(file.write, block)
            yield part
        finally:
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _End:
    """The last item of a request."""

    error: Exception | None
