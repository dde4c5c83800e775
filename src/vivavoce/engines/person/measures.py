"""How near a painted mouth comes to the one that was filmed: its pixels, sharpness, landmarks, timing and calm."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import correlation, gaussian, lowest
from vivavoce.face import mesh as m
from vivavoce.face.locate import FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.track import RIGID

__all__ = ["Judge", "Score", "mouth_box", "psnr", "similarity", "ssim", "timing"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]

_LIPS = list({*m.OUTER_UPPER, *m.OUTER_LOWER, *m.INNER_UPPER, *m.INNER_LOWER})
_BESIDE, _ABOVE = 0.28, 0.45
"""Of the lips' width and height, added on each side."""
_SIDE, _EYE = 224, 160.0
_LAGS = range(-4, 5)
_WINDOW = 7


def mouth_box(points: npt.NDArray[np.floating]) -> Box:
    """Left, top, right and bottom of the mouth with its surroundings."""
    lips = points[_LIPS, :2]
    low, high = lips.min(axis=0), lips.max(axis=0)
    margin = (high - low) * np.array([_BESIDE, _ABOVE])
    (x0, y0), (x1, y1) = np.maximum(low - margin, 0).astype(int), (high + margin).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def psnr(a: Bytes, b: Bytes) -> float:
    """Peak signal to noise ratio, decibels."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def ssim(a: Bytes, b: Bytes) -> float:
    """Structural similarity of two grey pictures (Wang et al. 2004), in windows of 7 by 7, all of them inside."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y, xx, yy, xy = (cv2.blur(v, (_WINDOW, _WINDOW)) for v in (x, y, x * x, y * y, x * y))
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    var_x, var_y, shared = (unbiased * v for v in (xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y))
    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    same = (2 * mean_x * mean_y + one) * (2 * shared + two)
    value = same / ((mean_x**2 + mean_y**2 + one) * (var_x + var_y + two))
    edge = _WINDOW // 2
    return float(value[edge:-edge, edge:-edge].mean())


def _gradients(grey: Bytes) -> float:
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return float((x * x + y * y).mean())


def _laplacian(grey: Bytes) -> float:
    return float((cv2.Laplacian(grey, cv2.CV_32F) ** 2).mean())


def timing(ours: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]) -> tuple[float, int]:
    """Correlation of two curves, and the lag in frames at which it is highest: positive when ours comes late."""
    n = len(ours)
    found = {
        lag: correlation(ours[max(lag, 0) : n + min(lag, 0)], truth[max(-lag, 0) : n + min(-lag, 0)]) for lag in _LAGS
    }
    return found[0], max(found, key=found.__getitem__)


@dataclass(frozen=True, slots=True)
class Score:
    """Of a row of pictures against the filmed ones."""

    psnr: float
    """Decibels, in the mouth's box."""
    ssim: float
    sharp: float
    """Energy of gradients over that of the truth."""
    laplacian: float
    landmarks: float
    """Mean distance of the lips' landmarks, found in both again, pixels."""
    opening: float
    """Correlation of the lips' gap with the truth's."""
    lag: int
    """Frames by which ours would have to come earlier to fit best."""
    spread: float
    """Deviation of the gap over that of the truth."""
    flicker: tuple[float, float]
    """Mean first and second difference from picture to picture over those of the truth."""
    gap: F32
    """``(n,)``: ours, found again, eye distances."""
    truth: F32
    """``(n,)``: the truth's."""

    def speech(self, fps: float) -> tuple[F32, F32]:
        """Both gaps without the expression's."""
        return _fast(self.gap, fps), _fast(self.truth, fps)


def _fast(gap: F32, fps: float) -> F32:
    return np.asarray(gap - gaussian(lowest(gap, 0.3, round(1.6 * fps) | 1)[:, None], 0.24 * fps)[:, 0], np.float32)


class Judge:
    """Judges pictures of one film, whose ``(n, 468, 3)`` landmarks are known. The truth is measured once."""

    def __init__(self, truth: Sequence[Bytes], points: F32, locator: FaceLocator) -> None:
        self._truth, self._points, self._locator = truth, points, locator
        self._found = self._again(truth)
        self._calm = self._flicker(truth)

    def score(self, ours: Sequence[Bytes]) -> Score:
        """Of pictures as many and as large as the truth's."""
        rows = [self._pixels(a, b, p) for a, b, p in zip(ours, self._truth, self._points, strict=True)]
        found = self._again(ours)
        apart = np.linalg.norm((found - self._found)[:, _LIPS, :2], axis=-1).mean()
        gap, truth = _gaps(found), _gaps(self._found)
        r, lag = timing(gap, truth)
        flicker = self._flicker(ours)
        near, alike, sharp, fine = (float(v) for v in np.mean(rows, axis=0))
        return Score(
            psnr=near,
            ssim=alike,
            sharp=sharp,
            laplacian=fine,
            landmarks=float(apart),
            opening=r,
            lag=lag,
            spread=float(gap.std() / max(truth.std(), 1e-6)),
            flicker=(flicker[0] / self._calm[0], flicker[1] / self._calm[1]),
            gap=gap,
            truth=truth,
        )

    @staticmethod
    def _pixels(ours: Bytes, truth: Bytes, points: F32) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = mouth_box(points)
        a, b = ours[y0:y1, x0:x1], truth[y0:y1, x0:x1]
        grey_a, grey_b = (np.asarray(cv2.cvtColor(v, cv2.COLOR_RGB2GRAY), np.uint8) for v in (a, b))
        sharp, fine = (of(grey_a) / max(of(grey_b), 1e-6) for of in (_gradients, _laplacian))
        return psnr(a, b), ssim(grey_a, grey_b), sharp, fine

    def _again(self, pictures: Sequence[Bytes]) -> F32:
        """Landmarks found from where they are in the truth."""
        out = []
        for rgb, points in zip(pictures, self._points, strict=True):
            mesh = self._locator.follow(rgb, FaceMesh(points))
            out.append(points if mesh is None else mesh.points)
        return np.array(out, np.float32)

    def _flicker(self, pictures: Sequence[Bytes]) -> tuple[float, float]:
        """Mean first and second difference of the lower face, held still."""
        model = np.median(self._points[:, list(RIGID), :2], axis=0)
        still = np.array(
            [_steadied(rgb, p, model)[60:190, 30:194] for rgb, p in zip(pictures, self._points, strict=True)],
            np.float32,
        )
        if len(still) < 3:
            return 1.0, 1.0
        return float(np.abs(np.diff(still, axis=0)).mean()), float(np.abs(np.diff(still, 2, axis=0)).mean())


def _gaps(points: F32) -> F32:
    return np.array([FaceMesh(p).lip_gap for p in points], np.float32)


def _steadied(rgb: Bytes, points: F32, model: npt.NDArray[np.floating]) -> Bytes:
    """The face turned, scaled and moved as the model's, the mouth in the middle."""
    eyes = float(np.linalg.norm(model[RIGID.index(263)] - model[RIGID.index(33)]))
    ends = (model - model[RIGID.index(2)]) * (_EYE / max(eyes, 1.0)) + np.array([_SIDE / 2, _SIDE / 2 - 0.22 * _EYE])
    matrix = similarity(points[list(RIGID), :2].astype(np.float64), ends)
    crop = cv2.warpAffine(rgb, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), 1.0), np.uint8)


def similarity(source: Floats, target: Floats) -> Floats:
    """The ``(2, 3)`` matrix that turns, scales and moves ``source`` onto ``target`` with the least squares."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    cos, sin = (a * b).sum() / (a * a).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (target.mean(axis=0) - turn @ source.mean(axis=0))[:, None]])
