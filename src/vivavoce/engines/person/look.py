"""What one picture of a film tells of its mouth: whether the lips are shut, how sharp it is, and the part that is kept.

Landmarks do not know a shut mouth: they read the same small gap off lips that touch and off a dark slit between teeth.
Pixels do. All measures are taken in a view of the mouth that is upright and of one size, so faces of any size compare.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face import mesh as m

__all__ = ["CUT", "LOWER_FACE", "View", "colours", "crop_of", "packed", "unpacked", "view"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]

_SIDE, _EYE = 224, 160.0
"""Pixels of a view, and of the distance between the eyes in it."""
_PALE, _DARK = 0.7, 0.45
"""What is no lip: less red than this share of the lips' redness (teeth), or of their brightness (the mouth's depth)."""
_THIN = 3
"""Rows of a view: what is lower is the line where shut lips meet."""
LOWER_FACE = (
    *(58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288),
    *(436, 426, 423, 327, 2, 98, 203, 206, 216, 132, 361, 205, 425),
)
"""Jaw and chin, and the line under nose and cheeks: around what is kept of a picture."""
_MARGIN = 0.16
"""Eye distances kept around it: a spline looks beyond the edge of what it paints."""
_GREATEST, _LEAST, _STEP = 94, 70, 3
"""Qualities of JPEG."""
_AROUND = (
    *(18, 200, 199, 83, 182, 201, 313, 406, 421, 164, 167, 393, 57, 43, 186, 287, 273, 410),
    *(212, 92, 432, 322),
)
"""Chin, its sides, philtrum, corners of the mouth, jaws; see ``hidden.AREAS``."""
_LIT = (205, 425, 36, 266, 50, 280)
"""Cheeks and sides of the nose, which say how much light there is."""
CUT = 0.45
"""Difference of two pictures' colours, 0-1, that no motion makes: the film was cut."""


@dataclass(frozen=True, slots=True)
class View:
    """A mouth, upright, ``_EYE`` pixels from eye to eye, in the middle of ``rgb``."""

    rgb: Bytes
    """``(224, 224, 3)``."""
    points: F32
    """``(468, 2)`` landmarks in it."""

    def opening(self) -> float:
        """Share of what the outer lips enclose that is no lip, 0-1; below 0.01 the mouth is shut."""
        soft = cv2.GaussianBlur(self.rgb, (0, 0), 1.0).astype(np.float32)
        light = soft @ np.array([0.3, 0.6, 0.1], np.float32)
        red = (soft[..., 0] - soft[..., 1]) / (soft[..., 0] + 10)
        whole, inside = self._lips(0.0), self._lips(0.5)
        flesh = self._lips(0.2) & ~self._lips(0.7)
        if not flesh.any() or not whole.any():
            return 0.0
        pale = red < _PALE * np.percentile(red[flesh], 60)  # of a broad grin some of the teeth lie in the mesh's lips
        dark = light < _DARK * np.median(light[flesh])
        other = (inside & (pale | dark)).astype(np.uint8)
        return float(cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((_THIN, 1), np.uint8)).sum() / whole.sum())

    def _lips(self, inwards: float) -> npt.NDArray[np.bool_]:
        """What lies inside the outer lips (0), the inner ones (1), or a contour between."""
        p = self.points
        upper = (1 - inwards) * p[list(m.OUTER_UPPER)] + inwards * p[list(m.INNER_UPPER)]
        lower = (1 - inwards) * p[list(m.OUTER_LOWER)] + inwards * p[list(m.INNER_LOWER)]
        mask = np.zeros(self.rgb.shape[:2], np.uint8)
        ring = np.round(np.vstack([upper, lower[::-1]]) * 16).astype(np.int32)
        cv2.fillPoly(mask, [ring], 1, cv2.LINE_8, 4)
        return np.asarray(mask > 0)

    def flesh(self) -> F32:
        """Colours of 18 places on the lips and 22 around them, ``(40, 3)``: logs of red and blue over green, and green.

        Those of cheeks and nose are taken off, so light counts out.
        """
        p = self.points
        upper = (p[list(m.OUTER_UPPER[1:-1])] + p[list(m.INNER_UPPER[1:-1])]) / 2
        lower = (p[list(m.OUTER_LOWER[1:-1])] + p[list(m.INNER_LOWER[1:-1])]) / 2
        at = np.round(np.vstack([upper, lower, p[list(_AROUND)], p[list(_LIT)]])).astype(int).clip(0, _SIDE - 1)
        logs = np.log(cv2.blur(self.rgb, (9, 9))[at[:, 1], at[:, 0]].astype(np.float32) + 12)
        seen = np.stack([logs[:, 0] - logs[:, 1], logs[:, 2] - logs[:, 1], logs[:, 1]], axis=1)
        return np.asarray(seen[: -len(_LIT)] - np.median(seen[-len(_LIT) :], axis=0), np.float32)

    def sharpness(self) -> tuple[float, float]:
        """Log energy of the fine detail of the skin around the mouth, and of the mouth itself; light counts out."""
        grey = np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        light = 2 * np.log(float(grey[60:200, 40:184].mean()) + 1.0)
        fine = cv2.Laplacian(grey, cv2.CV_32F) ** 2
        ring = (fine[60:200, 40:184].sum() - fine[85:140, 70:154].sum()) / (140 * 144 - 55 * 84)
        soft = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F) ** 2
        return float(np.log(ring + 1e-6) - light), float(np.log(soft[85:145, 60:164].mean() + 1e-6) - light)


def view(rgb: Bytes, points: npt.NDArray[np.floating]) -> View:
    """The mouth of the face whose landmarks ``(468, 2)`` or ``(468, 3)`` lie in ``rgb``."""
    eyes = points[m.RIGHT_EYE_OUTER] - points[m.LEFT_EYE_OUTER]
    scale = _EYE / max(float(np.linalg.norm(eyes)), 1.0)  # with their depth: a turned head is no smaller
    flat = points[:, :2].astype(np.float64)
    centre = flat[[m.LEFT_CORNER, m.RIGHT_CORNER]].mean(axis=0)
    shrunk = 1.0
    if scale < 0.7:  # without shrinking first, fine detail of a large face would alias
        reach = 0.75 * _SIDE / scale
        low = np.clip(np.floor(centre - reach), 0, np.array(rgb.shape[1::-1]) - 1).astype(int)
        high = np.clip(np.ceil(centre + reach), low + 1, rgb.shape[1::-1]).astype(int)
        part = rgb[low[1] : high[1], low[0] : high[0]]
        size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        rgb, shrunk = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8), scale
        flat, centre = (flat - low) * scale, (centre - low) * scale
    roll = float(np.degrees(np.arctan2(eyes[1], eyes[0])))
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, scale / shrunk)
    turn[:, 2] += _SIDE / 2 - centre
    shown = cv2.warpAffine(rgb, turn, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return View(np.asarray(shown, np.uint8), (flat @ turn[:, :2].T + turn[:, 2]).astype(np.float32))


def crop_of(points: npt.NDArray[np.floating], size: tuple[int, int]) -> Box | None:
    """Left, top, right and bottom of the lower face in a picture of ``size`` (width, height); None outside of it."""
    eye = float(np.linalg.norm((points[m.RIGHT_EYE_OUTER] - points[m.LEFT_EYE_OUTER])[:2]))
    face = points[list(LOWER_FACE), :2]
    low, high = face.min(axis=0) - _MARGIN * eye, face.max(axis=0) + _MARGIN * eye
    x0, y0 = (int(v) for v in np.maximum(np.floor(low), 0))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(high), size))
    return (x0, y0, x1, y1) if x1 - x0 >= 16 and y1 - y0 >= 16 else None


def packed(rgb: Bytes, budget: float, quality: int = _GREATEST) -> tuple[bytes, int]:
    """The picture as JPEG, and the quality with which the next one like it takes about ``budget`` bytes."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    step = _STEP if len(data) < 0.8 * budget else -_STEP if len(data) > budget else 0
    return data.tobytes(), int(np.clip(quality + step, _LEAST, _GREATEST))


def unpacked(data: bytes) -> Bytes:
    """RGB of a JPEG of ours; raises ``ValueError`` when it is none."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ValueError("no picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def colours(rgb: Bytes) -> F32:
    """Shares of 64 colours in a picture, ``(64,)``: half the sum of absolute differences of two tells a cut."""
    small = np.asarray(cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA), np.uint8)
    bins = (small >> 6).astype(np.int32) @ np.array([16, 4, 1], np.int32)
    return np.asarray(np.bincount(bins.ravel(), minlength=64) / bins.size, np.float32)
