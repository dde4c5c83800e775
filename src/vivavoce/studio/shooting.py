"""One request on the set: its text in pieces, each said, then filmed, all of them in parallel and in order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from vivavoce.errors import Cancelled
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.films import Films, GrowingFilm
from vivavoce.studio.ledger import Entry
from vivavoce.studio.scene import Scene
from vivavoce.studio.tasks import Tasks
from vivavoce.work.events import Event, Grown, Progress

__all__ = ["SAID_AHEAD", "Filmed", "Said", "Shooting", "Step", "Word"]

T = TypeVar("T")
Word = tuple[str, float, float]
"""A word, and the seconds at which it begins and ends."""
SAID_AHEAD = 4
"""Pieces of one request that are said at a time: enough to be ahead of the faces, few enough to let others in."""

_TOLD_WORDS = 200
"""Of a piece, in an event: those of a longer one are in its subtitles."""


@dataclass(frozen=True, slots=True)
class Said:
    """The sound of a piece is there; its film may be opened, and plays while it is made."""

    index: int
    text: str
    id: str
    """Of its film and of its sound in the artifact store."""
    seconds: float
    words: tuple[Word, ...]
    voice_fallback: str = ""
    """Why the embedded voice speaks in place of the one that was asked for; "" when it does not."""


@dataclass(frozen=True, slots=True)
class Filmed:
    """The film of a piece is whole."""

    index: int
    id: str
    seconds: float


Step = Said | Progress | Filmed


@dataclass(slots=True)
class _Piece:
    """A piece of the text, and how far it is."""

    index: int
    text: str
    announced: asyncio.Event = field(default_factory=asyncio.Event)
    filmed: float = 0.0


@dataclass(frozen=True, slots=True)
class _Take:
    """A piece between its voice and its face."""

    said: Said
    speech: dict[str, Any]
    frames: int
    film: GrowingFilm


_Line: TypeAlias = "asyncio.Queue[tuple[_Piece, asyncio.Task[T]] | None]"
"""Pieces in order, each with the work that is done for it; ``None`` comes after the last."""


class Shooting:
    """Says and films the pieces of one request, which may still be written meanwhile.

    Each ``Said`` and each ``Filmed`` is ``put`` in the order of the pieces, a piece's ``Said`` first; ``Progress``
    (``voice`` until the first picture, then ``face``, over all pieces) comes between them through ``tell``, which
    must not wait. The first failing piece ends all, and is raised; then nothing half-made is left.
    """

    def __init__(
        self,
        scene: Scene,
        texts: Sequence[str] | AsyncIterable[str],
        recording: Path | None,
        entry: Entry,
        *,
        tasks: Tasks,
        artifacts: ArtifactStore,
        films: Films,
        put: Callable[[Step], Awaitable[None]],
        tell: Callable[[Progress], None],
    ) -> None:
        self._scene = scene
        self._texts = texts
        self._recording = recording
        self._entry = entry
        self._tasks = tasks
        self._artifacts = artifacts
        self._films = films
        self._put = put
        self._tell = tell
        self._growing: list[GrowingFilm] = []
        self._pieces: list[_Piece] = []
        films_at_once = tasks.capacity + 1
        self._saying = asyncio.Semaphore(SAID_AHEAD)
        self._filming = asyncio.Semaphore(films_at_once)
        # Taken before a piece is said, given back when it is filmed: sound that waits costs memory.
        self._ahead = asyncio.Semaphore(SAID_AHEAD + films_at_once)

    async def run(self) -> None:
        """Do it all; ``entry.result`` gets ``pieces`` and ``seconds``."""
        self._tell(Progress(0.0, "voice"))  # at once: whoever waits for the first step knows that the job is recorded
        try:
            async with asyncio.TaskGroup() as group, aclosing(_each(self._texts)) as texts:
                said: _Line[_Take] = asyncio.Queue()
                filmed: _Line[Filmed] = asyncio.Queue()
                group.create_task(self._announce(said))
                delivered = group.create_task(self._deliver(filmed))
                takes: list[asyncio.Task[_Take]] = []
                async for text in texts:
                    piece = _Piece(len(takes), text)
                    self._pieces.append(piece)
                    takes.append(group.create_task(self._say(piece)))
                    said.put_nowait((piece, takes[-1]))
                    filmed.put_nowait((piece, group.create_task(self._film(piece, takes[:]))))
                said.put_nowait(None)
                filmed.put_nowait(None)
        except ExceptionGroup as e:  # the first failure has cancelled the other pieces: it is the reason
            raise e.exceptions[0] from None
        finally:
            for film in self._growing:
                film.end(Cancelled("The film was not finished."))  # of those that are finished, nothing changes
        pieces = delivered.result()
        self._entry.result["pieces"] = pieces
        self._entry.result["seconds"] = round(sum(piece["seconds"] for piece in pieces), 3)

    async def _announce(self, said: "_Line[_Take]") -> None:
        while (item := await said.get()) is not None:
            piece, task = item
            take = (await task).said
            await self._put(take)
            piece.announced.set()
            about = {"index": take.index, "text": take.text, "id": take.id, "seconds": take.seconds}
            words = {"words": take.words} if len(take.words) <= _TOLD_WORDS else {}
            await self._entry.report("sound", about | words)

    async def _deliver(
        self, films: "asyncio.Queue[tuple[_Piece, asyncio.Task[Filmed]] | None]"
    ) -> list[dict[str, Any]]:
        delivered = []
        while (item := await films.get()) is not None:
            piece, task = item
            filmed = await task
            await piece.announced.wait()
            await self._put(filmed)
            about = {"index": filmed.index, "id": filmed.id, "seconds": filmed.seconds}
            await self._entry.report("film", about)
            delivered.append({"text": piece.text, **about})
        return delivered

    async def _say(self, piece: _Piece) -> _Take:
        await self._ahead.acquire()
        async with self._saying:
            name = self._artifacts.new_id(piece.index)
            sound = self._artifacts.part(name, ".wav")
            recording = None if self._recording is None else str(self._recording)
            owner = self._entry.job.owner
            params = self._scene.params(text=piece.text, recording=recording, audio=str(sound), owner=owner)
            try:
                done = dict(await self._tasks.done("say", params, self._entry, self._hear_voice))
                await self._keep(sound, name, ".wav")
            finally:
                sound.unlink(missing_ok=True)
        film = self._films.expect(name)
        self._growing.append(film)
        seconds = done["frames"] / self._scene.canvas.fps
        words = tuple((str(word), start, end) for word, start, end in done["words"])
        fallback = str(done.get("voice_fallback", ""))
        if fallback:
            self._entry.result["voice_fallback"] = fallback
        said = Said(piece.index, piece.text, name, round(seconds, 3), words, fallback)
        return _Take(said, done["speech"], done["frames"], film)

    async def _film(self, piece: _Piece, takes: list[asyncio.Task[_Take]]) -> Filmed:
        """Film a piece; ``takes`` are all pieces up to it, whose lengths say at which frame it starts."""
        start = sum([(await earlier).frames for earlier in takes[:-1]])
        take = await takes[-1]
        name = take.said.id
        speech = take.speech.copy()
        take.speech.clear()  # the list lives as long as the request, the sound need not
        async with self._filming:
            video, growing = self._artifacts.part(name, ".mp4"), self._artifacts.part(name, ".frag")

            async def hear(event: Event) -> None:
                if isinstance(event, Grown):
                    take.film.grown(growing, event.size)
                elif isinstance(event, Progress) and event.stage == "face":
                    await self._hear_face(piece, event.fraction)

            paths = {"video": str(video), "growing": str(growing)}
            params = self._scene.params(speech=speech, start_frame=start, **paths)
            try:
                done = await self._tasks.done("render", params, self._entry, hear)
                await self._keep(video, name, ".mp4")
                take.film.end()
            finally:
                video.unlink(missing_ok=True)
                growing.unlink(missing_ok=True)
        self._ahead.release()
        await self._hear_face(piece, 1.0)
        return Filmed(piece.index, name, round(done["seconds"], 3))

    async def _keep(self, part: Path, name: str, suffix: str) -> None:
        if name not in self._entry.artifacts:
            self._entry.artifacts.append(name)
        await self._artifacts.publish(part, name, suffix)

    async def _hear_voice(self, event: Event) -> None:
        if isinstance(event, Progress) and not any(piece.filmed for piece in self._pieces):
            await self._progress(Progress(0.0, "voice"))

    async def _hear_face(self, piece: _Piece, fraction: float) -> None:
        piece.filmed = max(piece.filmed, fraction)
        await self._progress(Progress(sum(piece.filmed for piece in self._pieces) / len(self._pieces), "face"))

    async def _progress(self, progress: Progress) -> None:
        self._tell(replace(progress, fraction=round(progress.fraction, 3)))
        await self._entry.progress(progress.fraction, progress.stage)


async def _each(texts: Sequence[str] | AsyncIterable[str]) -> AsyncGenerator[str]:
    """The texts, whether they are there or still to come; closing closes them."""
    if isinstance(texts, Sequence):
        for text in texts:
            yield text
    elif isinstance(texts, AsyncGenerator):
        async with aclosing(texts) as coming:
            async for text in coming:
                yield text
    else:
        async for text in texts:
            yield text
