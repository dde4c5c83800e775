"""Family D: learning a person from a film, by its document (``/model_training``)."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from vivavoce.errors import InvalidInput
from vivavoce.studio.parameters import MOST_EPOCHS, OPTIONS, read_options
from vivavoce.web import direction
from vivavoce.web.enrolment import Pupil, consent_of, default_engine, enrolled, learns_note
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.studio import only, refusals

__all__ = ["router"]

router = APIRouter(tags=["Studio"])

_FILM = "ref_video"
_ASKED = ("model_choice", _FILM, "gpu_choice", "epoch", "custom_params", "speaker_id")
_FIELDS = (*_ASKED, "consent", "consent_by", "consent_text")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_EPOCHS = 100
_NO_FILM = "There is no such video among your uploads; send the name that /files/upload told, or the file itself."


class Begun(BaseModel):
    """A training waits, or runs."""

    status: Literal["success"] = "success"
    task_id: str = Field(examples=["train_20261126_054414"], description="`GET /v1/jobs/{task_id}` tells how far it is")
    message: str = Field(
        examples=["模型训练开始"], description="And what stands in for what is not here, and takes hours"
    )
    speaker_id: str = Field(examples=["user_20261126"], description="The name of the model, which is an avatar")


_TEXT = {"type": "string"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["model_choice", _FILM, "gpu_choice"],
                    "properties": {
                        "model_choice": _TEXT | {"description": "`SyncTalk`, `ER-NeRF`, or a face engine: `person`, …"},
                        _FILM: {
                            "description": "The name of an upload, a path to it, or the video itself",
                            "anyOf": [_TEXT, _TEXT | {"format": "binary"}],
                        },
                        "gpu_choice": _TEXT | {"description": "`GPU0`, `GPU1` or `CPU`"},
                        "epoch": _TEXT | {"description": "A positive whole number", "default": "100"},
                        "custom_params": _TEXT
                        | {"description": f"`lr=0.001,batch=4`, or a JSON object; known are {', '.join(OPTIONS)}"},
                        "speaker_id": _TEXT | {"description": "Name of the model; `user_YYYYMMDD` when left out"},
                        "consent": _TEXT | {"description": "`true` when the person agreed"},
                        "consent_by": _TEXT | {"description": "Who says so"},
                        "consent_text": _TEXT | {"description": "What was agreed to"},
                    },
                }
            }
        },
    }
}


@router.post(
    "/model_training",
    response_model=Begun,
    openapi_extra=_BODY,
    dependencies=[only(*_FIELDS)],
    responses=refusals(
        _400="A field is missing, or cannot be used; the sentence says what is allowed",
        _404="No such upload",
        _409="The name is that of an avatar that no training made, or is being made",
        _413="The video is too long, or has too many bytes or pixels",
        _415="No video that is read here",
        _429="Too much is under way; try again after `Retry-After` seconds",
        _503="An engine or a graphics card is not here; the sentence says what to do",
    ),
)
async def model_training(request: Request, services: Use) -> Begun:
    """Learn a person from a video. The answer comes at once; the model is an avatar when its job has succeeded.

    `GET /v1/jobs/{task_id}` and its `/events` tell epoch, loss, remaining time and a picture; `DELETE` cancels. A model
    of the same name that was trained before stays until the new one is whole. SyncTalk and ER-NeRF take hours on a
    processor; `message` says how many, and `custom_params` with `max_minutes=30` ends them with what is good by then.
    """
    form = await request.form()
    film = form.get(_FILM)
    fields = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    for name, value in form.items():
        if isinstance(value, UploadFile) and name != _FILM:
            raise InvalidInput(f"{name} is a text, not a file; only {_FILM} may be one.")
    if isinstance(film, UploadFile) and not (film.size or film.filename):
        film = None  # a form's empty file field
    if not film or (isinstance(film, str) and not film.strip()):
        raise InvalidInput(f"{_FILM} is required: the name of an upload, a path to it, or the video itself.")
    told = film.filename or "" if isinstance(film, UploadFile) else fields[_FILM]
    trainers = list((await services.able())["trainers"])
    pupil = await asyncio.to_thread(_pupil, services, fields | {_FILM: told}, trainers)
    owner = owner_of(request)
    source: UploadFile | Path = (
        film
        if isinstance(film, UploadFile)
        else await asyncio.to_thread(direction.upload, services, owner, told, _NO_FILM)
    )
    job = await enrolled(services, pupil, source, owner=owner, id=f"train_{datetime.now(UTC):%Y%m%d_%H%M%S}")
    notes = job.params["notes"]
    return Begun(task_id=job.id, message=direction.message("模型训练开始", notes), speaker_id=str(job.params["name"]))


def _pupil(services: Services, fields: Mapping[str, str], trainers: list[str]) -> Pupil:
    """What the fields ask for, or what may stand in for it. Looks at the machine.

    Raises ``InvalidInput``, and ``EngineUnavailable`` where nothing may stand in.
    """
    title, engine = direction.model(fields.get("model_choice", ""), "model_choice")
    number = direction.card(fields.get("gpu_choice", ""))
    epochs = _epochs(fields.get("epoch", ""))
    options = read_options(fields.get("custom_params", ""))
    consent = consent_of(services, *(fields.get(name, "") for name in ("consent", "consent_by", "consent_text")))
    name = _name(fields.get("speaker_id", ""))
    notes = []
    if not direction.installed(engine):
        engine = default_engine(services, trainers)
        notes.append(f"{title} is not installed here: learnt by {engine}")
    no_card = direction.card_note(services, number)
    said = direction.stand_ins(services, [*notes, no_card])
    note = learns_note(engine, trainers)
    return Pupil(
        engine,
        epochs,
        options,
        consent,
        name,
        device="cpu" if number is None or no_card else str(number),
        notes=(*said, note) if note else said,
        noted={field: fields.get(field, "") for field in _ASKED},
    )


def _epochs(text: str) -> int:
    if not text:
        return _EPOCHS
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not 1 <= int(text) <= MOST_EPOCHS:
        raise InvalidInput(f"epoch is a whole number from 1 to {MOST_EPOCHS}, not {text[: direction.SHOWN]!r}.")
    return int(text)


def _name(text: str) -> str:
    name = text.lower()
    if name and not _NAME.fullmatch(name):
        raise InvalidInput("speaker_id has 1 to 63 letters a-z, digits, - or _, and begins with no - or _.")
    return name
