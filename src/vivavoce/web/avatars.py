"""``/v1/avatars``: who can be seen here, and how somebody new becomes one of them.

Avatars belong to the server, not to a key: whoever may call it sees, uses and removes all that were made here.
"""

import asyncio
from base64 import b64encode
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import FileResponse, Response

from vivavoce.errors import Conflict, InvalidInput, NotFound, TooLarge, UnsupportedMedia
from vivavoce.face.given import mesh_from_json
from vivavoce.media import video
from vivavoce.media.kinds import kind_of
from vivavoce.media.picture import picture_size
from vivavoce.nouns import Job, JobState
from vivavoce.registry import Registry
from vivavoce.studio.ledger import BATCH, LIVE, Order
from vivavoce.studio.service import SOURCE
from vivavoce.studio.sizes import canvas_of
from vivavoce.studio.tuition import TRAINING
from vivavoce.web.avatar_views import AvatarAsk, AvatarFacts, AvatarOut, AvatarsOut, CheckOut
from vivavoce.web.dialects import Problem
from vivavoce.web.media import media_response
from vivavoce.web.orders import attends, checked, idempotency_key, job_answer, kept, save
from vivavoce.web.roster import RESOLUTIONS, size_of
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, until_gone
from vivavoce.web.views import JobOut, avatar_urls

__all__ = ["MOST_SECONDS", "MOST_VIDEO_PIXELS", "check_free", "check_video", "router"]

router = APIRouter(prefix="/v1/avatars", tags=["Native"])

MOST_SECONDS, MOST_VIDEO_PIXELS = 600.0, 3840 * 2160
"""As ``face.preflight`` has them; what loads OpenCV is for workers."""
_FORMATS = "send a JPEG, PNG or WebP, or a video: MP4, MOV, WebM or MKV"
_WAITING: tuple[JobState, ...] = ("queued", "running")
_MAKING = ("prepare", TRAINING)
_PAGE = 200


_FILE = {
    "type": "string",
    "format": "binary",
    "description": "A photo of one face, seen from the front (JPEG, PNG, WebP), or a video of one person (MP4, MOV, "
    "WebM, MKV)",
}


def _form(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"file": _FILE, **properties}, "required": ["file", *required]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _problems(**words: str) -> dict[int | str, dict[str, Any]]:
    return {int(status[1:]): {"model": Problem, "description": text} for status, text in words.items()}


_NONE = _problems(_404="No such avatar")
_IDLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {}}},
    **_problems(_400="No size that films have here"),
}
_UNREADABLE = {
    "_400": "A field or the file cannot be used; the sentence says what is allowed",
    "_413": "Too many bytes, pixels or characters",
    "_415": "No picture or video that is read here",
    "_429": "Too much is under way; try again after `Retry-After` seconds",
}


@router.get("")
@router.head("", include_in_schema=False)
async def avatars(services: Use) -> AvatarsOut:
    """The avatars, the default one marked. They are shared by all who may call this server."""
    return AvatarsOut(avatars=await asyncio.to_thread(_all, services))


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    openapi_extra=_form(AvatarAsk.model_json_schema()["properties"], ["name"]),
    responses={
        200: {
            "description": "With `Prefer: wait` the job that has ended; with `Accept: text/event-stream` its events",
            "model": JobOut,
            "content": {EVENTS: {"schema": {"type": "string"}}},
        },
        202: {"description": "The job; `Location` is its address", "model": JobOut},
        **_problems(**_UNREADABLE, _409="There is an avatar of that name, or the Idempotency-Key was used otherwise"),
    },
)
async def create_avatar(request: Request, services: Use) -> Response:
    """Make an avatar of a photo or of a video of a person.

    The answer is the job (202) at once; a photo takes a second or two, a video about twice its length. Its result has
    `name`, `warnings`, `report`, `poster_url` and `idle_url`; a face that cannot be animated fails it with
    `face-rejected` and a sentence. `Idempotency-Key`, `Prefer: wait=30`, `Accept: text/event-stream` and `webhook` work
    as with `/v1/videos`. Ask `/v1/avatars/check` first to see what would be better. The avatar is shared by all who
    may call this server.
    """
    form = await _read(request)
    upload = _file(form)
    ask = checked(AvatarAsk, {name: value for name, value in form.items() if isinstance(value, str) and name != "file"})
    key, owner = idempotency_key(request), owner_of(request)
    try:
        await check_free(services, ask.name)
    except Conflict:  # unless it was this very call that took it
        if key is None or await services.jobs.with_key(key, owner=owner) is None:
            raise
    engine = _engine(services, ask.engine)
    if ask.webhook is not None:
        await services.webhooks.check_url(ask.webhook)
    await services.ready()
    check = partial(_check, max_pixels=services.settings.limits.picture_pixels, landmarks=ask.landmarks)
    source = await kept(services, upload, SOURCE, check)
    job = await source.submitted(
        services,
        "prepare",
        {
            "name": ask.name,
            "face_engine": engine,
            "source": source.id,
            "digest": source.digest,
            "landmarks": ask.landmarks,
        },
        owner=owner,
        key=key,
        webhook=ask.webhook,
        priority=LIVE if attends(request) else BATCH,
    )
    return await job_answer(request, services, job)


@router.post(
    "/check",
    openapi_extra=_form({}, []),
    responses=_problems(**_UNREADABLE, _503="The nets that find faces cannot be had"),
)
async def check_avatar(request: Request, services: Use) -> CheckOut:
    """Look at a photo or a video before an avatar is made of it.

    What is good, what would be better otherwise, what rules it out, each with advice; and of a photo the points found
    on the face, which can be corrected and sent with `POST /v1/avatars`. Nothing of the file is kept.
    """
    upload = _file(await _read(request))
    await services.ready()
    part = services.artifacts.part(services.artifacts.new_id(), SOURCE)
    try:
        await asyncio.to_thread(save, upload, part)
        await asyncio.to_thread(_check, part, max_pixels=services.settings.limits.picture_pixels, judge=False)
        seen = await until_gone(request, services.studio.check(part, Order(owner_of(request))))
    finally:
        part.unlink(missing_ok=True)
    picture = seen["preview"]
    preview = None if picture is None else f"data:image/jpeg;base64,{b64encode(picture).decode()}"
    return CheckOut.model_validate({**seen, "preview": preview})


@router.get("/{name}", responses=_NONE)
@router.head("/{name}", include_in_schema=False)
async def avatar(name: str, services: Use) -> AvatarFacts:
    """What is known of an avatar."""
    return await asyncio.to_thread(_facts, services, name)


@router.delete(
    "/{name}",
    status_code=204,
    response_description="It is gone",
    responses=_NONE | _problems(_400="It is part of the program", _409="It is the default avatar of this server"),
)
async def remove(name: str, services: Use) -> None:
    """Remove an avatar that was made here, for everybody. Films that are under way end, or fail with a sentence."""
    wanted = name.strip().lower()
    if wanted == services.settings.defaults.avatar and not _is_builtin(services, services.avatars.get(wanted).path):
        raise Conflict(
            f"{wanted} is the default avatar of this server; set VIVAVOCE_DEFAULTS__AVATAR to another one first."
        )
    await asyncio.to_thread(services.avatars.remove, wanted)


@router.get("/{name}/idle", response_class=FileResponse, responses={**_NONE, **_IDLE})
@router.head("/{name}/idle", include_in_schema=False)
async def idle(
    name: str,
    services: Use,
    resolution: Annotated[
        str | None, Query(max_length=40, description="`720p`, `480p`, `360p`, `1080p` or `512x512`")
    ] = None,
) -> Response:
    """The avatar listening: a silent film of eight seconds that loops without a jump."""
    canvas = services.settings.studio().canvas
    if resolution is not None:
        canvas = canvas_of(resolution, canvas.fps)
    await services.ready()
    film = await services.studio.idle(services.avatars.get(name), canvas)
    return await media_response(await services.artifacts.find(film, ".mp4"), changes=True)


# ---- what there is


def _all(services: Services) -> list[AvatarOut]:
    found = []
    for name in services.avatars.names():
        with suppress(NotFound):  # a damaged one must not hide the others
            found.append(AvatarOut.model_validate(_about(services, name)))
    return found


def _facts(services: Services, name: str) -> AvatarFacts:
    found = services.avatars.get(name)
    facts = services.avatars.facts(found.name)
    shapes = {resolution: size_of(found, resolution) for resolution in RESOLUTIONS}
    known = {field: facts.get(field) for field in AvatarFacts.model_fields if field in facts}
    return AvatarFacts.model_validate({**known, **_about(services, found.name), "resolutions": shapes})


def _about(services: Services, name: str) -> dict[str, Any]:
    found = services.avatars.get(name)
    urls = avatar_urls(found.name)
    return {
        "name": found.name,
        "engine": found.engine,
        "kind": str(services.avatars.facts(found.name).get("kind", "picture")),
        "builtin": _is_builtin(services, found.path),
        "default": found.name == services.settings.defaults.avatar,
        "warnings": list(found.warnings),
        "poster": urls["poster_url"],
        **urls,
    }


def _is_builtin(services: Services, folder: Path) -> bool:
    return folder.parent != services.settings.studio().avatars


# ---- what was sent


async def _read(request: Request) -> FormData:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidInput("Send the file as multipart/form-data, in the field file.")
    return await request.form(max_files=1, max_fields=10)


def _file(form: FormData) -> UploadFile:
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise InvalidInput("The field file is missing; send a photo of one face, or a video of one person, in it.")
    return upload


def _check(path: Path, *, max_pixels: float, landmarks: str | None = None, judge: bool = True) -> None:
    """Refuse what the first bytes tell, and with ``judge`` what the header tells; called in a thread."""
    kind = kind_of(path)
    if kind == "unknown":
        if not path.stat().st_size:
            raise InvalidInput(f"The file is empty; {_FORMATS}.")
        raise UnsupportedMedia(f"This is no picture that can be read here; {_FORMATS}.")
    if kind == "picture":
        size = picture_size(path, max_pixels=max_pixels)
        if landmarks is not None:
            mesh_from_json(landmarks, size)
        return
    if landmarks is not None:
        raise InvalidInput("Landmarks belong to a picture; the face in a video is found by itself.")
    if judge:
        check_video(video.probe(path))


def check_video(about: video.Probe, most_seconds: float = MOST_SECONDS) -> None:
    """Refuse what the header of a video tells. Raises ``TooLarge``."""
    if about.seconds > most_seconds:
        raise TooLarge(f"The video lasts {about.seconds:.0f} s; at most {most_seconds:.0f} s are allowed.")
    if about.width * about.height > MOST_VIDEO_PIXELS:
        raise TooLarge(f"The video has {about.width}x{about.height} pixels; at most 3840x2160 are allowed.")


def _engine(services: Services, name: str | None) -> str:
    installed = Registry().names("face")
    engine = name or services.settings.defaults.face_engine
    if engine not in installed:
        raise InvalidInput(f"There is no face engine {engine!r}; installed: {', '.join(installed)}.")
    return engine


async def check_free(services: Services, name: str, *, trained: bool = False) -> None:
    """Refuse a name that is taken, or will be when a job has ended; with ``trained``, that of a trained one is free.

    Raises ``Conflict``.
    """
    if name in await asyncio.to_thread(services.avatars.names) and not (trained and _is_trained(services, name)):
        raise Conflict(f"There is an avatar {name!r} already; remove it first or choose another name.")
    for state in _WAITING:
        if any(job.params.get("name") == name for job in await _preparing(services, state)):
            raise Conflict(f"An avatar {name!r} is being made; choose another name, or cancel its job first.")


def _is_trained(services: Services, name: str) -> bool:
    try:
        return "trained" in services.avatars.facts(name)
    except NotFound:
        return False


async def _preparing(services: Services, state: JobState) -> list[Job]:
    jobs, total = await services.jobs.list(kind=_MAKING, state=state, limit=_PAGE)
    while len(jobs) < total:
        more, total = await services.jobs.list(kind=_MAKING, state=state, limit=_PAGE, offset=len(jobs))
        if not more:
            break
        jobs += more
    return jobs
