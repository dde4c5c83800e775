"""Family B: a text in, a lip-synced film out (``/api/v2/…``), told of as it comes to be, in five languages."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from time import monotonic
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from vivavoce.errors import Conflict, InvalidInput, NotFound, VivavoceError
from vivavoce.studio.ledger import Order
from vivavoce.studio.shooting import Said, Step
from vivavoce.web.casting import LipsyncAsk, cast
from vivavoce.web.media import media_response
from vivavoce.web.messages import Messages
from vivavoce.web.progressive import film_response
from vivavoce.web.roster import listed
from vivavoce.web.services import Use, owner_of
from vivavoce.web.streams import EVENTS, begun, until_gone
from vivavoce.web.telling import Teller, Telling, audio_url, told, video_url
from vivavoce.work.graphics import card_memory

__all__ = ["router"]

_MOST_RUNNING = 1000
_KIND = "lipsync"
_TASK_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


class _InWords(APIRoute):
    """A route whose errors speak the language that the client asks for."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its errors in words."""
        handle = super().get_route_handler()

        async def in_words(request: Request) -> Response:
            say = Messages.accepted(request.headers.get("accept-language"))
            try:
                return await handle(request)
            except RequestValidationError as e:
                raise InvalidInput(say.refusal(e.errors())) from e
            except VivavoceError as e:
                raise type(e)(say.of(e)) from e

        return in_words


def _messages(
    accept_language: Annotated[
        str | None, Header(description="`ko`, `en`, `ru`, `kk` or `zh`; Korean when absent")
    ] = None,
) -> Messages:
    return Messages.accepted(accept_language)


Say = Annotated[Messages, Depends(_messages)]
router = APIRouter(tags=["Lip-sync v2"], route_class=_InWords)


class Refusal(BaseModel):
    """What every failed call answers, in the language of `Accept-Language` (ko, en, ru, kk, zh; Korean when absent)."""

    success: Literal[False] = False
    error: str = Field(examples=["text는 필수입니다. 비어 있지 않은 문자열을 보내 주세요."])


class LipsyncOut(BaseModel):
    """A finished film."""

    success: Literal[True] = True
    video_path: str = Field(examples=["results/realtime/20261121_101500_000000_0_5f0c9a3be1d27784.mp4"])
    video_url: str = Field(examples=["/video/20261121_101500_000000_0_5f0c9a3be1d27784.mp4"])
    audio_url: str = Field(examples=["/assets/audio/20261121_101500_000000_0_5f0c9a3be1d27784.wav"])
    audio_duration: float = Field(description="Seconds", examples=[3.5])
    elapsed: float = Field(description="Seconds that the work took", examples=[4.2])
    task_id: str = Field(examples=["0f9d3c5e8b7a4f7e9a43b1a7c2d6e5f4"])
    voice_fallback: str | None = Field(None, description="Why the embedded voice spoke in place of another, if it did")


class StatusOut(BaseModel):
    """Whether the server can work, and with what."""

    status: Literal["ok"] = "ok"
    models_loaded: bool
    available_avatars: list[str] = Field(examples=[["anna_720p", "anna_480p", "anna_360p"]])
    tts_engines: list[str] = Field(
        description="Voice engines that can be used now", examples=[["elevenlabs", "espeak"]]
    )


class AvatarRow(BaseModel):
    """An avatar in one resolution."""

    id: str = Field(examples=["anna_720p"])
    name: str = Field(examples=["anna_720p"])
    path: str = Field(
        description="What `avatar_path` takes: a name in the form of a path",
        examples=["precomputed/720p/anna_720p_precomputed.npz"],
    )


class AvatarRows(BaseModel):
    """All avatars."""

    avatars: list[AvatarRow]


class GpuMemory(BaseModel):
    """Memory of the graphics cards, MiB; zeros without one."""

    total: int = Field(examples=[24576])
    used: int = Field(examples=[8192])
    free: int = Field(examples=[16384])


class QueueStatus(BaseModel):
    """How busy the server is."""

    queue_size: int = Field(description="Jobs that wait for a worker")
    is_processing: bool
    gpu_memory: GpuMemory


class CancelOut(BaseModel):
    """A task that was cancelled."""

    success: Literal[True] = True
    task_id: str = Field(examples=["0f9d3c5e8b7a4f7e9a43b1a7c2d6e5f4"])


def _refusals(**words: str) -> dict[int | str, dict[str, Any]]:
    return {int(status[1:]): {"model": Refusal, "description": text} for status, text in words.items()}


_FAILURES = _refusals(
    _400="The request cannot be used; the sentence says what is allowed",
    _404="No such avatar",
    _409="The task was cancelled",
    _413="Text or body over the limit",
    _429="Too many requests under way; try again after `Retry-After` seconds",
    _500="Our fault; it has been logged",
    _503="The engines are not loaded, or the voice engine is not set up",
    _504="The voice or the face took too long",
)
_EVENTS_EXAMPLE = "".join(
    f"data: {json.dumps(event)}\n\n"
    for event in (
        {"type": "status", "stage": "tts", "message": "Making the voice...", "task_id": "0f9d3c5e"},
        {
            "type": "status",
            "stage": "tts_done",
            "message": "The voice is ready (3.5 s)",
            "audio_url": "/assets/audio/20261121_101500.wav",
            "video_url": "/video/20261121_101500.mp4",
            "duration": 3.5,
            "elapsed": 0.2,
            "task_id": "0f9d3c5e",
        },
        {
            "type": "status",
            "stage": "lipsync",
            "message": "Making the lip-synced video...",
            "progress": 0.4,
            "task_id": "0f9d3c5e",
        },
        {
            "type": "done",
            "text": "Hello!",
            "video_url": "/video/20261121_101500.mp4",
            "audio_url": "/assets/audio/20261121_101500.wav",
            "audio_duration": 3.5,
            "elapsed": {"tts": 0.2, "lipsync": 1.5, "total": 1.7},
            "task_id": "0f9d3c5e",
        },
    )
)


@router.post(
    "/api/v2/lipsync/stream",
    response_class=Response,
    responses=_FAILURES
    | {
        200: {
            "description": "Events, each one `data:` line, until `done` or `error`",
            "content": {EVENTS: {"schema": {"type": "string"}, "example": _EVENTS_EXAMPLE}},
        }
    },
)
async def lipsync_stream(ask: LipsyncAsk, request: Request, services: Use, say: Say) -> Response:
    """Speak a text and film it, telling how far it is (`type`: `status`, `done`, `error`).

    `status` has the stages `tts`, `tts_done` (the sound is there, and the film plays from here on while it is made) and
    `lipsync` (several times, with `progress` 0–1). Every event has the `task_id` that `/api/cancel/{task_id}` takes.
    Leaving cancels the work. Events are small: a long `text` comes back shortened.
    """
    began = monotonic()
    scene = await cast(ask, services, say, owner_of(request))
    order = Order(owner_of(request))
    steps = services.studio.shoot(scene, [scene.text], order, kind=_KIND)
    # Its first step says that it is admitted and recorded: before it may be refused, from then on it can be cancelled.
    running = await begun(request, steps)
    events = told(running, Teller(order.id, scene.text, say, began))
    patience = services.settings.limits.stalled_seconds
    return Telling(events, steps, patience=patience, headers={"X-Job-ID": order.id})


@router.post("/api/v2/lipsync", response_model=LipsyncOut, responses=_FAILURES)
async def lipsync(ask: LipsyncAsk, request: Request, services: Use, say: Say) -> Response:
    """Speak a text and film it; the answer comes when the film is finished. Leaving cancels the work."""
    began = monotonic()
    scene = await cast(ask, services, say, owner_of(request))
    order = Order(owner_of(request))
    steps = services.studio.shoot(scene, [scene.text], order, kind=_KIND)
    async with aclosing(steps):
        said = await until_gone(request, _made(steps))
    out = LipsyncOut(
        video_path=f"results/realtime/{said.id}.mp4",
        video_url=video_url(said.id),
        audio_url=audio_url(said.id),
        audio_duration=round(said.seconds, 3),
        elapsed=round(monotonic() - began, 2),
        task_id=order.id,
        voice_fallback=said.voice_fallback or None,
    )
    return JSONResponse(out.model_dump(exclude_none=True), headers={"X-Job-ID": order.id})


async def _made(steps: AsyncGenerator[Step]) -> Said:
    """What was said, when it is filmed."""
    return [step async for step in steps if isinstance(step, Said)][-1]


@router.get("/api/v2/status")
@router.head("/api/v2/status", include_in_schema=False)
async def status(services: Use) -> StatusOut:
    """Whether the engines are loaded, the avatars, and the voice engines."""
    rows = await asyncio.to_thread(listed, services.avatars)
    offer = services.offer
    return StatusOut(
        models_loaded=bool(offer and offer["loaded"]),
        available_avatars=[row.id for row in rows],
        tts_engines=[voice["engine"] for voice in offer["voices"]] if offer else [],
    )


@router.get("/api/avatars")
@router.head("/api/avatars", include_in_schema=False)
async def avatars(services: Use) -> AvatarRows:
    """The avatars: one row for each and each resolution."""
    rows = await asyncio.to_thread(listed, services.avatars)
    return AvatarRows(avatars=[AvatarRow(id=row.id, name=row.id, path=row.path) for row in rows])


@router.get("/api/queue_status")
@router.head("/api/queue_status", include_in_schema=False)
async def queue_status(services: Use) -> QueueStatus:
    """How many jobs wait, whether one is being worked on, and the memory of the graphics cards."""
    counts = await services.jobs.counts()
    running, _ = await services.jobs.list(state="running", limit=_MOST_RUNNING)
    # A job whose client waits is running from its first moment; without a stage no worker has taken it up.
    waiting = sum(not job.stage for job in running)
    memory = await asyncio.to_thread(card_memory)
    return QueueStatus(
        queue_size=counts["queued"] + waiting,
        is_processing=len(running) > waiting,
        gpu_memory=GpuMemory(total=memory.total, used=memory.used, free=memory.free),
    )


@router.post(
    "/api/cancel/{task_id}",
    responses=_refusals(_404="No such task, or not yours", _409="The task has ended already"),
)
async def cancel(task_id: str, request: Request, services: Use, say: Say) -> CancelOut:
    """Cancel a task that waits or runs. Its worker is free within a second, and no half-made film is left."""
    try:
        if not _TASK_ID.fullmatch(task_id):
            raise NotFound("There is no such task.")
        await services.cancel(task_id, owner=owner_of(request))
    except NotFound as e:
        raise NotFound(say("task_unknown")) from e
    except Conflict as e:
        raise Conflict(say("task_ended")) from e
    return CancelOut(task_id=task_id)


_NO_RESULT = _refusals(_404="No such result, or no more")


@router.get("/video/{file}", response_class=FileResponse, responses=_NO_RESULT | {200: {"content": {"video/mp4": {}}}})
@router.head("/video/{file}", include_in_schema=False)
async def video(file: str, request: Request, services: Use, say: Say) -> Response:
    """A film. While it is being made it plays as far as it is, and goes on; afterwards it is a plain file."""
    id_ = _id_of(file, ".mp4", say)
    patience = services.settings.limits.stalled_seconds
    try:
        return await film_response(request, id_, services.films, services.artifacts, patience=patience)
    except NotFound as e:
        raise NotFound(say("result_unknown")) from e


@router.get(
    "/assets/audio/{file}", response_class=FileResponse, responses=_NO_RESULT | {200: {"content": {"audio/wav": {}}}}
)
@router.head("/assets/audio/{file}", include_in_schema=False)
async def audio(file: str, services: Use, say: Say) -> Response:
    """The sound of a film: WAV, 16 kHz, mono, 16 bits."""
    id_ = _id_of(file, ".wav", say)
    try:
        return await media_response(await services.artifacts.find(id_, ".wav"))
    except NotFound as e:
        raise NotFound(say("result_unknown")) from e


def _id_of(file: str, suffix: str, say: Messages) -> str:
    if not file.endswith(suffix):
        raise NotFound(say("result_unknown"))
    return file.removesuffix(suffix)
