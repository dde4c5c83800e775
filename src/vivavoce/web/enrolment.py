"""Putting a training into the queue: what the studio's document and ``/v1/models`` share."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from vivavoce.engines.nerf.hearing import ENCODED, unheard
from vivavoce.errors import Conflict, EngineUnavailable, InvalidInput, UnsupportedMedia
from vivavoce.media import video
from vivavoce.media.kinds import kind_of
from vivavoce.models import ModelStore
from vivavoce.nouns import Job
from vivavoce.studio.forecast import FIELDS, advice, field_seconds, step_seconds
from vivavoce.studio.parameters import OPTIONS, consent_note, default_trainer
from vivavoce.studio.service import SOURCE
from vivavoce.studio.tuition import TRAINING
from vivavoce.web import direction
from vivavoce.web.avatars import check_free, check_video
from vivavoce.web.orders import Kept, kept
from vivavoce.web.services import Services
from vivavoce.web.voices import agreed

__all__ = ["MOST_SECONDS", "Pupil", "consent_of", "default_engine", "enrolled", "learns_note", "pace", "words_of"]

MOST_SECONDS = 1800.0
"""Of a film that a person is learnt from."""
_FORMATS = "send a video of one person: MP4, MOV, WebM or MKV"
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Pupil:
    """Who is to be learnt, and how."""

    engine: str
    epochs: int
    options: Mapping[str, float | str]
    consent: Mapping[str, Any]
    name: str = ""
    """Of the avatar; "" is ``user_YYYYMMDD``, with a number where that is taken."""
    device: str = ""
    """``cpu``, a graphics card's number, or "" for whatever there is."""
    notes: tuple[str, ...] = ()
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, in the words of the call."""


async def enrolled(services: Services, pupil: Pupil, film: UploadFile | Path, **order: Any) -> Job:
    """The training, queued; ``order`` as ``Services.submit`` takes it.

    Raises ``Conflict`` for a name that is taken by an avatar that no training made, or is being made; ``InvalidInput``,
    ``TooLarge`` and ``UnsupportedMedia`` for a film that cannot be used, ``EngineUnavailable`` for an ear whose file is
    not here, ``Overloaded``.
    """
    key = order.get("key")
    if pupil.engine in FIELDS and (why := _unheard(services).get(str(pupil.options.get("ear", "")))):
        raise EngineUnavailable(f"{why} Or leave ear out.")
    if pupil.name:  # again below; here it spares a long upload its way to the disk
        await _check_name(services, pupil.name, order.get("owner", ""), key)
    about: list[video.Probe] = []
    source = await kept(services, film, SOURCE, lambda path: about.append(check_film(path)))
    try:
        expected = await asyncio.to_thread(_expected, services, pupil, about[0])
        async with services.naming:
            name = pupil.name or await _free_name(services)
            if pupil.name:
                await _check_name(services, name, order.get("owner", ""), key)
            return await source.submitted(services, TRAINING, _params(pupil, name, source, expected), **order)
    except Exception:  # whatever it is: no job will ask for the film
        if source.id is not None:
            await services.artifacts.remove(source.id)
        raise


def words_of(services: Services, name: str) -> list[str]:
    """What an option may be on this server, where it is no number: an ear may need what is not here."""
    missing = _unheard(services) if name == "ear" else {}
    return [word for word in OPTIONS[name].words if word not in missing]


def _unheard(services: Services) -> dict[str, str]:
    """Ears whose encoders are not here, and why."""
    held = services.settings.models
    models = ModelStore(held.dir, held.cache, held.offline)
    return {ear: why for ear in ENCODED if (why := unheard(ear, models)) is not None}


def pace(services: Services, engine: str, device: str = "") -> float | None:
    """Seconds of a step of ``engine`` where it learns on this machine's processor; None where nothing is known.

    ``device`` as ``Pupil`` has it. Looks at the machine.
    """
    if engine not in FIELDS or not direction.installed(engine):
        return None
    own = services.settings.studio().face_options.get(f"face.{engine}", {})
    if "cpu" not in (device, own.get("device")) and services.machine.measure().cards:
        return None
    return step_seconds(int(own.get("threads", 0)) or os.cpu_count() or 1)


def _expected(services: Services, pupil: Pupil, film: video.Probe) -> float | None:
    step = pace(services, pupil.engine, pupil.device)
    return None if step is None else round(field_seconds(film.seconds, film.fps, pupil.epochs, pupil.options, step))


def _params(pupil: Pupil, name: str, source: Kept, expected: float | None) -> dict[str, Any]:
    notes = [*pupil.notes] if expected is None else [*pupil.notes, advice(pupil.engine, expected)]
    return {
        **pupil.noted,
        "name": name,
        "face_engine": pupil.engine,
        "epochs": pupil.epochs,
        "options": dict(pupil.options),
        "device": pupil.device,
        "consent": dict(pupil.consent),
        "notes": notes,
        "expected": expected,
        "source": source.id,
        "digest": source.digest,
    }


async def _check_name(services: Services, name: str, owner: str, key: str | None) -> None:
    try:
        await check_free(services, name, trained=True)
    except Conflict:  # unless it was this very call that took it
        if key is None or await services.jobs.with_key(key, owner=owner) is None:
            raise


async def _free_name(services: Services) -> str:
    """``user_20261126``, ``user_20261126_2``, …"""
    stem = f"user_{datetime.now(UTC):%Y%m%d}"
    for number in range(1, _TRIES):
        name = stem if number == 1 else f"{stem}_{number}"
        try:
            await check_free(services, name)
        except Conflict:
            continue
        return name
    raise Conflict(f"There are {_TRIES} avatars of today already; send a speaker_id of your own.")


def check_film(path: Path) -> video.Probe:
    """What the first bytes and the header of a film tell, if it can be used; called in a thread.

    Raises ``InvalidInput``, ``TooLarge`` and ``UnsupportedMedia``.
    """
    kind = kind_of(path)
    if kind == "unknown":
        if not path.stat().st_size:
            raise InvalidInput(f"The file is empty; {_FORMATS}.")
        raise UnsupportedMedia(f"This is no video that can be read here; {_FORMATS}.")
    if kind == "picture":
        raise UnsupportedMedia(f"This is a picture, and a person is learnt from a film; {_FORMATS}.")
    about = video.probe(path)
    check_video(about, MOST_SECONDS)
    return about


def default_engine(services: Services, trainers: list[str]) -> str:
    """The engine that learns people where none is named."""
    return default_trainer(services.settings.defaults.face_engine, trainers)


def learns_note(engine: str, trainers: list[str]) -> str:
    """What is to be said of an engine that does not learn; "" of one that does.

    Raises ``EngineUnavailable`` for one that would, were torch installed.
    """
    if engine not in trainers and engine in FIELDS:
        raise EngineUnavailable(
            f"{FIELDS[engine]} cannot learn here, torch is not installed; add it with pip install 'vivavoce[neural]', "
            "or let the engine person learn this film."
        )
    return "" if engine in trainers else f"{engine} learns nobody: the avatar is prepared from the film, without epochs"


def consent_of(services: Services, given: str, by: str, text: str) -> dict[str, Any]:
    """What is kept of the person's consent, from the fields of a form. Raises ``InvalidInput``."""
    required = services.settings.clones.consent == "required"
    return consent_note(agreed(given), by.strip(), text.strip(), required=required)
