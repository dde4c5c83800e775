"""Puts the server together: services, families, pages, and what every request passes through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from vivavoce import __version__, logs
from vivavoce.settings import Settings
from vivavoce.web import (
    audio,
    avatars,
    chat,
    chunks,
    cloning,
    dialects,
    generation,
    heads,
    jobs,
    lipsync,
    listening,
    lists,
    realtime,
    site,
    speakers,
    speech,
    studio,
    training,
    transcriptions,
    videos,
    voices,
    workers,
)
from vivavoce.web.envelope import Envelope
from vivavoce.web.services import Services

__all__ = ["create_app"]

_DESCRIPTION = """Text or a voice in, a lip-synced video of a person out.

Try a call with **Try it out**. Errors are one sentence: what is wrong, what is allowed. Media answers support `HEAD`,
`Range` and `ETag`. When the server has keys, send one as `X-API-Key` or as `Authorization: Bearer`.
"""
_EXPOSED = [
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "X-Error-Code",
    "X-Request-ID",
    "X-Total-Chunks",
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The server as an ASGI app; workers start with its lifespan and end with it.

    ``settings`` are read from the environment when they are not given.
    """
    logs.configure()
    held = settings or Settings()
    services = Services(held)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="vivavoce",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.services = services
    dialects.install(app)
    app.add_middleware(
        Envelope,
        max_body=held.limits.json_bytes,
        max_upload=held.limits.upload_bytes,
        api_keys=held.server.api_keys,
        origins=held.server.cors_origins,
    )
    app.add_middleware(  # added last, so outermost: refusals too are readable in a browser
        CORSMiddleware,
        allow_origins=held.server.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    families = (chunks, lipsync, audio, speakers, listening, studio, generation, cloning, training)
    native = (avatars, heads, lists, voices, jobs, videos, chat, transcriptions, speech, realtime, workers)
    for room in (*families, *native, site):
        app.include_router(room.router)
    app.mount("/ui", site.assets())
    app.openapi = partial(_described, app)  # type: ignore[method-assign]  # the framework's own way
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The framework's OpenAPI description; its 422 only where it is so: elsewhere bad requests are answered 400."""
    if not app.openapi_schema:
        schema = FastAPI.openapi(app)
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if not path.startswith(dialects.LISTING):
                    operation["responses"].pop("422", None)
        schema["components"]["securitySchemes"] = {
            "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        schema["security"] = [{}, {"Key": []}, {"Bearer": []}]  # none where the server has no keys
    return FastAPI.openapi(app)
