"""``/v1/voices``: what can be spoken with here, and the voices of people, learnt from recordings of them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, TooLarge
from vivavoce.store.voices import MOST_RECORDINGS, Consent, StoredVoice
from vivavoce.studio.ledger import Order
from vivavoce.studio.scene import CLONE
from vivavoce.text.languages import LANGUAGES, resolve
from vivavoce.web.audio import taken
from vivavoce.web.dialects import Problem
from vivavoce.web.media import media_response
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone

__all__ = ["agreed", "cloner_for", "recording_url", "router"]

router = APIRouter(prefix="/v1/voices", tags=["Native"])

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


class ConsentOut(BaseModel):
    """Whether the speaker agreed, as it was told at enrolment."""

    given: bool
    by: str
    at: str = Field(examples=["2026-11-26T10:15:00Z"])
    text: str


class CloneOut(BaseModel):
    """What is known of the voice of somebody who was recorded."""

    engine: str = Field(examples=["world"], description="The cloner")
    approximate: bool = Field(description="Whether it only leans towards the speaker, and is no copy")
    language: str = Field(examples=["en"], description="The speaker's; empty where nobody said")
    created: str = Field(examples=["2026-11-26T10:15:00Z"])
    consent: ConsentOut
    warnings: list[str] = Field(description="What the cloner said of the recordings")
    recordings: list[str] = Field(examples=[["/v1/voices/anna/recordings/0"]])
    url: str = Field(examples=["/v1/voices/anna"])


class VoiceOut(BaseModel):
    """A voice; empty ``languages`` means all of its engine's."""

    engine: str = Field(examples=["espeak"])
    id: str = Field(examples=["f2"])
    name: str
    languages: list[str]
    gender: str
    clone: CloneOut | None = Field(default=None, description="Of voices of people, whose engine is `clone`")


class LanguageOut(BaseModel):
    """A language that a voice speaks."""

    code: str = Field(examples=["kk"])
    name: str = Field(examples=["Қазақша"])


class ClonerOut(BaseModel):
    """What can learn a voice."""

    engine: str = Field(examples=["world"])
    licence: str
    network: bool = Field(description="Whether recordings and words leave this machine")
    approximate: bool = Field(description="Whether it only leans towards the speaker")
    languages: list[str] = Field(description="Empty: all that are known here", examples=[["en"]])
    least: float = Field(description="Seconds of speech below which it warns", examples=[15.0])
    available: bool
    missing: str = Field(description="What to install or to set, where it is not available")


class VoicesOut(BaseModel):
    """All voices and what they speak."""

    default_language: str
    max_characters: int = Field(description="Of one text")
    languages: list[LanguageOut]
    voices: list[VoiceOut]
    cloners: list[ClonerOut]
    default_cloner: str = Field(examples=["world"])
    consent: str = Field(examples=["noted"], description="`required`, or whatever is told of it is `noted`")


def _problems(**words: str) -> dict[int | str, dict[str, Any]]:
    return {int(status[1:]): {"model": Problem, "description": text} for status, text in words.items()}


_NO_VOICE = _problems(_404="No such voice, or not yours")


@router.get("")
@router.head("", include_in_schema=False)
async def voices(request: Request, services: Use) -> VoicesOut:
    """The voices of every engine that works here, those of people whom you enrolled, and the languages they speak.

    Wherever a call takes a `voice`, it is `engine/id`: `espeak/f2`, `clone/anna`.
    """
    offer, able = await services.ready(), await services.able()
    people = await services.people.all(owner_of(request))
    spoken = {code for engine in offer["voices"] for code in engine["languages"]}
    config = services.settings.clones
    return VoicesOut(
        default_language=services.settings.defaults.language,
        max_characters=services.settings.limits.text_characters,
        languages=[LanguageOut(code=code, name=known.name) for code, known in LANGUAGES.items() if code in spoken],
        voices=[
            *(_out(able["cloners"], voice) for voice in people),
            *(
                VoiceOut(engine=engine["engine"], id=id_, name=name, languages=languages, gender=gender)
                for engine in offer["voices"]
                for id_, name, languages, gender in engine["voices"]
            ),
        ],
        cloners=[ClonerOut.model_validate(cloner) for cloner in able["cloners"]],
        default_cloner=config.engine,
        consent=config.consent,
    )


@router.post(
    "",
    status_code=201,
    response_model=VoiceOut,
    response_description="The voice, as in the list; `Location` is its address",
    responses=_problems(
        _400="The recordings cannot be used, or the consent that is needed is not given",
        _409="There is a voice of that id already",
        _413="Too many recordings, or too long, or too many bytes",
        _415="In no format that is read here",
        _429="Too much is under way; try again after `Retry-After` seconds",
        _503="The cloner cannot work here; the sentence says what to do",
    ),
)
async def enrol(
    request: Request,
    services: Use,
    recording: Annotated[
        list[UploadFile], File(description="1 to 10 recordings of the speaker, in any common format, 300 s altogether")
    ],
    id: Annotated[str, Form(description="1 to 64 letters, digits, _, -, . or inner spaces; made of the name")] = "",  # noqa: A002
    name: Annotated[str, Form(description="Shown to people")] = "",
    language: Annotated[str, Form(description="The speaker's: the default of what is spoken with the voice")] = "",
    engine: Annotated[str, Form(description="`world`, `http` or `elevenlabs`; left out, the server's choice")] = "",
    consent: Annotated[str, Form(description="`true` when the speaker agreed to be cloned")] = "",
    consent_by: Annotated[str, Form(description="Who says so")] = "",
    consent_text: Annotated[str, Form(description="What was agreed to")] = "",
) -> Response:
    """Learn the voice of somebody who was recorded. The answer comes when it is learnt; it speaks as `clone/ID`."""
    owner = owner_of(request)
    if len(recording) > MOST_RECORDINGS:
        raise TooLarge(f"A voice is learnt from up to {MOST_RECORDINGS} recordings, not {len(recording)}; send fewer.")
    cloner, code = await cloner_for(services, engine, language)
    told = Consent(agreed(consent), consent_by, text=consent_text)
    wanted = id or await asyncio.to_thread(services.people.new_id, owner, name)
    await asyncio.to_thread(services.people.check, owner, wanted, told)
    noted = {"audio_id": wanted, "name": name, "language": code, "engine": cloner, "recordings": len(recording)}
    order = Order(owner)
    async with AsyncExitStack() as stack:
        paths = [await stack.enter_async_context(taken(services, request, upload)) for upload in recording]
        work = services.people.enrol(
            paths, id=wanted, name=name, language=code, engine=cloner, consent=told, order=order, noted=noted
        )
        made = await until_gone(request, work)
    out = _out((await services.able())["cloners"], made)
    headers = {"Location": _url(made.id), "X-Job-ID": order.id}
    return JSONResponse(out.model_dump(), 201, headers=headers)


@router.get("/{id}", responses=_NO_VOICE)
@router.head("/{id}", include_in_schema=False)
async def voice(request: Request, services: Use, id: str) -> VoiceOut:  # noqa: A002  the field's own word
    """The voice of somebody whom you enrolled."""
    found = await services.people.get(owner_of(request), id)
    return _out((await services.able())["cloners"], found)


@router.delete("/{id}", status_code=204, response_description="Forgotten", responses=_NO_VOICE)
async def forget(request: Request, services: Use, id: str) -> Response:  # noqa: A002
    """Forget a voice with its recordings, here and at the service that learnt it, if one did."""
    await services.people.forget(owner_of(request), id)
    return Response(status_code=204)


@router.get(
    "/{id}/recordings/{number}",
    response_class=FileResponse,
    responses=_NO_VOICE | {200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}},
)
@router.head("/{id}/recordings/{number}", include_in_schema=False)
async def recording(request: Request, services: Use, id: str, number: int) -> Response:  # noqa: A002
    """A recording that the voice was learnt from: WAV, whole or in ranges."""
    found = await services.people.get(owner_of(request), id)
    if not 0 <= number < len(found.recordings):
        raise NotFound(f"This voice has {len(found.recordings)} recordings, counted from 0.")
    return await media_response(found.recordings[number], changes=True)  # another voice may get the id


# ---- what enrolment shares with family D


async def cloner_for(services: Services, asked: str, language: str) -> tuple[str, str]:
    """The cloner that is asked for, and the code of the speaker's language ("" where it is not told).

    Raises ``InvalidInput``, and ``EngineUnavailable`` with what is missing.
    """
    name = services.people.cloner(asked)
    code = resolve(language.strip()).code if language.strip() else ""
    cloners = (await services.able())["cloners"]
    found = next(cloner for cloner in cloners if cloner["engine"] == name)
    if not found["available"]:
        raise EngineUnavailable(found["missing"])
    if code and found["languages"] and code not in found["languages"]:
        raise InvalidInput(
            f"The cloner {name} does not speak {LANGUAGES[code].name}; it speaks {', '.join(found['languages'])}."
        )
    return name, code


def agreed(told: str) -> bool:
    """Whether a form says yes. Raises ``InvalidInput`` for what is neither yes nor no."""
    word = told.strip().lower()
    if word not in (*_YES, *_NO):
        raise InvalidInput("consent must be true or false.")
    return word in _YES


def recording_url(voice: StoredVoice, number: int) -> str:
    """Where a recording of a voice is read."""
    return f"{_url(voice.id)}/recordings/{number}"


def _url(id_: str) -> str:
    return f"/v1/voices/{quote(id_, safe='')}"


def _out(cloners: Sequence[Mapping[str, Any]], voice: StoredVoice) -> VoiceOut:
    cloner: Mapping[str, Any] = next((c for c in cloners if c["engine"] == voice.engine), {})
    clone = CloneOut(
        engine=voice.engine,
        approximate=bool(cloner.get("approximate")),
        language=voice.language,
        created=_iso(voice.created),
        consent=ConsentOut(
            given=voice.consent.given, by=voice.consent.by, at=_iso(voice.consent.at), text=voice.consent.text
        ),
        warnings=list(voice.warnings),
        recordings=[recording_url(voice, number) for number in range(len(voice.recordings))],
        url=_url(voice.id),
    )
    languages = list(cloner.get("languages", ())) or ([voice.language] if voice.language else [])
    return VoiceOut(engine=CLONE, id=voice.id, name=voice.name, languages=languages, gender="neutral", clone=clone)


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
