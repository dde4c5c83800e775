# ruff: noqa: ASYNC240 - the files are small, and nobody else is on the loop
"""Films in the making: readers early and late, files that vanish, makers that fail, and nothing left of any of them."""

import asyncio
import gc
import io
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from vivavoce.errors import Cancelled, VivavoceError
from vivavoce.nouns import Canvas
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.crew import performer
from vivavoce.studio.films import Films, GrowingFilm
from vivavoce.studio.scene import Stager, builtin_avatars
from vivavoce.work.events import Done, Grown, Task
from vivavoce.work.local import LocalExecutor

FRAGMENT = bytes(range(256)) * 40
COUNT = 12
WHOLE = b"".join(bytes([n]) + FRAGMENT for n in range(COUNT))


def played(scenario: Callable[[Films, Path], Awaitable[None]], path: Path, limit: float = 20) -> None:
    """Run a scenario; afterwards no file is open and no film is known any more."""
    before = psutil.Process().num_fds()
    films = Films()

    async def run() -> None:
        async with asyncio.timeout(limit):
            inside = psutil.Process().num_fds()
            await scenario(films, path)
            assert psutil.Process().num_fds() == inside, "a file stays open"

    gc.disable()  # what is held goes with its readers, not some time later
    try:
        asyncio.run(run())
    finally:
        gc.enable()
    assert len(films) == 0
    assert psutil.Process().num_fds() <= before


async def make(film: GrowingFilm, path: Path, content: bytes = WHOLE, upto: int = COUNT) -> None:
    """Write fragments, each announced, with a turn of the loop between."""
    path.unlink(missing_ok=True)
    step = len(content) // COUNT
    with path.open("xb") as file:
        for n in range(upto):
            file.write(content[n * step : (n + 1) * step])
            file.flush()
            film.grown(path, file.tell())
            await asyncio.sleep(0)


async def whole(film: GrowingFilm) -> bytes:
    return b"".join([block async for block in film.follow()])


def test_readers_of_every_hour_get_the_same_film(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        assert films.get("a") is film
        readers = [asyncio.create_task(whole(film))]  # before there is a file
        await asyncio.sleep(0)
        half = asyncio.Event()

        async def late() -> bytes:
            await half.wait()
            return await whole(film)

        readers += [asyncio.create_task(late()) for _ in range(5)]
        await make(film, path, upto=6)
        half.set()
        await asyncio.sleep(0)
        with path.open("ab") as file:
            file.write(WHOLE[path.stat().st_size :])
        film.end()  # the last fragments were never announced
        readers.append(asyncio.create_task(whole(film)))  # found the film just before it was forgotten
        path.unlink()
        assert films.get("a") is None
        assert await asyncio.gather(*readers) == [WHOLE] * 7
        assert await whole(film) == b"", "the store has it now"
        await film.finished()

    played(scenario, tmp_path / "a.growing")


def test_what_is_not_announced_is_not_read(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        path.write_bytes(WHOLE)
        async with aclosing(film.follow()) as blocks:
            film.grown(path, 1000)
            assert await anext(blocks) == WHOLE[:1000]
            waiting = asyncio.ensure_future(anext(blocks))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            film.grown(path, 1500)
            assert await waiting == WHOLE[1000:1500]
        film.end()

    played(scenario, tmp_path / "a.growing")


@pytest.mark.parametrize("fill", [64, 4096, 32768])
def test_a_reader_that_has_caught_up_gets_whole_blocks(tmp_path: Path, fill: int) -> None:
    """What has come so far always ends a block, with an empty box where need be; no box is cut, nothing is lost."""

    async def scenario(films: Films, path: Path) -> None:
        film, got = films.expect("a"), b""
        sizes = [10, fill, fill + 1, 3 * fill - 4, 5 * fill + 9]
        content = b"".join(s.to_bytes(4, "big") + b"mdat" + bytes([k]) * (s - 8) for k, s in enumerate(sizes))
        path.write_bytes(content)
        async with aclosing(film.follow(fill=fill)) as blocks:
            for n in range(len(sizes)):
                film.grown(path, sum(sizes[: n + 1]))
                got += await anext(blocks)
                got += await anext(blocks) if len(got) % fill else b""
                assert len(got) % fill == 0
            film.end()
            assert [block async for block in blocks] == []
        names = []
        while got:
            size, name = int.from_bytes(got[:4], "big"), got[4:8]
            names += [] if name == b"free" else [got[:size]]
            assert len(got) >= size >= 8
            got = got[size:]
        assert b"".join(names) == content

    played(scenario, tmp_path / "a.growing")


@pytest.mark.parametrize("error", [Cancelled("The work was cancelled."), VivavoceError("No."), ValueError("secret")])
@pytest.mark.parametrize("fragments", [0, 1, 5])
def test_what_ends_the_work_ends_its_readers(tmp_path: Path, error: Exception, fragments: int) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        waits: list[Any] = [whole(film), whole(film), film.finished()]
        readers = [asyncio.create_task(wait) for wait in waits]
        await make(film, path, upto=fragments)
        path.unlink(missing_ok=True)
        film.end(error)
        film.end()  # too late
        ends = await asyncio.gather(*readers, return_exceptions=True)
        kind = type(error) if isinstance(error, VivavoceError) else VivavoceError
        assert [type(end) for end in ends] == [kind] * len(readers)
        assert len(set(map(id, ends))) == len(readers), "readers must not share a traceback"
        assert "secret" not in str(ends[0])
        with pytest.raises(kind):
            await whole(film)

    played(scenario, tmp_path / "a.growing")


def test_readers_that_leave_leave_nothing(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")

        async def some(count: int) -> None:
            async with aclosing(film.follow()) as blocks:
                for _ in range(count):
                    await anext(blocks)

        readers = [asyncio.create_task(some(n)) for n in (0, 1)]
        forever = [asyncio.create_task(whole(film)) for _ in range(20)]
        await make(film, path)
        await asyncio.gather(*readers)
        for reader in forever:
            reader.cancel()
        await asyncio.gather(*forever, return_exceptions=True)
        unread: AsyncGenerator[bytes] = film.follow()
        film.end()
        await unread.aclose()

    played(scenario, tmp_path / "a.growing")


def test_a_film_that_was_never_there_to_follow_ends_empty(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        reader = asyncio.create_task(whole(film))
        await asyncio.sleep(0)
        film.end()
        assert await reader == b""
        assert films.expect("a") is not film
        films.expect("a").end()

    played(scenario, tmp_path / "a.growing")


def test_a_second_attempt_goes_on_where_the_first_died(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        reader = asyncio.create_task(whole(film))
        await make(film, path, upto=7)
        assert films.expect("a") is film
        await make(film, path)
        film.end()
        path.unlink()
        assert await reader == WHOLE

    played(scenario, tmp_path / "a.growing")


def test_a_second_attempt_that_never_got_round_to_announcing_itself(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        reader = asyncio.create_task(whole(film))
        await make(film, path, upto=7)
        path.unlink()
        path.write_bytes(WHOLE[:500])
        film.grown(path, len(WHOLE))  # a late word of the first attempt
        for _ in range(50):
            await asyncio.sleep(0)
        with path.open("ab") as file:
            file.write(WHOLE[500:])
        film.end()
        path.unlink()
        assert await reader == WHOLE

    played(scenario, tmp_path / "a.growing")


@pytest.mark.slow
def test_a_worker_that_dies_is_not_noticed_by_who_watches(tmp_path: Path) -> None:
    """The real thing: its successor makes the same bytes, and the film goes on where it stood."""
    canvas = Canvas(128, 128, 25)
    config = StudioConfig(tmp_path / "data", language="en", canvas=canvas, offline=True)
    scene = Stager(config, Registry(), AvatarLibrary(config.avatars, builtin_avatars())).scene("Hello there. " * 8)
    growing, path = tmp_path / "film.growing", tmp_path / "film.mp4"
    task = Task("t", "film", scene.params(video=str(path), growing=str(growing)))

    async def scenario(films: Films, _: Path) -> None:
        executor = LocalExecutor(partial(performer, config), 1)
        await executor.start()
        film, sizes = films.expect("a"), []
        made: dict[str, Any] = {}
        reader = asyncio.create_task(whole(film))
        async with aclosing(executor.submit(task)) as events:
            async for event in events:
                if isinstance(event, Grown):
                    film.grown(growing, event.size)
                    sizes.append(event.size)
                    if len(sizes) == 5:
                        os.kill(executor.processes[0], signal.SIGKILL)
                elif isinstance(event, Done):
                    made.update(event.result)
        film.end()
        growing.unlink()
        await executor.close()
        assert min(sizes[5:]) <= sizes[4], "it began again"
        with av.open(io.BytesIO(await reader), "r") as read:
            assert len(list(read.decode(video=0))) == made["frames"]

    played(scenario, tmp_path, limit=60)


def test_a_second_attempt_that_comes_out_otherwise_is_no_film_for_old_readers(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        async with aclosing(film.follow()) as blocks:
            await make(film, path, upto=7)
            assert await anext(blocks)
            other = bytes(255 - b for b in WHOLE)
            await make(film, path, other)
            with pytest.raises(VivavoceError):
                await anext(blocks)
        new = asyncio.create_task(whole(film))
        await asyncio.sleep(0)
        film.end()
        assert await new == other

    played(scenario, tmp_path / "a.growing")


def test_growth_after_the_end_or_of_a_file_that_is_gone_is_nothing(tmp_path: Path) -> None:
    async def scenario(films: Films, path: Path) -> None:
        film = films.expect("a")
        film.grown(path, 1000)  # the attempt failed before its word arrived
        reader = asyncio.create_task(whole(film))
        await make(film, path)
        film.end()
        film.grown(path, 5)
        assert await reader == WHOLE

    played(scenario, tmp_path / "a.growing")
