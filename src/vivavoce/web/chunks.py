"""Family A: text in, film chunks out (``/api/…``), as its documents promise, with a few additions of ours."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from vivavoce.errors import VivavoceError
from vivavoce.studio.ledger import Order
from vivavoce.studio.scene import Scene
from vivavoce.studio.shooting import Filmed, Said, Step
from vivavoce.web.dialects import allow
from vivavoce.web.media import media_response
from vivavoce.web.progressive import film_response
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, Flow, begun, event, until_gone, wants_events
from vivavoce.work.events import Progress

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["Chunks"])

_TEXT = "text must be a string that is not blank."
_NAME = "{} must be a string, or left out."


class _Ask(BaseModel):
    """What all calls take; unknown fields are ignored."""

    text: Annotated[str, Field(strict=True, description="What the avatar says"), allow(_TEXT)]
    language: Annotated[
        str | None,
        Field(strict=True, description="`ru`, `kk`, `en`, `ko`, `zh` or another language of the voices"),
        allow("language must be a string such as ru, kk, en, ko or zh."),
    ] = None
    avatar: Annotated[
        str | None, Field(strict=True, description="Name of an avatar"), allow(_NAME.format("avatar"))
    ] = None
    voice: Annotated[
        str | None,
        Field(strict=True, description="Id of a voice, `engine/id` or `clone/id`"),
        allow(_NAME.format("voice")),
    ] = None
    engine: Annotated[str | None, Field(strict=True, description="Face engine"), allow(_NAME.format("engine"))] = None
    resolution: Annotated[
        str | None,
        Field(strict=True, description="`720p`, `480p`, `360p`, `1080p` or `512x512`", examples=["512x512"]),
        allow("resolution must be a string such as 720p or 512x512."),
    ] = None

    def scene(self, services: Services, owner: str) -> Scene:
        """The scene of the call; raises what is wrong with it."""
        return services.stager.scene(
            self.text,
            language=self.language,
            voice=self.voice,
            avatar=self.avatar,
            engine=self.engine,
            size=self.resolution,
            owner=owner,
        )

    model_config = {"json_schema_extra": {"examples": [{"text": "Привет! Это тестовый текст.", "language": "ru"}]}}


class ChunksAsk(_Ask):
    """A text to be filmed in chunks."""

    chunk_size: Annotated[
        int,
        Field(strict=True, ge=5, le=30, description="Words in a chunk, 5 to 30"),
        allow("chunk_size must be a whole number from 5 to 30."),
    ] = 15
    first_chunk_size: Annotated[
        int | None,
        Field(strict=True, ge=1, le=30, description="Words in the first chunk, when it should be ready sooner"),
        allow("first_chunk_size must be a whole number from 1 to 30, or left out."),
    ] = None

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "text": "Привет! Это тестовый текст для генерации видео с аватаром.",
                    "language": "ru",
                    "chunk_size": 10,
                }
            ]
        }
    }


class FilmAsk(_Ask):
    """A text to be filmed in one piece."""


class ChunkOut(BaseModel):
    """A chunk."""

    index: int
    text: str
    video_url: str = Field(examples=["/api/chunk/video/20251028_123456_000000_0_5f0c9a3be1d27784"])
    audio_url: str = Field(examples=["/api/chunk/audio/20251028_123456_000000_0_5f0c9a3be1d27784"])
    duration: float = Field(description="Seconds", examples=[3.5])


class ChunksOut(BaseModel):
    """All chunks of a text."""

    success: Literal[True] = True
    total_chunks: int
    language: str
    chunks: list[ChunkOut]
    voice_fallback: str | None = Field(
        None, description="Only when the embedded voice spoke in place of another: why it did"
    )


class Failure(BaseModel):
    """What every failed call answers."""

    success: Literal[False] = False
    error: str = Field(examples=["chunk_size must be a whole number from 5 to 30."])


class Health(BaseModel):
    """Whether the server can work."""

    status: Literal["ready", "loading"]
    models_loaded: bool
    avatar_loaded: bool
    device: str = Field(examples=["cpu"])


class Message(BaseModel):
    """What was done."""

    message: str


_FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The request cannot be used; the sentence says what is allowed"},
    404: {"model": Failure, "description": "No such avatar"},
    413: {"model": Failure, "description": "Text or body over the limit"},
    429: {"model": Failure, "description": "Too many requests under way; try again after `Retry-After` seconds"},
    503: {"model": Failure, "description": "An engine is not available here"},
    504: {"model": Failure, "description": "The voice took too long"},
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Failure, "description": "No such result, or no more"}}
_MP4 = {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "/stream_chunks",
    response_model=ChunksOut,
    responses=_FAILURES
    | {
        200: {
            "description": "All chunks; or, with `Accept: text/event-stream`, an event `chunk` for each as soon as its "
            "sound is there, an event `filmed` when its film is whole, and then `done`"
        }
    },
)
async def stream_chunks(ask: ChunksAsk, request: Request, services: Use) -> Response:
    """Film a text in chunks, in parallel; the chunks play one after another without a gap.

    With `Accept: text/event-stream` each chunk's addresses come as soon as its sound is there, with `words`, each with
    the seconds at which it begins and ends; its film plays while it is made. Leaving cancels the work.
    """
    scene = ask.scene(services, owner_of(request))
    await services.ready()
    # A long text takes a while, and the loop has others to serve.
    texts = await asyncio.to_thread(services.studio.cut, scene, ask.chunk_size, ask.first_chunk_size)
    order = Order(owner_of(request))
    steps = services.studio.shoot(scene, texts, order)
    if wants_events(request):
        events = _chunk_events(await begun(request, _heard(steps)), scene.language)
        patience = services.settings.limits.stalled_seconds
        headers = {"X-Total-Chunks": str(len(texts)), "X-Job-ID": order.id}
        return Flow(events, patience=patience, media_type=EVENTS, headers=headers)
    async with aclosing(steps):
        done = await until_gone(request, _all(steps))
    out = ChunksOut(
        total_chunks=len(done),
        language=scene.language,
        chunks=[_out(said) for said in done],
        voice_fallback=next((said.voice_fallback for said in done if said.voice_fallback), None),
    )
    return JSONResponse(out.model_dump(exclude_none=True), headers={"X-Job-ID": order.id})


async def _heard(steps: AsyncGenerator[Step]) -> AsyncGenerator[Step]:
    """The steps from the first sound on: what the voice refuses is still answered as an error."""
    async with aclosing(steps):
        async for step in steps:
            if not (isinstance(step, Progress) and step.stage == "voice"):
                yield step


async def _all(steps: AsyncGenerator[Step]) -> list[Said]:
    """The chunks when all of them are filmed."""
    return [step async for step in steps if isinstance(step, Said)]


def _out(said: Said) -> ChunkOut:
    return ChunkOut(
        index=said.index,
        text=said.text,
        video_url=f"/api/chunk/video/{said.id}",
        audio_url=f"/api/chunk/audio/{said.id}",
        duration=said.seconds,
    )


def _more(said: Said) -> dict[str, Any]:
    """What events tell beyond the documents."""
    fallback = {"voice_fallback": said.voice_fallback} if said.voice_fallback else {}
    return {"words": said.words, **fallback}


async def _chunk_events(steps: AsyncGenerator[Step], language: str) -> AsyncGenerator[bytes]:
    count = 0
    async with aclosing(steps):
        try:
            async for step in steps:
                if isinstance(step, Said):
                    count += 1
                    yield event("chunk", _out(step).model_dump() | _more(step))
                elif isinstance(step, Filmed):
                    yield event("filmed", {"index": step.index})
        except VivavoceError as e:
            yield event("error", {"success": False, "error": str(e), "code": e.code})
            return
    yield event("done", {"success": True, "total_chunks": count, "language": language})


@router.get("/chunk/video/{id}", response_class=FileResponse, responses=_MISSING | {200: _MP4})
@router.head("/chunk/video/{id}", include_in_schema=False)
async def chunk_video(id: str, request: Request, services: Use) -> Response:  # noqa: A002 - the document's name
    """The film of a chunk: H.264 and AAC in MP4. While it is made it plays as far as it is, and goes on."""
    patience = services.settings.limits.stalled_seconds
    return await film_response(request, id, services.films, services.artifacts, patience=patience)


@router.get(
    "/chunk/audio/{id}",
    response_class=FileResponse,
    responses=_MISSING | {200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}},
)
@router.head("/chunk/audio/{id}", include_in_schema=False)
async def chunk_audio(id: str, services: Use) -> Response:  # noqa: A002 - the name that the document gives
    """The sound of a chunk: WAV, 16 kHz, mono, 16 bits."""
    return await media_response(await services.artifacts.find(id, ".wav"))


@router.post("/generate", response_class=FileResponse, responses=_FAILURES | {200: _MP4})
async def generate(ask: FilmAsk, request: Request, services: Use) -> Response:
    """Film the whole text in one piece: an MP4 as an attachment.

    With `Accept: text/event-stream`: events `progress` (`fraction` 0–1, `stage`), `sound` with the addresses of sound
    and film, which plays while it is made, and `done` when it is whole.
    """
    scene = ask.scene(services, owner_of(request))
    await services.ready()
    order = Order(owner_of(request))
    steps = services.studio.shoot(scene, [scene.text], order, kind="video")
    if wants_events(request):
        patience = services.settings.limits.stalled_seconds
        headers = {"X-Job-ID": order.id}
        return Flow(
            _film_events(await begun(request, _heard(steps))), patience=patience, media_type=EVENTS, headers=headers
        )
    async with aclosing(steps):
        done = await until_gone(request, _filmed(steps))
    found = await services.artifacts.find(done.id, ".mp4")
    return await media_response(found, filename=f"avatar_{done.id}.mp4")


async def _filmed(steps: AsyncGenerator[Step]) -> Filmed:
    return [step async for step in steps if isinstance(step, Filmed)][-1]


async def _film_events(steps: AsyncGenerator[Step]) -> AsyncGenerator[bytes]:
    async with aclosing(steps):
        try:
            out: dict[str, Any] = {}
            async for step in steps:
                match step:
                    case Said():
                        out = _out(step).model_dump(exclude={"index", "text"})
                        yield event("sound", out | _more(step))
                    case Progress():
                        yield event("progress", {"fraction": step.fraction, "stage": step.stage})
                    case Filmed():
                        out |= {"success": True, "filename": f"avatar_{step.id}.mp4"}
            yield event("done", out)
        except VivavoceError as e:
            yield event("error", {"success": False, "error": str(e), "code": e.code})


@router.post("/generate_stream", response_class=Response, responses=_FAILURES | {200: _MP4})
async def generate_stream(ask: FilmAsk, request: Request, services: Use) -> Response:
    """Film a short text at once: an MP4 that plays while it is made."""
    scene = ask.scene(services, owner_of(request))
    await services.ready()
    order = Order(owner_of(request))
    blocks = await begun(request, services.studio.stream(scene, order))
    patience = services.settings.limits.stalled_seconds
    return Flow(blocks, patience=patience, media_type="video/mp4", headers={"X-Job-ID": order.id})


@router.get("/health")
@router.head("/health", include_in_schema=False)
async def health(services: Use) -> Health:
    """`ready` when the engines and the avatar are loaded, `loading` before."""
    offer = services.offer
    loaded = bool(offer and offer["loaded"])
    return Health(
        status="ready" if loaded else "loading",
        models_loaded=loaded,
        avatar_loaded=loaded,
        device=offer["device"] if offer else "cpu",
    )


@router.get(
    "/avatar",
    response_class=FileResponse,
    responses=_MISSING | {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
)
@router.head("/avatar", include_in_schema=False)
async def avatar(
    services: Use, name: Annotated[str | None, Query(description="Another avatar than the default one")] = None
) -> Response:
    """The picture of an avatar."""
    return await media_response(services.avatars.poster(name or services.settings.defaults.avatar), changes=True)


@router.post("/cleanup")
async def cleanup(services: Use) -> Message:
    """Remove the results that are older than the retention (one hour by default) now; it also happens by itself."""
    removed = await services.upkeep.sweep()
    return Message(message=f"Removed {removed} old result{'' if removed == 1 else 's'}.")
