"""Jobs as clients see them: addresses in place of ids, times in ISO 8601, never a lease or an owner."""

from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from pydantic import BaseModel, Field

from vivavoce.nouns import Job, JobEvent, JobState
from vivavoce.studio.tuition import TRAINING

__all__ = ["PRIVATE", "JobOut", "PieceOut", "avatar_urls", "event_view", "job_view", "media_url"]


class PieceOut(BaseModel):
    """A film and its sound."""

    index: int = 0
    text: str = ""
    video_url: str = Field(examples=["/v1/media/20261121_101500_000000_0_5f0c9a3be1d27784.mp4"])
    audio_url: str = Field(examples=["/v1/media/20261121_101500_000000_0_5f0c9a3be1d27784.wav"])
    duration: float = Field(description="Seconds", examples=[3.52])


class JobFault(BaseModel):
    """Why a job failed."""

    code: str = Field(examples=["face-rejected"])
    message: str


class TrainingOut(BaseModel):
    """How far a training is."""

    epoch: int = Field(examples=[12])
    epochs: int = Field(description="0 in a stage without epochs", examples=[100])
    loss: float | None = Field(None, examples=[0.0417])
    remaining: float | None = Field(None, description="Seconds that are left at the present pace", examples=[310.5])
    preview_url: str | None = Field(None, description="What it looks like by now, a JPEG")


class JobOut(BaseModel):
    """A job."""

    id: str = Field(examples=["0f9d3c5e8b7a4f7e9a43b1a7c2d6e5f4"])
    kind: str = Field(examples=["video"])
    state: JobState
    progress: float = Field(description="0 to 1", examples=[0.4])
    stage: str = Field(examples=["face"])
    position: int | None = Field(
        description="Jobs ahead of it while it is queued; null when it is not", examples=[None]
    )
    attempt: int = Field(examples=[1])
    priority: int = Field(examples=[0])
    created: str = Field(examples=["2026-11-21T10:15:00.000Z"])
    started: str | None = None
    finished: str | None = None
    expires: str | None = Field(None, description="When its results are removed")
    timings: dict[str, float] = Field(description="Seconds of each stage", examples=[{"voice": 0.1, "face": 0.6}])
    params: dict[str, Any] = Field(description="What was asked for")
    result: dict[str, Any] | None = Field(
        description="Of a video: `video_url`, `audio_url`, `captions_url` (VTT), `subtitles_url` (SRT), `duration`",
    )
    training: TrainingOut | None = Field(None, description="Of a training that runs")
    error: JobFault | None = None
    events_url: str = Field(examples=["/v1/jobs/0f9d3c5e8b7a4f7e9a43b1a7c2d6e5f4/events"])


def media_url(id: str, suffix: str) -> str:  # noqa: A002  the store's own word
    """The address of a result."""
    return f"/v1/media/{id}{suffix}"


def avatar_urls(name: str) -> dict[str, str]:
    """Where an avatar can be seen."""
    return {
        "url": f"/v1/avatars/{name}",
        "poster_url": f"/api/avatar?name={name}",
        "idle_url": f"/v1/avatars/{name}/idle",
    }


def job_view(
    job: Job,
    *,
    retention: float,
    position: int | None = None,
    begun: Mapping[str, Any] | None = None,
    lesson: Mapping[str, Any] | None = None,
) -> JobOut:
    """What its owner may know of a job.

    ``retention`` are the seconds that results are kept; ``begun`` is the last ``sound`` event of a job that runs, whose
    film can be watched already; ``lesson`` the last ``progress`` event of a training that runs.
    """
    until = None if job.finished is None else job.finished + retention
    result = job.result if job.state == "succeeded" else None
    if result is None and begun is not None and job.state == "running":
        result = {"pieces": [begun]}
    return JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=round(job.progress, 3),
        stage=job.stage,
        position=position,
        attempt=job.attempt,
        priority=job.priority,
        created=_iso(job.created),
        started=_iso(job.started) if job.started else None,
        finished=_iso(job.finished) if job.finished else None,
        expires=_iso(until) if until else None,
        timings=dict(job.timings),
        params={name: value for name, value in job.params.items() if name not in PRIVATE},
        result=None if result is None else _result(job.kind, result, expired=bool(until and until < time())),
        training=TrainingOut(**_pictured(lesson)) if lesson is not None and "epoch" in lesson else None,
        error=JobFault(**job.error) if job.error else None,
        events_url=f"/v1/jobs/{job.id}/events",
    )


def event_view(event: JobEvent, kind: str) -> dict[str, Any]:
    """The data of an event, as it goes over the wire."""
    data = dict(event.data)
    if event.type == "sound":
        data = _piece(data) | ({"words": data["words"]} if "words" in data else {})
    elif event.type == "film":
        data = _piece(data)
        data.pop("text")
    data = _pictured(data)
    if isinstance(data.get("result"), dict):
        data["result"] = _result(kind, data["result"], expired=False)
    return data | {"time": _iso(event.time)}


PRIVATE = frozenset({"source", "recording", "digest", "landmarks"})
"""Ids of uploads, and bulk."""


def _result(kind: str, result: Mapping[str, Any], *, expired: bool) -> dict[str, Any]:
    """The result with addresses. Once it has expired only what is no file is left, and ``expired``."""
    rest = {name: value for name, value in result.items() if name not in ("pieces", "seconds", "film")}
    if kind in ("prepare", TRAINING) and "name" in rest:
        rest |= avatar_urls(rest["name"])
    if kind == TRAINING:
        rest = {name: value for name, value in rest.items() if name != "preview"} if expired else _pictured(rest)
    pieces = [_piece(piece) for piece in result.get("pieces", ())]
    if expired and pieces:
        return {"expired": True, "duration": result.get("seconds"), **rest}
    if kind == "video" and pieces:
        first = pieces[0]
        id_ = result["pieces"][0]["id"]
        if result["pieces"][0].get("captions"):
            first |= {"captions_url": media_url(id_, ".vtt"), "subtitles_url": media_url(id_, ".srt")}
        return {name: value for name, value in first.items() if name not in ("index", "text")} | rest
    if "film" in result:  # one of all pieces
        rest["video_url"] = media_url(result["film"], ".mp4")
    if pieces:
        return {"chunks": pieces, "duration": result.get("seconds"), **rest}
    return rest


def _pictured(data: Mapping[str, Any]) -> dict[str, Any]:
    """With the address of a training's picture in place of its id."""
    told = {name: value for name, value in data.items() if name != "preview"}
    return told | ({"preview_url": media_url(data["preview"], ".jpg")} if data.get("preview") else {})


def _piece(piece: Mapping[str, Any]) -> dict[str, Any]:
    return PieceOut(
        index=piece.get("index", 0),
        text=piece.get("text", ""),
        video_url=media_url(piece["id"], ".mp4"),
        audio_url=media_url(piece["id"], ".wav"),
        duration=piece["seconds"],
    ).model_dump()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
