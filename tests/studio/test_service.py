"""The studio's own part of a request: what it keeps of a long text while the workers are at it, and what it records."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vivavoce.errors import Cancelled, TimedOut, VivavoceError
from vivavoce.nouns import Canvas, Job
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.database import Database
from vivavoce.store.jobs import JobTable
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.dispatch import Dispatcher
from vivavoce.studio.films import Films
from vivavoce.studio.ledger import Ledger, Order
from vivavoce.studio.scene import Scene
from vivavoce.studio.service import DETACHED, Studio
from vivavoce.studio.shooting import Filmed, Said, Step
from vivavoce.work.events import Done, Event, Grown, Progress, Task

SCENE = Scene("x", "en", "espeak", "", "anna", "photo", Canvas(128, 128))


class Crew:
    """An executor that says at once and films only when it is let."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.starts: list[int] = []
        self.films = asyncio.Semaphore(0)
        self.fails = ""

    @property
    def capacity(self) -> int:
        return 2

    async def submit(self, task: Task) -> AsyncGenerator[Event]:
        if task.kind == "say":
            yield Progress(0.0, "voice")
            if self.fails and self.fails in task.params["text"]:
                raise TimedOut("The voice needed too long.")
            self.said.append(task.params["text"])
            write(task.params["audio"], b"sound")
            yield Done({"speech": {"samples": b"sound"}, "frames": 8, "words": [("piece", 0.0, 0.3)]})
            return
        yield Progress(0.0, "face")
        write(task.params["growing"], b"grow")
        yield Grown(4)
        await self.films.acquire()
        self.starts.append(task.params["start_frame"])
        write(task.params["growing"], b"growing")
        yield Grown(7)
        write(task.params["video"], b"film")
        yield Done({"frames": 8, "seconds": 0.32})


def write(path: str, data: bytes) -> None:
    """In place, as a worker does: whoever reads the file goes on reading it."""
    Path(path).write_bytes(data)


@dataclass
class House:
    """A studio with a real job table."""

    studio: Studio
    jobs: JobTable
    ledger: Ledger
    films: Films
    artifacts: ArtifactStore

    async def job(self) -> Job:
        found, _ = await self.jobs.list()
        return found[0]


@asynccontextmanager
async def house(folder: Path, crew: Crew, config: StudioConfig | None = None) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{folder / 'jobs.db'}")
    await database.start()
    jobs, artifacts, films = JobTable(database), ArtifactStore(folder), Films()
    ledger = Ledger(jobs, "here", remove=artifacts.remove, beat_seconds=0.05)
    ledger.start()
    studio = Studio(config or StudioConfig(folder), crew, artifacts, films, ledger)
    try:
        yield House(studio, jobs, ledger, films, artifacts)
    finally:
        await studio.close()
        await ledger.close()
        await database.close()


async def settled() -> None:
    """Let every task go on until all of them wait: the table answers from a thread."""
    for _ in range(60):
        await asyncio.sleep(0.002)


async def read(studio: Studio, texts: list[str]) -> list[Step]:
    return [step async for step in studio.shoot(SCENE, texts)]


def test_a_long_text_is_not_said_far_ahead_of_its_films(tmp_path: Path) -> None:
    async def main() -> list[Step]:
        crew = Crew()
        async with house(tmp_path, crew) as h:
            reading = asyncio.create_task(read(h.studio, [f"piece {n}" for n in range(40)]))
            await settled()
            ahead = len(crew.said)
            assert 3 <= ahead <= 8
            for filmed in range(1, 6):
                crew.films.release()
                await settled()
                assert len(crew.said) == ahead + filmed
            for _ in range(40):
                crew.films.release()
            steps = await reading
            assert sorted(crew.starts) == [8 * n for n in range(40)]
            job = await h.job()
            assert (job.kind, job.state, job.attached) == ("chunks", "succeeded", True)
            assert job.result is not None
            assert [piece["text"] for piece in job.result["pieces"]] == [f"piece {n}" for n in range(40)]
            assert {"voice", "face", "total"} <= set(job.timings)
            assert not len(h.films)
            return steps

    steps = asyncio.run(main())
    for kind in (Said, Filmed):
        pieces = [step for step in steps if isinstance(step, kind)]
        assert [piece.index for piece in pieces] == list(range(40))
        assert len({piece.id for piece in pieces}) == 40
    assert [type(s) for s in steps if isinstance(s, Said | Filmed) and s.index == 7] == [Said, Filmed]
    done = [step.fraction for step in steps if isinstance(step, Progress)]
    assert done == sorted(done)


def test_a_film_is_open_as_soon_as_it_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        crew = Crew()
        async with house(tmp_path, crew) as h, aclosing(h.studio.shoot(SCENE, ["one"])) as steps:
            async for step in steps:
                if isinstance(step, Said):
                    assert (await h.artifacts.find(step.id, ".wav")).size == 5
                    film = h.films.get(step.id)
                    assert film is not None
                    async with aclosing(film.follow()) as blocks:
                        assert await anext(blocks) == b"grow"
                        crew.films.release()
                        assert b"".join([block async for block in blocks]) == b"ing"
                if isinstance(step, Filmed):
                    assert (await h.artifacts.find(step.id, ".mp4")).size == 4

    asyncio.run(main())
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_stream_is_the_film_while_it_grows(tmp_path: Path) -> None:
    async def main() -> bytes:
        crew = Crew()
        async with house(tmp_path, crew) as h, aclosing(h.studio.stream(SCENE)) as blocks:
            first = await anext(blocks)
            assert first == b"grow"
            crew.films.release()
            return first + b"".join([block async for block in blocks])

    assert asyncio.run(main()) == b"growing"


def test_when_one_piece_fails_the_others_end_and_leave_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        crew = Crew()
        crew.fails = "5"
        for _ in range(3):
            crew.films.release()
        async with house(tmp_path, crew) as h:
            with pytest.raises(TimedOut):
                await read(h.studio, [str(n) for n in range(20)])
            job = await h.job()
            assert (job.state, job.error) == ("failed", {"code": "timed-out", "message": "The voice needed too long."})
            assert not len(h.films)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize("by", ["leaving", "request", "another process"])
def test_cancelling_leaves_nothing(tmp_path: Path, by: str) -> None:
    async def main() -> None:
        crew = Crew()
        async with house(tmp_path, crew) as h:
            order = Order()
            reading = asyncio.create_task(anext(aiter_until_said(h.studio, order)))
            await settled()
            if by == "leaving":
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
            else:
                await h.jobs.cancel(order.id)
                if by == "request":
                    await h.ledger.stop(order.id)
                with pytest.raises(Cancelled):
                    await reading
            await settled()
            assert (await h.jobs.get(order.id)).state == "cancelled"
            assert not len(h.films)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert [p.name for p in tmp_path.iterdir() if p.suffix in (".wav", ".mp4")] == []
    assert list((tmp_path / "parts").iterdir()) == []


async def aiter_until_said(studio: Studio, order: Order) -> AsyncGenerator[Step]:
    """Ends with the film, which never comes."""
    async with aclosing(studio.shoot(SCENE, ["one", "two"], order)) as steps:
        async for step in steps:
            if isinstance(step, Filmed):
                yield step


def test_a_detached_video_gets_its_subtitles(tmp_path: Path) -> None:
    async def main() -> None:
        crew = Crew()
        crew.films.release()
        async with house(tmp_path, crew) as h:
            dispatcher = Dispatcher(h.jobs, h.ledger, h.studio.run, kinds=DETACHED, slots=1)
            dispatcher.start()
            job, _ = await h.jobs.add("video", SCENE.params(recording=None))
            while not (done := await h.jobs.get(job.id)).ended:
                await h.jobs.changed(job.id, 10_000, 0.05)
            assert done.state == "succeeded"
            assert done.result is not None
            piece = done.result["pieces"][0]
            captions = await h.artifacts.find(piece["id"], ".vtt")
            assert b"piece" in b"".join([block async for block in captions.read(0, captions.size)])
            types = [event.type for event in await h.jobs.events(job.id)]
            assert [t for t in types if t != "progress"] == ["state", "state", "sound", "film", "state"]
            await h.ledger.close()
            await dispatcher.close()

    asyncio.run(main())


def test_what_runs_for_nobody_goes_back_to_the_queue_when_the_server_ends(tmp_path: Path) -> None:
    async def main() -> None:
        crew = Crew()
        async with house(tmp_path, crew) as h:
            dispatcher = Dispatcher(h.jobs, h.ledger, h.studio.run, kinds=DETACHED, slots=1)
            dispatcher.start()
            job, _ = await h.jobs.add("video", SCENE.params())
            await settled()
            assert (await h.jobs.get(job.id)).state == "running"
            await dispatcher.rest()
            await h.ledger.close()
            await dispatcher.close()
            assert (await h.jobs.get(job.id)).state == "queued"

    asyncio.run(main())
    assert [p.name for p in tmp_path.iterdir() if p.suffix in (".wav", ".mp4")] == []


def test_a_face_that_makes_no_picture_is_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        config = replace(StudioConfig(tmp_path), quiet_seconds=0.1)
        async with house(tmp_path, Crew(), config) as h:
            with pytest.raises(TimedOut, match=r"no picture for 0\.1 seconds"):
                await read(h.studio, ["one"])
            assert (await h.job()).state == "failed"

    asyncio.run(main())


def test_work_without_a_result_is_our_fault(tmp_path: Path) -> None:
    class Silent(Crew):
        async def submit(self, task: Task) -> AsyncGenerator[Event]:
            yield Progress(1.0, task.kind)

    async def main() -> None:
        async with house(tmp_path, Silent()) as h:
            with pytest.raises(VivavoceError, match="without a result"):
                await h.studio.describe()

    asyncio.run(main())
