"""Framing: a picture of any shape onto a canvas, so that the face takes a sensible share of it."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.mesh import FaceMesh
from vivavoce.nouns import Canvas

__all__ = ["Portrait", "fit"]

Bytes = npt.NDArray[np.uint8]

FACE_SHARE = 0.205
"""Wanted distance of the outer eye corners as a share of the canvas's height, or of its mean side if it is tall."""
MAX_ENLARGEMENT = 2.2
LARGEST_SHARE = 0.30
"""The same of its width, at most."""
HEADROOM, MOST_HEADROOM = 0.04, 0.10
"""Space above the hair, as a share of the height."""
EYE_LINE = 0.40
"""Where the eyes come to lie when there is room to choose, as a share of the height."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """A person before a background, with landmarks."""

    rgb: Bytes
    """``(height, width, 3)``; under the person's edge the person's own colour."""
    matte: Bytes
    """0 background – 255 person, ``(height, width)``."""
    plate: Bytes
    """The background alone, ``(height, width, 3)``."""
    mesh: FaceMesh


def _placement(portrait: Portrait, canvas: Canvas) -> tuple[float, float, float]:
    """Scale and shift (pixels of the canvas) of the picture: the face in the middle, the hair whole."""
    height, width = portrait.rgb.shape[:2]
    rows = np.flatnonzero((portrait.matte > 128).any(axis=1))
    top = int(rows[0]) if len(rows) else 0
    eye_x, eye_y = (float(v) for v in portrait.mesh.points[[33, 263], :2].mean(0))
    fit_width, fit_height = canvas.width / width, canvas.height / height
    # background is easily continued at the sides, and above a head that does not touch the picture's top
    smallest = min(fit_width, fit_height) if top > 0.01 * height else fit_height
    side = min(canvas.height, (canvas.width * canvas.height) ** 0.5)  # a tall canvas takes a larger face
    eye = portrait.mesh.eye_distance
    high_up = min((1 - MOST_HEADROOM) * canvas.height / (height - top), LARGEST_SHARE * canvas.width / eye)
    wanted = max(FACE_SHARE * side / eye, high_up)
    scale = float(np.clip(wanted, smallest, max(fit_width, fit_height, MAX_ENLARGEMENT)))
    x = canvas.width / 2 - eye_x * scale
    if width * scale >= canvas.width:
        x = float(np.clip(x, canvas.width - width * scale, 0))
    y = canvas.height - height * scale
    if y < 0:
        y = float(np.clip(max(canvas.height * EYE_LINE - eye_y * scale, canvas.height * HEADROOM - top * scale), y, 0))
    return scale, x, y


def _warp(image: Bytes, scale: float, x: float, y: float, canvas: Canvas, border: int) -> Bytes:
    if scale < 1:  # reduce with area averaging first: a bilinear warp alone would alias
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = 1.0
    # pixel centres: canvas = scale * (source + 1/2) - 1/2 + shift
    matrix = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]], np.float64)
    out = cv2.warpAffine(image, matrix, canvas.size, flags=cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(out, np.uint8)


def _blurred(image: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """A wide Gaussian, made at an eighth of the size: a thousand times less work."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(sigma / 8, 0.5), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def fit(portrait: Portrait, canvas: Canvas) -> Portrait:
    """The portrait on a canvas; missing background is continued from the plate's edges and blurred."""
    scale, x, y = _placement(portrait, canvas)
    rgb = _warp(portrait.rgb, scale, x, y, canvas, cv2.BORDER_REPLICATE)
    matte = _warp(portrait.matte, scale, x, y, canvas, cv2.BORDER_CONSTANT)
    plate = _warp(portrait.plate, scale, x, y, canvas, cv2.BORDER_REPLICATE)
    width, height = portrait.rgb.shape[1] * scale, portrait.rgb.shape[0] * scale
    inside = np.zeros((canvas.height, canvas.width), np.float32)
    x0, y0 = max(0, round(x)), max(0, round(y))
    inside[y0 : round(y + height), x0 : round(x + width)] = 1
    if not inside.all():
        blurred = _blurred(plate, 0.04 * canvas.height)
        soft = np.maximum(_blurred(inside, 0.015 * canvas.height) * 2 - 1, 0)[..., None]
        plate = (plate * soft + blurred * (1 - soft)).astype(np.uint8)
        edge = cv2.GaussianBlur(inside, (0, 0), 2.0)
        matte = (matte * np.clip(edge * 2 - 1, 0, 1)).astype(np.uint8)
    mesh = portrait.mesh.moved(scale, (x + (scale - 1) / 2, y + (scale - 1) / 2))
    return Portrait(rgb, matte, plate, mesh)
