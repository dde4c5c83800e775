"""What the net sees of a picture, and its answer laid on it: softly, in the picture's light, or as published.

The net paints 96 pixels. Where its answer is the face as it was, the picture's own detail stays; where the mouth moves,
the answer is seen. So skin, beard and the face's edge are as sharp as the picture, and only the mouth is the net's.
"""

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.colour import ring, spread
from vivavoce.engines.wav2lip.architecture import SIDE
from vivavoce.engines.wav2lip.boxes import Box
from vivavoce.face.geometry import smoothstep

__all__ = ["lay", "lower_face", "paste", "seen"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_JAW = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
"""From the picture's left over the chin to its right."""
_TOP = (436, 426, 423, 327, 2, 98, 203, 206, 216)
"""Upper edge, from right to left: below the cheeks and the nose."""
_MOUTH = (13, 14)
_SIDES, _BELOW = 0.90, 1.07
"""How far the mask reaches of the way from mouth to jaw, sideways and down: a jaw that drops needs room."""
_FEATHER = 0.055
"""Softness of the mask's edge, of the box's height."""
_EDGE = 0.05
"""Of the box's sides: where the mask fades to nothing, whatever the face."""
_SAME, _MOVED = 7.0, 20.0
"""Grey levels by which the net's answer differs from the picture where all, and none, of its detail is kept."""
_LIGHT = 26.0
"""Grey levels of a difference along the mask's edge that may be light; far above, it is another thing."""


def seen(image: Bytes, box: Box) -> F32:
    """The box of an RGB picture as the net sees it: ``(96, 96, 6)`` BGR 0-1, its lower half hidden, then whole."""
    x0, y0, x1, y1 = box
    small = cv2.resize(image[y0:y1, x0:x1], (SIDE, SIDE))
    out = np.zeros((SIDE, SIDE, 6), np.float32)
    out[..., 3:] = small[..., ::-1]
    out /= np.float32(255)
    out[: SIDE // 2, :, :3] = out[: SIDE // 2, :, 3:]
    return out


def paste(image: Bytes, box: Box, made: F32) -> None:
    """Lay the net's answer ``(96, 96, 3)`` BGR 0-1 on the picture as published: the whole box, with hard edges."""
    x0, y0, x1, y1 = box
    rgb = (made[..., ::-1] * 255.0).astype(np.uint8)
    image[y0:y1, x0:x1] = cv2.resize(rgb, (x1 - x0, y1 - y0))


def lower_face(points: F32, box: Box) -> F32:
    """How much of the net's answer is seen, 0-1, ``(height, width)`` of the box: from below the nose to the chin.

    ``points`` ``(468, 2)`` are those of the resting face, in pixels of the canvas.
    """
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    centre = points[list(_MOUTH)].mean(axis=0)
    jaw = points[list(_JAW)] - centre
    down = points[152] - centre
    down = down / max(float(np.hypot(*down)), 1e-3)
    straight = np.clip((jaw @ down) / np.maximum(np.hypot(*jaw.T), 1e-3), 0, 1)[:, None]
    jaw = centre + jaw * (_SIDES + (_BELOW - _SIDES) * straight**2)
    outline = np.vstack([jaw, points[list(_TOP)]]) - (x0, y0)
    out = np.zeros((height, width), np.uint8)
    cv2.fillPoly(out, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = max(1, round(_FEATHER * height / 2))
    side = (2 * soft + 1, 2 * soft + 1)
    out = np.asarray(cv2.blur(cv2.blur(out, side), side), np.uint8)
    across, along = (np.minimum(np.arange(n), np.arange(n)[::-1]) / (_EDGE * n) for n in (width, height))
    fade = smoothstep(0, 1, np.minimum(across[None], along[:, None])).astype(np.float32)
    return out * (fade / np.float32(255))


def lay(image: Bytes, box: Box, points: F32, looked: F32, made: F32, share: float) -> None:
    """Lay the net's answer ``made`` ``(96, 96, 3)`` BGR 0-1 on the lower face.

    ``looked`` is what the net saw (``seen``), ``share`` 0-1 how much of the answer is shown. Outside ``lower_face`` no
    pixel changes.
    """
    x0, y0, x1, y1 = box
    mask = lower_face(points, box)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    before = looked[..., :2:-1] * np.float32(255)
    after = _lit(before, made[..., ::-1] * np.float32(255), mask)
    kept = _kept(before, after)
    target = image[y0:y1, x0:x1][part]
    own = target.astype(np.float32)
    size = (x1 - x0, y1 - y0)
    plain = np.asarray(cv2.resize(np.dstack([after, before, kept]), size, interpolation=cv2.INTER_CUBIC)[part])
    detail = (own - plain[..., 3:6]) * np.clip(plain[..., 6:], 0, 1)
    alpha = (mask[part] * np.float32(share))[..., None]
    shown = own + alpha * (np.clip(plain[..., :3] + detail, 0, 255) - own)
    target[:] = np.rint(shown).astype(np.uint8)


def _lit(before: F32, after: F32, mask: F32) -> F32:
    """The answer in the picture's light: what differs along the mask's edge is taken off, smoothly inside of it."""
    small = np.asarray(cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    apart = before - after
    light = np.exp(-((np.abs(apart).mean(axis=2) / _LIGHT) ** 2))
    return np.asarray(after + spread(apart, ring(small) * light), np.float32)


def _kept(before: F32, after: F32) -> F32:
    """Where the picture's own detail stays, 0-1, ``(96, 96)``."""
    apart = cv2.GaussianBlur(np.abs(after - before).max(axis=2), (0, 0), 1.2)
    return smoothstep(_MOVED, _SAME, apart).astype(np.float32)
