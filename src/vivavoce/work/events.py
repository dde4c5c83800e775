"""What goes into a worker and what comes out of it. All of it can be pickled."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vivavoce.nouns import Lesson

__all__ = ["Data", "Done", "Event", "Grown", "Learnt", "Performer", "Progress", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for a performer."""

    id: str
    kind: str
    """What to do; the performer knows the kinds."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Plain values: numbers, strings, bytes, paths, and containers of them."""
    priority: int = 0
    """Higher goes first; equal ones in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is. Where nobody reads, progress is dropped rather than waited for."""

    fraction: float
    """0-1."""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Grown:
    """The file that is being written may be read that far. Dropped as progress is: the next says more."""

    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """How far a training is. Dropped as progress is."""

    lesson: Lesson
    remaining: float | None = None
    """Seconds that are left at the present pace; None while that is not known."""


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the result, in order; work that has sent some is never done twice."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the work; nothing follows."""

    result: Mapping[str, Any] = field(default_factory=dict)


Event = Progress | Grown | Learnt | Data | Done
Performer = Callable[[Task], Iterator[Event]]
"""Does a task: a generator that yields often, ends with ``Done``, and cleans up when it is closed."""
