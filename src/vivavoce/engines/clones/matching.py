"""Which frames of a recording say what another speaker says: the cheapest path through all of them.

Unit selection (Hunt and Black, 1996) with frames for units: a frame costs what its features differ from the wanted
ones, and a jump from one frame to another than the next costs what the sound would jump, and a fixed sum besides, so
that pieces of some length are taken from the recording, with the movement of real speech in them.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["means", "path"]

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

_NEAREST = 24
"""Frames that are tried for each wanted one, besides those that follow the ones tried before it."""
_KEPT = 2 * _NEAREST
_JUMP = 1.0
_ROUGH = 0.5
"""What a jump costs: a sum, and so much of the difference of features."""
_VOICING = 6.0
"""What it costs to take a frame with voice for one without, or the other way round."""
_BLOCK = 256
_MANY = 32
"""Frames that a mean is made of."""
_NARROW = 0.5
"""How fast the weight of a frame falls with its distance, beyond the nearest one's."""


def path(wanted: Floats, voiced: Bools, known: Floats, known_voiced: Bools, ends: Bools) -> Indices:
    """The frame of the recording for each wanted one, shape ``(n,)``.

    ``wanted`` and ``known`` are features of shape ``(n, d)`` and ``(m, d)``; ``ends`` marks the frames of the recording
    after which it does not go on.
    """
    squares = (known**2).sum(axis=1)
    tried: list[Indices] = []
    origins: list[Indices] = []
    costs = np.zeros(0, np.float32)
    for first in range(0, len(wanted), _BLOCK):
        rows = slice(first, first + _BLOCK)
        apart = _costs(wanted[rows], voiced[rows], known, known_voiced, squares)
        count = min(_NEAREST, len(known) - 1)
        nearest = np.argpartition(apart, count, axis=1)[:, :count]
        for distance, near in zip(apart, nearest, strict=True):
            if not tried:
                here, origin, costs = near, np.zeros(len(near), np.intp), distance[near]
            else:
                here, origin, costs = _step(tried[-1], costs, near, distance, known, ends)
            tried.append(here)
            origins.append(origin)
    return _back(tried, origins, costs)


def means(wanted: Floats, voiced: Bools, known: Floats, known_voiced: Bools, values: Floats) -> Floats:
    """What frames of the recording that say the same are like on average.

    ``values``, shape ``(m, k)``, belong to ``known``; gives ``(n, k)``, each a mean over the nearest frames.
    """
    squares = (known**2).sum(axis=1)
    made = np.empty((len(wanted), values.shape[1]), np.float32)
    count = min(_MANY, len(known) - 1)
    for first in range(0, len(wanted), _BLOCK):
        rows = slice(first, first + _BLOCK)
        apart = _costs(wanted[rows], voiced[rows], known, known_voiced, squares)
        nearest = np.argpartition(apart, count, axis=1)[:, :count]
        near = np.take_along_axis(apart, nearest, axis=1)
        weights = np.exp(_NARROW * (near.min(axis=1, keepdims=True) - near))
        made[rows] = np.einsum("nj,njk->nk", weights / weights.sum(axis=1, keepdims=True), values[nearest])
    return made


def _step(
    before: Indices, costs: Floats, near: Indices, distance: Floats, known: Floats, ends: Bools
) -> tuple[Indices, Indices, Floats]:
    """Frames that may come next, for each the best one before it (its place in ``before``), and the costs so far."""
    follows = before[~ends[before]] + 1
    here = np.unique(np.concatenate([near, follows]))
    next_ = np.minimum(before + 1, len(known) - 1)
    jump = _JUMP + _ROUGH * _distances(known[next_], known[here], (known[here] ** 2).sum(axis=1))
    jump[(before[:, None] + 1 == here) & ~ends[before][:, None]] = 0
    total = costs[:, None] + jump
    origin = total.argmin(axis=0)
    now = total[origin, np.arange(len(here))] + distance[here]
    if len(here) > _KEPT:
        kept = np.sort(np.argpartition(now, _KEPT)[:_KEPT])
        here, origin, now = here[kept], origin[kept], now[kept]
    return here, origin, now


def _costs(wanted: Floats, voiced: Bools, known: Floats, known_voiced: Bools, squares: Floats) -> Floats:
    """What each frame of the recording costs in the place of each wanted one, shape ``(n, m)``."""
    return _distances(wanted, known, squares) + np.where(voiced[:, None] != known_voiced, np.float32(_VOICING), 0)


def _distances(one: Floats, other: Floats, squares: Floats) -> Floats:
    """Euclidean, shape ``(n, m)``; ``squares`` are those of ``other``."""
    apart = (one**2).sum(axis=1)[:, None] - 2 * one @ other.T + squares
    return np.asarray(np.sqrt(np.maximum(apart, 0)), np.float32)


def _back(tried: list[Indices], origins: list[Indices], costs: Floats) -> Indices:
    at = int(costs.argmin())
    found = np.empty(len(tried), np.intp)
    for i in range(len(tried) - 1, -1, -1):
        found[i] = tried[i][at]
        at = int(origins[i][at])
    return found
