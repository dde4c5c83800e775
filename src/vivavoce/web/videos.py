"""``POST /v1/videos``: a film of a text or of a recording, as a job, as events, or as the film itself."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.datastructures import UploadFile

from vivavoce.errors import InvalidInput
from vivavoce.media import audio
from vivavoce.studio.ledger import BATCH, LIVE, Order
from vivavoce.studio.scene import Scene
from vivavoce.studio.service import RECORDING
from vivavoce.web.dialects import Problem, allow
from vivavoce.web.orders import Kept, attends, checked, idempotency_key, job_answer, kept
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, Flow, begun
from vivavoce.web.views import JobOut

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["Native"])

_MP4 = "video/mp4"
_EXAMPLES: list[JsonValue] = [
    {"text": "Hello! I am Anna.", "language": "en"},
    {"text": "안녕하세요!", "language": "ko", "avatar": "david", "resolution": "720p", "frame_skip": 2},
]


class VideoAsk(BaseModel):
    """What is to be filmed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": _EXAMPLES})

    text: Annotated[
        str,
        Field(strict=True, description="What the avatar says; with a recording, the words of it, if they are known"),
        allow("text must be a string."),
    ] = ""
    language: Annotated[
        str | None, Field(strict=True), allow("language must be a string such as ru, kk, en, ko or zh.")
    ] = None
    avatar: Annotated[str | None, Field(strict=True), allow("avatar must be the name of an avatar.")] = None
    voice: Annotated[
        str | None,
        Field(strict=True, description="Id of a voice, `engine/id` or `clone/id`"),
        allow("voice must be a string."),
    ] = None
    resolution: Annotated[
        str | None,
        Field(strict=True, description="`720p`, `480p`, `360p`, `1080p` or `512x512`"),
        allow("resolution must be a string such as 720p or 512x512."),
    ] = None
    fps: Annotated[
        int | None, Field(ge=12, le=60, description="Frames a second"), allow("fps must be a whole number, 12 to 60.")
    ] = None
    frame_skip: Annotated[
        int,
        Field(ge=1, le=4, description="Make every n-th frame, and the others from their neighbours"),
        allow("frame_skip must be a whole number from 1 to 4."),
    ] = 1
    webhook: Annotated[
        str | None,
        Field(strict=True, max_length=2000, description="Called, signed, when the job has ended"),
        allow("webhook must be an address."),
    ] = None


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VideoAsk.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        **VideoAsk.model_json_schema()["properties"],
                        "audio": {
                            "type": "string",
                            "format": "binary",
                            "description": "A recording that is spoken instead",
                        },
                    },
                }
            },
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `Prefer: wait` the job that has ended; with `Accept: video/mp4` the film, which plays "
        "while it is made; with `Accept: text/event-stream` the events of the job",
        "model": JobOut,
        "content": {_MP4: {"schema": {"type": "string", "format": "binary"}}, EVENTS: {"schema": {"type": "string"}}},
    },
    202: {"description": "The job; `Location` is its address", "model": JobOut},
    **{
        status: {"model": Problem, "description": words}
        for status, words in {
            400: "The request cannot be used; the sentence says what is allowed",
            404: "No such avatar",
            409: "The Idempotency-Key was used for another request",
            413: "Text or recording over the limit",
            415: "The recording is in no format that is read here",
            429: "Too much is waiting; try again after `Retry-After` seconds",
        }.items()
    },
}


@router.post("/videos", status_code=202, response_model=JobOut, responses=_ANSWERS, openapi_extra=_BODY)
async def create_video(request: Request, services: Use) -> Response:
    """Film a text, or a recording (multipart, field `audio`).

    The answer is the job (202) at once. It goes on when you leave, and survives a restart of the server. Send
    `Idempotency-Key` to be able to repeat a call: the second gets the job of the first. `Prefer: wait=30` waits that
    long for its end. `Accept: text/event-stream` answers the job's events, `Accept: video/mp4` the film itself: then
    the work ends when you leave.
    """
    ask, upload = await _read(request)
    scene = services.stager.scene(
        ask.text,
        language=ask.language,
        voice=ask.voice,
        avatar=ask.avatar,
        size=ask.resolution,
        fps=ask.fps,
        frame_skip=ask.frame_skip,
        recorded=upload is not None,
        owner=owner_of(request),
    )
    if ask.webhook is not None:
        await services.webhooks.check_url(ask.webhook)
    await services.ready()
    key = idempotency_key(request)
    recording = Kept() if upload is None else await kept(services, upload, RECORDING, _sound_within(services))
    if _MP4 in request.headers.get("accept", ""):
        return await _film(request, services, scene, recording.id)
    job = await recording.submitted(
        services,
        "video",
        scene.params(recording=recording.id, digest=recording.digest),
        owner=owner_of(request),
        key=key,
        webhook=ask.webhook,
        priority=LIVE if attends(request) else BATCH,
    )
    return await job_answer(request, services, job)


async def _film(request: Request, services: Services, scene: Scene, recording: str | None) -> Response:
    """The film itself, from its first picture on; the work ends with the client."""
    order = Order(owner_of(request))
    blocks = await begun(request, _blocks(services, scene, recording, order))
    patience = services.settings.limits.stalled_seconds
    return Flow(blocks, patience=patience, media_type=_MP4, headers={"X-Job-ID": order.id})


async def _blocks(services: Services, scene: Scene, recording: str | None, order: Order) -> AsyncGenerator[bytes]:
    async with (
        services.local(recording, RECORDING) as sound,
        aclosing(services.studio.stream(scene, order, recording=sound)) as blocks,
    ):
        async for block in blocks:
            yield block


# ---- what was sent


async def _read(request: Request) -> tuple[VideoAsk, UploadFile | None]:
    """The request's fields, and its recording when it has one."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        try:
            return checked(VideoAsk, await request.json()), None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise InvalidInput("The body is not valid JSON.") from None
    form = await request.form(max_files=1, max_fields=20)
    fields: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    for name in ("fps", "frame_skip"):
        if fields.get(name, "").isdecimal():
            fields[name] = int(fields[name])
    upload = form.get("audio")
    return checked(VideoAsk, fields), upload if isinstance(upload, UploadFile) else None


def _sound_within(services: Services) -> Callable[[Path], None]:
    """Refuses a recording in which nobody speaks, or for too long."""
    most = services.settings.limits.audio_seconds

    def check(path: Path) -> None:
        if audio.is_silent(audio.decode(path, max_seconds=most)):
            raise InvalidInput("The recording is silent; send one in which somebody speaks.")

    return check
