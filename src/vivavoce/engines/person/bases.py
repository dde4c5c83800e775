"""Which parts of a film may be replayed, forth and back or round, under a mouth that says something else."""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import gaussian, stretches
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.pose import gap_of

__all__ = ["base_stretches"]

F32 = npt.NDArray[np.float32]

_LEAST = 4.0
"""Seconds; in less a blink would be seen to come again."""
_LONGEST = 16.0
_MOST = 6
_TURNS = 48
"""Moments at which the film may turn: so many of the stillest."""
_POSE = np.radians([8.0, 8.0, 16.0])


def base_stretches(library: Library) -> tuple[tuple[int, int], ...]:
    """``Library.stretches``: at least 4 s long where the film is, still at both ends, the head there held alike.

    Without such a part it is the one that the film itself turns back at.
    """
    film = library.footage
    n, fps = len(film.track.points), float(film.fps)
    seen = np.where(library.seen[:n], 0, -1)
    cuts = np.flatnonzero(_jumps(library, n))
    parts = np.where(seen < 0, -1, np.searchsorted(cuts, np.arange(n), side="right"))
    unrest, speed, angles = _unrest(library, n), _speed(library, n), library.head.angles[:n] / _POSE
    found: list[tuple[float, int, int]] = []
    for first, last in stretches(parts):
        turns = first + _stillest(speed[first:last], round(0.4 * fps))
        for a in turns:
            for b in turns:
                if _LEAST * fps <= b + 1 - a <= _LONGEST * fps:
                    ends = speed[a] + speed[b] + 0.3 * float(np.sqrt(((angles[a] - angles[b]) ** 2).sum()))
                    found.append(
                        (float(unrest[a : b + 1].mean()) + 0.5 * ends - 0.02 * (b - a) / fps, int(a), int(b) + 1)
                    )
    chosen: list[tuple[int, int]] = []
    for _, first, last in sorted(found):
        shared = [min(last, b) - max(first, a) for a, b in chosen]
        if len(chosen) < _MOST and all(s < 0.4 * (last - first) for s in shared):
            chosen.append((first, last))
    return tuple(chosen) or ((film.first, film.last),)


def _jumps(library: Library, n: int) -> npt.NDArray[np.bool_]:
    """Where another run begins."""
    run = np.maximum.accumulate(library.run[:n])
    return np.concatenate([[False], np.diff(run) > 0])


def _stillest(speed: F32, apart: int) -> npt.NDArray[np.intp]:
    """Local minima, the stillest of them, in order."""
    padded = np.pad(speed, apart, mode="constant", constant_values=np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * apart + 1).min(axis=1)
    lowest = np.flatnonzero(speed <= around)
    return np.sort(lowest[np.argsort(speed[lowest])[:_TURNS]])


def _speed(library: Library, n: int) -> F32:
    """Eye distances a second that the head moves, over 10."""
    points = library.footage.track.points[:, [33, 263, 1, 10], :2].mean(axis=1) / library.footage.track.eye
    speed = np.linalg.norm(np.gradient(points, axis=0), axis=1) if n > 1 else np.zeros(n)
    return np.asarray(gaussian(speed[:, None], 2.0)[:, 0] * float(library.footage.fps) / 10, np.float32)


def _unrest(library: Library, n: int) -> F32:
    """How little each picture looks like a person who listens; around 1 for one who talks lively."""
    gap = gap_of(library.head.shape[:n])
    chin = np.abs(library.features[:n, 2])
    turned = np.sqrt(((library.head.angles[:n] / _POSE) ** 2).sum(axis=1))
    blurred = np.maximum(-library.skin[:n], 0)
    return np.asarray(8 * gap + 8 * chin + _speed(library, n) + 0.2 * turned + 0.5 * blurred, np.float32)
