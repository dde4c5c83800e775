"""Which pictures of the film the mouth is taken from: the cheapest path through all usable ones, by Viterbi.

A picture costs what it is unlike the target, the base's pose and expression, and what it is blurred; going on in the
film costs nothing, so whole movements are kept where they fit. Beyond 1500 pictures only the best of each frame are
looked at. As a stream it decides five frames late.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.drive import Target
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.pose import gap_of, low_of

__all__ = ["LAG", "Taste", "choose", "missing", "taste_of"]

F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

LAG = 5
"""Frames after which a stream decides."""
_EXACT, _KEPT = 1500, 60
_BLOCK = 64
"""Frames whose costs are made at once."""
_PIXELS = 160.0
"""Expressions and jumps were weighed in pixels of a face whose eyes are so far apart."""
_TURN = np.radians([8.0, 8.0, 16.0])
_FEATURES = np.array([1.6, 1.0, 0.7, 0.5, 0.2, 0.3], np.float32)
"""How much each feature counts."""
_SHARE = {"features": 0.6, "weights": 0.4}
"""Of what no picture has, how much is added to the shape."""


@dataclass(frozen=True, slots=True)
class Taste:
    """What counts how much."""

    sound: float
    """Of the distance of sounds, beside that of components."""
    pose: float
    expression: float
    blur: tuple[float, float]
    """Of skin and of lips."""
    switch: float
    """Another run begins."""
    jump: float
    """Of the distance between the picture that would have come and the one that comes."""
    repeat: float
    back: float
    """Parts of ``switch``: a picture shown again or passed over; the film going back a picture."""


_BY_FEATURES = Taste(0.0, 1.5, 0.4, (4.0, 5.0), 0.8, 0.02, 0.2, 0.4)
_BY_SOUND = Taste(1.5, 0.3, 0.5, (1.8, 1.8), 0.6, 0.02, 0.35, 1.0)


def taste_of(target: Target) -> Taste:
    """The weights that go with a target."""
    return _BY_FEATURES if target.features is not None else _BY_SOUND


def choose(
    library: Library,
    target: Target,
    bases: Ints,
    fps: float,
    *,
    slow: F32 | None = None,
    lag: int | None = None,
    taste: Taste | None = None,
) -> Ints:
    """The picture for each frame, ``(n,)``, on the pictures ``bases`` ``(n,)`` of the film, at ``fps`` frames a second.

    ``slow`` ``(n, 468, 3)`` takes the place of the bases' expressions. With ``lag`` the path is that of a stream, which
    has decided so many frames later; else it is the best of all.
    """
    taste = taste or taste_of(target)
    path = _Path(_States.of(library), taste, float(library.footage.fps) / fps, lag)
    for costs in _costs(library, path.states, target, bases, slow, taste):
        for cost in costs:
            path.go(cost)
    return path.states.numbers[path.finish()]


@dataclass(frozen=True, slots=True)
class _States:
    """The usable pictures."""

    numbers: Ints
    """``(k,)``: rows of the library."""
    run: Ints
    low: F32
    """``(k, d)``: shapes of lips and chin, in pixels of a face ``_PIXELS`` wide, so that squares are mean ones."""

    @classmethod
    def of(cls, library: Library) -> "_States":
        numbers = np.flatnonzero(library.usable)
        low = low_of(library.head.shape[numbers]) * np.float32(_PIXELS / np.sqrt(library.basis.shape[1] / 2))
        return cls(numbers, library.run[numbers], low)


def _squares(a: F32, b: F32) -> F32:
    """Squared distances of rows."""
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0), np.float32)


def _costs(
    library: Library, states: _States, target: Target, bases: Ints, slow: F32 | None, taste: Taste
) -> Iterator[F32]:
    """What each picture costs in each frame, ``(frames, k)``, a block of frames after another."""
    k = states.numbers
    turned = (library.head.angles / _TURN).astype(np.float32)
    mood = low_of(library.slow) * np.float32(_PIXELS / np.sqrt(library.basis.shape[1]))
    blur = taste.blur[0] * np.maximum(-library.skin[k], 0) + taste.blur[1] * np.maximum(-library.lips[k] - 0.1, 0)
    parted = 400 * np.maximum(library.opening[k] - 0.003, 0) + 80 * np.maximum(library.features[k, 0] - 0.02, 0)
    known, heard = _known(library, k, target), _heard(library, k, target, taste)
    for first in range(0, len(target), _BLOCK):
        part = slice(first, min(first + _BLOCK, len(target)))
        here = bases[part]
        own = mood[here] if slow is None else low_of(slow[part]) * np.float32(_PIXELS / np.sqrt(mood.shape[1]))
        cost = taste.pose * _squares(turned[here], turned[k])
        cost += taste.expression * np.minimum(_squares(own, mood[k]), 144) / 4
        for wanted, have in known:
            cost += _squares(wanted[part], have)
        if heard is not None:
            cost += (1 - target.rest[part, None]) * _squares(heard[0][part], heard[1])
        yield cost + target.press[part, None] * parted + blur


def _known(library: Library, k: Ints, target: Target) -> list[tuple[F32, F32]]:
    """What is wanted and what the pictures have, scaled so that squared distances are costs."""
    found: list[tuple[F32, F32]] = []
    if target.features is not None:
        scale = np.sqrt(_FEATURES) / (library.features[k].std(axis=0) + 1e-4)
        found.append((target.features * scale, library.features[k] * scale))
    if target.weights is not None:
        usual = float(library.weights[k].std(axis=0)[0]) + 1e-6
        found.append((target.weights / np.float32(usual), library.weights[k] / np.float32(usual)))
    return [(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in found]


def _heard(library: Library, k: Ints, target: Target, taste: Taste) -> tuple[F32, F32] | None:
    """What sounds and what sounded, the same way."""
    voice = library.voice
    if target.windows is None or voice is None:
        return None
    scale = np.sqrt(taste.sound / voice.windows.shape[1]) / voice.spread
    one, other = (target.windows - voice.mean) * scale, (voice.windows[k] - voice.mean) * scale
    return np.asarray(one, np.float32), np.asarray(other, np.float32)


class _Path:
    """Viterbi's algorithm, frame by frame. ``states`` index what it gives."""

    def __init__(self, states: _States, taste: Taste, step: float, lag: int | None) -> None:
        self.states = states
        self._taste, self._lag = taste, lag
        self._steps = {int(np.floor(step + 1e-3)), int(np.ceil(step - 1e-3))}
        """How many pictures of the film a frame goes on: two neighbouring numbers where the rates differ."""
        self._all = np.arange(len(states.numbers))
        self._change = self._changes(self._all, self._all) if len(self._all) <= _EXACT else None
        self._sets: list[Ints] = []
        self._came: list[Ints] = []
        self._best = np.zeros(0, np.float32)
        self._decided: list[int] = []

    def go(self, cost: F32) -> None:
        """One frame more, whose pictures cost ``cost`` ``(k,)``."""
        here = self._all if self._change is not None else self._candidates(cost)
        if not self._sets:
            best, came = cost[here].astype(np.float32), np.zeros(len(here), np.intp)
        else:
            change = self._change if self._change is not None else self._changes(self._sets[-1], here)
            total = change + self._best  # rows: where to, columns: where from
            came = total.argmin(axis=1)
            best = total[np.arange(len(here)), came] + cost[here]
        self._sets.append(here)
        self._came.append(came)
        self._best = np.asarray(best - best.min(), np.float32)  # an hour's costs would leave no digits for a frame's
        if self._lag is not None and len(self._sets) > self._lag + len(self._decided):
            self._decide()

    def _decide(self) -> None:
        """Fix the frame that is ``lag`` back, and forget paths that did not go through it."""
        ancestor = np.arange(len(self._best))
        for came in reversed(self._came[len(self._decided) + 1 :]):
            ancestor = came[ancestor]
        chosen = int(ancestor[self._best.argmin()])
        self._best = np.where(ancestor == chosen, self._best, np.float32(np.inf))
        self._decided.append(int(self._sets[len(self._decided)][chosen]))

    def finish(self) -> Ints:
        """The path, an index of the states for each frame."""
        at = int(self._best.argmin()) if len(self._best) else 0
        path: list[int] = []
        for here, came in zip(reversed(self._sets[len(self._decided) :]), reversed(self._came), strict=False):
            path.append(int(here[at]))
            at = int(came[at])
        return np.array([*self._decided, *reversed(path)], np.intp)

    def _candidates(self, cost: F32) -> Ints:
        """The best pictures of a frame, and those that go on from the ones before."""
        best = np.argpartition(cost, _KEPT)[:_KEPT]
        if not self._sets:
            return np.sort(best)
        going = self._sets[-1]
        if len(going) > _KEPT:
            going = going[np.argpartition(self._best, _KEPT)[:_KEPT]]
        onward = [going + step for step in self._steps]
        return np.unique(np.concatenate([best, *(o[o < len(cost)] for o in onward)]))

    def _changes(self, before: Ints, here: Ints) -> F32:
        """What it costs to go from pictures to pictures, ``(here, before)``."""
        states, taste = self.states, self._taste
        onward = np.minimum(before + max(self._steps), len(self._all) - 1)
        cost = taste.switch + taste.jump * _squares(states.low[here], states.low[onward])
        apart = states.numbers[here][:, None] - states.numbers[before]
        same = states.run[here][:, None] == states.run[before]
        low, high = min(self._steps), max(self._steps)
        near = same & (apart >= min(low - 1, 0)) & (apart <= high + 1)
        cost = np.where(near, np.minimum(cost, taste.repeat * taste.switch), cost)
        cost = np.where(same & (apart == -1), np.minimum(cost, taste.back * taste.switch), cost)
        cost[same & (apart >= low) & (apart <= high)] = 0
        return np.asarray(cost, np.float32)


def missing(
    library: Library, target: Target, units: Ints, share: float | None = None, *, slow: F32 | None = None
) -> F32:
    """``(n, 468, 3)``: what is to be added to the pictures' shapes of speech because none does quite what is wanted.

    ``slow`` ``(n, 468, 3)`` are the expressions on which they are worn; without it, their own.
    """
    wanted, have, causes = _causes(library, target)
    have = have[units]
    if slow is not None and target.features is not None:  # a grin's gap stays in its own picture
        have[:, 0] = causes[units, 0] + gap_of(slow)
    share = _SHARE["features" if target.features is not None else "weights"] if share is None else share
    k = library.usable
    shapes = (library.head.shape[k] - library.slow[k]).reshape(int(k.sum()), -1)
    known = causes[k]
    ridge = 1e-3 * len(known) * float(known[:, 0].var()) * np.eye(known.shape[1])
    effect = np.linalg.solve(known.T @ known + ridge, known.T @ shapes)
    return np.asarray(share * ((wanted - have) @ effect), np.float32).reshape(len(units), 468, 3)


def _causes(library: Library, target: Target) -> tuple[F32, F32, F32]:
    """What is wanted, what the pictures have of it, and of that the part that is speech."""
    if target.features is None:
        assert target.weights is not None
        return target.weights, library.weights, library.weights
    told = slice(0, 5)  # depth is too rough to be added
    fast = library.features[:, told].copy()
    fast[:, 0] -= gap_of(library.slow)
    return target.features[:, told], library.features[:, told], fast
