"""One task at an executor: its events in order, its stages timed and held to their limits."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from math import inf
from typing import Any, Protocol
from uuid import uuid4

from vivavoce.errors import TimedOut, VivavoceError
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.ledger import LIVE, Entry
from vivavoce.work.events import Done, Event, Progress, Task

__all__ = ["Executor", "Tasks"]

_CHECK_SECONDS = 120.0
"""A picture takes under 2, a video a few; the first one waits until the nets have been fetched."""
_CLONE_SECONDS = 600.0
"""For one text, where no cloner of the settings may take longer; the embedded one takes 2 minutes of a core for the
longest text, and cores have more to do."""
_ENROL_SECONDS = 300.0
"""The embedded cloner takes 16 s of a core for the most speech that it hears, a service some seconds."""
_HEAR_SECONDS = 60.0
"""A live piece takes under a second; the first one waits until the recogniser is loaded."""
_WATCHED = frozenset({"face", "enhance", "transcribe", "embed", "convert"})
"""Stages that give signs of life."""
_LESSON_SECONDS = 900.0
"""A training that tells nothing for so long hangs: engines tell often, at least once an epoch."""
_GRACE = 2.0
"""Seconds beyond the voice's own limit before the studio ends it."""


class Executor(Protocol):
    """What the studio needs of an executor."""

    @property
    def capacity(self) -> int:
        """Tasks that run at the same time."""

    def submit(self, task: Task) -> AsyncGenerator[Event]:
        """Run a task; closing the iterator cancels it."""


class Tasks:
    """Has tasks done, each within its limits."""

    def __init__(self, config: StudioConfig, executor: Executor) -> None:
        self._config = config
        self._executor = executor

    @property
    def capacity(self) -> int:
        """Tasks that run at the same time."""
        return self._executor.capacity

    async def done(
        self,
        kind: str,
        params: Mapping[str, Any],
        entry: Entry | None = None,
        heard: Callable[[Event], Awaitable[None]] | None = None,
    ) -> Mapping[str, Any]:
        """The result of a task; ``heard`` is called with each event before it."""
        async with aclosing(self.events(kind, params, entry)) as events:
            async for event in events:
                if isinstance(event, Done):
                    return event.result
                if heard is not None:
                    await heard(event)
        raise VivavoceError("The work ended without a result.")

    async def events(self, kind: str, params: Mapping[str, Any], entry: Entry | None = None) -> AsyncGenerator[Event]:
        """The events of a task. Raises ``TimedOut`` when a stage takes too long, and what the task raises.

        The time of each stage is added to ``entry``, as ``queue`` while the task waits for a worker.
        """
        priority = LIVE if entry is None else entry.job.priority
        loop = asyncio.get_running_loop()
        stage, since, ends = "queue", loop.time(), inf
        try:
            submitted = self._executor.submit(Task(uuid4().hex, kind, params, priority))
            async with asyncio.timeout(None) as clock, aclosing(submitted) as events:
                async for event in events:
                    now = loop.time()
                    if isinstance(event, Progress) and event.stage != stage:
                        _took(entry, stage, now - since)
                        stage, since = event.stage, now
                        ends = now + self._limit(stage)
                    until = min(ends, now + self._quiet(stage))
                    clock.reschedule(None if until == inf else until)
                    yield event
        except TimeoutError as e:
            raise TimedOut(self._too_long(stage, loop.time() - since)) from e
        finally:
            _took(entry, stage, loop.time() - since)

    def _limit(self, stage: str) -> float:
        """Seconds that a stage may take."""
        config = self._config
        limits = {"voice": config.voice_seconds + _GRACE, "face": config.face_seconds, "prepare": config.face_seconds}
        limits |= {"check": _CHECK_SECONDS, "hear": _HEAR_SECONDS, "enrol": _ENROL_SECONDS}
        limits |= {"clone": self._clone_seconds + _GRACE}
        return limits.get(stage, inf)

    @property
    def _clone_seconds(self) -> float:
        """What a cloner may take for one text: its own limit passes first, and says what to do."""
        own = (float(options.get("seconds_limit", 0)) for options in self._config.clone_options.values())
        return max(_CLONE_SECONDS, self._config.voice_seconds, *own)

    def _quiet(self, stage: str) -> float:
        """Seconds that a stage may be without a sign of life."""
        if stage == "train":
            return _LESSON_SECONDS
        return self._config.quiet_seconds if stage in _WATCHED else inf

    def _too_long(self, stage: str, seconds: float) -> str:
        if stage == "voice":
            limit = self._config.voice_seconds
            return f"The voice needed more than {limit:g} seconds; send a shorter text or try again."
        if stage == "clone":
            return f"The voice needed more than {self._clone_seconds:g} seconds; send a shorter text or try again."
        if stage == "enrol":
            return (
                f"Learning the voice took more than {_ENROL_SECONDS:g} seconds; send shorter recordings or try again."
            )
        if stage == "check":
            return f"Looking at the file took more than {_CHECK_SECONDS:g} seconds; send a smaller one."
        if stage == "hear":
            return f"The recogniser needed more than {_HEAR_SECONDS:g} seconds for a moment of sound; try again."
        if stage == "train":
            return f"The training stood still for {_LESSON_SECONDS:g} seconds and was stopped; try again."
        if stage in _WATCHED and stage != "face":
            quiet = self._config.quiet_seconds
            return f"The work on the sound stood still for {quiet:g} seconds and was stopped; try again."
        if seconds < self._limit(stage):
            return f"The face made no picture for {self._config.quiet_seconds:g} seconds and was stopped; try again."
        return f"The face needed more than {self._limit(stage):g} seconds; send less at a time or try again."


def _took(entry: Entry | None, stage: str, seconds: float) -> None:
    if entry is not None:
        entry.took(stage, seconds)
