"""How far a head's lips part when it is asked to: a net that saw little film parts them less than it is told.

What was measured (``training.measured``) is read backwards here, so that what is seen is what a speech wants.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

import numpy as np
import numpy.typing as npt

__all__ = ["Answers", "answering", "misfit"]

F32 = npt.NDArray[np.float32]

Answers = Sequence[tuple[float, float]]
"""Gaps between the lips that a head was asked for, rising, and those that were seen; eye distances."""

_MOST = 2.5
"""How much more, or less, is asked of a head than is wanted."""
_LONGEST = 64


def misfit(answers: Answers) -> str:
    """What is wrong with them, or nothing."""
    if len(answers) > _LONGEST or len(answers) == 1 or not all(isfinite(v) for pair in answers for v in pair):
        return f"{len(answers)} answers of the lips are not 2 to {_LONGEST} pairs of numbers"
    if any(a[0] >= b[0] for a, b in pairwise(answers)):
        return "the answers of the lips do not rise"
    return ""


def answering(gaps: npt.NDArray[np.floating], answers: Answers) -> F32:
    """What to ask of a head so that gaps ``(n,)`` are seen; the same where its answers are not known."""
    if not answers:
        return np.asarray(gaps, np.float32)
    asked, seen = np.array(answers, np.float64).T
    seen = np.maximum.accumulate(seen) + np.arange(len(seen)) * 1e-9  # one gap each
    wanted = np.maximum(gaps - asked[0], 0)
    found = np.interp(seen[0] + wanted, seen, asked) - asked[0]
    return np.asarray(gaps - wanted + np.clip(found, wanted / _MOST, wanted * _MOST), np.float32)
