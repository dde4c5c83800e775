"""``/v1/audio/speech``: OpenAI's wire format, so that its clients speak here unchanged, with any voice that is here."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, JsonValue

from vivavoce.errors import InvalidInput
from vivavoce.media.formats import FORMATS
from vivavoce.media.tempo import FASTEST, SLOWEST
from vivavoce.registry import Registry
from vivavoce.studio.ledger import Order
from vivavoce.studio.people import Spoken
from vivavoce.studio.scene import CLONE
from vivavoce.text.guess import guess_language
from vivavoce.web.dialects import Problem, allow
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone

__all__ = ["router"]

router = APIRouter(prefix="/v1/audio", tags=["Native"])

_VENDORS = ("tts-", "gpt-")
"""How the names of OpenAI's models begin: they stand for the voice engine of the settings."""
_VENDORS_VOICES = frozenset(
    "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()  # noqa: SIM905
)
"""OpenAI's own voices: they stand for the voice of the settings, unless that is OpenAI's."""
_VENDOR = "openai"
_EXAMPLES: list[JsonValue] = [
    {"model": "tts-1", "input": "Hello! I am Anna.", "voice": "alloy"},
    {"input": "Привет!", "voice": "espeak/f2", "response_format": "wav", "language": "ru"},
]


class VoiceRef(BaseModel):
    """A voice by its id, as OpenAI's clients name one of their own making."""

    id: str


class SpeechAsk(BaseModel):
    """What is to be said; fields that only OpenAI's models know are ignored."""

    input: Annotated[str, Field(strict=True, description="The text"), allow("input must be a string.")]
    model: Annotated[
        str,
        Field(strict=True, description="A voice engine; `tts-1` and the like are the one of the settings"),
        allow("model must be a string."),
    ] = ""
    voice: Annotated[
        str | VoiceRef,
        Field(description="Id of a voice, `engine/id` or `clone/id`; OpenAI's own names are the one of the settings"),
        allow("voice must be a string such as espeak/f2 or clone/anna."),
    ] = ""
    response_format: Annotated[
        Literal["mp3", "opus", "aac", "flac", "wav", "pcm"],
        Field(description="`pcm`: 16 bits, little-endian, mono, 24 kHz"),
        allow(f"response_format must be one of {', '.join(FORMATS)}."),
    ] = "mp3"
    speed: Annotated[
        float, Field(ge=SLOWEST, le=FASTEST), allow(f"speed must be a number from {SLOWEST:g} to {FASTEST:g}.")
    ] = 1.0
    stream_format: Annotated[Literal["audio"], allow("stream_format must be audio.")] = "audio"
    language: Annotated[
        str | None,
        Field(strict=True, description="Ours: `ru`, `kk`, `en`, …; by the letters of the text when left out"),
        allow("language must be a string such as ru, kk, en, ko or zh."),
    ] = None

    model_config = {"json_schema_extra": {"examples": _EXAMPLES}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in FORMATS.values()},
    },
    **{
        status: {"model": Problem, "description": words}
        for status, words in {
            400: "The request cannot be used; the sentence says what is allowed",
            404: "No such voice of somebody, or not yours",
            413: "The text is over the limit",
            429: "Too much is under way; try again after `Retry-After` seconds",
            503: "The voice cannot speak here; the sentence says what to do",
            504: "The voice took too long",
        }.items()
    },
}


@router.post("/speech", response_class=Response, responses=_ANSWERS)
async def speech(ask: SpeechAsk, request: Request, services: Use) -> Response:
    """Say a text in any voice. What was made says in its metadata that it is synthetic, where the format can."""
    owner = owner_of(request)
    voice = _voice(ask, services)
    language = ask.language or await asyncio.to_thread(_language, ask.input, voice, services, owner)
    spoken = Spoken(*services.stager.spoken(ask.input, language=language, voice=voice, owner=owner))
    await services.ready()
    order = Order(owner)
    with services.files.part(owner) as part:
        work = services.people.speak(spoken, ask.response_format, part, order, speed=ask.speed)
        await until_gone(request, work)
        content = await asyncio.to_thread(part.read_bytes)
    return Response(content, media_type=FORMATS[ask.response_format], headers={"X-Job-ID": order.id})


def _voice(ask: SpeechAsk, services: Services) -> str | None:
    """The voice as the stager takes it; None is the one of the settings. ``InvalidInput`` for a strange model."""
    asked = ask.voice if isinstance(ask.voice, str) else ask.voice.id
    model, known = ask.model.strip().lower(), [*Registry().names("voice"), CLONE]
    if model and not model.startswith(_VENDORS) and model not in known:
        raise InvalidInput(f"There is no model {ask.model[:40]!r}; use one of {', '.join(known)}, or leave it out.")
    if "/" in asked:
        return asked
    engine = model if model in known else services.settings.defaults.voice_engine
    if asked.strip().lower() in _VENDORS_VOICES and engine != _VENDOR:
        asked = ""
    if not asked and model not in known:
        return None
    return f"{engine}/{asked}"


def _language(text: str, voice: str | None, services: Services, owner: str) -> str | None:
    """By the letters of the text, as near as can be to what the voice speaks by itself."""
    default = services.settings.defaults.language
    engine, _, id_ = (voice or "").partition("/")
    if engine == CLONE:
        default = services.voices.get(owner, id_).language or default
    return guess_language(text, default)
