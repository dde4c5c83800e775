"""What is kept of a person's film: where the face is in every picture, what the mouth does there, and how it looks.

Everything that drives, chooses and paints reads this and nothing else. Shapes are *canonical*: in eye distances, the
head upright and frontal, as ``face.track.Canonical`` gives them; a shape is a *slow* part, the expression, and a *fast*
part, speech. Stored as ``person.npz`` and a pack of JPEGs beside the reels of ``face.footage``, never a pickle.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.face.footage import Footage
from vivavoce.face.track import Canonical

__all__ = ["FEATURES", "LOW", "VERSION", "Library", "Voice"]

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

VERSION = 1
FEATURES = ("gap", "width", "chin", "lower", "upper", "protrusion")
"""What a mouth is told by, each in eye distances: the gap between the lips as it is; of the others the fast part."""
_LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
LOW = (*_LIPS, 152, 175, 199, 200, 18)
"""Landmarks whose fast parts, x and y, are what is predicted and chosen by: lips and chin."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The person's own sound, and what it says of the mouth: kernel ridge regression from sound to ``weights``."""

    windows: F32
    """``(n, d)``: log-mel energies around each picture, not normalised."""
    mean: F32
    """``(d,)``."""
    spread: F32
    """``(d,)``."""
    alpha: F32
    """``(n_fit, 6)``: the regression's dual weights; of the pictures ``fitted``."""
    fitted: Ints
    """``(n_fit,)``."""
    sure: float
    """Cross-validated correlation of the opening's fast part with the truth: below 0.35 it is better not asked."""


@dataclass(frozen=True, slots=True)
class Library:
    """One person. Arrays have a row for each of the ``n`` pictures of the film."""

    footage: Footage
    """The film itself, as a base that is replayed; its ``track`` is smoothed, and only says where the face is.

    Its pictures are the first rows here; a long film has more rows than pictures in its reels."""
    points: F32
    """``(n, 468, 3)`` landmarks in pixels of the largest reel, lips not smoothed."""
    head: Canonical
    """Pose of the head, from smoothed points, and the canonical shape of ``points``."""
    slow: F32
    """``(n, 468, 3)``: expression; ``head.shape - slow`` is speech."""
    basis: F32
    """``(6, 2 * len(LOW))``: principal components of the fast parts of ``LOW``."""
    centre: F32
    """``(2 * len(LOW),)``: their mean."""
    weights: F32
    """``(n, 6)``: each picture's fast part by the components."""
    features: F32
    """``(n, 6)``: ``FEATURES``."""
    opening: F32
    """``(n,)`` 0-1: share of what the outer lips enclose that is not of their colour; below 0.01 they are shut."""
    skin: F32
    """``(n,)``: log sharpness of the skin around the mouth over its median."""
    lips: F32
    """``(n,)``: the same of the lips, what opening and pose explain taken out."""
    run: Ints
    """``(n,)``: number of the uncut stretch that a picture belongs to; -1 where it cannot be used."""
    seen: Bools
    """``(n,)``: whether the face is there, and not turned away too far; where it is not, points are the nearest."""
    usable: Bools
    """``(n,)``: whether a picture may be a source: a face, sharp enough, not turned away too far, not hidden."""
    stretches: tuple[tuple[int, int], ...]
    """Parts of the reels that may be replayed, quietest first: pictures ``first`` up to, and without, ``last``."""
    crops: tuple[bytes, ...]
    """JPEG of the lower face of each picture, RGB; b"" where it is not usable."""
    corners: Ints
    """``(n, 2)``: where a crop's first pixel lies in the largest reel, x and y."""
    voice: Voice | None
    """None where the film has no speech that could be learnt from."""
    report: dict[str, Any]
    """What the user is told, see ``report``: built-in types only."""

    @property
    def fast(self) -> F32:
        """``(n, 468, 3)``: speech."""
        return np.asarray(self.head.shape - self.slow, np.float32)

    def __len__(self) -> int:
        return len(self.points)
