"""Films with a speed that is set: an engine that only draws, and a server of our own parts that shows its films.

What a viewer waits for then depends on the encoder, the server and the player alone, and compares between machines.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from vivavoce.errors import VivavoceError
from vivavoce.media.video import encode
from vivavoce.nouns import Audio, Canvas, Frame
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.films import Films
from vivavoce.web.progressive import film_response

__all__ = ["Filming", "drawn", "filming", "hum", "paced"]

_PATIENCE = 30.0  # seconds


def hum(seconds: float) -> Audio:
    """A tone between two moments of silence, 16 kHz."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    rise = np.clip((np.minimum(t, seconds - t) - 0.04) / 0.02, 0, 1)
    return Audio((0.3 * rise * np.sin(2 * np.pi * 300 * t)).astype(np.float32), 16_000)


def drawn(count: int, canvas: Canvas) -> Iterator[Frame]:
    """A textured picture that stands still but for a bar that opens and shuts like a mouth."""
    noise = np.random.default_rng(0).integers(60, 200, (64, 64, 3)).astype(np.uint8)
    face = np.asarray(cv2.resize(noise, canvas.size, interpolation=cv2.INTER_CUBIC), np.uint8)
    for n in range(count):
        image = face.copy()
        top, opened = canvas.height * 3 // 5, round(canvas.height * 0.08 * (1 + np.sin(n / 3)))
        image[top : top + opened, canvas.width * 2 // 5 : canvas.width * 3 // 5] = 40
        yield Frame(image, n / canvas.fps)


def paced(frames: Iterator[Frame], per_second: float) -> Iterator[Frame]:
    """The frames as an engine of that speed would give them."""
    clock, began = threading.Event(), perf_counter()
    for n, frame in enumerate(frames):
        clock.wait(max(0.0, began + (n + 1) / per_second - perf_counter()))
        yield frame


class Filming:
    """A server that answers ``/film/{id}``, and whoever makes its films; both are told by other threads."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.films = Films()
        self.artifacts = ArtifactStore(folder)
        self.loop: asyncio.AbstractEventLoop
        self.answered: list[int] = []
        """The status of each answer that was begun."""

    def expect(self) -> str:
        """The id of a film that is going to be made."""
        name = self.artifacts.new_id()

        async def expected() -> None:
            self.films.expect(name)

        self._wait(expected())
        return name

    def make(self, name: str, frames: Iterator[Frame], seconds: float, canvas: Canvas) -> None:
        """Make an expected film as worker and studio do together; returns when it is published, or has failed."""
        film = self.films.get(name)
        assert film is not None
        part, growing = self.artifacts.part(name, ".mp4"), self.artifacts.part(name, ".growing")

        def grown(size: int) -> None:
            self.loop.call_soon_threadsafe(film.grown, growing, size)

        async def publish() -> None:
            await self.artifacts.publish(part, name, ".mp4")
            film.end()

        async def fail(error: Exception) -> None:
            film.end(error)

        try:
            encode(part, frames, hum(seconds), canvas, growing=growing, grown=grown)
            self._wait(publish())
        except Exception as e:  # noqa: BLE001 - whatever it was, the film's readers are told
            self._wait(fail(e))
        finally:
            growing.unlink(missing_ok=True)

    async def answer(self, request: Request) -> Response:
        """GET and HEAD of a film."""
        try:
            name = request.path_params["id"]
            response = await film_response(request, name, self.films, self.artifacts, patience=_PATIENCE)
        except VivavoceError as e:
            response = PlainTextResponse(str(e), e.status)
        self.answered.append(response.status_code)
        return response

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE)


@contextmanager
def filming(folder: Path) -> Iterator[Filming]:
    """Run such a server on a port that the system chose; ``/`` is an empty page."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        served = Filming(folder, f"http://127.0.0.1:{listener.getsockname()[1]}")
        server, ready = uvicorn.Server(_config(served)), threading.Event()

        async def serve() -> None:
            served.loop = asyncio.get_running_loop()
            ready.set()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=_run, args=(serve,), name="filming", daemon=True)
        thread.start()
        ready.wait(_PATIENCE)
        try:
            yield served
        finally:
            server.should_exit = True
            thread.join(_PATIENCE)


def _run(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(serve())


def _config(served: Filming) -> uvicorn.Config:
    async def page(_: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Films</title>")

    routes = [Route("/", page), Route("/film/{id}", served.answer, methods=["GET", "HEAD"])]
    return uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
