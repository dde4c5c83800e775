"""The near end of the pipe to espeak-ng: starts its process, asks it, and ends it when it is late."""

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vivavoce.errors import EngineUnavailable, InvalidInput, TimedOut, WorkerDied

__all__ = ["Event", "Process", "Request", "Utterance"]

_SERVER = Path(__file__).with_name("server.py")


class Event(NamedTuple):
    """Something that espeak-ng reports."""

    kind: str
    """``word`` or ``phoneme``."""
    sample: int
    """Where it begins in the sound."""
    position: int
    """Of a word: the index of its first character in the text, roughly; -1 for phonemes."""
    text: str
    """Of a phoneme: its IPA name; "" is a pause."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to say, and how."""

    text: str
    voice: str
    """espeak's name of the voice with its variant: ``en-us+f3``."""
    rate: int
    """Words a minute, 80-450."""
    pitch: int = 50
    """0-99."""
    range: int = 50
    """Liveliness of the pitch, 0-99."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What came back."""

    sound: bytes
    """16-bit mono samples in the byte order of the machine."""
    rate: int
    """Samples a second, Hz."""
    events: tuple[Event, ...]


class Process:
    """One espeak-ng process; for one thread at a time."""

    def __init__(self, deadline: float) -> None:
        """Start it and wait until it is ready, at most until ``deadline`` (``time.monotonic``)."""
        self._popen = subprocess.Popen(  # noqa: S603  our own file, run by our own interpreter
            [sys.executable, "-P", str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        self.stop = weakref.finalize(self, _stop, self._popen)
        """End the process and close its pipes; also at the interpreter's end."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._in, self._out = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        os.set_blocking(self._in, False)
        self._buffer = bytearray()
        try:
            kind, payload = self._message(deadline)
        except WorkerDied:
            self.stop()
            raise EngineUnavailable(
                "espeak-ng does not start here; install the package espeakng-loader for this system."
            ) from None
        except BaseException:  # whatever came between, no process may stay behind
            self.stop()
            raise
        answer = json.loads(payload)
        if kind != b"R":
            self.stop()
            raise EngineUnavailable(f"The embedded voice cannot speak here: {answer['error']}.")
        self._rate = int(answer["rate"])

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._popen.pid

    def ask(self, request: Request, deadline: float) -> Utterance:
        """Have a text spoken.

        Raises ``TimedOut`` at the deadline and ``WorkerDied`` when the process ended, both of which leave it stopped,
        and ``InvalidInput`` for a voice that there is not.
        """
        fields = {name: getattr(request, name) for name in Request.__slots__}
        body = json.dumps(fields).encode()
        sound = bytearray()
        events: list[Event] = []
        try:
            self._send(struct.pack(">I", len(body)) + body, deadline)
            while True:
                kind, payload = self._message(deadline)
                if kind == b"S":
                    sound += payload
                elif kind == b"E":
                    events += (Event(*e) for e in json.loads(payload))
                elif kind == b"X":
                    raise InvalidInput(f"The embedded voice cannot say this: {json.loads(payload)['error']}.")
                else:
                    return Utterance(bytes(sound), self._rate, tuple(events))
        except InvalidInput:
            raise
        except BaseException:  # half an answer may be in the pipe: this process is of no more use
            self.stop()
            raise

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise WorkerDied("The process of the embedded voice ended; try again.") from None

    def _message(self, deadline: float) -> tuple[bytes, bytes]:
        head = self._read(5, deadline)
        return head[:1], self._read(struct.unpack(">I", head[1:])[0], deadline)

    def _read(self, n: int, deadline: float) -> bytes:
        while len(self._buffer) < n:
            self._wait(self._out, select.POLLIN, deadline)
            piece = os.read(self._out, 1 << 16)
            if not piece:
                raise WorkerDied("The process of the embedded voice ended; try again.")
            self._buffer += piece
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()  # select() would fail on a descriptor above 1023, as a busy server has
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(1000 * left):
            raise TimedOut("Speaking the text took longer than its limit; try again, or send a shorter text.")


def _stop(popen: "subprocess.Popen[Any]") -> None:
    if popen.returncode is None:  # not reaped, so the number cannot have passed to anyone else
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)  # the fork that speaks, too; neither wants a polite end
    popen.wait()
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            pipe.close()
