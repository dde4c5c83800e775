"""How executor and worker talk: length-prefixed pickles on a socket pair. Both ends are our own processes."""

import pickle
import socket
import struct
from asyncio import StreamReader
from dataclasses import dataclass
from typing import Any

from vivavoce import errors
from vivavoce.errors import VivavoceError
from vivavoce.work.events import Event, Task

__all__ = ["Cancel", "Failed", "Happened", "Hello", "Perform", "Stop", "pack", "read", "receive"]

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Perform:
    """To the worker: do this. ``number`` tells apart tasks that share an id."""

    number: int
    task: Task


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the worker: give this up."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: finish and exit."""


@dataclass(frozen=True, slots=True)
class Hello:
    """From the worker: its performer is loaded."""


@dataclass(frozen=True, slots=True)
class Happened:
    """From the worker: an event of the running task."""

    event: Event


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker: the running task, or loading the performer, ended with an error."""

    kind: str
    """Name of a class of ``vivavoce.errors``."""
    message: str

    @classmethod
    def of(cls, error: VivavoceError) -> "Failed":
        """Travels as the nearest class of our own tree: an engine's subclass may not be known on the other side."""
        kind = next(c for c in type(error).__mro__ if c.__module__ == errors.__name__)
        return cls(kind.__name__, str(error))

    def error(self) -> VivavoceError:
        """The error again."""
        kind: type[VivavoceError] = getattr(errors, self.kind)
        return kind(self.message)


def pack(message: object) -> bytes:
    """One message as bytes."""
    data = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(data)) + data


async def read(stream: StreamReader) -> Any:
    """The next message; ``asyncio.IncompleteReadError`` or ``ConnectionError`` when the other end is gone."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return pickle.loads(await stream.readexactly(length))  # noqa: S301  from our own process


def receive(connection: socket.socket) -> Any:
    """The next message, blocking; ``EOFError`` when the other end is gone."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return pickle.loads(_exactly(connection, length))  # noqa: S301  from our own process


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
