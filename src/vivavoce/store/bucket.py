"""Results in a bucket of an object store (S3 and what speaks like it), uploaded in parts and read in blocks.

Each block is a request of its own: a reader may be as slow as it likes, and a broken connection costs one block.
Readers of a result that is new are known to their own process only, later ones to all: what is new stays anyway.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from vivavoce.errors import EngineUnavailable
from vivavoce.store.places import READ_LATELY, Held

__all__ = ["Bucket", "bucket_at"]

_log = structlog.get_logger(__name__)
_URL = re.compile(r"(s3|gs|az)://[\w.-]+(/[\w./=-]*)?", re.ASCII)
_FIRST_BLOCK = 256 * 1024
_BLOCK = 2 * 1024 * 1024
"""Bytes of one request; the first is small, since a player waits for it."""
_UPLOAD = 8 * 1024 * 1024
"""Bytes of one part of an upload; smaller results go in one piece."""
_MARKED = 20.0
"""Seconds after which the mark of a reader is renewed."""
_NEW = 300.0
"""Seconds for which a result's readers leave no marks: most results are read just then, and each mark is a request."""
_TOLD = (r"status code: (\d+)", r"<Code>(\w+)</Code>", r"kind: (\w+)")
"""What of an error's text may be told."""
_TYPES = {
    ".mp4": "video/mp4",
    ".wav": "audio/wav",
    ".jpg": "image/jpeg",
    ".vtt": "text/vtt",
    ".json": "application/json",
}


def bucket_at(url: str, *, endpoint: str = "", region: str = "") -> "Bucket":
    """The bucket ``s3://BUCKET/PREFIX`` (or ``gs:``, ``az:``); credentials are taken from the environment.

    ``endpoint`` is the address of a server that speaks S3, such as MinIO. Raises ``EngineUnavailable``.
    """
    if not _URL.fullmatch(url):
        raise EngineUnavailable("The address of a bucket is s3://BUCKET/PREFIX, with gs: or az: for other clouds.")
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    config |= {"region": region} if region else {}
    try:
        return Bucket(
            from_url(
                url,
                client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "5s"},
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=20)},
                **config,
            )
        )
    except (BaseError, ValueError) as e:
        raise EngineUnavailable(f"The bucket {url} cannot be used as it is set ({type(e).__name__}).") from e


@dataclass(slots=True)
class _Readers:
    """Who reads a result in this process."""

    count: int = 0
    left: float = 0.0
    marked: float = 0.0


class Bucket:
    """A bucket, or a prefix of one, that several machines may share."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._readers: dict[str, _Readers] = {}
        self._endings: set[asyncio.Task[None]] = set()

    async def check(self) -> None:
        """Raise ``EngineUnavailable`` when the bucket cannot be reached or does not let us in."""
        with _reached():
            await obstore.list_with_delimiter_async(self._store, "reading")

    async def take(self, part: Path, name: str) -> None:
        """Upload it, in several parts when it is large; an upload that fails or is cancelled shows nothing.

        Its parts are taken back from the bucket. Only those of a process that was killed stay there, unseen: let a rule
        of the bucket end uploads that are a day old.
        """
        left = asyncio.Event()
        attributes = {"Content-Type": _TYPES.get(Path(name).suffix, "application/octet-stream")}
        source = part if _size(part) <= _UPLOAD else _pieces(part, left)
        with _reached():
            upload = asyncio.ensure_future(
                obstore.put_async(self._store, name, source, attributes=attributes, chunk_size=_UPLOAD)
            )
            try:
                await asyncio.shield(upload)
            except asyncio.CancelledError:
                left.set()
                ending = asyncio.create_task(self._take_back(upload, name))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)
                raise
        await asyncio.to_thread(part.unlink, missing_ok=True)

    async def head(self, name: str) -> Held | None:
        """Its size and time."""
        with suppress(FileNotFoundError), _reached(or_missing=True):
            return _held(await obstore.head_async(self._store, name))
        return None

    async def list(self) -> "list[Held]":
        """The objects, without those in folders."""
        with _reached():
            found = await obstore.list_with_delimiter_async(self._store)
        return [_held(meta) for meta in found["objects"]]

    async def named(self, id: str) -> Sequence[str]:  # noqa: A002  the field's own word
        """The next names after the id; a prefix would have to be a whole folder."""
        with _reached():
            async for found in obstore.list(self._store, offset=id, chunk_size=16):
                return [meta["path"] for meta in found if meta["path"].startswith(f"{id}.")]
        return []

    async def remove(self, id: str, names: Sequence[str], *, even_if_read: bool = False) -> int:  # noqa: A002
        """Whether they were still there is not told."""
        if not even_if_read and await self._is_read(id):
            return 0
        await self._delete(names)
        return len(names)

    async def read(self, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """Blocks of an object."""
        size = _FIRST_BLOCK
        while start < end:
            with _reached(or_missing=True):
                block = bytes(await obstore.get_range_async(self._store, name, start=start, end=min(start + size, end)))
            if not block:
                return
            start += len(block)
            size = _BLOCK
            yield block

    @asynccontextmanager
    async def reading(self, id: str) -> AsyncIterator[None]:  # noqa: A002
        """Known in this process at once, to others by a mark that is renewed."""
        readers = self._readers.setdefault(id, _Readers())
        readers.count += 1
        marking = None
        if _age(id) > _NEW:
            await self._mark(id, readers)
            marking = asyncio.create_task(self._mark_on(id, readers))
        try:
            yield
        finally:
            if marking is not None:
                marking.cancel()
            readers.count -= 1
            readers.left = time.monotonic()

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """Several machines may sweep at a time: they find the same, and what is gone is gone."""
        yield True
        with _reached():
            found = await obstore.list_with_delimiter_async(self._store, "reading")
        await self._delete([meta["path"] for meta in found["objects"] if not _is_valid(_held(meta))])
        now = time.monotonic()
        for id_, readers in list(self._readers.items()):
            if not readers.count and now - readers.left >= READ_LATELY:
                del self._readers[id_]

    def excess(self, high_water: float, sizes: Iterable[int]) -> float:
        """A bucket has no disk that could be full: a fraction says nothing of it."""
        return sum(sizes) - high_water if high_water > 1 else -1.0

    async def _is_read(self, id: str) -> bool:  # noqa: A002
        """By this process's own knowledge, then by the mark of others."""
        readers = self._readers.get(id)
        if readers and (readers.count or time.monotonic() - readers.left < READ_LATELY):
            return True
        mark = await self.head(f"reading/{id}")
        return mark is not None and _is_valid(mark)

    async def _delete(self, names: Sequence[str]) -> None:
        if names:
            with _reached():
                await obstore.delete_async(self._store, names)

    async def _take_back(self, upload: "asyncio.Future[Any]", name: str) -> None:
        """What nobody wants any more, though nothing can stop it at once."""
        await asyncio.wait([upload])
        if upload.cancelled() or upload.exception() is None:
            with suppress(EngineUnavailable):
                await self._delete([name])

    async def _mark_on(self, id: str, readers: _Readers) -> None:  # noqa: A002
        while True:
            await asyncio.sleep(_MARKED)
            await self._mark(id, readers)

    async def _mark(self, id: str, readers: _Readers) -> None:  # noqa: A002
        if readers.marked and time.monotonic() - readers.marked < _MARKED / 2:
            return
        readers.marked = time.monotonic()
        with suppress(EngineUnavailable), _reached():  # without a mark it is read all the same
            await obstore.put_async(self._store, f"reading/{id}", b"")


def _size(part: Path) -> int:
    return part.stat().st_size


async def _pieces(part: Path, left: asyncio.Event) -> AsyncGenerator[bytes]:
    """A file in parts of an upload, which a failure of its source makes the store take back."""
    with part.open("rb") as file:
        while block := await asyncio.to_thread(file.read, _UPLOAD):
            if left.is_set():
                raise BrokenPipeError
            yield block


def _held(meta: Any) -> Held:
    etag = meta["e_tag"] or f'"{meta["last_modified"].timestamp():.0f}-{meta["size"]:x}"'
    etag = etag.removeprefix("W/")
    return Held(
        meta["path"], meta["size"], meta["last_modified"].timestamp(), etag if etag.startswith('"') else f'"{etag}"'
    )


def _is_valid(mark: Held) -> bool:
    return time.time() - mark.modified < READ_LATELY + _MARKED


def _age(id: str) -> float:  # noqa: A002
    """Seconds since an id was made; it begins with the time."""
    made = datetime.strptime(id[:15], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    return time.time() - made.timestamp()


@contextmanager
def _reached(*, or_missing: bool = False) -> Iterator[None]:
    """Turn the store's failures into ours; those that may pass have been tried again by then."""
    try:
        yield
    except FileNotFoundError as e:
        if or_missing:
            raise
        raise _unavailable(e) from None
    except (BaseError, OSError) as e:
        raise _unavailable(e) from None


def _unavailable(error: Exception) -> EngineUnavailable:
    """Without the error's own text, which quotes addresses and the name of the key."""
    words = str(error)
    told = [re.search(wanted, words) for wanted in _TOLD]
    reason = " ".join([type(error).__name__, *(match[1] for match in told if match)])
    _log.warning("the bucket failed", reason=reason)
    return EngineUnavailable(f"The bucket of the results cannot be used ({reason}); try again in a moment.")
