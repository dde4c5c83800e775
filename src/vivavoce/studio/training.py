"""Learning a person from a film, as a worker does it: attempt after attempt, with one clock and one curve for all.

What is kept lies in a folder of the job: the engine's own checkpoints in ``work``, and ``course.json`` with the time
that all attempts took and the losses. So an attempt begins where the one before it was killed.
"""

import json
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from vivavoce.errors import Cancelled, EngineUnavailable, NotFound, VivavoceError
from vivavoce.nouns import Avatar, Lesson
from vivavoce.ports import Animator, Trainer
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.making import noted, preparation
from vivavoce.studio.parameters import quality_of
from vivavoce.studio.thread import Prompter

__all__ = ["Course", "Training"]

_log = structlog.get_logger(__name__)
_POINTS = 400
"""Losses that are kept; beyond that every second one goes."""
_SAVE_SECONDS = 1.0
_TELL_SECONDS = 0.05
"""Between two lessons that are told: an engine may have thousands a second."""
_PACE_SECONDS = 60.0
"""The pace is that of the last minute."""
_WATCHED_SECONDS = 5.0
"""A film that was watched for longer tells nothing of the pace at which it is learnt."""


class _Enough(Cancelled):
    """The time that a training was given is over."""


class Training:
    """The tasks ``train``; see ``studio.perform`` for parameters and results."""

    def __init__(self, registry: Registry, avatars: AvatarLibrary) -> None:
        self._registry = registry
        self._avatars = avatars
        self.works: dict[str, Callable[[Mapping[str, Any], Prompter], dict[str, Any]]] = {"train": self._train}

    def offer(self) -> list[str]:
        """The face engines that learn a person."""
        found = []
        for name in self._registry.names("face"):
            try:
                if isinstance(self._registry.get("face", name), Trainer):
                    found.append(name)
            except EngineUnavailable:  # nobody set it up
                continue
            except VivavoceError as e:  # one that is broken must not hide the others
                _log.info("face engine unavailable", engine=name, reason=str(e))
        return found

    def _train(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "train")
        name, job = params["name"], params["job"]
        if not self._is_done(name, job):
            engine = self._registry.get("face", params["face_engine"])
            minutes = params["options"].get("max_minutes")
            limit = None if minutes is None else 60.0 * float(minutes)
            course = Course(Path(params["folder"]), limit, expected=params.get("expected"))

            def make(into: Path) -> Avatar:
                if isinstance(engine, Trainer):
                    made = _taught(engine, params, into, course, prompter)
                else:
                    made = preparation(self._registry, params["face_engine"], None, prompter.report)(
                        Path(params["source"]), into
                    )
                return noted(made, _facts(made, engine, params, course))

            (self._avatars.put if self._is_trained(name) else self._avatars.add)(name, make)
        made, facts = self._avatars.get(name), self._avatars.facts(name)
        told = {field: facts.get(field) for field in ("kind", "report", "trained", "consent")}
        told["trained"] = {field: value for field, value in facts["trained"].items() if field != "losses"}
        told["quality"] = quality_of(facts)
        return {"name": made.name, "engine": made.engine, "warnings": list(made.warnings), **told}

    def _is_trained(self, name: str) -> bool:
        """Whether there is one that a training made: the next one may take its place."""
        try:
            return "trained" in self._avatars.facts(name)
        except NotFound:
            return False

    def _is_done(self, name: str, job: str) -> bool:
        """Whether an earlier attempt at the job made the avatar and died before it could say so."""
        try:
            return bool(self._avatars.facts(name).get("job") == job)
        except NotFound:
            return False


class Course:
    """How a training goes, over all its attempts; ``seconds`` is the time that the refinement has, None: any.

    ``expected``: the seconds that all of it was said to take, where it was said.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float | None = None,
        *,
        expected: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self._path = folder / "course.json"
        self._limit = seconds
        self._expected = expected
        self._clock = clock
        kept = self._kept()
        self.losses: list[list[float]] = kept.get("losses", [])
        """Pairs of epoch and loss."""
        self.epochs: int | None = kept.get("epochs")
        """How many epochs it is to end with; None while there is time."""
        self._before: float = kept.get("seconds", 0.0)
        self._began = self._saved = clock()
        self._told = -1.0
        self._seen: deque[tuple[float, float]] = deque()
        self._place = ("", 0)
        self._learning = False
        """Whether what was heard last had epochs."""

    @property
    def seconds(self) -> float:
        """What all attempts took together."""
        return self._before + self._clock() - self._began

    def hear(self, lesson: Lesson, tell: Callable[[Lesson, float | None], object]) -> None:
        """Take note of a lesson and pass it on, unless another one of that epoch was passed on just now.

        Raises ``Cancelled`` when the time is over, and what ``tell`` raises.
        """
        now = self._clock()
        self._note_loss(lesson)
        if self._limit is not None and self.epochs is None and lesson.epochs and self.seconds > self._limit:
            self.epochs = max(1, lesson.epoch)
            self.save()
            raise _Enough("The time of the training is over.")
        if now - self._saved > _SAVE_SECONDS:
            self.save()
        place = lesson.stage, lesson.epoch
        if place != self._place or lesson.preview or now - self._told > _TELL_SECONDS:
            self._place, self._told = place, now
            tell(lesson, self._remaining(lesson, now))

    def save(self) -> None:
        """Write down what is kept, whole or not at all."""
        self._saved = self._clock()
        part = self._path.with_suffix(".part")
        kept = {"seconds": round(self.seconds, 2), "losses": self.losses, "epochs": self.epochs}
        part.write_text(json.dumps(kept), encoding="utf-8")
        part.replace(self._path)

    def _kept(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _note_loss(self, lesson: Lesson) -> None:
        """The last loss of each epoch; an epoch that is learnt again replaces what came after it."""
        if lesson.loss is None:
            return
        while self.losses and self.losses[-1][0] >= lesson.epoch:
            self.losses.pop()
        self.losses.append([lesson.epoch, float(f"{lesson.loss:.6g}")])
        if len(self.losses) > _POINTS:
            self.losses = [*self.losses[:-1:2], self.losses[-1]]

    def _remaining(self, lesson: Lesson, now: float) -> float | None:
        """Seconds at the pace of the last minute; None before there is one.

        The film is watched at another pace than it is learnt from: until there are epochs, it is what was said.
        """
        said = None if self._expected is None else round(max(0.0, self._expected - self.seconds), 1)
        if not lesson.epochs and said is not None:
            return said
        seen = self._seen
        if lesson.epochs and not self._learning and seen and now - seen[0][0] > _WATCHED_SECONDS:
            seen.clear()
        self._learning = lesson.epochs > 0
        seen.append((now, lesson.fraction))
        while len(seen) > 2 and now - seen[0][0] > _PACE_SECONDS:
            seen.popleft()
        past, done = now - seen[0][0], lesson.fraction - seen[0][1]
        if past < 1.0 or done <= 0:
            return said
        left = (1.0 - lesson.fraction) * past / done
        if self._limit is not None and lesson.epochs:
            left = min(left, max(0.0, self._limit - self.seconds))
        return round(left, 1)


def _taught(engine: Trainer, params: Mapping[str, Any], into: Path, course: Course, prompter: Prompter) -> Avatar:
    """The avatar, learnt to the last epoch, or to the one at which the time was over."""

    def tell(lesson: Lesson) -> None:
        course.hear(lesson, prompter.learnt)

    def train() -> Avatar:
        options = {name: value for name, value in params["options"].items() if name != "max_minutes"}
        told: dict[str, Any] = {"epochs": params["epochs"]}
        if course.epochs is not None:  # one that plans its steps by all epochs is told both
            told = told | {"enough": course.epochs} if _stops(engine) else {"epochs": course.epochs}
        return engine.train(Path(params["source"]), into, work=course.work, options=options, tell=tell, **told)

    try:
        try:
            return train()
        except _Enough:  # it ends with the epochs that it has seen; its checkpoints hold them
            for left in into.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            return train()
    finally:
        course.save()


def _stops(engine: Trainer) -> bool:
    """Whether it ends in the midst of an epoch when it is told ``enough``; others see the epoch to its end."""
    return "enough" in signature(engine.train).parameters


def _facts(avatar: Avatar, engine: Animator, params: Mapping[str, Any], course: Course) -> dict[str, Any]:
    """What is noted beside what the engine wrote."""
    path = avatar.path / "avatar.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    learnt = isinstance(engine, Trainer)
    trained = {
        "learnt": learnt,
        "epochs": (course.epochs or params["epochs"]) if course.losses else 0,
        "ended": "max_minutes" if course.epochs is not None else "",
        "options": params["options"],
        "seconds": round(course.seconds, 1),
        "losses": course.losses,
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    consent = {**params["consent"], "at": now}
    kept = {"job": params["job"], "created": now, "trained": trained, "consent": consent}
    return kept | {"kind": own.get("kind", "video")}
