"""Family C, the audio core: files by name, enhancement and transcription, as its document promises them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile as Upload

from vivavoce.errors import InvalidInput
from vivavoce.studio.ledger import Order
from vivavoce.text.transcripts import raw, srt, vtt
from vivavoce.web.media import MEDIA, media_response
from vivavoce.web.orders import save
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone

__all__ = ["router", "taken"]

router = APIRouter(tags=["Audio core"])


class Detail(BaseModel):
    """What a failed call of this family answers."""

    detail: str = Field(examples=["The file cannot be read here; send WAV, MP3, FLAC, OGG, WebM or M4A."])


class Healthy(BaseModel):
    """The server is there."""

    status: Literal["ok"] = "ok"


class Uploaded(BaseModel):
    """The name that a file got."""

    filename: str = Field(examples=["sample.wav"])


class Enhanced(BaseModel):
    """The name of the enhanced file, to be fetched with `/files/download/…`."""

    output_filename: str = Field(examples=["noisy_enhanced.wav"])
    engine: str = Field(examples=["speex"], description="Who cleaned it")
    duration: float = Field(examples=[3.52], description="Seconds")
    snr_before: float | None = Field(
        examples=[8.4], description="Speech over noise in decibels, estimated; null where nobody speaks"
    )
    snr_after: float | None = Field(examples=[19.7])


class Transcribed(BaseModel):
    """What was said."""

    text: str = Field(examples=["Hello there."])
    raw: dict[str, Any] = Field(description="`language`, `duration`, and `segments` with `words` and their times")
    engine: str = Field(examples=["whisper"])


def problems(**words: str) -> dict[int | str, dict[str, Any]]:
    """Answers of failed calls, by status: ``_400="…"``."""
    return {int(status[1:]): {"model": Detail, "description": text} for status, text in words.items()}


_SOUND = problems(
    _400="The file holds no sound that can be read",
    _413="Too long, or too many bytes",
    _415="In no format that is read here",
    _429="Too much is under way; try again after `Retry-After` seconds",
)
Sound = Annotated[UploadFile, File(description="Sound, in any common format: WAV, MP3, FLAC, OGG, WebM, M4A, …")]


@router.get("/health")
@router.head("/health", include_in_schema=False)
async def health() -> Healthy:
    """Whether the server is there."""
    return Healthy()


# ---- files


@router.post("/files/upload", responses=problems(_413="Too many bytes"))
async def upload(request: Request, services: Use, file: Annotated[UploadFile, File()]) -> Uploaded:
    """Keep a file for as long as results are kept. Its name is made safe, and unique: nothing is overwritten."""
    async with taken(services, request, file) as part:
        name = await asyncio.to_thread(services.files.keep, part, file.filename or "file")
    return Uploaded(filename=name)


_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file; other kinds come as `application/octet-stream`",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("audio/wav", "application/octet-stream")
        },
    }
}


@router.get("/files/download/{filename}", response_class=Response, responses=_BYTES | problems(_404="File not found"))
@router.head("/files/download/{filename}", include_in_schema=False)
async def download(request: Request, services: Use, filename: str) -> Response:
    """The bytes of a file, whole or in ranges."""
    path = await asyncio.to_thread(services.files.find, owner_of(request), filename)
    response = await media_response(path, filename=filename)
    if path.suffix.lower() not in MEDIA:  # a page of a stranger's must not open under our address
        response.headers["Content-Security-Policy"] = "sandbox"
    return response


# ---- sound


@router.post("/audio/enhance", responses=_SOUND)
async def enhance(
    request: Request,
    services: Use,
    file: Sound,
    engine: Annotated[str | None, Query(description="`speex`, `rnnoise`, `gtcrn` or `auto`", max_length=40)] = None,
    strength: Annotated[Literal["normal", "high"] | None, Query(description="`high` is `rnnoise`")] = None,
) -> Enhanced:
    """Suppress noise. The result has the same duration, rate and channels; fetch it with `/files/download/…`."""
    if engine is None and strength == "high":
        engine = "rnnoise"
    cleaner = services.hearing.cleaner(engine)
    stem = PurePosixPath((file.filename or "sound").replace("\\", "/")).stem
    wanted = f"{stem}_enhanced.wav"
    async with taken(services, request, file) as source:
        with services.files.part(owner_of(request)) as target:
            work = services.hearing.enhance(
                source, target, cleaner=cleaner, name=wanted, order=Order(owner_of(request))
            )
            done = await until_gone(request, work)
            name = await asyncio.to_thread(services.files.keep, target, wanted)
    return Enhanced(
        output_filename=name,
        engine=done["engine"],
        duration=done["seconds"],
        snr_before=done["snr_before"],
        snr_after=done["snr_after"],
    )


@router.post(
    "/audio/transcribe",
    response_model=Transcribed,
    responses=_SOUND | problems(_503="No recogniser can work here; the sentence says what to run"),
)
async def transcribe(
    request: Request,
    services: Use,
    file: Sound,
    language: Annotated[
        str | None, Query(description="`ru`, `kk`, `en`, …; `auto` lets the recogniser find out", max_length=40)
    ] = None,
    engine: Annotated[str | None, Query(description="`whisper`, `openai`, `sphinx`", max_length=40)] = None,
    phrases: Annotated[
        list[str] | None, Query(description="Only these can be heard (with `sphinx`)", max_length=200)
    ] = None,
    format: Annotated[  # noqa: A002  the field's own word
        Literal["json", "text", "srt", "vtt"], Query(description="Of the answer")
    ] = "json",
) -> Response | Transcribed:
    """Write down what is said. Mono, the recogniser's rate: the server sees to it."""
    hearing = services.hearing
    ear, code = hearing.ear(engine), hearing.language(language)
    order = Order(owner_of(request))
    async with taken(services, request, file) as source:
        work = hearing.transcribe(source, ear=ear, language=code, phrases=phrases or (), order=order)
        heard = await until_gone(request, work)
    match format:
        case "text":
            return PlainTextResponse(heard.transcript.text)
        case "srt":
            return PlainTextResponse(srt(heard.transcript), media_type=MEDIA[".srt"])
        case "vtt":
            return PlainTextResponse(vtt(heard.transcript), media_type=MEDIA[".vtt"])
    return Transcribed(text=heard.transcript.text, raw=raw(heard.transcript), engine=heard.engine)


@asynccontextmanager
async def taken(services: Services, request: Request, upload: Upload) -> AsyncIterator[Path]:
    """What a client sent, as a file of this machine until the block ends. Raises ``InvalidInput`` when it is empty."""
    with services.files.part(owner_of(request)) as part:
        await asyncio.to_thread(save, upload, part)
        if not part.stat().st_size:
            raise InvalidInput("The file is empty; send a file with sound in it.")
        yield part
