"""Media answers from a folder and from a bucket, as players, caches and people with slow lines ask for them."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from obstore.store import MemoryStore

from serving import Served
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.bucket import Bucket
from vivavoce.web import dialects
from vivavoce.web.media import media_response

DATA = os.urandom(1000)
OTHER = "application/octet-stream"


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return ArtifactStore(tmp_path)
    if request.param == "memory":
        return ArtifactStore(tmp_path, Bucket(MemoryStore()))
    s3 = request.getfixturevalue("s3")
    return ArtifactStore(tmp_path, s3.open(s3.make()))


async def published(store: ArtifactStore, data: bytes = DATA, suffix: str = ".mp4") -> str:
    name = store.new_id()
    part = store.part(name, suffix)
    part.write_bytes(data)
    await store.publish(part, name, suffix)
    return name


def app(store: ArtifactStore) -> FastAPI:
    app = FastAPI()
    dialects.install(app)

    @app.api_route("/v1/film/{name}", methods=["GET", "HEAD", "POST"], response_model=None)
    async def film(name: str, filename: str | None = None, changes: bool = False) -> Response:
        return await media_response(await store.find(name, ".mp4"), filename=filename, changes=changes)

    @app.get("/v1/lost/{name}", response_model=None)
    async def lost(name: str) -> Response:
        found = await store.find(name, ".mp4")
        await store.remove(name)
        return await media_response(found)

    @app.get("/v1/file", response_model=None)
    async def file(path: Path) -> Response:
        return await media_response(path, changes=True)

    return app


Asking = Callable[..., Awaitable[httpx.Response]]


def using(store: ArtifactStore, use: Callable[[Asking, str], Awaitable[None]], data: bytes = DATA) -> None:
    """Let a test ask for a film over HTTP."""

    async def main() -> None:
        name = await published(store, data)
        transport = httpx.ASGITransport(app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

            async def ask(method: str = "GET", path: str = f"/v1/film/{name}", **headers: str) -> httpx.Response:
                sent = {key.replace("_", "-"): value for key, value in headers.items()}
                return await client.request(method, path, headers=sent)

            await use(ask, name)

    asyncio.run(main())


def test_the_whole_and_its_head(store: ArtifactStore) -> None:
    async def use(ask: Asking, _: str) -> None:
        whole, head = await ask(), await ask("HEAD")
        assert (whole.status_code, whole.content) == (200, DATA)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == whole.headers
        assert head.headers["content-length"] == "1000"
        assert head.headers["content-type"] == "video/mp4"
        assert head.headers["accept-ranges"] == "bytes"
        assert head.headers["cache-control"] == "private, max-age=3600"
        assert formatdate(usegmt=True)[:16] == head.headers["last-modified"][:16]

    using(store, use)


@pytest.mark.parametrize(
    ("wish", "start", "end"),
    [
        ("bytes=0-1", 0, 2),
        ("bytes=0-", 0, 1000),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=999-", 999, 1000),
        ("bytes=990-99999999999", 990, 1000),
        ("bytes=-10", 990, 1000),
        ("bytes=-5000", 0, 1000),
        ("Bytes = 5-6", 5, 7),
    ],
)
def test_a_range(store: ArtifactStore, wish: str, start: int, end: int) -> None:
    async def use(ask: Asking, _: str) -> None:
        part, head = await ask(Range=wish), await ask("HEAD", Range=wish)
        assert (part.status_code, part.content) == (206, DATA[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/1000"
        assert part.headers["content-length"] == str(end - start)
        assert (head.status_code, head.content, head.headers) == (206, b"", part.headers)

    using(store, use)


@pytest.mark.parametrize("wish", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=5000-6000"])
def test_a_range_beyond_the_end(store: ArtifactStore, wish: str) -> None:
    async def use(ask: Asking, _: str) -> None:
        answer = await ask(Range=wish)
        assert (answer.status_code, answer.content) == (416, b"")
        assert answer.headers["content-range"] == "bytes */1000"

    using(store, use)


WHOLE = ["bytes=5-2", "items=0-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "bytes=--1", "0-1", "bytes=٣-٥"]


@pytest.mark.parametrize("wish", [*WHOLE, "bytes=" + "9" * 5000 + "-"])
def test_what_is_no_single_range_is_answered_with_the_whole(tmp_path: Path, wish: str) -> None:
    async def use(ask: Asking, _: str) -> None:
        answer = await ask(Range=wish.encode("latin-1", "ignore").decode("latin-1"))
        assert (answer.status_code, answer.content) == (200, DATA)
        assert "content-range" not in answer.headers

    using(ArtifactStore(tmp_path), use)


def test_a_range_of_what_the_client_has_only(store: ArtifactStore) -> None:
    async def use(ask: Asking, _: str) -> None:
        known = (await ask("HEAD")).headers
        for same in (known["etag"], known["last-modified"]):
            assert (await ask(Range="bytes=0-1", If_Range=same)).status_code == 206
        for other in ('"other"', "W/" + known["etag"], "Thu, 01 Jan 2026 00:00:00 GMT", ""):
            answer = await ask(Range="bytes=0-1", If_Range=other)
            assert (answer.status_code, answer.content) == (200, DATA)

    using(store, use)


def test_what_a_client_has_is_not_sent_again(store: ArtifactStore) -> None:
    async def use(ask: Asking, _: str) -> None:
        tag = (await ask("HEAD")).headers["etag"]
        for known in (tag, f'"other", {tag}', "*", f"W/{tag}"):
            answer = await ask(If_None_Match=known, Range="bytes=0-1")
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in answer.headers
        assert (await ask(If_None_Match='"other"')).status_code == 200

    using(store, use)


def test_an_empty_result(store: ArtifactStore) -> None:
    async def use(ask: Asking, _: str) -> None:
        answer = await ask()
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
        assert (await ask(Range="bytes=0-")).status_code == 416

    using(store, use, b"")


def test_a_range_is_for_reading_only(store: ArtifactStore) -> None:
    async def use(ask: Asking, name: str) -> None:
        answer = await ask("POST", f"/v1/film/{name}?filename=film.mp4", Range="bytes=0-1")
        assert (answer.status_code, answer.content) == (200, DATA)

    using(store, use)


def test_a_name_to_save_it_under(tmp_path: Path) -> None:
    async def use(ask: Asking, name: str) -> None:
        for filename, header in (
            ("film_1.mp4", 'attachment; filename="film_1.mp4"'),
            ("фильм.mp4", "attachment; filename*=utf-8''%D1%84%D0%B8%D0%BB%D1%8C%D0%BC.mp4"),
            ('a"b\r\n.mp4', "attachment; filename*=utf-8''a%22b%0D%0A.mp4"),
        ):
            answer = await ask(path=str(httpx.URL(f"/v1/film/{name}", params={"filename": filename})))
            assert answer.headers["content-disposition"] == header

    using(ArtifactStore(tmp_path), use)


def test_a_file_that_is_no_result(tmp_path: Path) -> None:
    async def use(ask: Asking, name: str) -> None:
        (tmp_path / "poster.jpg").write_bytes(b"picture")
        answer = await ask(path=f"/v1/file?path={tmp_path}/poster.jpg", Range="bytes=0-3")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, b"pict", "image/jpeg")
        assert answer.headers["cache-control"] == "no-cache"
        assert (await ask(path=f"/v1/file?path={tmp_path}/none.jpg")).status_code == 404
        (tmp_path / "upload.zip").write_bytes(b"packed")
        assert (await ask(path=f"/v1/file?path={tmp_path}/upload.zip")).headers["content-type"] == OTHER
        assert (await ask(path=f"/v1/film/{name}?changes=1")).headers["cache-control"] == "no-cache"

    using(ArtifactStore(tmp_path / "results"), use)


def test_what_is_removed_before_it_is_sent_is_not_found(store: ArtifactStore) -> None:
    async def use(ask: Asking, name: str) -> None:
        answer = await ask(path=f"/v1/lost/{name}")
        assert answer.status_code == 404
        assert "no such result" in answer.text

    using(store, use)


# ---- what only the server's own side shows


def get(name: str, **headers: str) -> dict[str, Any]:
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    return {"type": "http", "method": "GET", "path": f"/v1/film/{name}", "headers": raw, "query_string": b""}


async def stays() -> dict[str, Any]:
    """A client that has sent its request and waits."""
    await asyncio.Event().wait()
    raise AssertionError


def test_a_large_film_passes_in_blocks_and_is_not_swept_meanwhile(store: ArtifactStore) -> None:
    async def main() -> None:
        data = os.urandom(5_000_000)
        name = await published(store, data)
        got: list[bytes] = []
        swept = []

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                got.append(message["body"])
                swept.append(await store.sweep(0, high_water=2, young=0))

        await app(store)(get(name), stays, send)
        assert b"".join(got) == data
        assert len(got) >= 3
        assert max(map(len, got)) <= 2 * 1024 * 1024
        assert sum(swept) == 0
        assert await store.published(name, ".mp4")

    asyncio.run(main())


def test_nothing_is_read_for_a_client_that_has_left(store: ArtifactStore) -> None:
    async def main() -> None:
        name = await published(store, os.urandom(20_000_000))
        sent = 0
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            if sent:
                left.set()

        await app(store)(get(name), receive, send)
        assert 0 < sent < 5_000_000
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_client_that_reads_no_more_is_left(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        name = await published(store)

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        async with asyncio.timeout(5):
            await app(store)(get(name), stays, send)

    monkeypatch.setattr("vivavoce.web.media._PATIENCE", 0.05)
    asyncio.run(main())


def test_a_server_lets_go_of_a_film_when_its_client_leaves(server: Served) -> None:
    store = ArtifactStore(server.data / "artifacts")
    name = asyncio.run(published(store, bytes(50_000_000)))
    host, port = server.url.removeprefix("http://").split(":")

    def held() -> int:
        open_files = 0
        for link in Path(f"/proc/{server.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                open_files += name in str(link.readlink())
        return open_files

    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(f"GET /api/chunk/video/{name} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert held() == 2, "the film and the mark that it is read"
        assert asyncio.run(store.remove(name)) == 0
    end = monotonic() + 10
    while held():
        assert monotonic() < end
    mark = server.data / "artifacts" / "reading" / name
    os.utime(mark, (0, 0))
    assert asyncio.run(store.remove(name)) == 1
