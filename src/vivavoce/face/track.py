"""A face followed through a film: landmarks of every picture, smoothed so that what is laid on it does not tremble.

Smoothing happens afterwards, over past and future, so it does not lag: strong while the head rests, when trembling
shows, weak while it moves, when lag would.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.locate import MAX_YAW, FaceLocator
from vivavoce.face.mesh import FaceMesh

__all__ = ["RIGID", "Canonical", "Track", "canonical", "follow", "sharpness", "smoothed", "track"]

Image = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

RIGID = (
    *(33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 151, 9, 8),
    *(127, 356, 162, 389, 54, 284, 103, 332, 67, 297, 109, 338, 70, 300, 105, 334, 107, 336),
)
"""Points that speech does not move: eyes' corners, nose, brows, forehead, temples."""
_CALM, _LIVELY = 2.0, 0.6
"""Sigma of the smoothing in pictures, for a face at rest and for one that moves."""
_SLOW, _FAST = 0.004, 0.020
"""Eye distances a picture: below the first a face rests, above the second it moves."""
_CUT = 0.5
"""Eye distances from one picture to the next that no head moves: the film was cut."""


@dataclass(frozen=True, slots=True)
class Track:
    """One face through ``n`` pictures."""

    points: F32
    """``(n, 468, 3)`` as in ``FaceMesh``; where no face was seen, the nearest that was."""
    seen: npt.NDArray[np.bool_]
    """``(n,)``: whether a face was there, and not turned away too far."""
    confidence: F32
    """``(n,)``, 0 without a face."""

    def mesh(self, number: int) -> FaceMesh:
        """The landmarks of one picture."""
        return FaceMesh(self.points[number], float(self.confidence[number]))

    def part(self, first: int, last: int) -> "Track":
        """Pictures ``first`` up to, and without, ``last``."""
        return Track(self.points[first:last], self.seen[first:last], self.confidence[first:last])

    @property
    def eye(self) -> float:
        """Median distance of the outer eye corners where a face was seen, pixels."""
        eyes = np.linalg.norm(self.points[:, 263, :2] - self.points[:, 33, :2], axis=1)
        return float(np.median(eyes[self.seen] if self.seen.any() else eyes))


def follow(pictures: Iterable[Image], locator: FaceLocator) -> Iterator[FaceMesh | None]:
    """The landmarks of each picture as they are found, not smoothed; None where no face is, or it is turned away."""
    before: FaceMesh | None = None
    for rgb in pictures:
        before = locator.follow(rgb, before)
        yield None if before is None or abs(before.yaw) > MAX_YAW else before


def track(meshes: Iterable[FaceMesh | None]) -> Track:
    """Meshes of following pictures, joined; raises ``ValueError`` when there is no face at all."""
    found = list(meshes)
    seen = np.array([m is not None for m in found])
    if not seen.any():
        raise ValueError("no face in any picture")
    there = np.flatnonzero(seen)
    all_ = np.arange(len(found))
    after = there[np.searchsorted(there, all_).clip(max=len(there) - 1)]
    before = there[(np.searchsorted(there, all_, side="right") - 1).clip(min=0)]
    nearest = np.where(np.abs(all_ - before) <= np.abs(all_ - after), before, after)
    points = np.stack([m.points for m in (found[i] for i in nearest) if m is not None])
    confidence = np.array([0.0 if m is None else m.confidence for m in found], np.float32)
    return Track(points.astype(np.float32), seen, confidence)


def _gaussian(x: Floats, sigma: float) -> Floats:
    """Smoothing along the first axis, the ends continued by their mirror images."""
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    radius = min(radius, len(x) - 1)
    kernel = kernel[len(kernel) // 2 - radius : len(kernel) // 2 + radius + 1] if len(x) > 1 else np.ones(1)
    padded = np.concatenate([2 * x[:1] - x[1 : radius + 1][::-1], x, 2 * x[-1:] - x[-radius - 1 : -1][::-1]])
    stacked = sum(w * padded[i : i + len(x)] for i, w in enumerate(kernel / kernel.sum()))
    return np.asarray(stacked)


def smoothed(raw: Track) -> Track:
    """The track without the net's tremble. A cut or a gap is not smoothed over."""
    eye = raw.eye
    points = raw.points.astype(np.float64)
    middle = points[:, list(RIGID)].mean(axis=1)
    step = np.linalg.norm(np.diff(middle[:, :2], axis=0), axis=1) / eye
    cuts = np.flatnonzero((step > _CUT) | (np.diff(raw.seen.astype(int)) != 0)) + 1
    out = points.copy()
    for first, last in zip([0, *cuts], [*cuts, len(points)], strict=True):
        run = points[first:last]
        if last - first < 3:
            continue
        speed = np.zeros(last - first)
        speed[1:] = np.linalg.norm(np.diff(_gaussian(middle[first:last], 1.0)[:, :2], axis=0), axis=1) / eye
        lively = np.clip((_gaussian(speed, 1.5) - _SLOW) / (_FAST - _SLOW), 0, 1)[:, None, None]
        out[first:last] = _gaussian(run, _CALM) * (1 - lively) + _gaussian(run, _LIVELY) * lively
    return Track(out.astype(np.float32), raw.seen, raw.confidence)


@dataclass(frozen=True, slots=True)
class Canonical:
    """The track with the head's motion taken out: ``points = scale * shape @ rotation.T + shift``."""

    shape: F32
    """``(n, 468, 3)`` in eye distances, head upright and frontal."""
    scale: Floats
    """``(n,)``."""
    rotation: Floats
    """``(n, 3, 3)``."""
    shift: Floats
    """``(n, 3)``."""

    @property
    def angles(self) -> Floats:
        """Yaw, pitch and roll of each picture in radians, ``(n, 3)``."""
        r = self.rotation
        return np.stack(
            [
                np.arctan2(-r[:, 2, 0], np.hypot(r[:, 2, 1], r[:, 2, 2])),
                np.arctan2(r[:, 2, 1], r[:, 2, 2]),
                np.arctan2(r[:, 1, 0], r[:, 0, 0]),
            ],
            axis=1,
        )

    def posed(self, shape: npt.NDArray[np.floating]) -> F32:
        """Shapes ``(n, m, 3)`` of these heads, put back where the heads are: pixels ``(n, m, 3)``."""
        turned = np.einsum("nmc,ndc->nmd", shape, self.rotation)
        return np.asarray(turned * self.scale[:, None, None] + self.shift[:, None], np.float32)


def _aligned(points: Floats, model: Floats) -> tuple[Floats, Floats, Floats]:
    """Scale, rotation and shift that lay ``model`` ``(k, 3)`` on each of ``points`` ``(n, k, 3)`` (Umeyama 1991)."""
    centre, origin = points.mean(axis=1), model.mean(axis=0)
    p, q = points - centre[:, None], model - origin
    u, s, vt = np.linalg.svd(np.einsum("nkc,kd->ncd", p, q))
    sign = np.ones((len(points), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(axis=1) / (q**2).sum()
    return scale, rotation, centre - scale[:, None] * (rotation @ origin)


def canonical(track_: Track, rounds: int = 3) -> Canonical:
    """Part the head's motion from the face's, by the points that speech does not move; fitted where a face was seen."""
    points = track_.points.astype(np.float64)
    rigid = points[:, list(RIGID)]
    seen = np.flatnonzero(track_.seen)
    frontal = seen[np.argmin([abs(mesh.yaw) + abs(mesh.roll) for mesh in map(track_.mesh, seen.tolist())])]
    first = points[frontal]
    eye = float(np.linalg.norm(first[263, :2] - first[33, :2]))
    model = (rigid[frontal] - first[list(RIGID)].mean(axis=0)) / eye
    for _ in range(rounds):
        scale, rotation, shift = _aligned(rigid, model)
        back = np.einsum("nkc,ncd->nkd", rigid - shift[:, None], rotation) / scale[:, None, None]
        model = np.median(back[seen], axis=0)
    scale, rotation, shift = _aligned(rigid, model)
    shape = np.einsum("nkc,ncd->nkd", points - shift[:, None], rotation) / scale[:, None, None]
    return Canonical(shape.astype(np.float32), scale, rotation, shift)


def sharpness(rgb: Image, mesh: FaceMesh, side: int = 160) -> float:
    """Variance of the Laplacian of the face's luma, at a size of its own: faces of any size compare."""
    points = mesh.points[:, :2]
    low, high = points.min(0), points.max(0)
    scale = side / float((high - low).max())
    if scale < 0.5:  # without shrinking first, fine detail would alias
        reach = 2 / scale
        x0, y0 = (int(v) for v in np.clip(np.floor(low - reach), 0, np.array(rgb.shape[1::-1]) - 1))
        x1, y1 = (int(v) for v in np.clip(np.ceil(high + reach), (x0 + 1, y0 + 1), rgb.shape[1::-1]))
        size = max(1, round((x1 - x0) * scale * 2)), max(1, round((y1 - y0) * scale * 2))
        rgb = np.asarray(cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA))
        shrunk = size[0] / (x1 - x0)
        low, scale = (low - (x0, y0)) * shrunk, scale / shrunk
    matrix = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    crop = cv2.warpAffine(rgb, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
