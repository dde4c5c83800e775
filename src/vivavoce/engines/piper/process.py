"""The near end of the pipe to Piper: starts its process, asks it, and kills it when it is late or not wanted."""

import json
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vivavoce.errors import EngineUnavailable, TimedOut, WorkerDied

__all__ = ["Process", "Sentence"]

T = TypeVar("T")

_SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as Piper says it."""

    sound: bytes
    """16-bit little-endian mono samples."""
    rate: int
    """Samples a second, Hz."""
    phonemes: tuple[tuple[str, int], ...]
    """Piper's symbols in order, pauses and stress among them, and how many samples each lasts; empty when unknown."""


class Process:
    """One Piper process; for one thread at a time, but any thread may ``stop`` it."""

    def __init__(self, deadline: float) -> None:
        """Start it and wait until it is ready, at most until ``deadline`` (``time.monotonic``)."""
        self._popen = subprocess.Popen(  # noqa: S603  our own file, run by our own interpreter
            [sys.executable, "-P", str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, self._popen)
        kind, payload = self._within(deadline, self._message)
        if kind != b"R":
            self.close()
            raise EngineUnavailable(f"Piper cannot speak here: {_reason(payload)}.")

    def stop(self) -> None:
        """Kill it, from any thread: whoever waits for its answer gets ``WorkerDied``."""
        with suppress(ProcessLookupError):
            self._popen.kill()

    def close(self) -> None:
        """Kill it and close its pipes."""
        self._end()

    def ask(self, model: Path, text: str, speaker: int | None, deadline: float) -> list[Sentence]:
        """Have a text spoken.

        Raises ``TimedOut`` at the deadline and ``WorkerDied`` when the process ended, both of which leave it closed,
        and ``EngineUnavailable`` when the voice's file cannot be used.
        """
        return self._within(deadline, lambda: self._spoken(model, text, speaker))

    def _spoken(self, model: Path, text: str, speaker: int | None) -> list[Sentence]:
        body = json.dumps({"model": str(model), "text": text, "speaker": speaker}).encode()
        assert self._popen.stdin is not None
        self._popen.stdin.write(struct.pack(">I", len(body)) + body)
        self._popen.stdin.flush()
        sentences: list[Sentence] = []
        sound = b""
        while True:
            kind, payload = self._message()
            if kind == b"S":
                sound = payload
            elif kind == b"P":
                told = json.loads(payload)
                marks = tuple((str(p), int(n)) for p, n in told["phonemes"] or ())
                sentences.append(Sentence(sound, int(told["rate"]), marks))
            elif kind == b"D":
                return sentences
            else:
                raise EngineUnavailable(f"The Piper voice {model.stem} cannot be used: {_reason(payload)}.")

    def _message(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        return head[:1], self._read(struct.unpack(">I", head[1:])[0])

    def _read(self, n: int) -> bytes:
        assert self._popen.stdout is not None
        data = self._popen.stdout.read(n)
        if len(data) < n:
            raise WorkerDied("The process of the Piper voice ended; try again.")
        return data

    def _within(self, deadline: float, work: Callable[[], T]) -> T:
        """Do what waits for the process; at the deadline it is killed, which ends the waiting."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.stop()

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
        timer.daemon = True
        timer.start()
        try:
            return work()
        except EngineUnavailable:
            raise
        except BaseException as e:  # half an answer may be in the pipe: this process is of no more use
            self.close()
            if late.is_set():
                raise TimedOut("Speaking the text took longer than its limit; send a shorter text.") from None
            if isinstance(e, OSError):
                raise WorkerDied("The process of the Piper voice ended; try again.") from None
            raise
        finally:
            timer.cancel()
            timer.join()


def _reason(payload: bytes) -> str:
    return str(json.loads(payload)["error"])[:200].rstrip(". ")


def _end(popen: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        popen.kill()
    popen.wait()
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not written yet has no reader any more
                pipe.close()
