"""Performers for the tests of the executor; workers import them from here."""

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

from vivavoce.errors import FaceRejected, TooLarge
from vivavoce.work.events import Data, Done, Event, Performer, Progress, Task


class RejectedByPlugin(FaceRejected):
    """An engine's own subclass, which the server's process does not know."""


def toy() -> Performer:
    return perform


def broken() -> Performer:
    raise TooLarge("The engine is too large for this machine.")


def fatal() -> Performer:
    os._exit(3)


def fated(births: Path) -> Performer:
    """Takes the first of the words that say how each start ends."""
    fate, _, rest = births.read_text().partition(" ")
    births.write_text(rest)
    if fate == "dies":
        os._exit(3)
    return broken() if fate == "fails" else perform


def perform(task: Task) -> Iterator[Event]:
    params = task.params
    match task.kind:
        case "echo":
            yield Progress(0.5, "half")
            yield Data(b"abc")
            yield Data(b"def")
            yield Done(dict(params))
        case "meet":  # two tasks that can only end when both run
            Path(params["mine"]).touch()
            _until(Path(params["other"]))
            yield Done({"pid": os.getpid()})
        case "forever":  # a performer that yields often and cleans up
            try:
                while True:
                    yield Progress(0.1, "on")
                    select.select([], [], [], 0.01)
            finally:
                Path(params["cleaned"]).touch()
        case "deaf":  # a performer that never looks up again
            yield Progress(0.0, "started")
            while True:
                select.select([], [], [], 10)
        case "die":  # dies as often as there are lives to lose
            lives = Path(params["lives"])
            count = int(lives.read_text())
            lives.write_text(str(count - 1))
            if params.get("say"):
                yield Data(b"first")
            if count > 0:
                os.kill(os.getpid(), 9)
            yield Done({"lives": count})
        case "reject":
            raise RejectedByPlugin("No face was found.")
        case "crash":
            raise ZeroDivisionError("secret detail")
        case "flood":
            for number in range(params["pieces"]):
                Path(params["count"]).write_text(str(number))
                yield Data(bytes(100_000))
            yield Done({})
        case "silent":
            yield Progress(1.0, "no end")
        case "environment":
            import cv2

            yield Done({"nice": os.nice(0), "threads": cv2.getNumThreads()})


def _until(path: Path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        select.select([], [], [], 0.005)
