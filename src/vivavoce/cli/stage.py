"""Plays the studio's tasks inside this process: one command is one performance and needs no worker."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

if TYPE_CHECKING:
    from vivavoce.studio.config import StudioConfig
    from vivavoce.studio.perform import Stage
    from vivavoce.studio.scene import Stager
    from vivavoce.work.events import Event

__all__ = ["Theatre", "theatre"]

_STAGES = {
    "voice": "Speaking",
    "face": "Filming",
    "prepare": "Preparing the avatar",
    "transcribe": "Writing down",
    "enhance": "Cleaning",
    "embed": "Listening",
    "clone": "Speaking",
    "enrol": "Learning the voice",
    "forget": "Forgetting the voice",
}


@dataclass(frozen=True, slots=True)
class Theatre:
    """What a command plays with."""

    stager: "Stager"
    stage: "Stage"

    def play(self, kind: str, params: dict[str, Any], show: Callable[[float, str], None]) -> dict[str, Any]:
        """Play one task to its end and return its result; an interrupt cancels it and cleans up."""
        from vivavoce.work.events import Done, Progress, Task

        result: dict[str, Any] = {}
        task = Task(uuid4().hex, kind, params)
        with closing(cast("Generator[Event]", self.stage(task))) as events:
            for event in events:
                if isinstance(event, Progress):
                    show(event.fraction, _STAGES.get(event.stage, ""))
                elif isinstance(event, Done):
                    result = dict(event.result)
        return result


@contextmanager
def theatre(config: "StudioConfig") -> Iterator[Theatre]:
    """Engines for one command; they are ended with it."""
    from vivavoce.registry import Registry
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.perform import Stage
    from vivavoce.studio.scene import Stager, builtin_avatars

    stage = Stage(config)
    try:
        yield Theatre(Stager(config, Registry(), AvatarLibrary(config.avatars, builtin_avatars())), stage)
    finally:
        stage.close()
