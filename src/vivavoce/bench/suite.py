"""What is measured, in which order, and what the design wants of it."""

import platform
import statistics
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast
from uuid import uuid4

import httpx

from vivavoce.bench.picture import first_pictures
from vivavoce.bench.server import BenchServer, running
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.registry import Registry
from vivavoce.settings import Settings
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.perform import Stage
from vivavoce.studio.scene import Stager, builtin_avatars
from vivavoce.work.events import Done, Event, Task

__all__ = ["Measured", "machine", "measure", "playable"]

Show = Callable[[float, str], None]

_SENTENCES = (
    "Good morning, and welcome to the river museum. The first hall shows how people built boats a thousand years ago, "
    "from oak, rope and a great deal of patience. In the second hall you may touch everything: the nets, the bells, "
    "the heavy iron anchors. Please keep to the left on the stairs, because groups come down on the right. "
    "At noon a fisherman tells stories by the big window, and children may ask him whatever they like. "
    "The café opens at ten; its apple cake is known far beyond this town. We wish you all a truly wonderful day."
)
"""One hundred words."""
_SHORT = "Good morning, and welcome to the river museum. The first hall shows how people built boats long ago."


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table."""

    what: str
    value: float | None
    """None where it cannot be measured here; ``detail`` says why."""
    unit: str
    target: float
    better: Literal["more", "less"]
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the value keeps the design's promise; None when there is no value."""
        if self.value is None:
            return None
        return self.value >= self.target if self.better == "more" else self.value <= self.target


def measure(*, engine: str = "photo", quick: bool = False, show: Show = lambda *_: None) -> list[Measured]:
    """Everything, on this machine: about two minutes, with ``quick`` a third of it.

    ``engine`` is the face engine; an avatar of it must be here. Raises ``InvalidInput`` when there is none.
    """
    with TemporaryDirectory(prefix="vivavoce-bench-") as folder:
        settings = Settings()
        avatar = _avatar_of(settings, engine)
        films = [
            _film(settings, avatar, Path(folder), size, target, 1 if quick else 9, show, done)
            for size, target, done in (("512x512", 6.0, 0.0), ("720p", 3.0, 0.15))
        ]
        with running(Path(folder) / "data", avatar) as server:
            show(0.4, "Measuring first bytes")
            start = Measured("start of the server to ready", server.seconds_to_ready, "s", 3.0, "less")
            first = _first_bytes(server, 3 if quick else 9)
            show(0.5, "Measuring a hundred words in chunks")
            chunked = _chunked(server, 1 if quick else 3)
            show(0.8, "Measuring health under load")
            health = _health(server, 3.0 if quick else 10.0)
            memory = Measured("peak memory of a worker", server.worker_peak() / 1e6, "MB", 500.0, "less")
        show(0.9, "Waiting for first pictures")
        picture = _first_picture(Path(folder) / "films", 3 if quick else 9)
        return [*films, first, picture, chunked, memory, start, health]


def machine() -> str:
    """The machine in words."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else ""
    return f"{Settings().work.workers} cores, {model or platform.machine()}, Python {platform.python_version()}"


def _avatar_of(settings: Settings, engine: str) -> str:
    config = settings.studio()
    library = AvatarLibrary(config.avatars, builtin_avatars())
    names = sorted(library.names(), key=lambda name: name != config.avatar)
    for name in names:
        if library.get(name).engine == engine:
            return name
    raise InvalidInput(f"There is no avatar of the engine {engine}; make one with `vivavoce avatars add`.")


def _film(
    settings: Settings, avatar: str, folder: Path, size: str, target: float, times: int, show: Show, done: float
) -> Measured:
    """Text to a finished file in this process, engines warm."""
    config = settings.studio()
    stage = Stage(config)
    try:
        stager = Stager(config, Registry(), AvatarLibrary(config.avatars, builtin_avatars()))
        scene = stager.scene(_SHORT, language="en", avatar=avatar, size=size)
        rates = []
        for i in range(times + 1):
            show(done + 0.15 * i / (times + 1), f"Filming {size}")
            began = time.perf_counter()
            made = _play(stage, Task(uuid4().hex, "film", scene.params(video=str(folder / f"{i}.mp4"))))
            rates.append(made["seconds"] / (time.perf_counter() - began))
    finally:
        stage.close()
    warm = rates[1:]
    detail = f"median {statistics.median(warm):.1f}, {made['seconds']:.1f} s of film, best of {times}"
    return Measured(f"text to finished MP4, {size}, 25 fps", max(warm), "x real time", target, "more", detail)


def _play(stage: Stage, task: Task) -> dict[str, Any]:
    with closing(cast("Generator[Event]", stage(task))) as events:
        return next(dict(event.result) for event in events if isinstance(event, Done))


def _first_bytes(server: BenchServer, times: int) -> Measured:
    """Text to the first fragment that a player can show, over HTTP."""
    waits = []
    for _ in range(times + 2):
        began = time.perf_counter()
        body = {"text": _SHORT, "language": "en"}
        with httpx.stream("POST", f"{server.url}/api/generate_stream", json=body, timeout=60) as answer:
            answer.raise_for_status()
            held, shown = b"", 0.0
            for piece in answer.iter_raw():  # to the end, so that the next one finds a free worker
                held += piece
                if not shown and playable(held):
                    shown = time.perf_counter()
            waits.append((shown - began) * 1000)
    warm = waits[2:]
    detail = f"median of {times}, best {min(warm):.0f}"
    return Measured(
        "text to first playable bytes over HTTP, 512x512", statistics.median(warm), "ms", 250.0, "less", detail
    )


def _first_picture(folder: Path, times: int) -> Measured:
    """What ``video.src = url`` saves against waiting for the file."""
    what, speed = "first picture in Chromium, of the time of the finished file", 50
    try:
        waits = first_pictures(folder, times, speed=speed)
    except EngineUnavailable as e:
        return Measured(what, None, "%", 40.0, "less", str(e))
    first, whole = (
        statistics.median(s) for s in zip(*((w.first_picture, w.finished_file) for w in waits), strict=True)
    )
    detail = f"{first:.2f} s of {whole:.2f} s, an engine of {speed} fps, 3.5 s of film at 512x512, median of {times}"
    return Measured(what, statistics.median(100 * wait.share for wait in waits), "%", 40.0, "less", detail)


def playable(held: bytes) -> bool:
    """Whether the MP4 boxes in ``held`` reach the end of a first fragment: moov, moof, mdat."""
    seen, at = set(), 0
    while at + 8 <= len(held):
        size, kind = int.from_bytes(held[at : at + 4], "big"), held[at + 4 : at + 8]
        at += max(size, 8)
        if at > len(held):
            return False
        seen.add(kind)
        if kind == b"mdat":
            return {b"moov", b"moof"} <= seen
    return False


def _chunked(server: BenchServer, times: int) -> Measured:
    """A hundred words in chunks at 720p: the whole JSON answer."""
    body = {"text": _SENTENCES, "language": "en", "chunk_size": 15, "resolution": "720p"}
    took, seconds = [], 0.0
    for _ in range(times):
        began = time.perf_counter()
        answer = httpx.post(f"{server.url}/api/stream_chunks", json=body, timeout=300).raise_for_status()
        took.append(time.perf_counter() - began)
        seconds = sum(chunk["duration"] for chunk in answer.json()["chunks"])
    words, median = len(_SENTENCES.split()), statistics.median(took)
    detail = f"{words} words, {seconds:.0f} s of film, median {median:.1f}, best of {times}"
    return Measured("100 words, chunked, 720p, whole answer", min(took), "s", 12.0, "less", detail)


def _health(server: BenchServer, seconds: float) -> Measured:
    """How long the health answer takes while every core renders."""
    body = {"text": _SENTENCES, "language": "en", "chunk_size": 15, "resolution": "720p"}
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(timeout=300) as client:
            while not stop.is_set():
                client.post(f"{server.url}/api/stream_chunks", json=body)

    loads = [threading.Thread(target=load, daemon=True) for _ in range(Settings().work.workers)]
    for thread in loads:
        thread.start()
    waits = []
    until = time.monotonic() + seconds
    with httpx.Client() as client:
        while time.monotonic() < until:
            began = time.perf_counter()
            client.get(f"{server.url}/api/health", timeout=10).raise_for_status()
            waits.append((time.perf_counter() - began) * 1000)
            stop.wait(0.02)
    stop.set()
    for thread in loads:
        thread.join()
    p99 = statistics.quantiles(waits, n=100)[98]
    detail = f"median {statistics.median(waits):.1f} of {len(waits)}"
    return Measured("health answer while every core renders, p99", p99, "ms", 50.0, "less", detail)
