"""What only a bucket does: uploads in parts, credentials, servers that fail, readers on other machines."""

import asyncio
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time

import pytest
from obstore.store import MemoryStore
from structlog.testing import capture_logs

from buckets import KEYS, S3
from vivavoce.errors import EngineUnavailable, NotFound
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.bucket import Bucket, bucket_at


class Moody(BaseHTTPRequestHandler):
    """Speaks enough S3 to have one object, after it has failed as often as its server is told to."""

    server: "Failing"

    def do_HEAD(self) -> None:
        self.server.asked += 1
        self.send_response(503 if self.server.asked <= self.server.failures else 200)
        self.send_header("Content-Length", "7")
        self.send_header("ETag", '"abc"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Failing(ThreadingHTTPServer):
    failures = 0
    asked = 0


@pytest.fixture
def failing() -> Iterator[Failing]:
    server = Failing(("127.0.0.1", 0), Moody)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what only a server knows."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - servers set no events
            await asyncio.sleep(0.005)


def write(store: ArtifactStore, name: str, data: bytes) -> Path:
    part = store.part(name, ".mp4")
    part.write_bytes(data)
    return part


def test_an_object_lies_under_the_prefix_with_its_type(s3: S3, tmp_path: Path) -> None:
    url = s3.make()
    store = ArtifactStore(tmp_path, s3.open(url))
    name = store.new_id()
    asyncio.run(store.publish(write(store, name, b"film"), name, ".mp4"))
    bucket = url.split("/")[2]
    [found] = s3.client.list_objects_v2(Bucket=bucket)["Contents"]
    assert found["Key"] == f"some/prefix/{name}.mp4"
    assert s3.client.head_object(Bucket=bucket, Key=found["Key"])["ContentType"] == "video/mp4"
    assert list((tmp_path / "parts").iterdir()) == []


def test_an_upload_that_ends_halfway_shows_nothing(s3: S3, tmp_path: Path) -> None:
    async def main() -> None:
        url = s3.make()
        store = ArtifactStore(tmp_path, s3.open(url))
        name = store.new_id()
        part = write(store, name, os.urandom(40_000_000))
        upload = asyncio.create_task(store.publish(part, name, ".mp4"))
        await until(lambda: "Uploads" in s3.client.list_multipart_uploads(Bucket=url.split("/")[2]))
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        await until(lambda: "Uploads" not in s3.client.list_multipart_uploads(Bucket=url.split("/")[2]))
        assert not await store.published(name, ".mp4")
        await store.publish(part, name, ".mp4")
        assert (await store.find(name, ".mp4")).size == 40_000_000
        assert not part.exists()

    asyncio.run(main())


def test_a_bucket_that_is_not_there_is_said_without_its_secrets(s3: S3, tmp_path: Path) -> None:
    async def main() -> None:
        bucket = s3.open("s3://nobodys-bucket/x")
        store = ArtifactStore(tmp_path, bucket)
        name = store.new_id()
        part = write(store, name, b"film")
        for wish in (store.publish(part, name, ".mp4"), store.sweep(0), bucket.check()):
            with capture_logs() as logs, pytest.raises(EngineUnavailable) as caught:
                await wish
            assert "404 NoSuchBucket" in str(caught.value)
            for word in (KEYS["AWS_ACCESS_KEY_ID"], "nobodys-bucket", "127.0.0.1"):
                assert word not in f"{caught.value}{logs}"
        assert part.read_bytes() == b"film"
        with pytest.raises(NotFound):
            await store.find(name, ".mp4")

    asyncio.run(main())


def test_a_bucket_that_can_be_used_passes_its_check(s3: S3) -> None:
    asyncio.run(s3.open(s3.make()).check())


def test_failures_that_pass_are_not_noticed(failing: Failing, s3: S3, tmp_path: Path) -> None:
    failing.failures = 2
    store = ArtifactStore(tmp_path, bucket_at("s3://films", endpoint=f"http://127.0.0.1:{failing.server_port}"))
    assert asyncio.run(store.find(store.new_id(), ".mp4")).size == 7
    assert failing.asked == 3


def test_failures_that_do_not_pass_are_told(failing: Failing, s3: S3, tmp_path: Path) -> None:
    failing.failures = 100
    store = ArtifactStore(tmp_path, bucket_at("s3://films", endpoint=f"http://127.0.0.1:{failing.server_port}"))
    with pytest.raises(EngineUnavailable, match="503"):
        asyncio.run(store.find(store.new_id(), ".mp4"))
    assert 2 < failing.asked < 10


@pytest.mark.parametrize(
    "url",
    ["films", "s3://", "s3:/films", "file:///tmp/x", "https://films.example/x", "s3://key:secret@films/x", "s3://a b"],
)
def test_an_address_that_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        bucket_at(url)
    assert "s3://BUCKET/PREFIX" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_readers_on_other_machines_mark_what_is_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mark is renewed while its result is read, and counts no more some time after."""

    async def main() -> None:
        memory = MemoryStore()
        here, there = (ArtifactStore(tmp_path, Bucket(memory)) for _ in range(2))
        made = datetime.now(UTC) - timedelta(hours=1)
        old, new = f"{made:%Y%m%d_%H%M%S_%f}_0_{secrets.token_hex(8)}", here.new_id()
        for name in (old, new):
            await here.publish(write(here, name, b"film"), name, ".mp4")
        monkeypatch.setattr("vivavoce.store.bucket._MARKED", 0.05)
        monkeypatch.setattr("vivavoce.store.bucket.READ_LATELY", 0.1)
        async with there.reading(old), there.reading(new):
            first = mark(memory, old).timestamp()
            await until(lambda: mark(memory, old).timestamp() - first > 0.3)
            assert await here.remove(old) == 0
            assert await here.remove(new) == 1
        await until(lambda: time() - mark(memory, old).timestamp() > 0.2)
        assert await here.sweep(0) == 1
        assert memory.list_with_delimiter("reading")["objects"] == []

    def mark(memory: MemoryStore, name: str) -> datetime:
        return memory.head(f"reading/{name}")["last_modified"]

    asyncio.run(main())
