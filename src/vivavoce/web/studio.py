"""Family D, the studio: recordings, history and the state of the machine, as its document promises them.

Every POST is a form. Answers carry ``status``, ``success`` or ``error``, and a ``message``.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Query, Request, UploadFile
from pydantic import BaseModel, Field

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.nouns import Job
from vivavoce.studio.ledger import Order
from vivavoce.web.audio import taken
from vivavoce.web.services import Use, owner_of
from vivavoce.web.streams import until_gone
from vivavoce.web.views import PRIVATE

__all__ = ["Refusal", "film_path", "only", "refusals", "router"]

router = APIRouter(tags=["Studio"])

_INPUT = "input.wav"
"""What a saved recording is called, whatever it was called before."""
_SHOWN = 40
"""Characters of a client's word that are said back to it."""
_HISTORY = ("video_generation", "model_training", "audio_clone", "chat_system")
_UNTOLD = ("pieces", "film", "preview")
_STATUS = {"succeeded": "completed", "cancelled": "cancelled", "failed": "failed", "queued": "pending"}


class Refusal(BaseModel):
    """What a failed call of this family answers."""

    status: Literal["error"] = "error"
    message: str = Field(examples=["The file cannot be read here; send WAV, MP3, FLAC, OGG, WebM or M4A."])


def refusals(**words: str) -> dict[int | str, dict[str, Any]]:
    """Answers of failed calls, by status: ``_400="…"``."""
    return {int(status[1:]): {"model": Refusal, "description": text} for status, text in words.items()}


def only(*names: str) -> Any:
    """A dependency that refuses a form with a field that the call does not have, or with one of its own twice."""

    async def check(request: Request) -> None:
        given = [name for name, _ in (await request.form()).multi_items()]
        for name in given:
            if name not in names:
                raise InvalidInput(f"There is no field {name[:_SHOWN]!r} here; the fields are {', '.join(names)}.")
            if given.count(name) > 1:
                raise InvalidInput(f"{name} is there twice; send it once.")

    return Depends(check)


class Saved(BaseModel):
    """A recording was kept."""

    status: Literal["success"] = "success"
    message: str = Field(examples=["音频保存成功"])
    filename: str = Field(examples=[_INPUT], description="Its name among the uploads, for paths of other calls")
    duration: float = Field(examples=[3.52], description="Seconds")


class CardOut(BaseModel):
    """A graphics card."""

    name: str = Field(examples=["NVIDIA GeForce RTX 3090"])
    load: float = Field(examples=[65.3], description="Percent")
    memory_used: int = Field(description="Bytes")
    memory_total: int
    temperature: int = Field(examples=[72], description="Degrees Celsius")


class MachineOut(BaseModel):
    """What the machine is doing."""

    cpu_percent: float = Field(examples=[45.2])
    memory_percent: float = Field(examples=[67.8])
    memory_used: int = Field(description="Bytes")
    memory_total: int
    disk_percent: float = Field(examples=[78.5])
    gpus: list[CardOut] = Field(description="Empty where there is none")
    timestamp: str = Field(examples=["2026-11-26T05:44:14.123Z"])


class Record(BaseModel):
    """A job of the past."""

    id: str
    timestamp: str = Field(examples=["2026-11-26 05:44:14"], description="When it was asked for, UTC")
    parameters: dict[str, Any]
    result: dict[str, Any] = Field(description="Empty until it has ended; `error` says why it failed")
    status: str = Field(examples=["completed"], description="pending, running, completed, failed or cancelled")


class History(BaseModel):
    """Jobs of one type, newest first."""

    status: Literal["success"] = "success"
    history: list[Record]
    total_count: int = Field(description="Of all, not only of those that are shown")


@router.post(
    "/save_audio",
    dependencies=[only("audio")],
    responses=refusals(
        _400="The recording holds no sound that can be read",
        _413="Too long, or too many bytes",
        _415="In no format that is read here",
        _429="Too much is under way; try again after `Retry-After` seconds",
    ),
)
async def save_audio(
    request: Request,
    services: Use,
    audio: Annotated[UploadFile, File(description="A recording; browsers send WebM under any name")],
) -> Saved:
    """Keep a recording as `input.wav` in the caller's uploads, in place of the one before; whatever it is, as WAV."""
    owner = owner_of(request)
    async with taken(services, request, audio) as source:
        with services.files.part(owner) as target:
            done = await until_gone(request, services.hearing.convert(source, target, Order(owner)))
            await asyncio.to_thread(services.files.replace, target, _INPUT)
    return Saved(message="音频保存成功", filename=_INPUT, duration=done["seconds"])


@router.get("/api/status")
@router.head("/api/status", include_in_schema=False)
async def status(services: Use) -> MachineOut:
    """Processor, memory, disk and graphics cards of the machine; measured once a second."""
    held = await asyncio.to_thread(services.machine.measure)
    cards = [
        CardOut(
            name=card.name,
            load=card.load,
            memory_used=card.memory_used,
            memory_total=card.memory_total,
            temperature=card.temperature,
        )
        for card in held.cards
    ]
    return MachineOut(
        cpu_percent=held.cpu_percent,
        memory_percent=held.memory_percent,
        memory_used=held.memory_used,
        memory_total=held.memory_total,
        disk_percent=held.disk_percent,
        gpus=cards,
        timestamp=held.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


@router.get("/api/history/{history_type}", responses=refusals(_404="No such type of history"))
@router.head("/api/history/{history_type}", include_in_schema=False)
async def history(
    request: Request,
    services: Use,
    history_type: str,
    limit: Annotated[int, Query(ge=1, le=200, description="How many to show")] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to leave out first")] = 0,
) -> History:
    """What was asked for, newest first: `video_generation`, `model_training`, `audio_clone` or `chat_system`."""
    if history_type not in _HISTORY:
        raise NotFound(f"There is no history of {history_type[:40]!r}; there is one of {', '.join(_HISTORY)}.")
    found, total = await services.jobs.list(owner=owner_of(request), kind=history_type, limit=limit, offset=offset)
    retention = services.settings.retention_seconds
    return History(history=[_record(job, retention) for job in found], total_count=total)


def film_path(id: str) -> str:  # noqa: A002  the store's own word
    """The address of a film, as this family's document writes it."""
    return f"/static/videos/{id}.mp4"


def _record(job: Job, retention: float) -> Record:
    made = _made(job.result or {})
    if "video_path" in made and job.finished is not None and job.finished + retention < time():
        made["expired"] = True
    if job.error is not None:
        made["error"] = job.error["message"]
    return Record(
        id=job.id,
        timestamp=f"{datetime.fromtimestamp(job.created, UTC):%Y-%m-%d %H:%M:%S}",
        parameters={name: value for name, value in job.params.items() if name not in PRIVATE},
        result=made,
        status=_STATUS.get(job.state, job.state),
    )


def _made(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a job made, in this family's words."""
    names = {"session_id": "session_id", "heard": "text", "response": "response", "seconds": "duration"}
    made = {names.get(name, name): value for name, value in result.items() if name not in _UNTOLD}
    if "trained" in made:
        made["speaker_id"] = made["name"]
    films = [result["film"]] if "film" in result else [piece["id"] for piece in result.get("pieces", ())]
    if films:
        made["video_path"] = film_path(films[0])
    return made
