"""``/v1/audio/transcriptions``: OpenAI's wire format, so that its clients transcribe here unchanged."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel

from vivavoce.errors import InvalidInput
from vivavoce.studio.hearing import Heard
from vivavoce.studio.ledger import Order
from vivavoce.text.transcripts import srt, verbose, vtt
from vivavoce.web.audio import taken
from vivavoce.web.dialects import Problem, allow
from vivavoce.web.media import MEDIA
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, Flow, data_event, until_gone

__all__ = ["ear_of", "router"]

router = APIRouter(prefix="/v1/audio", tags=["Native"])

_VENDORS = ("whisper-", "gpt-")
"""How the names of OpenAI's models begin: they stand for the recogniser of the settings."""
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


class TranscriptOut(BaseModel):
    """What was said."""

    text: str


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}, "text/vtt": {}, EVENTS: {}}},
    **{
        status: {"model": Problem, "description": words}
        for status, words in {
            400: "The request or the sound cannot be used",
            413: "Too long, or too many bytes",
            415: "In no format that is read here",
            429: "Too much is under way; try again after `Retry-After` seconds",
            503: "No recogniser can work here; the sentence says what to run",
        }.items()
    },
}


def ear_of(services: Services, model: str) -> str:
    """The recogniser that a client means by ``model``. Raises ``InvalidInput`` for an unknown one."""
    name = model.strip().lower()
    return services.hearing.ear(None if not name or name.startswith(_VENDORS) else name)


@router.post("/transcriptions", response_model=TranscriptOut, responses=_ANSWERS)
async def transcriptions(
    request: Request,
    services: Use,
    file: Annotated[UploadFile, File(description="Sound, in any common format")],
    model: Annotated[str, Form(description="`whisper`, `sphinx`, …; `whisper-1` is the one of the settings")] = "",
    language: Annotated[str | None, Form(description="ISO 639-1; left out, the recogniser finds out")] = None,
    response_format: Annotated[
        Literal["json", "text", "srt", "verbose_json", "vtt"],
        Form(),
        allow(f"response_format must be one of {', '.join(_FORMATS)}."),
    ] = "json",
    granularities: Annotated[
        list[Literal["word", "segment"]] | None,
        Form(alias="timestamp_granularities[]", description="For `verbose_json`"),
        allow("timestamp_granularities[] must be word or segment."),
    ] = None,
    stream: Annotated[bool, Form(description="Answer `transcript.text.delta` events")] = False,
) -> Response:
    """Write down what is said in a file (the same as `POST /audio/transcribe`, in OpenAI's words)."""
    hearing = services.hearing
    ear, code = ear_of(services, model), hearing.language(language or "auto")
    if granularities and response_format != "verbose_json":
        raise InvalidInput("timestamp_granularities[] needs response_format=verbose_json.")
    async with taken(services, request, file) as source:
        work = hearing.transcribe(source, ear=ear, language=code, order=Order(owner_of(request)))
        heard = await until_gone(request, work)
    if stream:
        return Flow(_events(heard), patience=services.settings.limits.stalled_seconds, media_type=EVENTS)
    return _answer(heard, response_format, granularities or ["segment"])


def _answer(heard: Heard, form: str, granularities: list[Any]) -> Response:
    said = heard.transcript
    match form:
        case "text":
            return PlainTextResponse(said.text + "\n")
        case "srt":
            return PlainTextResponse(srt(said), media_type=MEDIA[".srt"])
        case "vtt":
            return PlainTextResponse(vtt(said), media_type=MEDIA[".vtt"])
        case "verbose_json":
            return JSONResponse(verbose(said, granularities))
    return JSONResponse({"text": said.text})


async def _events(heard: Heard) -> AsyncGenerator[bytes]:
    said = ""
    for segment in heard.transcript.segments:
        glue = heard.transcript.text[len(said) : heard.transcript.text.find(segment.text, len(said))]
        yield data_event({"type": "transcript.text.delta", "delta": glue + segment.text})
        said += glue + segment.text
    yield data_event({"type": "transcript.text.done", "text": heard.transcript.text})
