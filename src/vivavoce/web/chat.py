"""``/v1/chat``: say or write something, and an avatar answers, sentence by sentence while the model still writes."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from time import monotonic
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.datastructures import UploadFile

from vivavoce.errors import InvalidInput, VivavoceError
from vivavoce.studio.chatting import Answered, Asked, Heard
from vivavoce.studio.ledger import Order
from vivavoce.studio.shooting import Filmed, Said, Step
from vivavoce.web.dialects import Problem, allow
from vivavoce.web.orders import checked, save
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, Flow, begun, event, until_gone, wants_events
from vivavoce.web.views import media_url

__all__ = ["router"]

router = APIRouter(prefix="/v1/chat", tags=["Native"])

_MOST_FIELDS = 20
_EXAMPLES: list[JsonValue] = [{"text": "What can I see here?", "language": "en", "session_id": "visitor-7"}]


class ModelOut(BaseModel):
    """A chat model."""

    name: str = Field(examples=["glm-4-plus"])
    engine: str = Field(examples=["openai"])
    network: bool = Field(description="Whether words leave this machine")


class PartnersOut(BaseModel):
    """Who can answer here."""

    models: list[ModelOut]
    default: str = Field(description="The model of requests that name none; empty where there is none")
    available: bool
    missing: str = Field(description="What to set, where nobody can answer")


class ChatAsk(BaseModel):
    """What is said, and who is to answer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": _EXAMPLES})

    text: Annotated[
        str,
        Field(strict=True, description="What is said; with a recording it is left out"),
        allow("text must be a string."),
    ] = ""
    session_id: Annotated[
        str | None,
        Field(
            strict=True, description="Names a conversation, whose turns remember each other; a new one when left out"
        ),
        allow("session_id must be a string."),
    ] = None
    model: Annotated[
        str, Field(strict=True, description="A chat model of `GET /v1/chat`"), allow("model must be a string.")
    ] = ""
    language: Annotated[
        str | None,
        Field(strict=True, description="In which is spoken and answered; left out, whatever it turns out to be"),
        allow("language must be a string such as ru, kk, en, ko or zh."),
    ] = None
    avatar: Annotated[str | None, Field(strict=True), allow("avatar must be the name of an avatar.")] = None
    voice: Annotated[
        str | None,
        Field(strict=True, description="Of a voice: `id`, `engine/id` or `clone/id`"),
        allow("voice must be a string."),
    ] = None
    resolution: Annotated[
        str | None,
        Field(strict=True, description="`720p`, `480p`, `360p`, `1080p` or `512x512`"),
        allow("resolution must be a string such as 720p or 512x512."),
    ] = None


class AnswerOut(BaseModel):
    """An answer."""

    text: str = Field(description="What was heard, or said")
    response: str = Field(description="What the model answered")
    video_url: str = Field(description="One film of the whole answer")
    duration: float = Field(description="Seconds of it")
    session_id: str
    model: str
    job_id: str
    elapsed: float = Field(description="Seconds that all of it took")


class TurnOut(BaseModel):
    """Who said what."""

    role: Literal["user", "assistant", "system"]
    text: str


class TalkOut(BaseModel):
    """A conversation."""

    session_id: str
    turns: list[TurnOut] = Field(description="The oldest first; none where it is unknown or forgotten")


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {EVENTS: {"schema": {"type": "string"}}}},
    **{
        status: {"model": Problem, "description": words}
        for status, words in {
            400: "The request cannot be used, or nobody can be heard in the recording",
            404: "No such avatar or voice",
            409: "The conversation is still answering",
            413: "Text or recording over the limit",
            415: "The recording is in no format that is read here",
            429: "Too much is under way; try again after `Retry-After` seconds",
            503: "No chat model, or no recogniser, is set up; the sentence says what to set",
        }.items()
    },
}
_SESSION: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "A malformed session"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ChatAsk.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        **ChatAsk.model_json_schema()["properties"],
                        "audio": {"type": "string", "format": "binary", "description": "A recording of what is said"},
                    },
                }
            },
        },
    }
}


@router.get("")
@router.head("", include_in_schema=False)
async def partners(services: Use) -> PartnersOut:
    """The chat models that can be asked here, and what to set where there are none."""
    models, missing = await asyncio.to_thread(services.replies.models)
    return PartnersOut(
        models=[ModelOut(name=m.name, engine=m.engine, network=m.network) for m in models],
        default=models[0].name if models else "",
        available=bool(models),
        missing=missing,
    )


@router.post("", response_model=AnswerOut, responses=_ANSWERS, openapi_extra=_BODY)
async def chat(request: Request, services: Use) -> Response:
    """Say something (`text`, or multipart with a recording in `audio`), and an avatar answers.

    With `Accept: text/event-stream`: `start` (`job_id`, `session_id`), `heard` (`text`), `chunk` for each sentence of
    the answer as soon as its film can be opened (it plays while it is made), `done` with the whole; or `error`. The
    sentences that came before an error can still be played. Leaving cancels the turn.
    """
    ask, upload = await _read(request)
    owner = owner_of(request)
    order = Order(owner)
    with ExitStack() as stack:
        recording = None
        if upload is not None:
            recording = stack.enter_context(services.files.part(owner))
            await asyncio.to_thread(save, upload, recording)
            if not recording.stat().st_size:
                raise InvalidInput("The recording is empty; send one in which somebody speaks.")
        asked = await asked_of(services, ask, owner, recording=recording)
        await services.ready()
        steps = await begun(request, services.chatting.turn(asked, order))
        if wants_events(request):
            events = _events(steps, order.id, asked, stack.pop_all())
            patience = services.settings.limits.stalled_seconds
            headers = {"X-Job-ID": order.id, "X-Session-ID": asked.session}
            return Flow(events, patience=patience, media_type=EVENTS, headers=headers)
        began = monotonic()
        async with aclosing(steps):
            heard, answered = await until_gone(request, whole(steps))
        out = _answer(answered, asked, order.id, monotonic() - began)
        return JSONResponse({"text": heard.text} | out, headers={"X-Job-ID": order.id})


async def asked_of(services: Services, ask: ChatAsk, owner: str, *, recording: Any) -> Asked:
    """What is asked for, checked as far as no model is needed."""
    said = ask.text.strip()
    if bool(said) == (recording is not None):
        raise InvalidInput("Send what is said as text or as a recording in audio, one of the two.")
    language = services.hearing.language(ask.language or "")
    scene = services.stager.scene(
        "",
        language=language or None,
        voice=ask.voice,
        avatar=ask.avatar,
        size=ask.resolution,
        recorded=True,
        owner=owner,
    )
    if ask.session_id:
        await asyncio.to_thread(services.talks.get, owner, ask.session_id)  # refuses a malformed one
    model = await asyncio.to_thread(services.replies.choose, ask.model)
    session = {"session": ask.session_id} if ask.session_id else {}
    return Asked(scene, model, said, recording, services.hearing.ear(None), language, **session)


async def whole(steps: AsyncGenerator[Step | Heard | Answered]) -> tuple[Heard, Answered]:
    """What was heard, and the answer when all of it is filmed."""
    heard, answered = None, None
    async for step in steps:
        match step:
            case Heard():
                heard = step
            case Answered():
                answered = step
    if heard is None or answered is None:
        raise VivavoceError("The turn ended without an answer.")
    return heard, answered


async def _events(
    steps: AsyncGenerator[Step | Heard | Answered], job: str, asked: Asked, held: ExitStack
) -> AsyncGenerator[bytes]:
    began = monotonic()
    with held:
        async with aclosing(steps):
            yield event("start", {"job_id": job, "session_id": asked.session, "model": asked.model.name})
            try:
                async for step in steps:
                    match step:
                        case Heard():
                            yield event("heard", {"text": step.text, "language": step.language})
                        case Said():
                            yield event("chunk", _chunk(step))
                        case Filmed():
                            yield event("filmed", {"index": step.index})
                        case Answered():
                            yield event("done", _answer(step, asked, job, monotonic() - began))
            except VivavoceError as e:
                yield event("error", {"code": e.code, "message": str(e)})


def _chunk(said: Said) -> dict[str, Any]:
    fallback = {"voice_fallback": said.voice_fallback} if said.voice_fallback else {}
    return {
        "index": said.index,
        "text": said.text,
        "video_url": media_url(said.id, ".mp4"),
        "audio_url": media_url(said.id, ".wav"),
        "duration": said.seconds,
        "words": said.words,
        **fallback,
    }


def _answer(answered: Answered, asked: Asked, job: str, seconds: float) -> dict[str, Any]:
    return {
        "response": answered.response.strip(),
        "video_url": media_url(answered.id, ".mp4"),
        "duration": answered.seconds,
        "session_id": answered.session,
        "model": asked.model.name,
        "job_id": job,
        "elapsed": round(seconds, 3),
    }


async def _read(request: Request) -> tuple[ChatAsk, UploadFile | None]:
    """The request's fields, and its recording when it has one."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        try:
            return checked(ChatAsk, await request.json()), None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise InvalidInput("The body is not valid JSON.") from None
    form = await request.form(max_files=1, max_fields=_MOST_FIELDS)
    fields = {name: value for name, value in form.items() if isinstance(value, str) and (value or name != "audio")}
    upload = form.get("audio")
    return checked(ChatAsk, fields), upload if isinstance(upload, UploadFile) and upload.filename else None


# ---- what was said


@router.get("/{session_id}", responses=_SESSION)
@router.head("/{session_id}", include_in_schema=False)
async def talk(request: Request, services: Use, session_id: str) -> TalkOut:
    """What was said in a conversation of yours, as far as it is remembered."""
    turns = await asyncio.to_thread(services.talks.get, owner_of(request), session_id)
    return TalkOut(session_id=session_id, turns=[TurnOut(role=turn.role, text=turn.text) for turn in turns])


@router.delete(
    "/{session_id}",
    status_code=204,
    response_description="Forgotten",
    responses=_SESSION
    | {
        404: {"model": Problem, "description": "No such conversation"},
        409: {"model": Problem, "description": "It is still answering"},
    },
)
async def forget(request: Request, services: Use, session_id: str) -> None:
    """Forget a conversation."""
    await asyncio.to_thread(services.talks.remove, owner_of(request), session_id)
