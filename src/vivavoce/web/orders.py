"""What the calls that queue a job share: keys for repeating a call, files that are kept for it, waiting for its end."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Job
from vivavoce.web.jobs import job_events, job_out
from vivavoce.web.services import Services
from vivavoce.web.streams import EVENTS, Flow, until_gone, wants_events

__all__ = ["Kept", "attends", "checked", "idempotency_key", "job_answer", "kept", "save"]

Ask = TypeVar("Ask", bound=BaseModel)
_MOST_WAIT = 600.0
_KEY = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_BLOCK = 1 << 20


def idempotency_key(request: Request) -> str | None:
    """The key by which a call can be repeated. Raises ``InvalidInput`` for a malformed one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput("Idempotency-Key must be 1 to 200 printable ASCII characters without spaces.")
    return key


def attends(request: Request) -> bool:
    """Whether somebody waits for the end of the job."""
    return wants_events(request) or _wait_seconds(request) > 0


async def job_answer(request: Request, services: Services, job: Job) -> Response:
    """The job's events where the client wants them; else the job.

    202 while it goes on, 200 when it has ended within the time that the client wants to wait.
    """
    if wants_events(request):
        patience = services.settings.limits.stalled_seconds
        return Flow(job_events(services, job), patience=patience, media_type=EVENTS, headers={"X-Job-ID": job.id})
    seconds = _wait_seconds(request)
    if seconds:
        job = await until_gone(request, services.ended(job.id, seconds))
    out = await job_out(services, job)
    headers = {"Location": f"/v1/jobs/{job.id}"} | ({"Preference-Applied": f"wait={seconds:g}"} if seconds else {})
    return JSONResponse(out.model_dump(), 200 if job.ended else 202, headers=headers)


def _wait_seconds(request: Request) -> float:
    """How long the client wants to wait (RFC 7240); 0 when it does not say."""
    match = re.search(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?:$|[,;\s])", request.headers.get("prefer", ""))
    return min(_MOST_WAIT, float(match[1])) if match else 0.0


def checked(model: type[Ask], fields: object) -> Ask:
    """The fields of a form or of a JSON body; what is wrong with them is answered 400."""
    try:
        return model.model_validate(fields)
    except ValidationError as e:
        raise RequestValidationError(e.errors()) from None


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that a client sent, kept until its job has ended; the empty one stands for no file."""

    id: str | None = None
    digest: str | None = None
    """SHA-256 of its bytes: tells whether a repeated call sends the same."""

    async def submitted(self, services: Services, kind: str, params: Mapping[str, Any], **order: Any) -> Job:
        """The job that it is for, queued (see ``Services.submit``); it is removed when it is not needed."""
        created = False
        try:
            job, created = await services.submit(kind, params, **order)
            return job
        finally:
            if not created and self.id is not None:
                await services.artifacts.remove(self.id)


async def kept(services: Services, upload: UploadFile | Path, suffix: str, check: Callable[[Path], object]) -> Kept:
    """Keep an upload until its job has ended, or a copy of a file that a client sent before.

    Raises what ``check``, called in a thread, says is wrong with it.
    """
    name = services.artifacts.new_id()
    part = services.artifacts.part(name, suffix)
    try:
        if isinstance(upload, Path):
            digest = await asyncio.to_thread(_copied, upload, part)
        else:
            digest = await asyncio.to_thread(save, upload, part)
        await asyncio.to_thread(check, part)
        await services.artifacts.publish(part, name, suffix)
    finally:
        part.unlink(missing_ok=True)
    return Kept(name, digest)


def save(upload: UploadFile, part: Path) -> str:
    """Write an upload to a file; returns its SHA-256."""
    return _written(upload.file, part)


def _copied(source: Path, part: Path) -> str:
    with source.open("rb") as file:
        return _written(file, part)


def _written(source: BinaryIO, part: Path) -> str:
    digest = sha256()
    with part.open("wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
