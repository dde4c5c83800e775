"""A speaking client at the other end of a WebSocket: read and told things in its time, but not waited for for ever."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from vivavoce.errors import InvalidInput, Overloaded, VivavoceError
from vivavoce.studio.listeners import Listeners, Patience

__all__ = ["LONGEST_SECONDS", "Line", "listeners_of", "parsed", "side_by_side", "spoken", "too_long"]

_log = structlog.get_logger(__name__)
LONGEST_SECONDS = 30.0
"""Sound in one message. More would keep the server from hearing the client's signs of life."""
_CLOSING_SECONDS = 2.0
"""How long a client that does not read may hold up the end."""
_MOST_CHARACTERS = 4_000_000
"""Of a text message: 30 seconds of sound at 48 kHz in Base64."""
Say = Callable[[VivavoceError], Mapping[str, Any]]
"""An error in the words of a protocol."""


class Line:
    """One accepted WebSocket. ``say`` puts an error into a message."""

    def __init__(self, websocket: WebSocket, patience: Patience, say: Say) -> None:
        self._websocket, self._patience, self._say = websocket, patience, say
        self._until = asyncio.get_running_loop().time() + patience.connected_seconds

    async def receive(self) -> str | bytes:
        """The next message. Raises ``WebSocketDisconnect`` when the client has left, ``_Tired`` when it is silent."""
        left = self._until - asyncio.get_running_loop().time()
        idle = self._patience.idle_seconds
        try:
            async with asyncio.timeout(min(left, idle)):
                message = await self._websocket.receive()
        except TimeoutError:
            if left < idle:
                raise _Tired(
                    f"The connection was open for {self._patience.connected_seconds:g} s; open another."
                ) from None
            raise _Tired(f"Nothing was sent for {idle:g} s; connect again when there is sound.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        data: str | bytes | None = message.get("bytes")
        return data if data is not None else str(message.get("text", ""))

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message. Raises ``_Deaf`` when the client leaves it unread."""
        try:
            async with asyncio.timeout(self._patience.unread_seconds):
                await self._websocket.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        except TimeoutError:
            raise _Deaf from None

    async def refuse(self, error: VivavoceError) -> None:
        """Say what is wrong; the connection goes on."""
        await self.send(self._say(error))

    async def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, whose end closes the connection: 1000, or another code after the error was told."""
        try:
            await work
            await self._close(1000)
        except WebSocketDisconnect:
            return
        except _Deaf:
            _log.warning("a client stopped reading", seconds=self._patience.unread_seconds)
            await self._close(1008)
        except VivavoceError as e:
            await self._end(e, _code(e))
        except Exception as e:  # noqa: BLE001 - the last resort: a client never sees a traceback
            _log.exception("a connection failed", error=type(e).__name__)
            await self._end(VivavoceError("Something went wrong on the server; it has been logged."), 1011)

    async def _end(self, error: VivavoceError, code: int) -> None:
        try:
            await self.refuse(error)
        except (WebSocketDisconnect, RuntimeError, _Deaf):
            return
        await self._close(code)

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._websocket.close(code)
        except (WebSocketDisconnect, RuntimeError, TimeoutError):  # it is closed already, or cannot be
            return


class _Tired(VivavoceError):
    """The client used up our patience."""

    status, code = 408, "timed-out"


class _Deaf(Exception):
    """The client does not read."""


def _code(error: VivavoceError) -> int:
    """The close code (RFC 6455, section 7.4.1) that fits."""
    if isinstance(error, Overloaded):
        return 1013
    return 1008 if isinstance(error, InvalidInput | _Tired) else 1011


def parsed(text: str) -> dict[str, Any]:
    """A JSON object. Raises ``InvalidInput`` for anything else."""
    try:
        message = json.loads(text) if len(text) <= _MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise InvalidInput("A text message is a JSON object; sound is sent as binary messages.")
    return message


def too_long() -> InvalidInput:
    """The error for a message with more sound than ``LONGEST_SECONDS``."""
    return InvalidInput(f"A message holds more than {LONGEST_SECONDS:g} s of sound; send less at a time.")


async def side_by_side(reading: Awaitable[None], writing: Awaitable[None]) -> None:
    """Both at once, until the writing ends or either fails; the other one is then cancelled."""
    tasks = [asyncio.ensure_future(reading), asyncio.ensure_future(writing)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in reversed(tasks):  # what the listener raised says more than a client that left because of it
            if task.done():
                await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def listeners_of(websocket: WebSocket) -> Listeners:
    """The server's listeners."""
    listeners: Listeners = websocket.app.state.services.listeners
    return listeners


def spoken(websocket: WebSocket) -> str | None:
    """The subprotocol to answer a browser with: the first that it offers (keys go last, see ``envelope``)."""
    return next(iter(websocket.scope.get("subprotocols", [])), None)
