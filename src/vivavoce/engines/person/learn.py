"""From what was seen to a library: poses, expression and speech apart, components, sharpness, runs, the voice.

The same is done again for a part of the pictures when a library is judged: what it is tested on must teach it nothing.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import stretches
from vivavoce.engines.person.library import LOW, Library
from vivavoce.engines.person.pose import features_of, gap_of, heads, low_of, slow_part
from vivavoce.engines.person.voice import fitted
from vivavoce.face.footage import Footage

__all__ = ["BLURRED", "Sight", "learned", "restricted"]

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

BLURRED = -0.45
"""Log sharpness of the skin below which a picture is too blurred to be a source."""
_COMPONENTS = 6


@dataclass(frozen=True, slots=True)
class Sight:
    """What a library is made of, a row for each picture; see ``Library`` for what is not explained."""

    points: F32
    seen: Bools
    parts: Ints
    """``(n,)``: number of the uncut stretch with a face that a picture belongs to, -1 for none."""
    opening: F32
    skin: F32
    """Log sharpness; only differences count."""
    lips: F32
    windows: F32 | None
    crops: tuple[bytes, ...]
    corners: Ints


def learned(sight: Sight, footage: Footage, fit: Bools) -> Library:
    """The library of a film, learnt from the pictures ``fit``; the others have all rows, but are never usable.

    It has neither stretches nor a report. Raises ``ValueError`` when hardly a picture is usable.
    """
    known = fit & sight.seen
    if known.sum() < 2 * _COMPONENTS:
        raise ValueError("hardly any picture shows the face")
    borders = np.concatenate([[0], np.cumsum(np.diff(fit.astype(int)) != 0)])
    parts = np.where(sight.parts < 0, -1, sight.parts * (borders.max() + 1) + borders)
    head = heads(sight.points, known, parts)
    slow = slow_part(head.shape, parts, float(footage.fps))
    skin = (sight.skin - np.median(sight.skin[known])).astype(np.float32)
    has_crop = np.array([len(crop) > 0 for crop in sight.crops])
    usable = known & (skin >= BLURRED) & has_crop
    if usable.sum() < 2 * _COMPONENTS:
        raise ValueError("hardly any picture is sharp")
    fast = low_of(head.shape) - low_of(slow)
    centre = fast[usable].mean(axis=0)
    basis = _components(fast[usable] - centre)
    weights = (fast - centre) @ basis.T
    weights[~sight.seen] = 0
    voice = None
    if sight.windows is not None:
        truth = gap_of(head.shape) - gap_of(slow)
        voice = fitted(sight.windows, weights, known, _opens(basis), truth)
    return Library(
        footage=footage,
        points=sight.points,
        head=head,
        slow=slow,
        basis=basis.astype(np.float32),
        centre=centre.astype(np.float32),
        weights=weights.astype(np.float32),
        features=features_of(head.shape, slow),
        opening=sight.opening,
        skin=skin,
        lips=_lips(sight, head.angles[:, 0], known),
        run=np.where(usable, parts, -1).astype(np.intp),
        seen=sight.seen,
        usable=usable,
        stretches=(),
        crops=sight.crops,
        corners=sight.corners,
        voice=voice,
        report={},
    )


def _components(rows: F32) -> F32:
    """``(6, d)``: principal components of rows ``(n, d)`` around 0, the largest first."""
    vectors = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1]
    return np.ascontiguousarray(vectors[:, : -_COMPONENTS - 1 : -1].T, np.float32)


def _opens(basis: npt.NDArray[np.floating]) -> F32:
    """``(6,)``: how far one unit of each component parts the lips."""
    pairs = [(LOW.index(a), LOW.index(b)) for a, b in ((13, 14), (82, 87), (312, 317))]
    shifts = basis.reshape(len(basis), len(LOW), 2)[..., 1]
    return np.asarray(np.mean([shifts[:, b] - shifts[:, a] for a, b in pairs], axis=0), np.float32)


def _lips(sight: Sight, yaw: npt.NDArray[np.floating], known: Bools) -> F32:
    """Sharpness of the lips without what is no blur: teeth are sharp, and a turned mouth is another picture."""
    share = np.sqrt(np.maximum(sight.opening, 0))
    causes = np.stack([np.ones(len(yaw)), share, sight.opening, yaw, yaw**2], axis=1)
    explained = causes @ np.linalg.lstsq(causes[known], sight.lips[known], rcond=None)[0]
    return np.asarray(sight.lips - explained, np.float32)


def restricted(library: Library, fit: Bools) -> Library:
    """The library as it would be if only the pictures ``fit`` had been there to learn from."""
    parts = np.full(len(library), -1, np.intp)
    for number, (first, last) in enumerate(stretches(np.where(library.seen, 0, -1))):
        inside = library.run[first:last]
        cuts = np.flatnonzero(np.diff(np.where(inside < 0, np.maximum.accumulate(inside), inside)) > 0)
        parts[first:last] = number * len(library) + np.searchsorted(cuts + 1, np.arange(last - first), side="right")
    windows = None if library.voice is None else library.voice.windows
    sight = Sight(
        points=library.points,
        seen=library.seen,
        parts=parts,
        opening=library.opening,
        skin=library.skin,
        lips=library.lips,
        windows=windows,
        crops=library.crops,
        corners=library.corners,
    )
    return replace(learned(sight, library.footage, fit), stretches=library.stretches, report=library.report)
