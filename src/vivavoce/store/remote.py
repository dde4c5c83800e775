"""Another machine's side of a server: jobs are claimed, beaten for and ended, and media moved, over HTTP.

``RemoteJobs`` stands where the job table stands in the server, ``RemotePlace`` where the folder of results does; so a
worker elsewhere is made of the same studio, ledger and dispatcher as the server is.
"""

import asyncio
import os
import shutil
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import structlog

from vivavoce.errors import EngineUnavailable, LeaseLost, NotFound, VivavoceError
from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.store.places import Held

__all__ = ["Heard", "Link", "RemoteAvatars", "RemoteJobs", "RemotePlace", "job_of", "plain_job"]

_log = structlog.get_logger(__name__)
_BLOCK = 1 << 18
_LONGEST_CLAIM = 20.0
"""Seconds for which the server may keep a claim open until there is a job."""
_PATIENCE = httpx.Timeout(30.0, connect=5.0)
_RETRIES = (0.2, 1.0, 3.0)
"""Seconds before a call is made again when the server could not be reached."""


def plain_job(job: Job) -> dict[str, Any]:
    """A leased job as JSON, for the worker that holds it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "params": dict(job.params),
        "owner": job.owner,
        "priority": job.priority,
        "attempt": job.attempt,
        "lease": job.lease,
        "worker": job.worker,
    }


def job_of(plain: Mapping[str, Any]) -> Job:
    """What ``plain_job`` was given, as far as a worker needs it."""
    return Job(state="running", **plain)


class Link:
    """The connection of a worker to its server: a base address and a token. Close it at the end."""

    def __init__(self, server: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=server.rstrip("/") + "/v1/workers",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_PATIENCE,
            follow_redirects=False,
        )

    async def call(self, path: str, body: Mapping[str, Any], *, seconds: float | None = None) -> Any:
        """POST a call of JSON; its answer, ``None`` when there is none. Tried again while the server is out of reach.

        Raises what the server says, and ``EngineUnavailable`` when it cannot be reached.
        """
        timeout = _PATIENCE if seconds is None else httpx.Timeout(seconds + 10.0, connect=5.0)
        for pause in (*_RETRIES, None):
            try:
                answer = await self._client.post(path, json=body, timeout=timeout)
                _raise(answer)
                return answer.json() if answer.content else None
            except httpx.TransportError as e:
                if pause is None:
                    raise EngineUnavailable("The server cannot be reached.") from e
                await asyncio.sleep(pause)
        raise AssertionError  # the loop returns or raises

    async def head(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        """The headers of what lies at a path. Raises ``NotFound``."""
        answer = await self._client.head(path, params=params)
        _raise(answer)
        return answer

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[bytes]:
        """What lies at a path, in blocks. Raises ``NotFound``."""
        async with self._client.stream("GET", path, headers=headers) as answer:
            if answer.is_error:
                await answer.aread()
            _raise(answer)
            async for block in answer.aiter_bytes(_BLOCK):
                yield block

    async def put(self, path: str, source: Path) -> None:
        """Send a file. Raises what the server says."""
        length = str(await asyncio.to_thread(_size, source))
        about = {"Content-Length": length, "Content-Type": "application/octet-stream"}
        answer = await self._client.put(path, content=_blocks(source), headers=about)
        _raise(answer)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()


def _size(path: Path) -> int:
    return path.stat().st_size


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block


def _raise(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    words = answer.reason_phrase
    with suppress(ValueError, AttributeError):
        words = str(answer.json().get("detail", words))
    if answer.headers.get("x-error-code") == LeaseLost.code:
        raise LeaseLost(words)
    if answer.status_code == 404:
        raise NotFound(words)
    if answer.status_code in (401, 403):
        raise EngineUnavailable(f"The server refuses this worker: {words}")
    raise VivavoceError(f"The server answered {answer.status_code}: {words}")


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to a heartbeat."""

    lost: frozenset[str]
    cancelled: frozenset[str]


class RemoteJobs:
    """The server's job table, as far as a worker may use it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._leases: dict[str, tuple[str, str]] = {}

    async def begin(self, kind: str, params: Mapping[str, Any], **_: Any) -> Job:
        """Workers elsewhere have no clients of their own."""
        raise VivavoceError(f"A worker begins no job of its own ({kind}, {len(params)} parameters).")

    async def claim(self, worker: str, kinds: Sequence[str]) -> Job | None:
        """A job, as soon as there is one; None when there was none for a while."""
        body = {"worker": worker, "kinds": list(kinds), "wait": _LONGEST_CLAIM}
        plain = await self._link.call("/claim", body, seconds=_LONGEST_CLAIM)
        return None if plain is None else job_of(plain)

    async def waiting(self, kinds: Sequence[str], timeout: float) -> bool:  # noqa: ARG002, ASYNC109
        """The server waits within ``claim``: ask it again."""
        return True

    async def beat(self, worker: str, leases: Mapping[str, str]) -> Heard:
        """Keep the leases alive."""
        heard = await self._link.call("/beat", {"worker": worker, "leases": dict(leases)})
        return Heard(frozenset(heard["lost"]), frozenset(heard["cancelled"]))

    async def report(
        self,
        id: str,  # noqa: A002  the field's own word
        lease: str,
        type: str,  # noqa: A002
        data: Mapping[str, Any],
        *,
        progress: float | None = None,
        stage: str | None = None,
    ) -> JobEvent:
        """Append an event."""
        body = {"lease": lease, "type": type, "data": dict(data), "progress": progress, "stage": stage}
        told = await self._link.call(f"/jobs/{id}/report", body)
        return JobEvent(id, told["seq"], told["time"], type, data)

    async def finish(
        self,
        id: str,  # noqa: A002
        lease: str,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, str] | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> Job:
        """End the job."""
        body = {"lease": lease, "state": state, "result": result, "error": error, "timings": timings}
        told = await self._link.call(f"/jobs/{id}/finish", body)
        return Job(id, told["kind"], told["state"], {})

    async def release(self, id: str, lease: str) -> None:  # noqa: A002
        """Give the job back to the queue."""
        await self._link.call(f"/jobs/{id}/release", {"lease": lease})


class RemotePlace:
    """The server's results: published by sending them, read by fetching them. The server sweeps."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, part: Path, name: str) -> None:
        """Send a part; it is gone here afterwards."""
        await self._link.put(f"/artifacts/{name}", part)
        await asyncio.to_thread(part.unlink, missing_ok=True)

    async def head(self, name: str) -> Held | None:
        """What the server has under ``name``."""
        try:
            answer = await self._link.head(f"/artifacts/{name}")
        except NotFound:
            return None
        return Held(name, int(answer.headers["content-length"]), 0.0, answer.headers.get("etag", '""'))

    async def list(self) -> list[Held]:
        """Nothing: the server keeps its own house."""
        return []

    async def named(self, id: str) -> Sequence[str]:  # noqa: A002
        """A whole result is removed by its id."""
        return [id]

    async def remove(self, id: str, names: Sequence[str], *, even_if_read: bool = False) -> int:  # noqa: A002, ARG002
        """Have a result removed that this worker sent."""
        removed = await self._link.call(f"/artifacts/{id}/remove", {})
        return int(removed["removed"])

    async def read(self, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes from ``start`` up to ``end``."""
        if end <= start:
            return
        async for block in self._link.get(f"/artifacts/{name}", {"Range": f"bytes={start}-{end - 1}"}):
            yield block

    @asynccontextmanager
    async def reading(self, id: str) -> AsyncIterator[None]:  # noqa: A002, ARG002
        """Nobody sweeps here."""
        yield

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """The server does it."""
        yield False

    def excess(self, high_water: float, sizes: Iterable[int]) -> float:  # noqa: ARG002
        """Never too much here."""
        return -1.0


class RemoteAvatars:
    """Brings avatars of the server's here, each once for each of its versions."""

    _MOST_BYTES = 2_000_000_000

    def __init__(self, link: Link, root: Path) -> None:
        self._link = link
        self._root = root
        self._locks: dict[str, asyncio.Lock] = {}

    async def fetch(self, name: str) -> None:
        """Have the avatar in this machine's folder as the server has it; built-in ones are everywhere."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            version = (await self._link.head(f"/avatars/{name}")).headers.get("etag", "")
            if not version:  # built in
                return
            noted = self._root / name / ".version"
            if noted.is_file() and noted.read_text() == version:
                return
            self._root.mkdir(parents=True, exist_ok=True)
            packed = self._root / f".{os.getpid()}-{token_hex(8)}.zip"
            try:
                await self._save(name, packed)
                await asyncio.to_thread(self._unpack, packed, name, version)
            finally:
                packed.unlink(missing_ok=True)

    async def _save(self, name: str, packed: Path) -> None:
        with packed.open("wb") as file:
            async for block in self._link.get(f"/avatars/{name}"):
                await asyncio.to_thread(file.write, block)

    def _unpack(self, packed: Path, name: str, version: str) -> None:
        """Into a folder of another name first: it appears whole or not at all."""
        folder = self._root / f".{os.getpid()}-{token_hex(8)}"
        folder.mkdir()
        try:
            with zipfile.ZipFile(packed) as archive:
                members = [m for m in archive.infolist() if Path(m.filename).name == m.filename]  # a flat folder
                if sum(m.file_size for m in members) > self._MOST_BYTES:
                    raise VivavoceError(f"The avatar {name!r} is too large to be brought here.")
                for member in members:
                    archive.extract(member, folder)
            (folder / ".version").write_text(version)
            target = self._root / name
            if target.exists():
                target.rename(folder.with_name(folder.name + "-old"))
            folder.rename(target)
        finally:
            for left in (folder, folder.with_name(folder.name + "-old")):
                shutil.rmtree(left, ignore_errors=True)
        _log.info("an avatar was brought here", avatar=name)
