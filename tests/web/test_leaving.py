"""Clients that leave or come in crowds: work that nobody wants ends, and nothing of it stays."""

import json
import random
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests

from loads import WATCHED, ask, follow, held, reset, rows, strangers
from serving import House, Served

GOOD = {"text": "Hello there.", "language": "en"}
ENDLESS = GOOD | {"text": "This goes on forever."}


@pytest.fixture(scope="module")
def single(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server with one worker: who holds it keeps everybody waiting."""
    with start(work__processes="1") as served:
        yield served


def send(server: Served, path: str, body: dict[str, Any], accept: str = "*/*") -> socket.socket:
    """Send a request and leave the answer unread."""
    content = json.dumps(body).encode()
    address = urlsplit(server.url)
    head = (
        f"POST /api/{path} HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection = socket.create_connection((address.hostname, address.port), 10)
    connection.sendall(head.encode() + content)
    return connection


def begun(server: Served) -> None:
    """Wait until a worker draws: its film lies half made among the parts."""
    folder = server.data / "artifacts" / "parts"
    end = monotonic() + 20
    while not any(p.suffix == ".part" for p in folder.iterdir()):
        assert monotonic() < end, "no work has begun"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("stream_chunks", "*/*"),
        ("stream_chunks", "text/event-stream"),
        ("generate", "*/*"),
        ("generate", "text/event-stream"),
    ],
)
def test_a_client_that_leaves_frees_the_worker(single: Served, path: str, accept: str) -> None:
    with send(single, path, ENDLESS, accept):
        begun(single)
    left = monotonic()
    answer = requests.post(f"{single.url}/api/generate", json=GOOD, timeout=30)
    assert answer.status_code == 200
    assert monotonic() - left < 10  # a killed worker has to load its engines again
    assert list((single.data / "artifacts" / "parts").iterdir()) == []


def test_a_stream_that_is_not_read_to_its_end_frees_the_worker(single: Served) -> None:
    body = GOOD | {"text": "slowly " * 400}
    with requests.post(f"{single.url}/api/generate_stream", json=body, timeout=30, stream=True) as answer:
        assert next(answer.iter_content(100))
    left = monotonic()
    assert requests.post(f"{single.url}/api/generate", json=GOOD, timeout=30).status_code == 200
    assert monotonic() - left < 5


_MEGABYTE = 1_000_000


def family_holds(server: Served) -> tuple[int, int, int, int]:
    """Threads, open files, processes and megabytes of memory of a server and its workers."""
    family = [psutil.Process(server.pid)]
    family += family[0].children(recursive=True)
    memory = sum(p.memory_info().rss for p in family) // _MEGABYTE
    return sum(p.num_threads() for p in family), sum(p.num_fds() for p in family), len(family), memory


@pytest.mark.slow
def test_a_hundred_requests_of_which_half_are_cut_off_leave_nothing(serve: Callable[..., Served]) -> None:
    server = serve()

    def one(n: int) -> int:
        body: dict[str, Any] = GOOD | {
            "text": f"Number {n}. " + ("slowly " * 20 if n % 2 else "Hello."),
            "chunk_size": 5,
        }
        path = ("stream_chunks", "generate", "generate_stream")[n % 3]
        if n % 2:
            with send(server, path, body, "text/event-stream" if n % 4 == 1 else "*/*") as connection:
                connection.settimeout(0.05 * (n % 7) + 0.01)
                try:
                    connection.recv(100)
                except TimeoutError:
                    return 0
            return 0
        return requests.post(f"{server.url}/api/{path}", json=body, timeout=120).status_code

    def round_of(requested: int) -> None:
        with ThreadPoolExecutor(8) as clients:
            codes = list(clients.map(one, range(requested)))
        assert codes[::2] == [200] * (requested // 2)
        assert requests.post(f"{server.url}/api/generate", json=GOOD, timeout=60).status_code == 200

    round_of(24)  # what is kept for good is there afterwards
    before = family_holds(server)
    round_of(100)
    settled(server, before)
    assert list((server.data / "artifacts" / "parts").iterdir()) == []
    assert list((server.data / "tmp").iterdir()) == []
    whole = re.compile(r"\d{8}_\d{6}_\d{6}_\d+_[0-9a-f]{16}(\.(mp4|wav))?")  # without: a mark that it is read
    strange = [str(p) for p in (server.data / "artifacts").rglob("*") if p.is_file() and not whole.fullmatch(p.name)]
    assert strange == []


def settled(server: Served, before: tuple[int, int, int, int]) -> None:
    """Wait until no more is held than before, a little slack for pools apart."""
    end = monotonic() + 20
    while any(now > then + slack for now, then, slack in zip(family_holds(server), before, (6, 6, 0, 40), strict=True)):
        assert monotonic() < end, (family_holds(server), before)


@pytest.mark.slow
def test_many_long_requests_at_once_are_all_served(server: Served) -> None:
    body: dict[str, Any] = GOOD | {"text": "One two three four five. " * 4, "chunk_size": 5}

    def one(_: int) -> int:
        return requests.post(f"{server.url}/api/stream_chunks", json=body, timeout=120).status_code

    with ThreadPoolExecutor(24) as clients:
        assert list(clients.map(one, range(24))) == [200] * 24


class Doors:
    """Every way to a long answer, opened by clients that vanish at some moment."""

    def __init__(self, house: House) -> None:
        self._url = house.url
        film = requests.post(f"{self._url}/api/stream_chunks", json=GOOD, timeout=60).json()["chunks"][0]
        self._media = film["video_url"]
        self._kept: list[socket.socket] = []
        self.names = ("chunks", "stream", "film", "events", "growing", "idle", "range", "waiting")

    def open(self, name: str, chance: random.Random) -> list[socket.socket]:
        """Ask at a door, reading little of its answer."""
        text = chance.choice(("Hello.", "Hello there, slowly.", "One two three four five six seven eight."))
        body: dict[str, Any] = {"text": text, "language": "en"}
        window = chance.choice((2000, None))
        match name:
            case "chunks":
                body["chunk_size"] = 5
                return [ask(self._url, "POST", "/api/stream_chunks", body, window=window, Accept="text/event-stream")]
            case "stream":
                return [ask(self._url, "POST", "/api/generate_stream", body, window=window)]
            case "film":
                return [ask(self._url, "POST", "/v1/videos", body, window=window, Accept="video/mp4")]
            case "waiting":
                return [ask(self._url, "POST", "/v1/videos", body, Prefer="wait=20")]
            case "events":
                job = requests.post(f"{self._url}/v1/videos", json=body, timeout=30).json()
                return [ask(self._url, "GET", job["events_url"], window=window)]
            case "growing":
                first = ask(self._url, "POST", "/api/stream_chunks", body, Accept="text/event-stream")
                told = b""
                while not (found := re.search(rb'"video_url": "([^"]+)"', told)):
                    block = first.recv(1000)
                    assert block, told
                    told += block
                return [first, ask(self._url, "GET", found[1].decode(), window=window)]
            case "idle":
                return [ask(self._url, "GET", "/v1/avatars/anna/idle", window=window)]
            case _:
                return [ask(self._url, "GET", self._media, window=window, Range="bytes=100-")]

    def cycle(self, name: str, chance: random.Random) -> None:
        """Connect, read for a moment or not at all, and vanish: with a reset, with a farewell, or without a word."""
        for connection in self.open(name, chance):
            connection.settimeout(chance.uniform(0.005, 0.4))
            try:
                while chance.random() < 0.8 and connection.recv(1000):
                    pass
            except TimeoutError:
                pass
            match chance.choice(("reset", "close", "silence")):
                case "reset":
                    reset(connection)
                case "close":
                    connection.close()
                case _:
                    self._kept.append(connection)

    def close(self) -> None:
        """Close what was left without a word."""
        while self._kept:
            self._kept.pop().close()


@pytest.fixture
def watched(toy: Path, tmp_path: Path) -> Iterator[House]:
    """A server that tells what it holds; it does not wait long for those who do not read."""
    (toy / "watched.py").write_text(WATCHED)
    data = tmp_path / "data"
    data.mkdir()
    with closing(House(toy, data, {"limits__stalled_seconds": "2"})) as house:
        house.begin("watched:create_app")
        house.ready()
        yield house


def at_rest(house: House) -> dict[str, float]:
    """What is held when nothing is left to do and no more goes."""
    assert house.process is not None
    until, last = monotonic() + 60, {"": 0.0}
    calm = threading.Event()
    while True:
        now = held(house.url, house.process.pid)
        going = rows(house.database, "SELECT id, kind, state FROM job WHERE state IN ('queued', 'running')")
        parts = [p.name for p in (house.data / "artifacts" / "parts").iterdir()]
        if not going and not parts and all(now[k] >= last.get(k, 1e9) for k in ("threads", "handles", "asyncio tasks")):
            return now
        assert monotonic() < until, (going, parts, now)
        last = now
        calm.wait(0.5)


def told(report: object) -> None:
    """Shown when a test fails, and with ``-s``."""
    sys.stdout.write(f"{json.dumps(report)}\n")


@pytest.fixture
def doors(watched: House) -> Iterator[Doors]:
    with closing(Doors(watched)) as doors:
        yield doors


@pytest.mark.slow
def test_hundreds_of_clients_that_vanish_leave_nothing(watched: House, doors: Doors) -> None:
    requests.get(f"{watched.url}/v1/avatars/anna/idle", timeout=60)

    def window(seed: int, cycles: int) -> dict[str, float]:
        def one(n: int) -> None:
            doors.cycle(doors.names[n % len(doors.names)], random.Random(f"{seed}.{n}"))
            if n % 10 == 0:  # somebody stays
                answer = requests.post(f"{watched.url}/api/generate", json=GOOD, timeout=60)
                assert answer.status_code == 200, answer.text

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(one, range(cycles * len(doors.names))))
        found = at_rest(watched)  # while the silent ones are still there
        told(found)
        doors.close()
        return at_rest(watched)

    windows = [window(0, 20), window(1, 40), window(2, 40)]
    told(windows)
    for name in ("processes", "threads", "handles", "asyncio tasks", "films"):
        assert windows[2][name] <= windows[1][name] + 2, name
    for name in ("server MB", "workers MB"):
        assert windows[2][name] <= windows[1][name] + 12, name
    log = watched.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]
    assert strangers(watched.data, watched.process.pid if watched.process else None) == []


@pytest.mark.slow
def test_an_hour_of_mixed_load_in_short_leaves_memory_flat(watched: House, doors: Doors) -> None:
    """Some thousand calls, as many as a busy hour has."""
    url, chance_of = watched.url, random.Random

    def call(n: int) -> None:
        chance = chance_of(f"hour.{n}")
        body = {"text": chance.choice(("Hi.", "Yes.", "Good day.")), "language": "en"}
        with requests.Session() as session:
            match chance.choices(range(8), (4, 3, 3, 6, 6, 3, 2, 2))[0]:
                case 0:
                    job = session.post(f"{url}/v1/videos", json=body, timeout=60).json()
                    assert list(follow(url, job["id"]))[-1][2]["state"] == "succeeded"
                case 1:
                    assert session.post(f"{url}/api/stream_chunks", json=body, timeout=60).status_code == 200
                case 2:
                    assert session.post(f"{url}/api/generate_stream", json=body, timeout=60).content
                case 3:
                    assert session.get(f"{url}/v1/jobs?limit=20", timeout=60).status_code == 200
                case 4:
                    assert session.get(f"{url}/api/health", timeout=60).status_code == 200
                case 5:
                    assert (
                        session.post(f"{url}/v1/videos", json=body | {"language": "xx"}, timeout=60).status_code == 400
                    )
                case 6:
                    job = session.post(f"{url}/v1/videos", json=body | {"text": "slowly"}, timeout=60).json()
                    assert session.delete(f"{url}/v1/jobs/{job['id']}", timeout=60).status_code in (200, 409)
                case _:
                    doors.cycle(chance.choice(doors.names), chance)

    def window(number: int, calls: int = 400) -> dict[str, float]:
        with ThreadPoolExecutor(6) as clients:
            list(clients.map(call, range(number * calls, (number + 1) * calls)))
        doors.close()
        return at_rest(watched)

    windows = [window(n) for n in range(10)]
    told(windows)
    slopes = {}
    for name in ("server MB", "workers MB"):
        later = [found[name] for found in windows[4:]]
        slopes[name] = float(np.polyfit(np.arange(len(later)) * 0.4, later, 1)[0])
    told({"megabytes in a thousand calls": slopes})
    assert slopes["server MB"] < 3
    assert slopes["workers MB"] < 8  # what is measured is between -3 and 3: an encoder's memory comes in pieces
    for name in ("processes", "threads", "handles", "asyncio tasks", "films"):
        assert windows[-1][name] <= windows[4][name] + 2, name


@pytest.mark.slow
def test_a_running_job_is_cancelled_within_a_second_while_all_workers_are_busy(serve: Callable[..., Served]) -> None:
    server = serve()
    took = []
    for n in range(10):
        pair = [
            requests.post(f"{server.url}/v1/videos", json=GOOD | {"text": text}, timeout=30).json()
            for text in (f"Number {n}, said slowly, again and again and again.", "This goes on forever.")
        ]
        for job in pair:
            assert any(kind == "sound" for _, kind, _ in follow(server.url, job["id"]))
        for job in pair:
            began = monotonic()
            answer = requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=30)
            took.append(monotonic() - began)
            assert answer.json()["state"] == "cancelled", answer.text
            assert requests.get(server.url + job["events_url"], timeout=5).text.count('"state": "cancelled"') == 1
        assert list((server.data / "artifacts" / "parts").iterdir()) == []
        assert [p.name for p in (server.data / "artifacts").iterdir() if p.is_file()] == []
    began = monotonic()
    done = requests.post(f"{server.url}/v1/videos", json=GOOD, headers={"Prefer": "wait=30"}, timeout=60).json()
    assert done["state"] == "succeeded"
    told({"seconds to cancel": [round(seconds, 3) for seconds in sorted(took)], "then a film": monotonic() - began})
    assert median(took) < 1.0
    assert max(took) < 5
