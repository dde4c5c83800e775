"""From a film of a person to a head that talks: watched as ``person`` watches it, taken apart, and learnt step by step.

Everything is kept in the work folder as it comes, so that a training that was killed goes on there and comes to the
same end. An epoch shows each good picture of the film once.
"""

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.answers import Answers
from vivavoce.engines.nerf.field.encodings import Grid
from vivavoce.engines.nerf.field.networks import WINDOW, Ear, Head, Shape, Torso, window
from vivavoce.engines.nerf.field.picture import Moment, picture
from vivavoce.engines.nerf.files import BEHIND, Engine
from vivavoce.engines.nerf.hearing import check_ear
from vivavoce.engines.nerf.talker import Talker, save
from vivavoce.engines.nerf.training.losses import Compare
from vivavoce.engines.nerf.training.measured import answers_of, torso_psnr
from vivavoce.engines.nerf.training.prepare import Prepared, prepare
from vivavoce.engines.nerf.training.school import Plan, Progress, School
from vivavoce.engines.neural.device import place
from vivavoce.engines.person import store
from vivavoce.engines.person.curves import gaussian
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.prepare import prepare as watch
from vivavoce.engines.person.verdict import SHUT
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.locate import FaceLocator
from vivavoce.media.picture import write_jpeg
from vivavoce.media.reel import write_reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Lesson
from vivavoce.ports import Tell

__all__ = ["RATE", "Wish", "finish", "grid_for", "learn", "plan_for"]

Bytes = npt.NDArray[np.uint8]

RATE = 0.001
"""Learning rate of the nets at which all others are as published."""
_WATCHED, _APART = 0.03, 0.06
"""Of a training: the share when the film is watched, and when it is taken apart."""
_SIZE = {"cpu": 160, "cuda": 512}
"""Pixels along a side of what is learnt."""
_SIZES = 64, 512
_RAYS = {"cpu": 4096, "cuda": 65_536}
_TOGETHER = {"cpu": 4, "cuda": 1}
"""Frames of a step."""
_FILMED = 300.0
"""Seconds of a film, from its beginning, that are learnt from and replayed: what these heads were published with."""
_LIPS, _TORSO = 0.15, 0.15
"""Of the steps; a face that is laid over its film has no torso."""
_LIKE_THE_FILM = 34.0
"""Decibels (PSNR) that a torso has to reach; edges are ragged below, and the film has a torso too."""
_KEEP, _SHOW = (5.0, 60.0), (5.0, 30.0)
"""Seconds from one checkpoint or preview to the next: a 20th of the time so far, within these."""
_NEWER = 0.1
"""What a step's loss is of the loss that is told: each is of other rays, and they go up and down."""
_PREVIEW = 192
"""Pixels along a side of it."""
_TRAINED_BY = ("lips", "mel", "ave", "hubert", "hubert_cn")
"""Ears that heads are taught with here: those for which a new sound can be turned into features."""
_SHUT = 3.0
"""Percentile of the openings that is a shut mouth's, where none is wholly shut."""
_LOOK = 6.0
"""Pictures over which looks are smoothed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for."""

    size: int
    rate: float
    together: int
    ear: Ear
    expressiveness: float | None

    @classmethod
    def of(cls, options: Mapping[str, float | str], device: str) -> "Wish":
        """With what is usual on a ``device``, cpu or cuda, where nothing is said. Raises ``InvalidInput``."""
        size = int(options.get("size", _SIZE[device])) // 2 * 2
        if not _SIZES[0] <= size <= _SIZES[1]:
            raise InvalidInput(f"The size is an even number of pixels from {_SIZES[0]} to {_SIZES[1]}, not {size}.")
        ear: Any = str(options.get("ear", "lips"))
        if ear not in _TRAINED_BY:
            raise InvalidInput(f"ear is one of {', '.join(_TRAINED_BY)}, not {ear!r}.")
        wide = options.get("expressiveness")
        return cls(
            size,
            float(options.get("lr", RATE)) / RATE,
            int(options.get("batch", _TOGETHER[device])),
            ear,
            None if wide is None else float(wide),
        )


def learn(
    engine: Engine,
    source: Path,
    into: Path,
    models: ModelStore,
    *,
    work: Path,
    epochs: int,
    options: Mapping[str, float | str],
    tell: Tell,
    enough: int = 0,
    device: str = "auto",
    threads: int = 0,
) -> Avatar:
    """Make the avatar ``into`` of the video ``source``; see ``ports.Trainer``.

    ``enough``: the epoch in which the time was over; what ``work`` holds is then taken as it stands.
    """
    there = place(device, "fp32").device
    wish = Wish.of(options, there.type)
    check_ear(wish.ear, models)  # now, and not when the film has been watched
    work.mkdir(parents=True, exist_ok=True)
    made = watch(
        source,
        into,
        models,
        work=work,
        report=lambda done, stage: tell(Lesson(_WATCHED * done, stage)),
        filmed=_FILMED,
    )
    library = store.load(into)
    parts = work / f"parts-{wish.size}"
    parts.mkdir(exist_ok=True)
    prepared = prepare(
        library,
        into,
        parts,
        models,
        ear=wish.ear,
        eyes=7 if engine == "synctalk" else 1,
        pixels=wish.size,
        device=str(there),
        report=lambda done, stage: tell(Lesson(_WATCHED + (_APART - _WATCHED) * done, stage)),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads or min(before, os.cpu_count() or before))
    try:
        school = _taught(engine, prepared, wish, work, epochs, enough, tell, str(there), _compare(models))
    finally:
        torch.set_num_threads(before)
    finish(engine, school, prepared, library, wish, into, _answers(school, prepared, library, wish, models))
    tell(Lesson(1.0, "torso" if engine == "ernerf" else "lips"))
    return Avatar(into.name, into, engine, made.warnings)


def grid_for(prepared: Prepared) -> Grid:
    """As fine as the pictures are: finer points would be seen by too few rays, and stay noise."""
    away = float(np.median(np.linalg.norm(prepared.poses[:, :3, 3], axis=1)))
    across = 2 * prepared.camera.focal / away  # pixels of the cube's side
    if across >= 320:
        return Grid()
    return Grid(levels=8, features=2, base=16, finest=int(max(64, min(512, 1.25 * across))))


def plan_for(engine: Engine, prepared: Prepared, wish: Wish, epochs: int, device: str) -> Plan:
    """Steps of the stages so that each good picture is seen ``epochs`` times."""
    kind = torch.device(device).type
    steps = max(20, ceil(epochs * len(prepared.good) / wish.together))
    torso = round(_TORSO * steps) if engine == "ernerf" else 0
    lips = round(_LIPS * steps)
    shape = Shape.synctalk() if engine == "synctalk" else Shape()
    shape = replace(shape, ear=wish.ear, codes=len(prepared.poses), grid=grid_for(prepared))
    rays = _RAYS[kind]
    patch = min(64 if engine == "synctalk" else 32, wish.size // 4)
    return Plan(
        shape,
        head=steps - lips - torso,
        lips=lips,
        torso=torso,
        rays=rays,
        together=wish.together,
        patch=patch,
        cells=128 if wish.size > 256 else 64,
        rate=wish.rate,
    )


def _taught(
    engine: Engine,
    prepared: Prepared,
    wish: Wish,
    work: Path,
    epochs: int,
    enough: int,
    tell: Tell,
    device: str,
    compare: Compare | None,
) -> School:
    """A school that has taken all its steps; it goes on where an earlier attempt ended, or stays there."""
    plan = plan_for(engine, prepared, wish, epochs, device)
    kept = work / f"school-{_digest(prepared, plan)}"
    school = _taken_up(kept, plan, device)
    lessons = prepared.lessons()
    began = saved = shown = monotonic()
    usual = "", 0.0
    each = plan.steps / epochs
    if enough and school.step:
        return school

    def due(since: float, now: float, between: tuple[float, float]) -> bool:
        return now - since > min(between[1], max(between[0], (now - began) / 20))

    def told(now: Progress) -> None:
        nonlocal saved, shown, usual
        preview = b""
        usual = now.stage, now.loss if now.stage != usual[0] else usual[1] + _NEWER * (now.loss - usual[1])
        clock = monotonic()
        if due(saved, clock, _KEEP):
            school.save(kept)
            saved = clock
        if due(shown, clock, _SHOW):
            preview = _preview(school, prepared)
            shown = monotonic()
        share = _APART + (1 - _APART) * now.step / now.of
        tell(Lesson(0.999 * share, now.stage, max(1, ceil(now.step / each)), epochs, usual[1], preview))

    try:
        school.learn(lessons, told, ceil(enough * each) if enough else None, compare)
    finally:
        with suppress(OSError):  # what ended it is to be told, and not that the disk is full besides
            school.save(kept)
    return school


def _compare(models: ModelStore) -> Compare | None:
    """LPIPS, where AlexNet's file is the user's; None where lips are compared by their slopes."""
    if not (alexnet := models.own("alexnet")):
        return None
    from vivavoce.engines.neural.lpips import Lpips

    return Lpips(alexnet[0], models.path("lpips-alex")).apart


def _taken_up(kept: Path, plan: Plan, device: str) -> School:
    try:
        school = School.resumed(kept, device)
    except EngineUnavailable:
        return School(plan, device)
    return school if school.plan == plan else School(plan, device)


def _digest(prepared: Prepared, plan: Plan) -> str:
    """Of all that a training depends on."""
    digest = hashlib.sha256(repr(plan).encode())
    for part in (prepared.poses, prepared.heard, prepared.eyes, np.asarray(prepared.good), prepared.plate):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def _preview(school: School, prepared: Prepared) -> bytes:
    """A picture of the film and what the head makes of it, side by side: JPEG."""
    number = prepared.good[(school.step * 7919) % len(prepared.good)]
    filmed = np.asarray(prepared.pictures[number])
    made = _seen(school, prepared, number)
    both = np.hstack([filmed, made])
    buffer = io.BytesIO()
    write_jpeg(buffer, both)
    return buffer.getvalue()


def _answers(school: School, prepared: Prepared, library: Library, wish: Wish, models: ModelStore) -> Answers:
    """How far its lips part when they are asked to; nothing of a head that is not asked for lips."""
    if wish.ear != "lips":
        return ()
    return answers_of(partial(_seen, school, prepared), prepared, library, FaceLocator(models))


def _seen(school: School, prepared: Prepared, number: int, lips: npt.NDArray[np.float32] | None = None) -> Bytes:
    """What the head looks like by now in a frame of its film, with its own features or those of a still mouth."""
    device = school.device
    rows = torch.from_numpy(prepared.heard)
    still = None if lips is None else torch.from_numpy(lips).expand(WINDOW, -1)
    heard = (window(rows, number) if still is None else still)[None].to(device)
    below = torch.from_numpy(np.array(prepared.behind[number])).to(device).float() / 255
    with torch.inference_mode():
        moment = Moment(
            school.mean.listen(heard),
            torch.from_numpy(prepared.eyes[number][None]).to(device),
            school.mean.individual_codes[number][None],
        )
        pose = torch.from_numpy(prepared.poses[number]).to(device)
        made = picture(school.mean, school.cells, prepared.camera, pose, moment, below)
    return np.asarray((made * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())


# ---- what is kept


def finish(
    engine: Engine,
    school: School,
    prepared: Prepared,
    library: Library,
    wish: Wish,
    into: Path,
    answers: Answers = (),
) -> None:
    """Make the avatar in ``into``, which holds its library already, one of ``engine``, with what was learnt."""
    _write(replace(_talker(engine, school, prepared, library), answers=answers), prepared, library, into)
    _note(engine, school, prepared, wish, into)


def _talker(engine: Engine, school: School, prepared: Prepared, library: Library) -> Talker:
    head: Any = Head(school.plan.shape, dense=True).to(school.device)
    head.load_state_dict(school.mean.state_dict())
    torso: Any = None
    learnt = school.torso if school.step == school.plan.steps else None
    if learnt is not None and torso_psnr(learnt, prepared, school.device) >= _LIKE_THE_FILM:  # else its own is better
        torso = Torso(school.plan.shape.codes).to(school.device)
        torso.load_state_dict(learnt.state_dict())
    if head.shape.code:
        looks = head.individual_codes.detach().cpu().numpy()
        head.individual_codes.data.copy_(torch.from_numpy(_smooth(looks, prepared.good)))
    square = prepared.square
    return Talker(
        engine=engine,
        head=head.requires_grad_(False),
        cells=school.cells,
        torso=None if torso is None else torso.requires_grad_(False),
        camera=prepared.camera,
        poses=torch.from_numpy(prepared.poses).to(school.device),
        background=torch.from_numpy(np.array(prepared.plate)).to(school.device),
        fps=library.footage.fps,
        eyes=torch.from_numpy(prepared.eyes).to(school.device),
        masks=torch.from_numpy(prepared.masks).to(school.device) if engine == "synctalk" else None,
        mean=torch.from_numpy(prepared.ear_mean).to(school.device),
        spread=torch.from_numpy(prepared.ear_spread).to(school.device),
        quiet=None if head.shape.ear == "lips" else torch.from_numpy(_quiet(prepared, library)).to(school.device),
        square=(square.x, square.y, square.side),
        origin="learnt here",
    )


def _quiet(prepared: Prepared, library: Library) -> npt.NDArray[np.float32]:
    """What was heard in one picture of a shut mouth, the most usual of them. Zeros, or no sound at all, are in no film:
    a head that hears them fades away."""
    good = np.array(prepared.good)
    opening = library.opening[good]
    heard = prepared.heard[good[opening <= max(SHUT, float(np.percentile(opening, _SHUT)))]]
    apart = ((heard - heard.mean(axis=0)) ** 2).reshape(len(heard), -1).sum(axis=1)
    return np.array(heard[apart.argmin()], np.float32)


def _smooth(looks: npt.NDArray[np.float32], good: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Looks that change as slowly as light does, of all frames: those of frames that taught nothing are chance."""
    known = np.zeros(len(looks), np.float32)
    known[list(good)] = 1
    weight = gaussian(known[:, None], _LOOK) + 1e-6
    mean = looks[list(good)].mean(axis=0)
    return np.asarray((gaussian(looks * known[:, None], _LOOK) + 1e-6 * mean) / weight, np.float32)


def _write(talker: Talker, prepared: Prepared, library: Library, into: Path) -> None:
    if talker.torso is None:
        size = prepared.square.pixels, prepared.square.pixels
        write_reel(into / BEHIND, (np.asarray(p) for p in prepared.behind), size, library.footage.fps)
    save(talker, into)


def _note(engine: Engine, school: School, prepared: Prepared, wish: Wish, into: Path) -> None:
    """Write ``avatar.json`` anew: whose avatar it is now, and how well its head knows its own film."""
    facts = store.about(into) | {"engine": engine}
    if wish.expressiveness is not None:
        facts["expressiveness"] = wish.expressiveness
    facts[engine] = {
        "ear": wish.ear,
        "size": wish.size,
        "steps": school.step,
        "pose_error": round(prepared.error, 4),
        "focal": round(prepared.camera.focal, 1),
        "torso": "film" if (into / BEHIND).exists() else "net",
        **_figures(school, prepared),
    }
    store.write_about(into, facts)


def _figures(school: School, prepared: Prepared) -> dict[str, Any]:
    """How near its pictures come to the film that it has learnt, and the mean picture's, decibels."""
    some = prepared.good[:: max(1, len(prepared.good) // 12)]
    usual = np.mean([prepared.pictures[i].astype(np.float32) for i in some], axis=0)

    def psnr(made: Any, number: int) -> float:
        error = ((np.asarray(made, np.float32) - prepared.pictures[number]) ** 2).mean()
        return float(10 * np.log10(255**2 / max(float(error), 1e-9)))

    return {
        "psnr": round(float(np.mean([psnr(_seen(school, prepared, i), i) for i in some])), 2),
        "mean_picture_psnr": round(float(np.mean([psnr(usual, i) for i in some])), 2),
    }
