"""What can be spoken (``/v1/voices``), and the probes (``/livez``, ``/readyz``)."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from vivavoce.errors import EngineUnavailable
from vivavoce.text.languages import LANGUAGES
from vivavoce.web.services import Use

__all__ = ["router"]

router = APIRouter()


class VoiceOut(BaseModel):
    """A voice; empty ``languages`` means all of its engine's."""

    engine: str = Field(examples=["espeak"])
    id: str = Field(examples=["f2"])
    name: str
    languages: list[str]
    gender: str


class LanguageOut(BaseModel):
    """A language that a voice speaks."""

    code: str = Field(examples=["kk"])
    name: str = Field(examples=["Қазақша"])


class VoicesOut(BaseModel):
    """All voices and what they speak."""

    default_language: str
    max_characters: int = Field(description="Of one text")
    languages: list[LanguageOut]
    voices: list[VoiceOut]


class Alive(BaseModel):
    """An answer to a probe."""

    status: Literal["ok"] = "ok"


class NotReady(BaseModel):
    """Why not."""

    detail: str = Field(examples=["The engines are not loaded."])


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": NotReady, "description": "Still loading, or an engine is missing"}
}


@router.get("/v1/voices", tags=["Native"])
@router.head("/v1/voices", include_in_schema=False)
async def voices(services: Use) -> VoicesOut:
    """The voices of every engine that works here, and the languages they speak."""
    offer = await services.ready()
    spoken = {code for engine in offer["voices"] for code in engine["languages"]}
    return VoicesOut(
        default_language=services.settings.defaults.language,
        max_characters=services.settings.limits.text_characters,
        languages=[LanguageOut(code=code, name=known.name) for code, known in LANGUAGES.items() if code in spoken],
        voices=[
            VoiceOut(engine=engine["engine"], id=id_, name=name, languages=languages, gender=gender)
            for engine in offer["voices"]
            for id_, name, languages, gender in engine["voices"]
        ],
    )


class EarOut(BaseModel):
    """A recogniser."""

    engine: str = Field(examples=["whisper"])
    languages: list[str] = Field(description="Empty: all that are known here", examples=[["en"]])
    licence: str
    network: bool = Field(description="Whether sound leaves this machine")


class EngineOut(BaseModel):
    """An engine of the audio core."""

    engine: str = Field(examples=["speex"])
    licence: str


class EnginesOut(BaseModel):
    """What can work here."""

    ears: list[EarOut]
    cleaners: list[EngineOut]
    speakers: list[EngineOut]


@router.get("/v1/audio/engines", tags=["Native"])
@router.head("/v1/audio/engines", include_in_schema=False)
async def engines(services: Use) -> EnginesOut:
    """The recognisers, enhancers and speaker encoders that work here."""
    await services.ready()
    return EnginesOut.model_validate(await services.hearing.offer())


@router.get("/livez", tags=["Probes"])
@router.head("/livez", include_in_schema=False)
async def livez() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", tags=["Probes"], responses=_NOT_READY)
@router.head("/readyz", include_in_schema=False)
async def readyz(services: Use) -> Alive:
    """Requests can be served: 200, else 503."""
    offer = services.offer
    if not (offer and offer["loaded"]):
        raise EngineUnavailable("The engines are not loaded.")
    return Alive()
