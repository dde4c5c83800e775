"""Family D: voices of people by its document: ``/audio_clone`` in both ways, and what came of it."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.store.voices import Consent, StoredVoice
from vivavoce.studio.ledger import Order
from vivavoce.studio.people import Spoken
from vivavoce.studio.scene import CLONE
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import resolve
from vivavoce.web import direction
from vivavoce.web.audio import taken
from vivavoce.web.media import media_response
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone
from vivavoce.web.studio import Refusal, only, refusals
from vivavoce.web.voices import agreed, cloner_for, recording_url

__all__ = ["router"]

router = APIRouter(tags=["Studio"])

_SOURCE = "original_audio_path"
_OF_ENROLMENT = ("name", "engine", "consent", "consent_by", "consent_text")
_OF_SPEECH = ("gen_audio_id", "generate_text")
_FIELDS = ("audio_id", "target_audio_id", "language", _SOURCE, *_OF_ENROLMENT, *_OF_SPEECH)
_NO_RECORDING = (
    "There is no such recording among your uploads; send the name that /files/upload or /save_audio told, "
    "or the file itself."
)
_LONGEST_ID = 200


class Cloned(BaseModel):
    """A voice was learnt, or something was said with one."""

    status: Literal["success"] = "success"
    message: str = Field(examples=["音频特征提取成功"])
    speaker_id: str | None = Field(default=None, description="Of the voice that was learnt")
    warnings: list[str] | None = Field(default=None, description="What the cloner said of the recording")
    cloned_audio_path: str | None = Field(
        default=None, examples=["/static/voices/20261121_101500_000000_0_5f0c9a3be1d27784.wav"]
    )
    duration: float | None = Field(default=None, description="Seconds of what was said", examples=[3.52])
    voice_fallback: str | None = Field(
        default=None, description="Why the embedded voice spoke in place of it, if it did"
    )
    job_id: str


class ClonedVoice(BaseModel):
    """A voice that was learnt."""

    id: str = Field(examples=["speaker_1"])
    name: str
    created_at: str = Field(examples=["2026-11-26 05:44:14"], description="UTC")
    reference_audio: str = Field(examples=["/v1/voices/speaker_1/recordings/0"])
    status: str = Field(examples=["已提取特征"])


class ClonedVoices(BaseModel):
    """All voices that were learnt, the newest first."""

    status: Literal["success"] = "success"
    audios: list[ClonedVoice]
    total_count: int


_TEXT = {"type": "string"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio_id"],
                    "properties": {
                        "audio_id": _TEXT | {"description": "To learn a voice: its new id; to speak: its known one"},
                        _SOURCE: {
                            "description": "To learn: the name of an upload, a path to it, or the recording itself",
                            "anyOf": [_TEXT, _TEXT | {"format": "binary"}],
                        },
                        "gen_audio_id": _TEXT | {"description": "To speak: an id for what is said"},
                        "generate_text": _TEXT | {"description": "To speak: what is said"},
                        "target_audio_id": _TEXT | {"description": "Ignored"},
                        "language": _TEXT | {"description": "Of the speaker, or of the text"},
                        "name": _TEXT | {"description": "To learn: shown to people"},
                        "engine": _TEXT | {"description": "To learn: the cloner"},
                        "consent": _TEXT | {"description": "To learn: `true` when the speaker agreed"},
                        "consent_by": _TEXT | {"description": "To learn: who says so"},
                        "consent_text": _TEXT | {"description": "To learn: what was agreed to"},
                    },
                }
            }
        },
    }
}


@router.post(
    "/audio_clone",
    response_model=Cloned,
    response_model_exclude_none=True,
    openapi_extra=_BODY,
    dependencies=[only(*_FIELDS)],
    responses=refusals(
        _400="A field is missing, does not fit the others, or cannot be used; the sentence says what is allowed",
        _404="No such upload, or no such voice",
        _409="There is a voice of that id already",
        _413="Text or recording over the limit",
        _415="The recording is in no format that is read here",
        _429="Too much is under way; try again after `Retry-After` seconds",
        _503="The cloner cannot work here; the sentence says what to do",
        _504="The voice took too long",
    ),
)
async def audio_clone(request: Request, services: Use) -> Cloned:
    """Learn a voice (`original_audio_path` is filled) or speak with one (`gen_audio_id` and `generate_text` are)."""
    form = await request.form()
    source = form.get(_SOURCE)
    fields = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    for name, value in form.items():
        if isinstance(value, UploadFile) and name != _SOURCE:
            raise InvalidInput(f"{name} is a text, not a file; only {_SOURCE} may be one.")
    if isinstance(source, UploadFile) and not (source.size or source.filename):
        source = None  # a form's empty file field
    learns = isinstance(source, UploadFile) or bool(fields.get(_SOURCE))
    speaks = [name for name in _OF_SPEECH if fields.get(name)]
    _check_mode(fields, learns=learns, speaks=speaks)
    if learns:
        return await _enrol(request, services, fields, source if isinstance(source, UploadFile) else None)
    return await _speak(request, services, fields)


def _check_mode(fields: dict[str, str], *, learns: bool, speaks: list[str]) -> None:
    """Refuse what is neither of the two ways, or both."""
    if learns and speaks:
        raise InvalidInput(
            f"Fill {_SOURCE} to learn a voice, or gen_audio_id and generate_text to speak with one; not both."
        )
    if not learns and not speaks:
        raise InvalidInput(
            f"Send a form with {_SOURCE} and audio_id to learn a voice, or with audio_id, gen_audio_id and "
            "generate_text to speak with one."
        )
    if not fields.get("audio_id"):
        raise InvalidInput("audio_id is required: the id of the voice.")
    if learns:
        return
    for name in _OF_SPEECH:
        if name not in speaks:
            raise InvalidInput(f"{name} is required to speak with a voice; only {speaks[0]} is filled.")
    for name in _OF_ENROLMENT:
        if fields.get(name):
            raise InvalidInput(f"{name} belongs to learning a voice; leave it empty to speak with one.")


async def _enrol(request: Request, services: Services, fields: dict[str, str], upload: UploadFile | None) -> Cloned:
    owner, id_ = owner_of(request), fields["audio_id"]
    cloner, code = await cloner_for(services, fields.get("engine", ""), fields.get("language", ""))
    given = agreed(fields.get("consent", ""))
    consent = Consent(given, fields.get("consent_by", ""), text=fields.get("consent_text", ""))
    await asyncio.to_thread(services.people.check, owner, id_, consent)
    order = Order(owner)
    told = upload.filename or "" if upload is not None else fields[_SOURCE]
    noted = {_SOURCE: told, "audio_id": id_, "language": code, "engine": cloner}
    async with AsyncExitStack() as stack:
        if upload is None:
            path = await asyncio.to_thread(direction.upload, services, owner, told, _NO_RECORDING)
        else:
            path = await stack.enter_async_context(taken(services, request, upload))
        work = services.people.enrol(
            [path],
            id=id_,
            name=fields.get("name", ""),
            language=code,
            engine=cloner,
            consent=consent,
            order=order,
            noted=noted,
        )
        made = await until_gone(request, work)
    return Cloned(message="音频特征提取成功", speaker_id=made.id, warnings=list(made.warnings) or None, job_id=order.id)


async def _speak(request: Request, services: Services, fields: dict[str, str]) -> Cloned:
    owner, text = owner_of(request), fields["generate_text"]
    if len(fields["gen_audio_id"]) > _LONGEST_ID:
        raise InvalidInput(f"gen_audio_id has at most {_LONGEST_ID} characters.")
    voice = await services.people.get(owner, fields["audio_id"])
    language = _language(services, voice, fields)
    spoken = Spoken(*services.stager.spoken(text, language=language, voice=f"{CLONE}/{voice.id}", owner=owner))
    await services.ready()
    order = Order(owner)
    noted = {"audio_id": voice.id, **{name: fields[name] for name in _OF_SPEECH}, "language": language}
    work = services.people.say(spoken, order, noted, lambda heard: {"cloned_audio_path": voice_path(heard.id)})
    heard = await until_gone(request, work)
    return Cloned(
        message="音频生成成功",
        cloned_audio_path=voice_path(heard.id),
        duration=heard.seconds,
        voice_fallback=heard.voice_fallback or None,
        job_id=order.id,
    )


def _language(services: Services, voice: StoredVoice, fields: dict[str, str]) -> str:
    """The one that is asked for; else by the letters of the text, which may leave it to the voice's own."""
    if fields.get("language"):
        return resolve(fields["language"]).code
    return guess_language(fields["generate_text"], voice.language or services.settings.defaults.language)


def voice_path(id_: str) -> str:
    """Where what was said is heard."""
    return f"/static/voices/{id_}.wav"


@router.get("/api/cloned-audios")
@router.head("/api/cloned-audios", include_in_schema=False)
async def cloned_audios(request: Request, services: Use) -> ClonedVoices:
    """The voices that you had learnt."""
    found = await services.people.all(owner_of(request))
    return ClonedVoices(audios=[_row(voice) for voice in found], total_count=len(found))


def _row(voice: StoredVoice) -> ClonedVoice:
    return ClonedVoice(
        id=voice.id,
        name=voice.name,
        created_at=f"{datetime.fromtimestamp(voice.created, UTC):%Y-%m-%d %H:%M:%S}",
        reference_audio=recording_url(voice, 0),
        status="已提取特征",
    )


_SOUND: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}},
    404: {"model": Refusal, "description": "No such sound, or no more"},
}


@router.get("/static/voices/{file}", response_class=FileResponse, responses=_SOUND)
@router.head("/static/voices/{file}", include_in_schema=False)
async def sound(file: str, services: Use) -> Response:
    """What was said with a voice: WAV, whole or in ranges."""
    if not file.endswith(".wav"):
        raise NotFound("There is no such sound; it may have been removed since, ask for it again.")
    return await media_response(await services.artifacts.find(file.removesuffix(".wav"), ".wav"))
