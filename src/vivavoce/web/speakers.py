"""Family C, speakers: is this the voice of that person? Enrolment by file or by the server's microphone."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel, Field

from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound
from vivavoce.store.speakers import DEFAULT, Recording, Speaker
from vivavoce.studio.ledger import Order
from vivavoce.studio.verifying import verify as compare
from vivavoce.web.audio import Sound, problems, taken
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone

__all__ = ["router"]

router = APIRouter(prefix="/speaker", tags=["Audio core"])

Name = Annotated[str, Form(description="Whose voice it is: letters a-z, digits, - and _", max_length=63)]
_FAILS = problems(
    _400="No sound that can be read, too little speech, or nothing to compare with",
    _409="Enrolled with another encoder, or too many recordings",
    _413="Too long, or too many bytes",
    _415="In no format that is read here",
    _503="The encoder's weights are not here; the sentence says what to run",
)


class Verdict(BaseModel):
    """Whether two voices are one."""

    score: float = Field(examples=[0.83], description="0 to 1: cosine of the two embeddings")
    decision: bool = Field(examples=[True], description="Whether the score reaches the threshold")
    threshold: float = Field(examples=[0.72])
    warnings: list[str] = Field(description="What makes the answer doubtful", examples=[[]])
    note: str


class Enrolled(BaseModel):
    """A speaker was enrolled."""

    status: Literal["ok"] = "ok"
    message: str
    speaker: str = Field(examples=[DEFAULT])
    recordings: int = Field(examples=[1])
    warnings: list[str] = Field(examples=[[]])


class RecordingOut(BaseModel):
    """A recording behind a name; the sound itself is not kept."""

    id: str
    created: str = Field(examples=["2026-11-26T10:15:00Z"])
    engine: str = Field(examples=["ge2e"])
    speech_seconds: float
    warnings: list[str]


class SpeakerOut(BaseModel):
    """Somebody who enrolled."""

    name: str = Field(examples=[DEFAULT])
    recordings: list[RecordingOut]


class SpeakersOut(BaseModel):
    """All who enrolled."""

    speakers: list[SpeakerOut]


@router.post("/verify", responses=_FAILS)
async def verify(
    request: Request,
    services: Use,
    probe: Sound,
    reference: Annotated[
        UploadFile | str | None, File(description="The speaker's voice; left out, the enrolled one")
    ] = None,
    speaker: Annotated[str, Form(description="With whom to compare when there is no reference")] = DEFAULT,
) -> Verdict:
    """Compare a voice with a reference, or with a speaker who enrolled. Verification is no anti-spoofing."""
    owner = owner_of(request)
    # A form's empty file field comes as text, or as a file without a name.
    given = None if reference is None or isinstance(reference, str) or not reference.filename else reference
    known = await _known(services, owner, speaker) if given is None else None
    heard = await _embedded(request, services, probe)
    references: list[Mapping[str, Any]] = []
    if known is not None:
        kept = known.usable(heard["engine"], heard["version"])
        references += [recording.as_reference() for recording in kept]
    if given is not None:
        references.append(await _embedded(request, services, given))
    chosen = services.settings.audio.threshold
    return Verdict(**compare(heard, references, heard["threshold"] if chosen is None else chosen))


@router.post("/enroll", responses=_FAILS)
async def enroll(request: Request, services: Use, file: Sound, name: Name = DEFAULT) -> Enrolled:
    """Enrol a speaker with a recording, or give one more; only its embedding is kept, not the sound."""
    return await _enrolled(services, owner_of(request), name, await _embedded(request, services, file))


@router.post("/train/microphone", responses=_FAILS)
async def train_microphone(
    request: Request,
    services: Use,
    name: Annotated[str, Query(description="Whose voice it is", max_length=63)] = DEFAULT,
) -> Enrolled:
    """Record the reference with the server's own microphone; off unless the operator allows it."""
    audio = services.settings.audio
    if not audio.microphone:
        raise EngineUnavailable(
            "The server's microphone is not open to clients; set VIVAVOCE_AUDIO__MICROPHONE=true to allow it, "
            "or send a recording to /speaker/enroll."
        )
    owner = owner_of(request)
    with services.files.part(owner) as part:
        await until_gone(request, services.hearing.record(part, audio.microphone_seconds, Order(owner)))
        heard = await until_gone(request, services.hearing.embed(part, Order(owner)))
    return await _enrolled(services, owner, name, heard)


@router.get("/speakers")
async def speakers(request: Request, services: Use) -> SpeakersOut:
    """Who enrolled, and what is kept of their recordings."""
    found = await asyncio.to_thread(services.speakers.all, owner_of(request))
    return SpeakersOut(speakers=[_shown(speaker) for speaker in found])


@router.delete(
    "/speakers/{name}", status_code=204, response_description="Forgotten", responses=problems(_404="No such speaker")
)
async def forget(
    request: Request,
    services: Use,
    name: str,
    recording: Annotated[str | None, Query(description="Only this recording", max_length=64)] = None,
) -> Response:
    """Forget a speaker, or one recording."""
    await asyncio.to_thread(services.speakers.remove, owner_of(request), name, recording)
    return Response(status_code=204)


async def _embedded(request: Request, services: Services, upload: UploadFile) -> Mapping[str, Any]:
    async with taken(services, request, upload) as source:
        return await until_gone(request, services.hearing.embed(source, Order(owner_of(request))))


async def _known(services: Services, owner: str, name: str) -> Speaker:
    try:
        return await asyncio.to_thread(services.speakers.get, owner, name)
    except NotFound:
        raise InvalidInput(
            f"Nobody is enrolled as {name[:63]!r}; send a reference, or enrol with /speaker/enroll first."
        ) from None


async def _enrolled(services: Services, owner: str, name: str, heard: Mapping[str, Any]) -> Enrolled:
    recording = Recording.of(heard, heard["engine"])
    speaker = await asyncio.to_thread(services.speakers.add, owner, recording, name)
    count = len(speaker.recordings)
    return Enrolled(
        message=f"The voice of {speaker.name!r} is enrolled with {count} recording{'s' if count > 1 else ''}.",
        speaker=speaker.name,
        recordings=count,
        warnings=heard["warnings"],
    )


def _shown(speaker: Speaker) -> SpeakerOut:
    recordings = [
        RecordingOut(
            id=r.id,
            created=f"{datetime.fromtimestamp(r.created, UTC):%Y-%m-%dT%H:%M:%SZ}",
            engine=r.engine,
            speech_seconds=round(r.speech_seconds, 2),
            warnings=list(r.warnings),
        )
        for r in speaker.recordings
    ]
    return SpeakerOut(name=speaker.name, recordings=recordings)
