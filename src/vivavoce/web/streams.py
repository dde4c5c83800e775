"""Answers that take a while: work that ends when its client leaves."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from vivavoce.errors import Cancelled

__all__ = ["EVENTS", "Flow", "begun", "data_event", "event", "until_gone", "wants_events"]

_log = structlog.get_logger(__name__)
T = TypeVar("T")
EVENTS = "text/event-stream"


def wants_events(request: Request) -> bool:
    """Whether the client asked for an event stream."""
    return EVENTS in request.headers.get("accept", "")


def event(name: str, data: Mapping[str, Any], *, id: int | None = None) -> bytes:  # noqa: A002  the standard's word
    """One event of an event stream, ASCII only, so that a client may cut the bytes anywhere."""
    number = "" if id is None else f"id: {id}\n"
    return f"{number}event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")


def data_event(data: Mapping[str, Any]) -> bytes:
    """One event without a name, one line; ASCII only, so that whoever cuts the bytes anywhere gets whole letters."""
    return f"data: {json.dumps(data)}\n\n".encode("ascii")


async def until_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``; when the client leaves first, the work is cancelled and ``Cancelled`` raised.

    The request's body must have been read.
    """
    task, gone = asyncio.ensure_future(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("The client left.")
        return await task
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.wait({task, gone})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def begun(request: Request, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The same items, the first of which is there already: what fails before it can still be answered as an error."""
    try:
        first = await until_gone(request, anext(items))
    except StopAsyncIteration:
        return _empty(items)
    except BaseException:  # also when the client leaves: its work ends with it
        await items.aclose()
        raise
    return _resumed(first, items)


async def _resumed(first: T, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    async with aclosing(items):
        yield first
        async for item in items:
            yield item


async def _empty(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    async with aclosing(items):
        return
        yield  # makes this a generator


class Flow(StreamingResponse):
    """A streaming answer that closes its source when it ends, however it ends.

    It ends too when the client leaves a piece unread for ``patience`` seconds: a worker must not wait for it for ever.
    """

    def __init__(self, content: AsyncGenerator[bytes], *, patience: float, **more: Any) -> None:
        super().__init__(content, **more)
        self._content = content
        self._patience = patience
        self.headers["Cache-Control"] = "no-cache"
        self.headers["X-Accel-Buffering"] = "no"

    async def stream_response(self, send: Send) -> None:
        """Send the blocks as they come."""

        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._patience):
                    await send(message)
            except TimeoutError:
                raise _Stalled from None

        async with aclosing(self._content):
            try:
                await super().stream_response(in_time)
            except _Stalled:
                _log.warning("a client stopped reading", seconds=self._patience)


class _Stalled(Exception):
    """The client does not read."""
