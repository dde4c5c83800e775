"""``/v1/models``: people who were learnt from a film, and how another one is.

Each of them is an avatar like any other, and belongs to the server, not to a key.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.responses import Response

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.registry import Registry
from vivavoce.studio.ledger import BATCH, LIVE
from vivavoce.studio.parameters import MOST_EPOCHS, OPTIONS, options_of, quality_of, read_options
from vivavoce.web import avatars, direction
from vivavoce.web.avatar_views import AvatarName
from vivavoce.web.dialects import Problem, allow
from vivavoce.web.enrolment import (
    MOST_SECONDS,
    Pupil,
    consent_of,
    default_engine,
    enrolled,
    learns_note,
    pace,
    words_of,
)
from vivavoce.web.orders import attends, checked, idempotency_key, job_answer
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS
from vivavoce.web.views import JobOut, avatar_urls
from vivavoce.web.voices import ConsentOut

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["Native"])


class HeadOut(BaseModel):
    """A person who was learnt from a film."""

    name: str = Field(examples=["anna"], description="Of the avatar, wherever one can be named")
    engine: str = Field(examples=["person"], description="The face engine that plays it")
    learnt: bool = Field(description="Whether the engine learnt the person; else it only prepared the film")
    epochs: int = Field(description="Of the refinement; 0 where there was none", examples=[100])
    created: str | None = Field(examples=["2026-11-26T10:15:00+00:00"])
    size: int = Field(description="Bytes on the disk")
    consent: ConsentOut | None = Field(description="Whether the person agreed, as it was told")
    warnings: list[str] = Field(description="What would be better otherwise")
    report: dict[str, Any] | None = Field(description="What was found in the film beforehand")
    quality: dict[str, Any] | None = Field(
        description="What the engine measured of what it learnt",
        examples=[{"speech_seconds": 61.2, "closed_frames": 212}],
    )
    default: bool
    url: str = Field(examples=["/v1/models/anna"])
    avatar_url: str = Field(examples=["/v1/avatars/anna"])
    poster_url: str
    idle_url: str


class HeadFacts(HeadOut):
    """The same with the story of its training."""

    options: dict[str, float | str] = Field(description="What the training was told", examples=[{"quality": "best"}])
    seconds: float | None = Field(description="That the training took", examples=[312.4])
    ended: str = Field(description="`max_minutes` where the time was over first", examples=[""])
    losses: list[tuple[float, float]] = Field(description="Epoch and loss", examples=[[[1, 0.31], [2, 0.24]]])


class TeacherOut(BaseModel):
    """A face engine that takes films."""

    engine: str = Field(examples=["person"])
    learns: bool = Field(description="False: it prepares the film, in one go")
    options: list[str] = Field(description="What it can be told, of `options`", examples=[["lr", "batch", "size"]])
    step_seconds: float | None = Field(
        description="Of a radiance field on this server's processor: of each step, of `batch` pictures",
        examples=[0.31],
    )


class OptionOut(BaseModel):
    """What a training can be told."""

    name: str = Field(examples=["lr"])
    about: str
    low: float | None = Field(examples=[1e-7])
    high: float | None = Field(examples=[1.0])
    whole: bool
    words: list[str] = Field(description="What it may be, where it is no number")


class HeadsOut(BaseModel):
    """All of them, and what a training can be asked for."""

    models: list[HeadOut]
    engines: list[TeacherOut]
    default_engine: str = Field(examples=["person"])
    options: list[OptionOut]
    most_seconds: float = Field(description="Of a film")
    most_epochs: int
    consent: str = Field(examples=["noted"], description="`required`, or whatever is told of it is `noted`")


class HeadAsk(BaseModel):
    """The text fields of the form."""

    model_config = ConfigDict(extra="forbid")

    name: AvatarName
    engine: str | None = Field(None, max_length=60, description="Face engine; `default_engine` when left out")
    epochs: Annotated[
        int,
        Field(ge=1, le=MOST_EPOCHS, description="How often the refinement sees the film"),
        allow(f"epochs is a whole number from 1 to {MOST_EPOCHS}."),
    ] = 100
    options: str = Field(
        "", max_length=2000, description=f"`lr=0.001,batch=4`, or a JSON object; known are {', '.join(OPTIONS)}"
    )
    gpu: str = Field("", max_length=10, description="`GPU0`, `GPU1` or `CPU`; whatever there is when left out")
    consent: str = Field("", max_length=10, description="`true` when the person agreed")
    consent_by: str = Field("", description="Who says so")
    consent_text: str = Field("", description="What was agreed to")
    webhook: str | None = Field(None, max_length=2000, description="Called, signed, when the job has ended")


def _problems(**words: str) -> dict[int | str, dict[str, Any]]:
    return {int(status[1:]): {"model": Problem, "description": text} for status, text in words.items()}


_NONE = _problems(_404="No such model")
_FILE = {"type": "string", "format": "binary", "description": "A video of one person who speaks: MP4, MOV, WebM, MKV"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "name"],
                    "properties": {"file": _FILE, **HeadAsk.model_json_schema()["properties"]},
                }
            }
        },
    }
}


@router.get("")
@router.head("", include_in_schema=False)
async def models(services: Use) -> HeadsOut:
    """The people who were learnt here, and what a training can be asked for."""
    trainers = list((await services.able())["trainers"])
    return HeadsOut(
        models=await asyncio.to_thread(_all, services),
        engines=await asyncio.to_thread(_teachers, services, trainers),
        default_engine=default_engine(services, trainers),
        options=[
            OptionOut(
                name=name,
                about=option.about,
                low=None if option.words else option.low,
                high=None if option.words else option.high,
                whole=option.whole,
                words=words_of(services, name),
            )
            for name, option in OPTIONS.items()
        ],
        most_seconds=MOST_SECONDS,
        most_epochs=MOST_EPOCHS,
        consent=services.settings.clones.consent,
    )


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    openapi_extra=_BODY,
    responses={
        200: {
            "description": "With `Prefer: wait` the job that has ended; with `Accept: text/event-stream` its events",
            "model": JobOut,
            "content": {EVENTS: {"schema": {"type": "string"}}},
        },
        202: {"description": "The job; `Location` is its address", "model": JobOut},
        **_problems(
            _400="A field or the film cannot be used; the sentence says what is allowed",
            _409="The name is taken, or being made, or the Idempotency-Key was used otherwise",
            _413="Too many bytes, seconds or pixels",
            _415="No video that is read here",
            _429="Too much is under way; try again after `Retry-After` seconds",
            _503="An engine or a graphics card is not here, and VIVAVOCE_DEFAULTS__FALLBACK lets nothing stand in",
        ),
    },
)
async def train(request: Request, services: Use) -> Response:
    """Learn a person from a video. The answer is the job (202) at once; the avatar is there when it has succeeded.

    Its `progress` events carry `stage`, `epoch`, `epochs`, `loss`, `remaining` (seconds) and `preview_url`. The job
    goes on when you leave, and after a crash where it was. Cancelled (`DELETE /v1/jobs/{id}`) it leaves nothing, and a
    model of the same name that was trained before stays as it was. Ask `/v1/avatars/check` first to see what would be
    better.
    `Idempotency-Key`, `Prefer: wait=30`, `Accept: text/event-stream` and `webhook` work as with `/v1/videos`.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidInput("Send the film as multipart/form-data, in the field file.")
    form = await request.form(max_files=1, max_fields=20)
    film = form.get("file")
    if not isinstance(film, UploadFile):
        raise InvalidInput("The field file is missing; send a video of one person who speaks in it.")
    ask = checked(HeadAsk, {name: value for name, value in form.items() if isinstance(value, str) and name != "file"})
    key, owner = idempotency_key(request), owner_of(request)
    trainers = list((await services.able())["trainers"])
    pupil = await asyncio.to_thread(_pupil, services, ask, trainers, film.filename or "")
    if ask.webhook is not None:
        await services.webhooks.check_url(ask.webhook)
    priority = LIVE if attends(request) else BATCH
    job = await enrolled(services, pupil, film, owner=owner, key=key, webhook=ask.webhook, priority=priority)
    return await job_answer(request, services, job)


@router.get("/{name}", responses=_NONE)
@router.head("/{name}", include_in_schema=False)
async def model(name: str, services: Use) -> HeadFacts:
    """What is known of a person who was learnt."""
    return await asyncio.to_thread(_facts, services, name)


@router.delete(
    "/{name}",
    status_code=204,
    response_description="It is gone",
    responses=_NONE | _problems(_409="It is the default avatar of this server"),
)
async def remove(name: str, services: Use) -> None:
    """Remove a model, for everybody, with the film that it was learnt from."""
    found = await asyncio.to_thread(_facts, services, name)
    await avatars.remove(found.name, services)


# ---- what there is


def _all(services: Services) -> list[HeadOut]:
    found = []
    for name in services.avatars.names():
        with suppress(NotFound):  # what is no model, and a damaged one, must not hide the others
            found.append(HeadOut(**_facts(services, name).model_dump(include=set(HeadOut.model_fields))))
    return found


def _teachers(services: Services, trainers: list[str]) -> list[TeacherOut]:
    return [
        TeacherOut(
            engine=name,
            learns=name in trainers,
            options=options_of(name) if name in trainers else [],
            step_seconds=pace(services, name),
        )
        for name in Registry().names("face")
        if direction.installed(name)
    ]


def _facts(services: Services, name: str) -> HeadFacts:
    try:
        found = services.avatars.get(name)
        facts = services.avatars.facts(found.name)
    except NotFound:
        raise _missing(name) from None
    if facts.get("kind") != "video":
        raise _missing(name)
    urls, trained = avatar_urls(found.name), facts.get("trained") or {}
    return HeadFacts(
        name=found.name,
        engine=found.engine,
        learnt=bool(trained.get("learnt")),
        epochs=trained.get("epochs", 0),
        created=facts.get("created"),
        size=_size(found.path),
        consent=facts.get("consent"),
        warnings=list(found.warnings),
        report=facts.get("report"),
        quality=quality_of(facts),
        default=found.name == services.settings.defaults.avatar,
        url=f"/v1/models/{found.name}",
        avatar_url=urls["url"],
        poster_url=urls["poster_url"],
        idle_url=urls["idle_url"],
        options=trained.get("options", {}),
        seconds=trained.get("seconds"),
        ended=trained.get("ended", ""),
        losses=trained.get("losses", []),
    )


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no model {name[: direction.SHOWN]!r}; GET /v1/models lists them.")


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            size += path.lstat().st_size if path.is_file() else 0
    return size


# ---- what was sent


def _pupil(services: Services, ask: HeadAsk, trainers: list[str], told: str) -> Pupil:
    installed = Registry().names("face")
    engine = ask.engine or default_engine(services, trainers)
    if engine not in installed:
        raise InvalidInput(f"There is no face engine {engine[: direction.SHOWN]!r}; installed: {', '.join(installed)}.")
    consent = consent_of(services, ask.consent, ask.consent_by, ask.consent_text)
    number = direction.card(ask.gpu) if ask.gpu.strip() else None
    said = direction.stand_ins(services, [direction.card_note(services, number)])
    device = "" if not ask.gpu.strip() else "cpu" if number is None or said else str(number)
    note = learns_note(engine, trainers)
    notes = (*said, note) if note else said
    return Pupil(
        engine,
        ask.epochs,
        read_options(ask.options),
        consent,
        ask.name,
        device=device,
        notes=notes,
        noted={"file": re.sub(r".*[/\\]", "", told)[:200]},
    )
