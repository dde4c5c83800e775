"""What can work in the audio core (``/v1/audio/engines``), and the probes (``/livez``, ``/readyz``)."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from vivavoce.errors import EngineUnavailable
from vivavoce.web.services import Use

__all__ = ["router"]

router = APIRouter()


class Alive(BaseModel):
    """An answer to a probe."""

    status: Literal["ok"] = "ok"


class NotReady(BaseModel):
    """Why not."""

    detail: str = Field(examples=["The engines are not loaded."])


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": NotReady, "description": "Still loading, or an engine is missing"}
}


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
