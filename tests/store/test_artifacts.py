"""The artifact store, in a folder, in memory and on S3: whole results, ids that nobody guesses, harmless sweeping."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from vivavoce.errors import NotFound
from vivavoce.store.artifacts import Artifact, ArtifactStore
from vivavoce.store.bucket import Bucket
from vivavoce.store.places import Place


@dataclass
class Clock:
    """A clock that runs ahead as a test likes."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Case:
    """A store that may be opened several times, as several servers would."""

    root: Path
    clock: Clock
    bucket: Callable[[], Place | None]

    def open(self) -> ArtifactStore:
        return ArtifactStore(self.root, self.bucket(), clock=self.clock)


@pytest.fixture(params=["folder", "memory", "s3"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    root, clock = tmp_path / "results", Clock()
    if request.param == "folder":
        return Case(root, clock, lambda: None)
    if request.param == "memory":
        memory = MemoryStore()
        return Case(root, clock, lambda: Bucket(memory))
    s3 = request.getfixturevalue("s3")
    url = s3.make()
    return Case(root, clock, lambda: s3.open(url))


async def published(store: ArtifactStore, data: bytes = b"film", name: str = "", suffix: str = ".mp4") -> str:
    name = name or store.new_id()
    part = store.part(name, suffix)
    part.write_bytes(data)
    await store.publish(part, name, suffix)
    return name


async def read(artifact: Artifact, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([block async for block in artifact.read(start, end)])


def old_id(seconds: float) -> str:
    """An id as it was made that long ago."""
    return f"{datetime.fromtimestamp(time.time() - seconds, UTC):%Y%m%d_%H%M%S_%f}_0_{os.urandom(8).hex()}"


def test_a_result_is_found_only_when_it_is_whole(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        name = store.new_id(3)
        part = store.part(name, ".mp4")
        part.write_bytes(b"half")
        assert not await store.published(name, ".mp4")
        with pytest.raises(NotFound):
            await store.find(name, ".mp4")
        part.write_bytes(b"whole")
        await store.publish(part, name, ".mp4")
        for reader in (store, case.open()):
            assert await reader.published(name, ".mp4")
            assert await read(await reader.find(name, ".mp4")) == b"whole"
            with pytest.raises(NotFound):
                await reader.find(name, ".wav")
        assert not part.exists()

    asyncio.run(main())


def test_what_is_known_of_a_result(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        one, two = await published(store, b"first"), await published(store, b"other")
        found, again, other = [await store.find(name, ".mp4") for name in (one, one, two)]
        assert (found.id, found.suffix, found.size) == (one, ".mp4", 5)
        assert abs(found.modified - time.time()) < 5
        assert re.fullmatch(r'"[^"\s]+"', found.etag)
        assert found.etag == again.etag != other.etag
        if found.path is None:
            assert list(case.root.glob("*.mp4")) == []
        else:
            assert found.path.read_bytes() == b"first"

    asyncio.run(main())


def test_any_range_is_read_in_blocks(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        data = os.urandom(9_000_000)  # more than one part of an upload, many blocks
        film = await store.find(await published(store, data), ".mp4")
        blocks = [block async for block in film.read()]
        assert b"".join(blocks) == data
        assert max(map(len, blocks)) < 3_000_000
        for start, end in ((0, 1), (5, 5), (255_000, 4_000_000), (8_999_999, 9_000_000), (8_000_000, 99_000_000)):
            assert await read(film, start, end) == data[start:end]

    asyncio.run(main())


def test_nothing_is_a_result_too(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        empty = await store.find(await published(store, b""), ".mp4")
        assert (empty.size, await read(empty)) == (0, b"")

    asyncio.run(main())


def test_ids_have_the_seeds_form_and_cannot_be_guessed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    ids = {store.new_id(7) for _ in range(100)}
    assert len({i.rsplit("_", 1)[1] for i in ids}) == 100
    assert all(re.fullmatch(r"\d{8}_\d{6}_\d{6}_7_[0-9a-f]{16}", i) for i in ids)


def test_ids_that_are_none_are_not_found(case: Case, tmp_path: Path) -> None:
    async def main() -> None:
        store = case.open()
        name = await published(store)
        (tmp_path / "secret.mp4").write_bytes(b"secret")
        (case.root / "plain.mp4").write_bytes(b"not ours")
        tricks = ["", ".", "..", "../secret", str(tmp_path / "secret"), "plain", f"parts/../{name}", f"./{name}"]
        tricks += [f"{name}/", f"{name}\n", f"{name}\0", name.upper() + "x", name[:-1], f"{name}.mp4", "٢" + name[1:]]
        for trick in tricks:
            for ask in (store.find, store.published):
                with pytest.raises(NotFound):
                    await ask(trick, ".mp4")
            with pytest.raises(NotFound):
                store.part(trick, ".mp4")
            with pytest.raises(NotFound):
                store.reading(trick)
            with pytest.raises(NotFound):
                await store.remove(trick)
        for suffix in ("", "/../x.mp4", ".mp4/", ".MP4", "..", ".mp4\n"):
            with pytest.raises(NotFound):
                await store.find(name, suffix)
        assert await store.published(name, ".mp4")

    asyncio.run(main())


KINDS = (".mp4", ".sound", ".source")


def test_sweep_removes_the_old(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        old = await published(store)
        await published(store, b"sound", old, ".wav")
        kept = await published(store)
        foreign = case.root / "notes.txt"
        foreign.write_text("mine")
        os.utime(foreign, (0, 0))
        assert await store.sweep(3600) == 0
        case.clock.ahead = 4000
        assert await store.sweep(5000) == 0
        assert await store.sweep(3600, keep={kept}) == 2
        with pytest.raises(NotFound):
            await store.find(old, ".mp4")
        assert await store.published(kept, ".mp4")
        assert foreign.exists()
        assert await store.sweep(3600) == 1

    asyncio.run(main())


def test_only_some_kinds_are_swept(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        film, upload, used = [await published(store, b"bytes", old_id(100 + n), s) for n, s in enumerate(KINDS)]
        case.clock.ahead = 4000
        assert await store.sweep(60, only=(".sound", ".source"), keep={used}) == 1
        assert await store.published(film, ".mp4")
        assert not await store.published(upload, ".sound")
        assert await store.published(used, ".source")

    asyncio.run(main())


def test_what_is_read_is_not_swept_by_any_server(case: Case) -> None:
    async def main() -> None:
        reader, sweepers = case.open(), [case.open(), case.open()]
        name = await published(reader, b"old film", old_id(4000))
        film = await reader.find(name, ".mp4")
        case.clock.ahead = 4000
        for store in (reader, *sweepers) if case.bucket() is None else (reader, sweepers[0]):
            async with film.reading(), reader.reading(name):
                assert await store.sweep(0, high_water=2, young=0) == 0
                assert await store.remove(name) == 0
            assert await store.sweep(3600) == 0  # players fetch the next range a little later
            assert await read(await store.find(name, ".mp4")) == b"old film"
        assert await sweepers[0].remove(name, even_if_read=True) == 1

    asyncio.run(main())


def test_what_has_been_read_is_swept_later(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = case.open()
        name = await published(store, name=old_id(4000))
        async with store.reading(name), store.reading(name):
            pass
        assert await store.sweep(0) == 0
        for module in ("folder", "bucket"):
            monkeypatch.setattr(f"vivavoce.store.{module}.READ_LATELY", -30.0)
        assert await store.sweep(0) == 1
        assert list((case.root).glob("reading/*")) == []

    asyncio.run(main())


def test_a_reader_of_another_process_is_seen_and_forgotten_when_it_dies(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from vivavoce.store.artifacts import ArtifactStore\n"
        "async def main():\n"
        "    async with ArtifactStore(Path(sys.argv[1])).reading(sys.argv[2]):\n"
        "        print('reading', flush=True); sys.stdin.read()\n"
        "asyncio.run(main())"
    )

    async def main() -> None:
        store = ArtifactStore(tmp_path)
        name = await published(store)
        mark = tmp_path / "reading" / name
        with subprocess.Popen(  # noqa: ASYNC220 - it is waited for on purpose
            [sys.executable, "-c", program, tmp_path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"reading\n"
            os.utime(mark, (0, 0))  # it has been at it for long
            assert await store.sweep(0) == 0
            process.kill()
            process.wait()
            assert await store.sweep(0) == 1
        assert not mark.exists()

    asyncio.run(main())


def test_when_too_much_is_used_the_oldest_go_first(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        names = [await published(store, bytes(1000), f"20260101_00000{n}_000000_0_{n:016x}") for n in range(6)]
        case.clock.ahead = 100
        assert await store.sweep(1e10, high_water=3500) == 0  # all are young
        case.clock.ahead = 1000
        async with store.reading(names[0]):
            assert await store.sweep(1e10, high_water=3500, keep={names[1]}) == 3
        assert [await store.published(name, ".mp4") for name in names] == [True, True, False, False, False, True]
        assert await store.sweep(1e10, high_water=3500) == 0
        assert await store.sweep(1e10) == 0

    asyncio.run(main())


def test_a_disk_is_kept_below_so_much_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_: object) -> tuple[int, int, int]:
        used = 91_000 + sum(path.stat().st_size for path in tmp_path.glob("*.mp4"))
        return type("Usage", (), {"total": 110_000, "used": used, "free": 100_000 - used})  # type: ignore[return-value]

    async def main() -> None:
        store = ArtifactStore(tmp_path, clock=clock)
        for _ in range(5):
            await published(store, bytes(1000))
        monkeypatch.setattr("vivavoce.store.folder.shutil.disk_usage", usage)
        assert await store.sweep(1e10, high_water=0.97, young=0) == 0
        assert await store.sweep(1e10, high_water=0.94, young=0) == 2
        assert await store.sweep(1e10, high_water=0.5) == 0
        clock.ahead = 1000
        assert await store.sweep(1e10, high_water=0.5) == 3

    clock = Clock()
    asyncio.run(main())


def test_a_result_is_removed_with_all_its_files(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        name, other = await published(store), await published(store)
        for suffix in (".wav", ".vtt"):
            await published(store, b"more", name, suffix)
        assert await store.remove(name) == 3
        assert await store.remove(name) == 0
        assert [await store.published(name, suffix) for suffix in (".mp4", ".wav", ".vtt")] == [False] * 3
        assert await store.published(other, ".mp4")

    asyncio.run(main())


def test_reading_what_has_been_removed_since_says_so(case: Case) -> None:
    async def main() -> None:
        store = case.open()
        film = await store.find(await published(store), ".mp4")
        await store.remove(film.id, even_if_read=True)
        with pytest.raises(NotFound):
            await read(film)

    asyncio.run(main())


def test_who_reads_a_file_reads_it_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        store = ArtifactStore(tmp_path)
        data = os.urandom(1_000_000)
        film = await store.find(await published(store, data), ".mp4")
        blocks = film.read()
        first = await anext(blocks)
        await store.remove(film.id, even_if_read=True)
        assert first + b"".join([block async for block in blocks]) == data

    asyncio.run(main())


def test_many_sweep_publish_and_read_at_a_time(case: Case) -> None:
    """What was read when the sweeps began is there at the end; the rest is gone, and nobody stumbled."""

    async def main() -> None:
        stores = [case.open() for _ in range(3)]
        names = [await published(stores[n % 3], b"x" * n) for n in range(24)]
        async with AsyncExitStack() as reading:
            for name in names[::4]:  # of a bucket only its own server knows: the results are new
                for store in stores if case.bucket() else stores[:1]:
                    await reading.enter_async_context(store.reading(name))
            late = [published(stores[n % 3], b"late", old_id(-1000)) for n in range(8)]
            swept = [store.sweep(0) for store in stores for _ in range(3)]
            removed = sum((await asyncio.gather(*swept, *late))[: len(swept)])  # type: ignore[arg-type]
        assert [await stores[0].published(name, ".mp4") for name in names] == [n % 4 == 0 for n in range(24)]
        if case.bucket() is None:
            assert removed + len(list(case.root.glob("*.mp4"))) == 24 + 8

    asyncio.run(main())


def test_parts_of_the_dead_are_cleared_and_those_of_the_living_kept(case: Case) -> None:
    code = (
        "import sys; from pathlib import Path; from vivavoce.store.artifacts import ArtifactStore\n"
        "s = ArtifactStore(Path(sys.argv[1])); s.part(s.new_id(), '.mp4').write_bytes(b'half')"
    )
    store = case.open()
    subprocess.run([sys.executable, "-c", code, case.root], check=True)
    mine = store.part(store.new_id(), ".mp4")
    mine.write_bytes(b"half")
    former = store.part(store.new_id(), ".mp4")  # by an earlier process that had our number
    former.write_bytes(b"half")
    os.utime(former, (1, 1))
    assert len(list(mine.parent.iterdir())) == 3
    assert store.clear_parts() == 2
    assert list(mine.parent.iterdir()) == [mine]
    assert asyncio.run(store.sweep(0)) == 0
    assert mine.exists()


def test_a_file_of_somebody_else_is_read_like_a_result(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "poster.jpg").write_bytes(b"picture")
        poster = Artifact.of_file(tmp_path / "poster.jpg")
        async with poster.reading():
            assert await read(poster, 2) == b"cture"
        with pytest.raises(NotFound):
            Artifact.of_file(tmp_path / "none.jpg")

    asyncio.run(main())
    assert [path.name for path in tmp_path.iterdir()] == ["poster.jpg"]


def test_sweepers_of_other_processes_never_take_what_is_being_read(tmp_path: Path) -> None:
    """Whoever has found a result while showing that it reads it, finds and reads it again."""
    program = (
        "import asyncio, sys; from pathlib import Path; from vivavoce.store.artifacts import ArtifactStore\n"
        "async def main():\n"
        "    store, removed = ArtifactStore(Path(sys.argv[1])), 0\n"
        "    print('sweeping', flush=True)\n"
        "    while not Path(sys.argv[1], 'enough').exists(): removed += await store.sweep(0)\n"
        "    print(removed)\n"
        "asyncio.run(main())"
    )

    async def main() -> tuple[int, int, int]:
        async with asyncio.timeout(60):
            sweeping = asyncio.create_task(sweep())
            kept, gone = await use()
            (tmp_path / "enough").touch()
            return kept, gone, await sweeping

    async def sweep() -> int:
        """This process sweeps too, in the midst of its own reading."""
        store, removed = ArtifactStore(tmp_path), 0
        while not (tmp_path / "enough").exists():
            removed += await store.sweep(0)
        return removed

    async def use() -> tuple[int, int]:
        store, kept, gone = ArtifactStore(tmp_path), 0, 0
        for n in range(150):
            name = await published(store, bytes([n % 256]) * 300_000)
            async with store.reading(name):
                try:
                    film = await store.find(name, ".mp4")
                except NotFound:
                    gone += 1
                    continue
                assert await read(film) == bytes([n % 256]) * 300_000
                assert await store.published(name, ".mp4")
                kept += 1
            if n % 3 == 0:  # as if it had been read long ago
                os.utime(tmp_path / "reading" / name, (0, 0))
        return kept, gone

    sweepers = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for sweeper in sweepers:
        assert sweeper.stdout
        assert sweeper.stdout.readline() == "sweeping\n"
    kept, gone, removed = asyncio.run(main())
    removed += sum(int(sweeper.communicate(timeout=20)[0]) for sweeper in sweepers)
    assert kept > 50
    assert removed + len(list(tmp_path.glob("*.mp4"))) == 150
    assert removed >= gone
