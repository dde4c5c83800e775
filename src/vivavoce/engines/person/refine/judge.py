"""Whether a refinement is used: only where it is better than the library alone, on pictures that taught neither."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.evaluate import OWN, TRUE, Bench, Fold, paint_with
from vivavoce.engines.person.measures import Score, timing
from vivavoce.engines.person.refine.pairs import held_back, taught
from vivavoce.face import mesh as m

__all__ = ["SHARPEST", "Figures", "Verdict", "judged", "objections"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Show = Callable[[float], None]

SHARPEST = 0.9
"""Of the truth's sharpness, which a refined mouth must have: a net wins decibels by blurring."""
_SLACK = 0.005
"""Of flicker and of correlation: what is no worse may be rounded."""
_BEYOND = 0.02
"""Eye distances around the inner lips that belong to the inside of a mouth."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of painted pictures against the filmed ones."""

    inner: float
    """Decibels, between the lips."""
    mouth: float
    """Decibels, in the mouth's box."""
    sharp: float
    """Of the truth's, in the mouth's box."""
    inner_sharp: float
    """The same between the lips."""
    flicker: tuple[float, float]
    """First and second difference from picture to picture, of the truth's."""
    opening: float
    """Correlation of the lips' gap with the truth's, found again."""

    def as_dict(self) -> dict[str, Any]:
        """Rounded, as it is kept in ``avatar.json``."""
        return {
            "inner_psnr": round(self.inner, 2),
            "mouth_psnr": round(self.mouth, 2),
            "sharpness": round(self.sharp, 3),
            "inner_sharpness": round(self.inner_sharp, 3),
            "flicker": [round(v, 3) for v in self.flicker],
            "opening_r": round(self.opening, 3),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures without and with the refinement, and what speaks against it."""

    before: dict[str, Figures]
    """By the names of ``evaluate.ROWS``: the true lips, and the person's own sound where there is one."""
    after: dict[str, Figures]
    against: tuple[str, ...]
    """Empty: it is used."""


def judged(bench: Bench, model: bytes, show: Show = lambda _: None) -> Verdict:
    """Compare the refinement ``model``, ONNX, with the library alone on the pictures that were held back."""
    stretches = held_back(bench.count)
    known = np.ones(len(bench.library), bool)
    known[: bench.count] = taught(bench.count, stretches)
    folds = [Fold.of(bench, test, known) for test in stretches]
    rows = (TRUE, OWN) if folds[0].library.voice is not None else (TRUE,)
    paints = paint_with(bench), paint_with(bench, model)
    scores: list[dict[str, list[tuple[Score, F32]]]] = [{}, {}]
    for number, fold in enumerate(folds):
        judge, truth = fold.judge(), [fold.shown(bench.picture(int(i))) for i in fold.test]
        for row in rows:
            for which, paint in enumerate(paints):
                show((number + (rows.index(row) + which / 2) / len(rows)) / len(folds))
                pictures = list(fold.pictures(row, paint))
                inner = _inner(pictures, truth, fold.points, bench.library.footage.track.eye)
                scores[which].setdefault(row, []).append((judge.score(pictures), inner))
    before, after = ({row: _pooled(found) for row, found in side.items()} for side in scores)
    return Verdict(before, after, objections(before, after))


def objections(before: dict[str, Figures], after: dict[str, Figures]) -> tuple[str, ...]:
    """What speaks against a refinement, in words; empty when it is better and nothing is worse."""
    found = []
    for row, b in before.items():
        a = after[row]
        if a.inner <= b.inner:
            found.append(
                f"the inside of the mouth is no nearer to the film with {row} ({b.inner:.2f} to {a.inner:.2f} dB)"
            )
        if a.mouth <= b.mouth:
            found.append(f"the mouth is no nearer to the film with {row} ({b.mouth:.2f} to {a.mouth:.2f} dB)")
        if min(a.sharp, a.inner_sharp) < SHARPEST:
            found.append(
                f"it blurs with {row} ({a.sharp:.2f} of the film's sharpness, {a.inner_sharp:.2f} between the lips)"
            )
        if any(now > was + _SLACK for now, was in zip(a.flicker, b.flicker, strict=True)):
            found.append(f"it flickers more with {row} ({b.flicker[0]:.2f} to {a.flicker[0]:.2f})")
        if a.opening < b.opening - _SLACK:
            found.append(f"the lips open less in time with {row} (r {b.opening:.3f} to {a.opening:.3f})")
    return tuple(found)


def _pooled(found: Sequence[tuple[Score, F32]]) -> Figures:
    scores = [score for score, _ in found]
    weights = np.array([len(score.gap) for score in scores], np.float64)
    inner = np.sum([sums for _, sums in found], axis=0)

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=weights))

    gap, truth = (np.concatenate(a) for a in ([s.gap for s in scores], [s.truth for s in scores]))
    return Figures(
        inner=float(10 * np.log10(255**2 * inner[1] / max(inner[0], 1e-9))),
        mouth=mean([s.psnr for s in scores]),
        sharp=mean([s.sharp for s in scores]),
        inner_sharp=float(inner[2] / max(inner[3], 1e-9)),
        flicker=(mean([s.flicker[0] for s in scores]), mean([s.flicker[1] for s in scores])),
        opening=timing(gap, truth)[0],
    )


def _inner(ours: Sequence[Bytes], truth: Sequence[Bytes], points: F32, eye: float) -> F32:
    """Between the lips: squared error, number of values, energy of our gradients and of the truth's, ``(4,)``."""
    side = 2 * round(_BEYOND * eye) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    sums = np.zeros(4)
    for a, b, p in zip(ours, truth, points, strict=True):
        ring = np.vstack([p[list(m.INNER_UPPER), :2], p[list(m.INNER_LOWER), :2][::-1]])
        mask = np.zeros(a.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(ring * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        inside = cv2.dilate(mask, brush) > 0
        error = (a[inside].astype(np.float64) - b[inside]) ** 2
        sums += [error.sum(), error.size, _energy(a)[inside].sum(), _energy(b)[inside].sum()]
    return sums.astype(np.float32)


def _energy(rgb: Bytes) -> F32:
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(x * x + y * y, np.float32)
