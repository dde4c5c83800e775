"""A server of live recognition alone, on a socket of this machine, with listeners of the test's own."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection

from vivavoce.studio.listeners import Listeners
from vivavoce.web import listening, realtime
from vivavoce.web.envelope import Envelope


@asynccontextmanager
async def called(listeners: Listeners, **envelope: Any) -> AsyncGenerator[str]:
    """The address, without its scheme, of a server that lasts as long as the block."""
    app = FastAPI()
    app.state.services = SimpleNamespace(listeners=listeners)
    app.add_middleware(Envelope, **({"max_body": 1000, "max_upload": 1000} | envelope))
    app.include_router(listening.router)
    app.include_router(realtime.router)
    listening_at = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="info", lifespan="off", timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve([listening_at]))
    try:
        yield f"127.0.0.1:{listening_at.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening_at.close()
        assert listeners.busy == 0, "a listener outlived its client"


async def message(client: ClientConnection) -> dict[str, Any]:
    """The next JSON message."""
    told: dict[str, Any] = json.loads(await client.recv())
    return told


async def speak(client: ClientConnection, pcm: bytes, *, step: int = 3200) -> None:
    """Send sound in pieces."""
    for at in range(0, len(pcm), step):
        await client.send(pcm[at : at + step])


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; the scenario's own limit ends it."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0.01)
