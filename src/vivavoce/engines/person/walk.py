"""The base's motion: a quiet part of the film, played forth and back for ever without a repeat that shows.

Where it turns back is chosen anew each time: where the head is still and the eyes are open, long enough after a blink,
because one that is seen twice within a moment gives the play away. The way is a function of the film's time alone,
so chunk after chunk goes on without a jump.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import stretches
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.pose import gap_of
from vivavoce.face.footage import swing
from vivavoce.face.track import RIGID

__all__ = ["GRIN", "Walk", "stretch"]

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

_LONG = 4.0
"""Seconds that a stretch should last: in a shorter one every blink is seen too often."""
_ENOUGH = 12.0
"""Seconds; a longer one is no better."""
_LEAST = 1.6
"""Seconds from one turning point to the next."""
_EASE = 4
"""Pictures over which the film slows down before it turns back."""
_APART = 1.2
"""Seconds before a turning point in which there should be no blink."""
_USUAL = 0.004
"""Eye distances a picture by which a head at rest moves."""
_SHUT = 0.6
"""Height of the open eyes, of what is usual, below which it is a blink."""
GRIN = 0.028
"""Gap between the lips of an expression, eye distances, from which it is a grin: apart while nothing is said."""
_WHIM = 0.6
"""By how much chance may outweigh stillness."""


def stretch(library: Library) -> tuple[int, int]:
    """The part of the film that is the base: pictures ``first`` up to, and without, ``last``.

    The quietest that is long enough, without grins: lips that shut under laughing cheeks look like nobody's.
    """
    footage = library.footage
    calm = library.seen & (gap_of(library.slow) < GRIN)
    known = library.stretches or ((footage.first, footage.last),)
    parts = [(first + a, first + b) for first, last in known for a, b in stretches(_labels(calm[first:last]))]
    parts = parts or list(known)
    long = [part for part in parts if part[1] - part[0] >= _LONG * footage.fps]
    if not long:
        return max(parts, key=lambda part: part[1] - part[0])
    unrest = 0.1 * _speed(library) / _USUAL + 2.0 * library.opening[: len(footage.track.points)]
    unrest = unrest + _blinks(library)[: len(unrest)] + (library.skin[: len(unrest)] < -0.3)
    seconds = [min((last - first) / float(footage.fps), _ENOUGH) for first, last in long]
    cost = [float(unrest[slice(*part)].mean()) - 0.03 * s for part, s in zip(long, seconds, strict=True)]
    return long[int(np.argmin(cost))]


def _labels(good: npt.NDArray[np.bool_]) -> Ints:
    """0 where it is good, -1 where not."""
    return np.where(good, 0, -1)


@dataclass(frozen=True, slots=True)
class _Leg:
    """The way from one turning point to the next."""

    start: int
    """Step at which it begins."""
    origin: int
    goal: int

    @property
    def steps(self) -> int:
        return abs(self.goal - self.origin) + _EASE

    def at(self, steps: Ints) -> Ints:
        """Pictures at these steps from its start."""
        there = np.asarray(swing(abs(self.goal - self.origin) + 1, steps, ease=_EASE), np.intp)
        return self.origin + (there if self.goal > self.origin else -there)


class Walk:
    """The way through a stretch."""

    def __init__(self, library: Library, span: tuple[int, int]) -> None:
        self.span = span
        fps = float(library.footage.fps)
        first, last = span
        self._places = np.arange(first, last)
        self._least = max(2 * _EASE + 1, min(round(_LEAST * fps), (last - first) // 2))
        self._unrest = _speed(library)[first:last] / _USUAL
        blinks = np.flatnonzero(_blinks(library)[first:last]) + first
        self._before = _distance(self._places, blinks, -1) / fps
        self._after = _distance(self._places, blinks, 1) / fps
        self._unrest = self._unrest + 8.0 * np.isin(self._places, blinks)
        self._chance = np.random.default_rng(last - first)
        self.entry = int(self._places[: max(1, len(self._places) // 3)][_least(self._unrest, len(self._places) // 3)])
        self._legs: list[_Leg] = []

    def pictures(self, steps: Ints) -> Ints:
        """The film's pictures at these steps of its clock, whole numbers from 0 on, in order."""
        if self.span[1] - self.span[0] < 2 * (2 * _EASE + 1):
            return self.span[0] + swing(self.span[1] - self.span[0], steps)
        while not self._legs or self._legs[-1].start + self._legs[-1].steps <= steps.max(initial=0):
            self._legs.append(self._next())
        starts = np.array([leg.start for leg in self._legs])
        which = np.searchsorted(starts, steps, side="right") - 1
        out = np.empty(len(steps), np.intp)
        for number in np.unique(which).tolist():
            here = which == number
            out[here] = self._legs[number].at(steps[here] - self._legs[number].start)
        return out

    def loop(self, n_frames: int, rate: float) -> Ints:
        """Pictures of a film of so many frames that can be repeated; ``rate``: pictures of the film a frame."""
        available = self.span[1] - self.span[0]
        length = int(min(max(round(n_frames * rate / 2 - _EASE) + 1, 1), available))
        first = min(self.entry, self.span[1] - length)
        return first + swing(length, np.arange(n_frames) / n_frames, periodic=True, ease=_EASE)

    def _next(self) -> _Leg:
        """The next leg: it goes on the other way, to where turning back shows least."""
        if not self._legs:
            origin, start, forward = self.entry, 0, True
        else:
            past = self._legs[-1]
            origin, start, forward = past.goal, past.start + past.steps, past.goal < past.origin
        ahead = self._places - origin if forward else origin - self._places
        cost = self._unrest + 12.0 * np.maximum(0, 1 - (self._before if forward else self._after) / _APART)
        cost = cost + self._chance.uniform(0, _WHIM, len(cost)) + 2.0 * np.isin(self._places, self._visited())
        cost[ahead < self._least] = np.inf
        if np.isinf(cost).all():  # too near the end: once across the whole stretch
            return _Leg(start, origin, self.span[0] if forward is False else self.span[1] - 1)
        return _Leg(start, origin, int(self._places[cost.argmin()]))

    def _visited(self) -> list[int]:
        """Around the last turning points: elsewhere is better."""
        return [goal + d for leg in self._legs[-3:] for goal in (leg.goal,) for d in range(-6, 7)]


def _least(cost: Floats, count: int) -> int:
    return int(cost[: max(1, count)].argmin())


def _speed(library: Library) -> Floats:
    """How fast the head moves in each picture, eye distances a picture, ``(n,)``."""
    middle = library.footage.track.points[:, list(RIGID), :2].mean(axis=1)
    step = np.linalg.norm(np.gradient(middle, axis=0), axis=1) / library.footage.track.eye
    return np.convolve(np.pad(step, 2, mode="edge"), np.ones(5) / 5, mode="valid")


def _blinks(library: Library) -> npt.NDArray[np.bool_]:
    """Whether the eyes are shut, or nearly, in each picture."""
    shape = library.head.shape[..., :2]
    lids = [np.linalg.norm(shape[:, a] - shape[:, b], axis=1) for a, b in ((159, 145), (386, 374))]
    height = np.mean(lids, axis=0)
    return np.asarray(height < _SHUT * np.median(height))


def _distance(places: Ints, events: Ints, way: int) -> Floats:
    """Pictures from each place to the nearest event before it (``way`` -1) or after it (1)."""
    apart = (events[None] - places[:, None]) * way
    return np.asarray(np.where(apart >= 0, apart, np.inf).min(axis=1, initial=np.inf), np.float64)
