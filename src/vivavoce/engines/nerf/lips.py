"""What a head hears that was learnt of lips: what sound and words ask of this person's mouth, a row a frame."""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.nerf.answers import Answers, answering
from vivavoce.engines.person.drive import Target, drive
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.verdict import SHUT
from vivavoce.nouns import Canvas, Speech

__all__ = ["expression", "filmed_lips", "gaping_lips", "resting_lips", "spoken_lips"]

F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_SHUT = 3.0
"""Percentile of the gaps between the lips that is a shut mouth's."""
_WITHIN = 0.5, 99.5
"""Percentiles of the film beyond which nothing is asked: no net knows what is there."""
_LIKE, _OTHERS, _FEWEST = 0.15, 0.33, 8
"""Spreads of the gap within which pictures of a film have the same one; what other features count beside it; and how
many pictures are taken at least."""
_AT_ONCE = 256
"""Frames that are compared with the film together."""


def filmed_lips(library: Library) -> F32:
    """What the mouth does in each picture of a film, ``(n, 8)``: six numbers of speech, two of the expression."""
    return np.concatenate([library.features, expression(library)], axis=1).astype(np.float32)


def expression(library: Library) -> F32:
    """How wide and how high the corners of the mouth are drawn when nothing is said, ``(n, 2)``, eye distances."""
    corners = library.slow[:, [61, 291]]
    width = np.linalg.norm(corners[:, 0, :2] - corners[:, 1, :2], axis=1)
    height = corners[..., 1].mean(axis=1) - library.slow[:, [0, 17], 1].mean(axis=1)
    return np.stack([width, height], axis=1).astype(np.float32)


def spoken_lips(
    library: Library,
    speech: Speech,
    canvas: Canvas,
    bases: Ints,
    expressiveness: float = 1.0,
    answers: Answers = (),
) -> F32:
    """What a speech asks of this person's mouth in each frame, ``(n, 8)``.

    Nothing is asked that the film does not show: how far the lips part is told by the speech, and all else as it is in
    pictures in which they part as far, for a net that has only seen them together takes the one for the other. The
    mouth begins and ends at rest, with the expression of ``bases`` ``(n,)``. With the head's ``answers``, so much is
    asked that what is seen is what the speech wants.
    """
    target = drive(library, speech, canvas, expressiveness)
    own = library.features[library.usable]
    asked = _features(library, target)
    gap = float(np.percentile(own[:, 0], _SHUT))
    asked[:, 0] = asked[:, 0] * (1 - target.press) + min(gap, float(own[:, 0].min(initial=gap)) + 0.002) * target.press
    rest = target.rest.copy()
    rest[[0, -1]] = 1
    asked += rest[:, None] * (_resting(library) - asked)
    asked[:, 0] = answering(asked[:, 0], answers)
    low, high = np.percentile(own, _WITHIN, axis=0)
    rows = _as_filmed(library, np.clip(asked, low, high).astype(np.float32))
    return np.asarray(rows + rest[:, None] * (resting_lips(library, bases) - rows), np.float32)


def gaping_lips(library: Library, gaps: npt.NDArray[np.floating]) -> F32:
    """What a mouth does whose lips part by ``gaps`` ``(n,)``, eye distances, as the film has it; ``(n, 8)``."""
    asked = np.zeros((len(gaps), library.features.shape[1]), np.float32)
    asked[:, 0] = gaps
    return _as_filmed(library, asked, 0.0)


def _as_filmed(library: Library, asked: F32, others: float = _OTHERS) -> F32:
    """Features ``(n, 6)`` with the others, and the expression, of pictures in which the gap is about the same.

    A mean weighed by how like they are (Nadaraya 1964, Watson 1964).
    """
    own = filmed_lips(library)[library.usable]
    count = asked.shape[1]
    spread = own[:, :count].std(axis=0)
    counts = np.array([1 / _LIKE, *[others] * (count - 1)], np.float32)
    share = np.where(spread > 1e-6, counts / np.maximum(spread, 1e-6), 0)
    made = [np.zeros((0, own.shape[1]), np.float32)]
    for first in range(0, len(asked), _AT_ONCE):
        some = asked[first : first + _AT_ONCE]
        apart = sum(((some[:, None, i] - own[None, :, i]) * share[i]) ** 2 for i in range(count))
        apart = apart - apart.min(axis=1, keepdims=True)
        nth = min(_FEWEST, apart.shape[1] - 1)
        weight = np.exp(-0.5 * apart / np.maximum(1, np.partition(apart, nth, axis=1)[:, nth : nth + 1]))
        made.append((weight / weight.sum(axis=1, keepdims=True)) @ own)
    rows = np.concatenate(made).astype(np.float32)
    rows[:, 0] = asked[:, 0]
    return rows


def resting_lips(library: Library, bases: Ints) -> F32:
    """The same of a mouth that says nothing."""
    rest = np.broadcast_to(_resting(library), (len(bases), library.features.shape[1]))
    return np.concatenate([rest, expression(library)[bases]], axis=1).astype(np.float32)


def _features(library: Library, target: Target) -> F32:
    """By ``library.FEATURES``; what is told by components is told by them as the film's pictures are."""
    if target.features is not None:
        return target.features.copy()
    assert target.weights is not None
    rows = np.concatenate([library.weights, np.ones((len(library), 1), np.float32)], axis=1)
    usable = library.usable
    told, *_ = np.linalg.lstsq(rows[usable], library.features[usable], rcond=None)
    wanted = np.concatenate([target.weights, np.ones((len(target), 1), np.float32)], axis=1)
    return np.asarray(wanted @ told, np.float32)


def _resting(library: Library) -> F32:
    """``(6,)``: of the pictures in which the lips are shut."""
    shut = library.usable & (library.opening < SHUT)
    if not shut.any():
        shut = library.usable & (library.opening <= np.percentile(library.opening[library.usable], _SHUT))
    return np.asarray(np.median(library.features[shut], axis=0), np.float32)
