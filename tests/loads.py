"""Load as clients make it, and books of what they were promised, to be compared with what the server kept."""

import asyncio
import io
import json
import random
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import av
import psutil
import requests
from sqlalchemy import text

from vivavoce.store.database import Database

ENDED = ("succeeded", "failed", "cancelled")
TEXTS = (
    "Hello.",
    "Slowly now.",
    "One two three four five six.",
    "Slowly, for a while.",
)
_LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass
class Promises:
    """What clients were told."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Text of each job that was accepted."""
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Ids that came back for each idempotency key."""
    cancelled: set[str] = field(default_factory=set)
    unsure: int = 0
    """Calls without a key that were cut off: they may have become jobs."""
    told: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of the events that a follower of a job has heard, over all its connections."""
    met: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What should never happen."""


class Clients:
    """Clients that go on whatever happens to the server, each with a stream of chance of its own."""

    def __init__(self, url: str, seed: int, recording: bytes) -> None:
        self.promises = Promises()
        self._url = url
        self._recording = recording
        self._seed = seed
        self._lock = threading.Lock()
        self._leave = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, count: int) -> None:
        """Let so many clients call, one after another each, until ``end``."""
        for n in range(count):
            self._threads.append(threading.Thread(target=self._live, args=(n,), name=f"client {n}"))
            self._threads[-1].start()

    def end(self) -> None:
        """Let each finish what it has begun."""
        self._leave.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def _live(self, number: int) -> None:
        chance = random.Random(f"{self._seed}.{number}")
        deeds = (self._submit, self._submit, self._record, self._chunks, self._cancel, self._follow, self._wait)
        while not self._leave.is_set():
            deed = chance.choice(deeds)
            try:
                deed(chance)
                self.promises.met["answered"] += 1
            except _LOST:
                self.promises.met["cut off"] += 1
            except Exception as e:  # noqa: BLE001 - a thread's failure is the test's
                self.promises.wrong.append(f"{deed.__name__}: {type(e).__name__} {e}")
            self._leave.wait(chance.uniform(0.0, 0.15))

    def _submit(self, chance: random.Random) -> None:
        text = chance.choice(TEXTS)
        body = {"text": text, "language": "en"}
        if chance.random() < 0.6:
            key = f"{chance.getrandbits(64):016x}"
            for _ in range(1 + (chance.random() < 0.3)):  # some send it again although it was answered
                answer = self._until_answered(chance, body, key)
                self._accept(answer, text, key)
        else:
            self._accept(self._once(json=body), text)

    def _until_answered(self, chance: random.Random, body: Mapping[str, Any], key: str) -> requests.Response:
        """As a client with a key does: again until there is an answer."""
        until = monotonic() + 60
        while True:
            try:
                return requests.post(
                    f"{self._url}/v1/videos",
                    json=body,
                    headers={"Idempotency-Key": key},
                    timeout=chance.choice((2, 30)),
                )
            except _LOST:
                assert monotonic() < until, "a client was never answered"
                self.promises.met["sent again"] += 1

    def _record(self, _: random.Random) -> None:
        files = {"audio": ("voice.wav", self._recording)}
        self._accept(self._once(data={"text": "", "language": "en"}, files=files), "")

    def _once(self, **call: Any) -> requests.Response:
        try:
            return requests.post(f"{self._url}/v1/videos", timeout=30, **call)
        except _LOST:
            with self._lock:
                self.promises.unsure += 1
            raise

    def _accept(self, answer: requests.Response, text: str, key: str | None = None) -> None:
        if answer.status_code in (429, 503):
            self.promises.met[str(answer.status_code)] += 1
            return
        assert answer.status_code in (200, 202), f"{answer.status_code} {answer.text}"
        job = answer.json()["id"]
        with self._lock:
            self.promises.accepted[job] = text
            if key is not None:
                self.promises.keys[key].add(job)

    def _chunks(self, chance: random.Random) -> None:
        body: dict[str, Any] = {"text": chance.choice(TEXTS) * 2, "language": "en", "chunk_size": 5}
        accept = chance.choice(("*/*", "text/event-stream", "video/mp4"))
        path = "/v1/videos" if accept == "video/mp4" else "/api/stream_chunks"
        if path == "/v1/videos":
            del body["chunk_size"]
        with requests.post(self._url + path, json=body, headers={"Accept": accept}, stream=True, timeout=30) as answer:
            for _ in answer.iter_content(1000):
                if chance.random() < 0.02 or self._leave.is_set():  # some leave in the midst
                    return

    def _cancel(self, chance: random.Random) -> None:
        if (job := self._some(chance)) is None:
            return
        answer = requests.delete(f"{self._url}/v1/jobs/{job}", timeout=30)
        assert answer.status_code in (200, 409), f"{answer.status_code} {answer.text}"
        if answer.status_code == 200 and answer.json()["state"] == "cancelled":
            self.promises.cancelled.add(job)

    def _follow(self, chance: random.Random) -> None:
        """All events of one job, over as many connections as it takes."""
        if (job := self._some(chance)) is None or job in self.promises.told:
            return
        heard = self.promises.told[job] = []
        until = monotonic() + 90
        while not self._leave.is_set():
            with suppress(*_LOST):
                for seq, kind, data in follow(self._url, job, after=heard[-1] if heard else 0, timeout=3):
                    heard.append(seq)
                    if kind == "state" and data["state"] in ENDED:
                        return
                    if self._leave.is_set():
                        return
            assert monotonic() < until, "a job never ended"

    def _wait(self, chance: random.Random) -> None:
        body = {"text": chance.choice(TEXTS), "language": "en"}
        self._accept(self._once(json=body, headers={"Prefer": "wait=5"}), body["text"])

    def _some(self, chance: random.Random) -> str | None:
        with self._lock:
            held = list(self.promises.accepted)[-12:]
        return chance.choice(held) if held else None


def follow(
    url: str, job: str, *, after: int = 0, timeout: float = 60, headers: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, type and data of a job's events behind ``after``, to its end or to that of the connection."""
    sent = {"Last-Event-ID": str(after)} | dict(headers or {})
    with requests.get(f"{url}/v1/jobs/{job}/events", headers=sent, stream=True, timeout=timeout) as answer:
        assert answer.status_code == 200, answer.text
        held: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1):
            name, _, value = line.decode("ascii").partition(": ")
            if line:
                held[name] = value
            elif "data" in held:
                yield int(held["id"]), held["event"], json.loads(held["data"])
                held = {}


def rows(database: str, query: str) -> list[dict[str, Any]]:
    """What a query of the job table finds."""

    async def found() -> list[dict[str, Any]]:
        held = Database(database)
        try:
            return [_read(dict(row)) for row in (await held.read(lambda c: c.execute(text(query)))).mappings()]
        finally:
            await held.close()

    return asyncio.run(found())


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its documents read, which one driver does and the other does not."""
    texts = {name: row[name] for name in ("data", "error", "result") if isinstance(row.get(name), str)}
    return row | {name: json.loads(value) for name, value in texts.items()}


def frames(content: bytes) -> int:
    """Frames of a film that decode."""
    with av.open(io.BytesIO(content), "r") as film:
        return sum(1 for _ in film.decode(video=0))


def family(pid: int) -> list[psutil.Process]:
    """A server, its workers and what they started; empty when it has gone."""
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]
    return []


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes of a server."""
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children())
    return []


def strangers(data: Path, of: int | None) -> list[str]:
    """Processes that work for a server of this folder which is not ``of``, nor one of its own."""
    mark = f"TMPDIR={data / 'tmp'}".encode()
    own = {p.pid for p in family(of)} if of is not None else set()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") and process.pid not in own:
                found.append(f"{process.pid} {' '.join(process.cmdline()[:5])}")
    return found


WATCHED = """
import asyncio, gc
from vivavoce.web.app import create_app as create

def create_app():
    app = create()

    @app.get("/_held")
    async def held():
        gc.collect()
        return {"asyncio tasks": len(asyncio.all_tasks()), "films": len(app.state.services.films)}

    return app
"""
"""A module with the server's app, and a door that tells what it holds inside."""


def held(url: str, pid: int) -> dict[str, float]:
    """What a server of the app ``WATCHED`` and its workers hold; memory in megabytes."""
    inside = requests.get(f"{url}/_held", timeout=30).json()
    while True:
        with suppress(psutil.NoSuchProcess):  # the voice's process has children of a moment
            brood = family(pid)
            return {
                "processes": len(brood),
                "threads": sum(p.num_threads() for p in brood),
                "handles": sum(p.num_fds() for p in brood),
                **inside,
                "server MB": round(brood[0].memory_info().rss / 1e6, 1),
                "workers MB": round(sum(p.memory_info().rss for p in brood[1:]) / 1e6, 1),
            }


def ask(
    url: str, method: str, path: str, body: object = None, *, window: int | None = None, **headers: str
) -> socket.socket:
    """Send a request and leave its answer unread; ``window`` bytes of it are taken at most."""
    content = b"" if body is None else json.dumps(body).encode()
    address = urlsplit(url)
    told = {"Host": address.netloc, "Content-Type": "application/json", "Content-Length": str(len(content))}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items()) + "\r\n"
    connection = socket.socket()
    if window is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(20)
    connection.connect((address.hostname, address.port))
    connection.sendall(head.encode() + content)
    return connection


def reset(connection: socket.socket) -> None:
    """Leave without a word: the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
