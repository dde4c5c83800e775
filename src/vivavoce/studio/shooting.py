"""One request on the set: its text in pieces, each said, then filmed, all of them in parallel and in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vivavoce.errors import Cancelled
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.films import Films, GrowingFilm
from vivavoce.studio.ledger import Entry
from vivavoce.studio.scene import Scene
from vivavoce.studio.tasks import Tasks
from vivavoce.work.events import Event, Grown, Progress

__all__ = ["SAID_AHEAD", "Filmed", "Said", "Shooting", "Step", "Word"]

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


@dataclass(frozen=True, slots=True)
class _Take:
    """A piece between its voice and its face."""

    said: Said
    speech: dict[str, Any]
    frames: int
    film: GrowingFilm


class Shooting:
    """Says and films the pieces of one request.

    Each ``Said`` and each ``Filmed`` is ``put`` in the order of the pieces, a piece's ``Said`` first; ``Progress``
    (``voice`` until the first picture, then ``face``, over all pieces) comes between them through ``tell``, which
    must not wait. The first failing piece ends all, and is raised; then nothing half-made is left.
    """

    def __init__(
        self,
        scene: Scene,
        texts: Sequence[str],
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
        self._filmed = [0.0] * len(texts)
        films_at_once = tasks.capacity + 1
        self._saying = asyncio.Semaphore(SAID_AHEAD)
        self._filming = asyncio.Semaphore(films_at_once)
        # Taken before a piece is said, given back when it is filmed: sound that waits costs memory.
        self._ahead = asyncio.Semaphore(SAID_AHEAD + films_at_once)
        self._announced = [asyncio.Event() for _ in texts]

    async def run(self) -> None:
        """Do it all; ``entry.result`` gets ``pieces`` and ``seconds``."""
        self._tell(Progress(0.0, "voice"))  # at once: whoever waits for the first step knows that the job is recorded
        try:
            async with asyncio.TaskGroup() as group:
                takes = [group.create_task(self._say(index, text)) for index, text in enumerate(self._texts)]
                films = [group.create_task(self._film(takes[: index + 1])) for index in range(len(takes))]
                group.create_task(self._announce(takes))
                pieces = [await self._deliver(film) for film in films]
        except ExceptionGroup as e:  # the first failure has cancelled the other pieces: it is the reason
            raise e.exceptions[0] from None
        finally:
            for film in self._growing:
                film.end(Cancelled("The film was not finished."))  # of those that are finished, nothing changes
        self._entry.result["pieces"] = pieces
        self._entry.result["seconds"] = round(sum(piece["seconds"] for piece in pieces), 3)

    async def _announce(self, takes: list[asyncio.Task[_Take]]) -> None:
        for index, take in enumerate(takes):
            said = (await take).said
            await self._put(said)
            self._announced[index].set()
            about = {"index": index, "text": said.text, "id": said.id, "seconds": said.seconds}
            words = {"words": said.words} if len(said.words) <= _TOLD_WORDS else {}
            await self._entry.report("sound", about | words)

    async def _deliver(self, film: asyncio.Task[Filmed]) -> dict[str, Any]:
        filmed = await film
        await self._announced[filmed.index].wait()
        await self._put(filmed)
        about = {"index": filmed.index, "id": filmed.id, "seconds": filmed.seconds}
        await self._entry.report("film", about)
        return {"text": self._texts[filmed.index], **about}

    async def _say(self, index: int, text: str) -> _Take:
        await self._ahead.acquire()
        async with self._saying:
            name = self._artifacts.new_id(index)
            sound = self._artifacts.part(name, ".wav")
            recording = None if self._recording is None else str(self._recording)
            params = self._scene.params(text=text, recording=recording, audio=str(sound))
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
        said = Said(index, text, name, round(seconds, 3), words, fallback)
        return _Take(said, done["speech"], done["frames"], film)

    async def _film(self, takes: list[asyncio.Task[_Take]]) -> Filmed:
        """Film a piece; ``takes`` are all pieces up to it, whose lengths say at which frame it starts."""
        start = sum([(await earlier).frames for earlier in takes[:-1]])
        take = await takes[-1]
        index, name = take.said.index, take.said.id
        speech = take.speech.copy()
        take.speech.clear()  # the list lives as long as the request, the sound need not
        async with self._filming:
            video, growing = self._artifacts.part(name, ".mp4"), self._artifacts.part(name, ".frag")

            async def hear(event: Event) -> None:
                if isinstance(event, Grown):
                    take.film.grown(growing, event.size)
                elif isinstance(event, Progress) and event.stage == "face":
                    await self._hear_face(index, event.fraction)

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
        await self._hear_face(index, 1.0)
        return Filmed(index, name, round(done["seconds"], 3))

    async def _keep(self, part: Path, name: str, suffix: str) -> None:
        if name not in self._entry.artifacts:
            self._entry.artifacts.append(name)
        await self._artifacts.publish(part, name, suffix)

    async def _hear_voice(self, event: Event) -> None:
        if isinstance(event, Progress) and not any(self._filmed):
            await self._progress(Progress(0.0, "voice"))

    async def _hear_face(self, index: int, fraction: float) -> None:
        self._filmed[index] = max(self._filmed[index], fraction)
        await self._progress(Progress(sum(self._filmed) / len(self._filmed), "face"))

    async def _progress(self, progress: Progress) -> None:
        self._tell(replace(progress, fraction=round(progress.fraction, 3)))
        await self._entry.progress(progress.fraction, progress.stage)
