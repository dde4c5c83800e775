"""From the pictures that were chosen to what each frame's mouth looks like: joined softly, at rest where nobody speaks.

A shape is that of the chosen picture's speech, and a share of what was predicted and no picture had. Where a run of
pictures ends and another begins the shapes are smoothed, and each run shines through for a frame beyond its end.
A base that grins is made sober first: its lips could not shut otherwise.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import gaussian
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.paint import Mouth
from vivavoce.engines.person.pose import gap_of
from vivavoce.engines.person.rests import SHUT
from vivavoce.engines.person.walk import GRIN
from vivavoce.face.geometry import smoothstep

__all__ = ["joins", "mouths", "sober"]

F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_SMOOTH = 0.8
"""Frames by which shapes are smoothed at joins."""
_SHINE = 0.33
"""Of a run beyond its end, the picture that is shown counting 1."""
_BLOCK, _REACH = 256, 3
"""Frames that are made at once, and those beside them that smoothing sees."""
_ALIKE = 0.08
"""Difference of two mouths' openings at which they no longer shine through each other: two mouths would be seen."""


def joins(units: Ints) -> npt.NDArray[np.bool_]:
    """``(n,)``: whether a frame's picture is not the one that follows in the film; the first one's is."""
    return np.concatenate([[False], np.diff(units) != 1])


def mouths(library: Library, bases: Ints, units: Ints, missing: F32 | None = None) -> Iterator[Mouth]:
    """A mouth for each of ``units`` ``(n,)``, the pictures that were chosen, on the pictures ``bases``.

    ``missing`` ``(n, 468, 3)``: what is to be added to their shapes.
    """
    near = np.clip(4 * gaussian(joins(units).astype(np.float32), 1.0), 0, 1)
    for first in range(0, len(units), _BLOCK):
        last = min(first + _BLOCK, len(units))
        around = slice(max(first - _REACH, 0), last + _REACH)
        calm = sober(library, bases[around])
        fast = library.head.shape[units[around]] - library.slow[units[around]]
        if missing is not None:
            fast = fast + missing[around]
        smooth = gaussian(fast.reshape(len(fast), -1), _SMOOTH).reshape(fast.shape)
        for i in range(first, last):
            own, even = fast[i - around.start], smooth[i - around.start]
            grin = calm[i - around.start] - library.slow[bases[i]]
            yield Mouth(int(units[i]), own + near[i] * (even - own) + grin, _fading(library, units, i))


def sober(library: Library, bases: Ints) -> F32:
    """Expressions of these pictures of the base, ``(n, 468, 3)``, those that grin drawn to the usual one."""
    slow = library.slow[bases]
    grin = smoothstep(GRIN, 2 * GRIN, gap_of(slow)).astype(np.float32)
    if not grin.any():
        return slow
    usual = np.median(library.slow[library.usable], axis=0)
    return np.asarray(slow + grin[:, None, None] * (usual - slow), np.float32)


def _fading(library: Library, units: Ints, i: int) -> tuple[tuple[int, float], ...]:
    """What shines through frame ``i``: the run before it, going on, and the run after it, beginning early."""
    unit = int(units[i])
    shares: dict[int, float] = {}
    if i and units[i - 1] + 1 != unit:
        shares[int(units[i - 1]) + 1] = _SHINE
    if i + 1 < len(units) and units[i + 1] != unit + 1:
        early = int(units[i + 1]) - 1
        shares[early] = shares.get(early, 0.0) + _SHINE
    kept = {k: share * _likeness(library, unit, k) for k, share in shares.items() if k != unit and _there(library, k)}
    whole = 1 + sum(kept.values())
    return tuple((k, share / whole) for k, share in kept.items() if share > 0.02)


def _there(library: Library, unit: int) -> bool:
    return 0 <= unit < len(library) and bool(library.usable[unit])


def _likeness(library: Library, one: int, other: int) -> float:
    """0-1: whether mouths may be laid over each other. Shut lips stay shut."""
    a, b = float(library.opening[one]), float(library.opening[other])
    if (a < SHUT) != (b < SHUT):
        return 0.0
    return float(np.exp(-(((a - b) / _ALIKE) ** 2)))
