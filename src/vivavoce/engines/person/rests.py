"""The mouth of somebody who listens: which picture's shut lips each picture of the base wears while nothing is said.

Where the base's own lips are shut they stay as they were filmed. Elsewhere they are borrowed, from as few pictures as
possible, by a shortest path over the base. It depends on the base alone: chunks that begin and end in silence join.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.library import LOW, Library

__all__ = ["SHUT", "rests"]

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

SHUT = 0.01
"""``Library.opening`` below which lips touch."""
_MOST = 120
"""Pictures that may be borrowed from."""
_TURN = np.radians([8.0, 8.0, 16.0])
_JUMP, _STEP = 12.0, 0.04
"""Costs of another picture, and of the one before or after; the same again costs nothing."""
_OWN = -0.8
"""Cost of a base's own lips."""


def rests(library: Library, span: tuple[int, int]) -> Ints:
    """Number of the picture whose mouth each picture of ``span`` wears at rest, ``(last - first,)``."""
    places = np.arange(*span)
    units = _borrowed(library, places)
    cost = _cost(library, places, units)
    unlike = _unlike(library, units)
    step = np.abs(units[:, None] - units[None])
    change = np.where(step == 0, 0.0, np.where(step == 1, _STEP, _JUMP + unlike))
    best = cost[0].copy()
    came = np.zeros(cost.shape, np.intp)
    for i in range(1, len(places)):
        total = best[:, None] + change
        came[i] = total.argmin(axis=0)
        best = total[came[i], np.arange(len(units))] + cost[i]
    path = [int(best.argmin())]
    for i in range(len(places) - 1, 0, -1):
        path.append(int(came[i, path[-1]]))
    return units[path[::-1]]


def _borrowed(library: Library, places: Ints) -> Ints:
    """Pictures whose lips are shut, those of the base and the best of the others; the least open one if none is."""
    usable = np.flatnonzero(library.usable)
    shut = usable[library.opening[usable] < SHUT]
    if not len(shut):
        shut = usable[np.argsort(library.opening[usable])[:3]]
    here = shut[np.isin(shut, places)]
    there = shut[~np.isin(shut, places)]
    return np.sort(np.concatenate([here, there[np.argsort(_worth(library, there))][: max(_MOST - len(here), 1)]]))


def _worth(library: Library, units: Ints) -> Floats:
    """How little pictures are fit for being shown long: blurred, or caught in the middle of a word."""
    speech = np.sqrt((library.fast[units][:, list(LOW), :2] ** 2).mean(axis=(1, 2))) / 0.02
    blur = np.maximum(0.0, -library.skin[units]) + np.maximum(0.0, -library.lips[units] - 0.1)
    return np.asarray(speech**2 + 4.0 * blur + np.maximum(library.opening[units] - SHUT / 2, 0) * 100)


def _cost(library: Library, places: Ints, units: Ints) -> Floats:
    angles = library.head.angles
    turned = (((angles[places][:, None] - angles[units][None]) / _TURN) ** 2).sum(axis=2)
    own = places[:, None] == units[None]
    mood = ((library.slow[places][:, None, list(LOW), :2] - library.slow[units][None, :, list(LOW), :2]) ** 2).mean(
        (2, 3)
    )
    return np.asarray(0.3 * turned + 0.2 * np.minimum(mood / 0.02**2, 20) + 0.3 * _worth(library, units) + _OWN * own)


def _unlike(library: Library, units: Ints) -> Floats:
    """How far the shapes of pictures differ, to be jumped between."""
    shape = library.fast[units][:, list(LOW), :2].reshape(len(units), -1)
    squares = (shape**2).mean(axis=1)
    apart = squares[:, None] + squares - 2 * shape @ shape.T / shape.shape[1]
    return np.asarray(np.maximum(apart, 0) / 0.02**2, np.float64)
