"""``/v1/workers``: the door for workers on other machines. Closed (404) unless the operator has set a token."""

import asyncio
import hmac
import zipfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from vivavoce.errors import InvalidInput, NotFound, TooLarge
from vivavoce.nouns import JobState
from vivavoce.store.remote import plain_job
from vivavoce.studio.scene import builtin_avatars
from vivavoce.studio.service import REMOTE
from vivavoce.web.media import media_response
from vivavoce.web.services import Services, Use

__all__ = ["router"]

_MOST_WAIT = 30.0


class Refused(NotFound):
    """The token is wrong."""

    status, code = 401, "unauthorized"


def _admitted(request: Request, services: Use) -> None:
    """Only who knows the token. Without one there is no such door."""
    token = services.settings.work.token.get_secret_value()
    if not token:
        raise NotFound("There is nothing at this address.")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode("latin-1", "replace"), token.encode()):
        raise Refused("A worker's token is needed: start it with --token, the server's VIVAVOCE_WORK__TOKEN.")


router = APIRouter(prefix="/v1/workers", dependencies=[Depends(_admitted)], include_in_schema=False)


class _Call(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Claim(_Call):
    """A worker wants a job."""

    worker: str = Field(min_length=1, max_length=200)
    kinds: list[str] = Field(max_length=20)
    wait: float = Field(0.0, ge=0, le=_MOST_WAIT)


class Beating(_Call):
    """A worker is alive, and holds these jobs under these leases."""

    worker: str = Field(min_length=1, max_length=200)
    leases: dict[str, str] = Field(max_length=1000)


class Report(_Call):
    """Something happened to a job."""

    lease: str
    type: str = Field(max_length=40)
    data: dict[str, Any]
    progress: float | None = None
    stage: str | None = Field(None, max_length=40)


class Finish(_Call):
    """A job has ended."""

    lease: str
    state: JobState
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    timings: dict[str, float] | None = None


class Release(_Call):
    """A job goes back to the queue."""

    lease: str


@router.post("/claim")
async def claim(call: Claim, services: Use) -> Response:
    """A job, as soon as there is one; 204 when there was none for as long as the worker wants to wait."""
    kinds = [kind for kind in call.kinds if kind in REMOTE]
    job = await services.claim(call.worker, kinds, call.wait)
    return Response(status_code=204) if job is None else JSONResponse(plain_job(job))


@router.post("/beat")
async def beat(call: Beating, services: Use) -> Response:
    """Keeps the leases alive."""
    heard = await services.jobs.beat(call.worker, call.leases)
    return JSONResponse({"lost": sorted(heard.lost), "cancelled": sorted(heard.cancelled)})


@router.post("/jobs/{id}/report")
async def report(id: str, call: Report, services: Use) -> Response:  # noqa: A002
    """Appends an event to a job."""
    event = await services.jobs.report(id, call.lease, call.type, call.data, progress=call.progress, stage=call.stage)
    return JSONResponse({"seq": event.seq, "time": event.time})


@router.post("/jobs/{id}/finish")
async def finish(id: str, call: Finish, services: Use) -> Response:  # noqa: A002
    """Ends a job; one winner."""
    job = await services.jobs.finish(
        id, call.lease, call.state, result=call.result, error=call.error, timings=call.timings
    )
    await services.upkeep.settle(await services.jobs.get(id))
    return JSONResponse({"kind": job.kind, "state": job.state})


@router.post("/jobs/{id}/release")
async def release(id: str, call: Release, services: Use) -> Response:  # noqa: A002
    """Gives a job back."""
    await services.jobs.release(id, call.lease)
    return JSONResponse({})


@router.put("/artifacts/{file}")
async def put(file: str, request: Request, services: Use) -> Response:
    """Publishes a result."""
    name, suffix = _split(file)
    part = services.artifacts.part(name, suffix)
    taken, most = 0, services.settings.limits.upload_bytes
    try:
        with await asyncio.to_thread(part.open, "wb") as target:
            async for block in request.stream():
                taken += len(block)
                if taken > most:
                    raise TooLarge(f"A result may have {most} bytes.")
                await asyncio.to_thread(target.write, block)
        if taken != int(request.headers.get("content-length", "-1")):
            raise InvalidInput("The body was cut off.")
        await services.artifacts.publish(part, name, suffix)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
    return JSONResponse({"bytes": taken})


@router.get("/artifacts/{file}")
@router.head("/artifacts/{file}")
async def get(file: str, services: Use) -> Response:
    """What a client sent, or a result."""
    name, suffix = _split(file)
    return await media_response(await services.artifacts.find(name, suffix))


@router.post("/artifacts/{id}/remove")
async def remove(id: str, services: Use) -> Response:  # noqa: A002
    """Removes what a job had published before it was cancelled."""
    return JSONResponse({"removed": await services.artifacts.remove(id, even_if_read=True)})


@router.head("/avatars/{name}")
async def avatar_version(name: str, services: Use) -> Response:
    """The version of an avatar; a built-in one has none, and is everywhere."""
    return Response(headers=_version(services, name))


@router.get("/avatars/{name}")
async def avatar(name: str, services: Use) -> Response:
    """An avatar's folder, packed."""
    version = _version(services, name)
    packed = services.artifacts.part(services.artifacts.new_id(), ".zip")
    await asyncio.to_thread(_pack, services.avatars.get(name).path, packed)
    gone = BackgroundTask(packed.unlink, missing_ok=True)
    return FileResponse(packed, media_type="application/zip", headers=version, background=gone)


def _version(services: Services, name: str) -> dict[str, str]:
    found = services.avatars.get(name)
    if found.path.is_relative_to(builtin_avatars()):
        return {}
    return {"ETag": f'"{(found.path / "avatar.json").stat().st_mtime_ns:x}"'}


def _pack(folder: Path, packed: Path) -> None:
    with zipfile.ZipFile(packed, "w") as archive:  # what lies there is compressed already
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.is_symlink():
                archive.write(path, path.name)


def _split(file: str) -> tuple[str, str]:
    name, dot, suffix = file.partition(".")
    return name, dot + suffix
