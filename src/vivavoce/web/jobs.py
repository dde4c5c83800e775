"""``/v1/jobs``: what was asked for, how far it is, and what came of it; and ``/v1/media``, where results lie."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from vivavoce.errors import InvalidInput, NotFound, VivavoceError
from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.studio.tuition import TRAINING
from vivavoce.web.dialects import Problem
from vivavoce.web.media import MEDIA, media_response
from vivavoce.web.progressive import film_response
from vivavoce.web.services import Services, Use, owner_of
from vivavoce.web.streams import EVENTS, Flow, event
from vivavoce.web.views import JobOut, event_view, job_view

__all__ = ["job_events", "job_out", "router"]

router = APIRouter(prefix="/v1", tags=["Native"])
_log = structlog.get_logger(__name__)

_Kinds = list[Annotated[str, Field(max_length=40)]] | None
_ALIVE_SECONDS = 15.0
"""A comment goes out when nothing else did: proxies close what is silent."""
_NO_JOB: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such job, or not yours"}}


class JobsOut(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobOut]
    total_count: int = Field(description="Jobs that fit the query, on all pages")


async def job_out(services: Services, job: Job) -> JobOut:
    """A job as its owner sees it."""
    position, begun, lesson = None, None, None
    if job.state == "queued":
        position = await services.jobs.position(job.id)
    elif job.state == "running" and job.kind == "video":
        sounds = [e for e in await services.jobs.events(job.id) if e.type == "sound"]
        begun = sounds[-1].data if sounds else None
    elif job.state == "running" and job.kind == TRAINING:
        last = await services.jobs.latest(job.id, "progress")
        lesson = last.data if last else None
    retention = services.settings.retention_seconds
    return job_view(job, retention=retention, position=position, begun=begun, lesson=lesson)


@router.get("/jobs")
@router.head("/jobs", include_in_schema=False)
async def jobs(
    request: Request,
    services: Use,
    kind: Annotated[
        _Kinds, Query(description="`video`, `chunks`, `prepare`, …; given several times, any of them", max_length=20)
    ] = None,
    without: Annotated[_Kinds, Query(description="Kinds that are left out", max_length=20)] = None,
    state: Annotated[JobState | None, Query(description="Only those in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs on the page")] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="Jobs before the page")] = 0,
) -> JobsOut:
    """Your jobs, newest first."""
    found, total = await services.jobs.list(
        owner=owner_of(request), kind=kind, without=without or (), state=state, limit=limit, offset=offset
    )
    return JobsOut(jobs=[await job_out(services, job) for job in found], total_count=total)


@router.get("/jobs/{id}", responses=_NO_JOB)
@router.head("/jobs/{id}", include_in_schema=False)
async def job(id: str, request: Request, services: Use) -> JobOut:  # noqa: A002 - the field's own word
    """A job: its state, how far it is, its result or its error."""
    return await job_out(services, await services.jobs.get(id, owner=owner_of(request)))


@router.delete(
    "/jobs/{id}",
    responses=_NO_JOB | {409: {"model": Problem, "description": "The job has ended already"}},
)
async def cancel(id: str, request: Request, services: Use) -> JobOut:  # noqa: A002
    """Cancel a job that waits or runs. Its worker is free within a second, and nothing of it is left."""
    return await job_out(services, await services.cancel(id, owner=owner_of(request)))


@router.delete(
    "/jobs/{id}/record",
    status_code=204,
    response_description="It is gone, and what was made",
    responses=_NO_JOB
    | {409: {"model": Problem, "description": "It has not ended, or its webhook is still being sent"}},
)
async def forget(id: str, request: Request, services: Use) -> None:  # noqa: A002
    """Remove a job that has ended from your history, with its results: what was asked for, its films and sounds."""
    job, happened = await services.jobs.remove(id, owner=owner_of(request))
    for artifact in _made(job, happened):
        try:
            await services.artifacts.remove(artifact, even_if_read=True)
        except VivavoceError as e:  # a bucket out of reach: it goes with age, and nobody is told its address any more
            _log.warning("a result was not removed", job=job.id, reason=str(e))


def _made(job: Job, happened: Iterable[JobEvent]) -> set[str]:
    """Ids of the results that are the job's own; the film of an avatar at rest is everybody's."""
    ids = {str(e.data["id"]) for e in happened if e.type in ("sound", "film", "voice")}
    ids |= {str(e.data["preview"]) for e in happened if e.data.get("preview")}
    if job.kind != "idle":
        ids |= {str(value) for name, value in (job.result or {}).items() if name in ("film", "id")}
    return ids


@router.get(
    "/jobs/{id}/events",
    response_class=Response,
    responses=_NO_JOB
    | {
        200: {"content": {EVENTS: {"schema": {"type": "string"}}}, "description": "Events, from the first or the given"}
    },
)
async def events(
    id: str,  # noqa: A002
    request: Request,
    services: Use,
    last_event_id: Annotated[str | None, Header(description="Resume behind this event")] = None,
    after: Annotated[int, Query(ge=0, description="The same, for clients that cannot set the header")] = 0,
) -> Response:
    """What happens to a job, as server-sent events, until it ends.

    `state` (`queued`, `running`, and at the end `succeeded` with `result`, `failed` with `error`, `cancelled`),
    `progress`, `sound` (a film's addresses: it plays while it is made), `film` (it is whole). Each has an id; send the
    last one as `Last-Event-ID` to go on from there.
    """
    if last_event_id is not None:
        if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16):
            raise InvalidInput("Last-Event-ID must be the id of an event: a whole number.")
        after = int(last_event_id)
    found = await services.jobs.get(id, owner=owner_of(request))
    patience = services.settings.limits.stalled_seconds
    return Flow(job_events(services, found, after), patience=patience, media_type=EVENTS)


async def job_events(services: Services, job: Job, after: int = 0) -> AsyncGenerator[bytes]:
    """The job's events behind number ``after`` as server-sent events, until it has ended."""
    while True:
        try:
            ended = (await services.jobs.get(job.id)).ended
        except NotFound:  # forgotten meanwhile
            return
        batch = await services.jobs.events(job.id, after=after)
        for happened in batch:
            yield event(happened.type, event_view(happened, job.kind), id=happened.seq)
            after = happened.seq
            if happened.type == "state" and happened.data.get("state") in ("succeeded", "failed", "cancelled"):
                return
        if batch:  # there may be more
            continue
        if ended:
            return
        with suppress(NotFound):
            if not await services.jobs.changed(job.id, after, _ALIVE_SECONDS):
                yield b": alive\n\n"


@router.get(
    "/media/{file}",
    response_class=FileResponse,
    responses={
        200: {"content": {kind: {} for kind in ("video/mp4", "audio/wav", "text/vtt")}},
        404: {"model": Problem, "description": "No such result, or no more"},
    },
)
@router.head("/media/{file}", include_in_schema=False)
async def media(file: str, request: Request, services: Use) -> Response:
    """A result. A film that is still being made plays as far as it is, and goes on; afterwards it is a plain file."""
    id_, dot, suffix = file.partition(".")
    if f"{dot}{suffix}" not in MEDIA:
        raise NotFound("There is no such result; it may have been removed since, ask for it again.")
    if suffix == "mp4":
        patience = services.settings.limits.stalled_seconds
        return await film_response(request, id_, services.films, services.artifacts, patience=patience)
    return await media_response(await services.artifacts.find(id_, dot + suffix))
