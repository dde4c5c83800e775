"""Family D: films by the names of its document (``/video_generation``), conversation (``/chat_system``), and the films.

Its models stand for face engines, and a trained model is an avatar. Where one that is named is not here, what is here
stands in if the operator allows it, and ``message`` says so.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from vivavoce.errors import InvalidInput, NotFound, VivavoceError
from vivavoce.nouns import Avatar
from vivavoce.registry import Registry
from vivavoce.store.voices import StoredVoice
from vivavoce.studio.chatting import Asked
from vivavoce.studio.ledger import Order
from vivavoce.studio.scene import Scene
from vivavoce.studio.shooting import Filmed, Step
from vivavoce.text.guess import guess_language
from vivavoce.web import direction
from vivavoce.web.audio import taken
from vivavoce.web.chat import whole
from vivavoce.web.paths import path_name
from vivavoce.web.progressive import film_response
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import until_gone
from vivavoce.web.studio import Refusal, film_path, only, refusals

__all__ = ["router"]

router = APIRouter(tags=["Studio"])

_TEXT_ONLY = "ernerf"
"""Needs a text: it never speaks a recording."""
_ROOTS = ("models", "static/models", "avatars", "static/avatars", "data/avatars")
_NO_MODEL = "There is no such model; give its name, or its path below models/."

ModelName = Annotated[str, Form(description="`SyncTalk`, `ER-NeRF`, or a face engine of this server such as `photo`")]
ModelParam = Annotated[
    str, Form(description="A trained model, which is an avatar: its name, or a path below `models/`")
]
VoiceId = Annotated[str, Form(description="A voice that was enrolled (`/audio_clone`), or `engine/id`")]


class Generated(BaseModel):
    """A film was made."""

    status: Literal["success"] = "success"
    video_path: str = Field(examples=["/static/videos/20261121_101500_000000_0_5f0c9a3be1d27784.mp4"])
    message: str = Field(examples=["视频生成成功"], description="And what stood in for what was not here")
    duration: float = Field(description="Seconds", examples=[3.52])
    job_id: str


class Replied(BaseModel):
    """A recording was answered."""

    status: Literal["success"] = "success"
    response: str = Field(description="What the chat model answered")
    message: str = Field(examples=["对话生成成功"], description="And what stood in for what was not here")
    video_path: str
    text: str = Field(description="What was heard")
    session_id: str = Field(description="Send it with the next recording, and the answer remembers this one")
    job_id: str


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who speaks, and what had to stand in."""

    avatar: Avatar
    engine: str
    voice: str
    stored: StoredVoice | None
    notes: tuple[str, ...]


_FAILS = refusals(
    _400="A field is missing, or cannot be used; the sentence says what is allowed",
    _404="No such model or voice",
    _413="Text or recording over the limit",
    _429="Too much is under way; try again after `Retry-After` seconds",
    _503="An engine, a graphics card or a chat model is not here; the sentence says what to do",
)


@router.post(
    "/video_generation",
    responses=_FAILS,
    dependencies=[only("model_name", "model_param", "ref_audio_id", "gpu_choice", "target_text")],
)
async def video_generation(
    request: Request,
    services: Use,
    model_name: ModelName,
    model_param: ModelParam,
    ref_audio_id: VoiceId,
    gpu_choice: Annotated[str, Form(description="`GPU0`, `GPU1` or `CPU`")],
    target_text: Annotated[
        str, Form(description="What is said; empty (not with ER-NeRF): the reference recording itself")
    ] = "",
) -> Generated:
    """Film a text in an enrolled voice. It waits for the film; `/v1/videos` tells how far it is."""
    owner = owner_of(request)
    cast = await asyncio.to_thread(_cast, services, owner, model_name, model_param, ref_audio_id, gpu_choice)
    text = target_text.strip()
    recording = None if text else _reference(cast)
    scene = _scene(services, cast, text, owner)
    await services.ready()
    noted = {
        "model_name": model_name,
        "model_param": model_param,
        "ref_audio_id": ref_audio_id,
        "gpu_choice": gpu_choice,
        "target_text": target_text,
        "avatar": cast.avatar.name,
    }
    order = Order(owner)
    steps = services.studio.shoot(scene, [text], order, kind="video_generation", recording=recording, noted=noted)
    async with aclosing(steps):
        film = await until_gone(request, _film(steps))
    return Generated(
        video_path=film_path(film.id),
        message=direction.message("视频生成成功", cast.notes),
        duration=film.seconds,
        job_id=order.id,
    )


@router.post(
    "/chat_system",
    responses=_FAILS,
    dependencies=[only("audio", "model_name", "model_param", "ref_audio_id", "api_choice", "session_id")],
)
async def chat_system(
    request: Request,
    services: Use,
    audio: Annotated[UploadFile, File(description="A recording of what is said; browsers send WebM under any name")],
    model_name: ModelName,
    model_param: ModelParam,
    ref_audio_id: VoiceId,
    api_choice: Annotated[str, Form(description="`glm-4-plus`, or another chat model of `GET /v1/chat`")],
    session_id: Annotated[str, Form(description="Names a conversation, so that its turns remember each other")] = "",
) -> Replied:
    """Hear a recording, have a chat model answer it, and film the answer in an enrolled voice.

    The answer is spoken sentence by sentence while the model writes; `/v1/chat` lets you play it meanwhile.
    """
    owner = owner_of(request)
    fallback = services.settings.defaults.fallback
    cast = await asyncio.to_thread(_cast, services, owner, model_name, model_param, ref_audio_id, "CPU")
    choice = direction.given(api_choice, "api_choice")
    model = await asyncio.to_thread(services.replies.choose, choice, fallback=fallback)
    session = session_id.strip()
    if session:
        await asyncio.to_thread(services.talks.get, owner, session)  # refuses a malformed one
    scene = _scene(services, cast, "", owner)
    await services.ready()
    notes = (*cast.notes, model.note) if model.note else cast.notes
    order = Order(owner)
    async with taken(services, request, audio) as recording:
        more = {"session": session} if session else {}
        asked = Asked(scene, model, "", recording, services.hearing.ear(None), **more)
        noted = {
            "model_name": model_name,
            "model_param": model_param,
            "ref_audio_id": ref_audio_id,
            "api_choice": api_choice,
            "session_id": asked.session,
        }
        steps = services.chatting.turn(asked, order, kind="chat_system", noted=noted)
        async with aclosing(steps):
            heard, answered = await until_gone(request, whole(steps))
    return Replied(
        response=answered.response.strip(),
        message=direction.message("对话生成成功", notes),
        video_path=film_path(answered.id),
        text=heard.text,
        session_id=asked.session,
        job_id=order.id,
    )


# ---- who speaks


def _cast(services: Services, owner: str, model_name: str, model_param: str, ref_audio_id: str, card: str) -> _Cast:
    """Everything that the fields name, or what may stand in for it. Looks at the disk.

    Raises ``InvalidInput``, ``NotFound``, and ``EngineUnavailable`` where nothing may stand in.
    """
    title, engine = direction.model(model_name, "model_name")
    number = direction.card(card)
    avatar = _avatar(services, model_param)
    voice, stored = _voice(services, owner, ref_audio_id)
    notes = []
    if avatar.engine != engine:
        notes.append(
            f"{title} is not installed here"
            if not direction.installed(engine)
            else f"{avatar.name} was not made by {title}"
        )
        notes[-1] += f": {avatar.name} is played by {avatar.engine}"
    notes.append(direction.card_note(services, number))
    return _Cast(avatar, engine, voice, stored, direction.stand_ins(services, notes))


def _avatar(services: Services, asked: str) -> Avatar:
    """The avatar that a name or a path stands for. One answer for all that there is not."""
    direction.given(asked, "model_param")
    folder = str(services.settings.studio().avatars)
    name = path_name(asked, (*_ROOTS, folder))
    try:
        if name is not None:
            return services.avatars.get(name)
    except NotFound:
        pass
    raise NotFound(_NO_MODEL)


def _voice(services: Services, owner: str, asked: str) -> tuple[str, StoredVoice | None]:
    """The voice as the stager takes it, and what was enrolled where it is a clone."""
    name = direction.given(asked, "ref_audio_id")
    engine, slash, _ = name.partition("/")
    if slash and engine in Registry().names("voice"):
        return name, None
    stored = services.voices.get(owner, name.removeprefix("clone/"))
    return f"clone/{stored.id}", stored


def _reference(cast: _Cast) -> Path:
    """The recording that is spoken where there is no text."""
    if cast.engine == _TEXT_ONLY:
        raise InvalidInput("target_text is required with ER-NeRF; send what is to be said.")
    if cast.stored is None:
        raise InvalidInput(
            "target_text is required with a voice of which there is no recording; send what is to be said."
        )
    return cast.stored.recordings[0]


def _scene(services: Services, cast: _Cast, text: str, owner: str) -> Scene:
    own = cast.stored.language if cast.stored else ""
    default = own or services.settings.defaults.language
    return services.stager.scene(
        text,
        language=guess_language(text, default) if text else default,
        voice=cast.voice,
        avatar=cast.avatar.name,
        recorded=not text,
        owner=owner,
    )


async def _film(steps: AsyncGenerator[Step]) -> Filmed:
    films = [step async for step in steps if isinstance(step, Filmed)]
    if not films:
        raise VivavoceError("The work ended without a film.")
    return films[-1]


# ---- films

_FILM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {}}},
    404: {"model": Refusal, "description": "No such film, or no more"},
}


@router.get("/static/videos/{file}", response_class=FileResponse, responses=_FILM)
@router.head("/static/videos/{file}", include_in_schema=False)
async def film(file: str, request: Request, services: Use) -> Response:
    """A film of this family: whole, in ranges, and while it is made."""
    return await _shown(file, request, services)


@router.get(
    "/video/static/videos/{file}",
    response_class=FileResponse,
    responses=_FILM,
)
@router.head("/video/static/videos/{file}", include_in_schema=False)
async def film_by_path(file: str, request: Request, services: Use) -> Response:
    """The same under the address that a client makes of `video_path`."""
    return await _shown(file, request, services)


async def _shown(file: str, request: Request, services: Services) -> Response:
    if not file.endswith(".mp4"):
        raise NotFound("There is no such film.")
    patience = services.settings.limits.stalled_seconds
    id_ = file.removesuffix(".mp4")
    return await film_response(request, id_, services.films, services.artifacts, patience=patience)
