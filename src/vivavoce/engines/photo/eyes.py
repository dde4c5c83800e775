"""Blinks and gaze: for each eye a small region whose pixels are moved by precomputed amounts.

A closing lid is the skin between brow and lid, stretched over the eyeball; the lower lid rises a little to meet it.
Gaze moves the iris inside the still lids, so that the eyes rest on the viewer while the head sways.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.rig import Rig
from vivavoce.face import mesh as m
from vivavoce.face.geometry import FaceAxes, Floats, smoothstep

__all__ = ["Box", "Eye", "EyeMove", "build_eyes"]

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the canvas."""

BLINK_LEVELS = 8
_MEETING = 0.86
"""Where the lids meet, as a share of the way from the upper to the lower."""
_EYES = (
    (m.LEFT_UPPER_LID, m.LEFT_LOWER_LID, m.LEFT_BROW[:5]),
    (m.RIGHT_UPPER_LID, m.RIGHT_LOWER_LID, m.RIGHT_BROW[:5]),
)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye: maps add to the sampling position of the pixels of ``box``."""

    box: Box
    blink: npt.NDArray[np.float32]
    """``(BLINK_LEVELS, height, width, 2)`` pixels, from open to shut."""
    shade: npt.NDArray[np.float32]
    """``(BLINK_LEVELS, height, width)``: what the light is multiplied by; a shut lid lies a little in the shade."""
    gaze: npt.NDArray[np.float32]
    """``(height, width)``: how much of a gaze shift a pixel takes part in, 0–1."""


@dataclass(frozen=True, slots=True)
class EyeMove:
    """One eye in one frame."""

    eye: Eye
    box: Box
    """Where it lies now."""
    level: float
    """Of the blink, 0–1."""
    gaze: npt.NDArray[np.float32]
    """Pixels."""

    def _overlap(self, box: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Rows and columns of the eye and of ``box`` that they share."""
        x0, y0, x1, y1 = (f(a, b) for f, a, b in zip((max, max, min, min), self.box, box, strict=True))
        if x0 >= x1 or y0 >= y1:
            return None
        own = (slice(y0 - self.box[1], y1 - self.box[1]), slice(x0 - self.box[0], x1 - self.box[0]))
        return own, (slice(y0 - box[1], y1 - box[1]), slice(x0 - box[0], x1 - box[0]))

    def _mixed(self, levels: npt.NDArray[np.float32], own: tuple[slice, slice]) -> npt.NDArray[np.float32]:
        at = self.level * (BLINK_LEVELS - 1)
        below = min(int(at), BLINK_LEVELS - 2)
        share = np.float32(at - below)
        return np.asarray(levels[below][own] * (1 - share) + levels[below + 1][own] * share, np.float32)

    def add(self, at: npt.NDArray[np.float32], box: Box, scale: int) -> None:
        """Change the map ``at`` of ``box``, positions in a source that is ``scale`` times the canvas."""
        shared = self._overlap(box)
        if shared is None:
            return
        own, there = shared
        part = at[there]
        if self.gaze.any():
            part -= self.eye.gaze[own][..., None] * self.gaze * scale
        if self.level > 0:
            part += self._mixed(self.eye.blink, own) * scale

    def shade(self, image: npt.NDArray[np.uint8], box: Box) -> None:
        """Darken a closing lid in ``box`` of the whole ``image``."""
        shared = self._overlap(box)
        if shared is None or self.level == 0:
            return
        own, there = shared
        part = image[box[1] : box[3], box[0] : box[2]][there]
        part[:] = part * self._mixed(self.eye.shade, own)[..., None]


def _contour(face: Floats, indices: tuple[int, ...]) -> tuple[Floats, Floats]:
    points = face[list(indices)]
    order = np.argsort(points[:, 0])
    return points[order, 0], points[order, 1]


def _eye(rig: Rig, size: tuple[int, int], upper: tuple[int, ...], lower: tuple[int, ...], brow: tuple[int, ...]) -> Eye:
    axes: FaceAxes = rig.axes
    (ux, uy), (lx, ly), (bx, by) = (_contour(rig.face, c) for c in (upper, lower, brow))
    width = float(ux[-1] - ux[0])
    left, right, top, bottom = ux[0] - 0.15 * width, ux[-1] + 0.15 * width, by.min(), ly.max() + 0.45 * width
    corners = axes.to_pixels(np.array([[left, top], [right, top], [left, bottom], [right, bottom]]))
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int), size)
    pixels = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), axis=-1)
    face = axes.to_face(pixels)
    x, y = face[..., 0], face[..., 1]
    lid, floor, crease = np.interp(x, ux, uy), np.interp(x, lx, ly), np.interp(x, bx, by)
    crease = np.minimum(crease * 0.55 + lid * 0.45, lid - 0.1 * width)
    inside = smoothstep(ux[0] - 0.02 * width, ux[0] + 0.12 * width, x)
    inside = inside * smoothstep(ux[-1] + 0.02 * width, ux[-1] - 0.12 * width, x)
    depth = floor + 0.30 * width  # where the lower lid's movement has died away
    blink, shade = [], []
    for close in np.linspace(0, 1, BLINK_LEVELS):
        meet = lid + (floor - lid) * _MEETING
        edge = lid + (meet - lid) * close * inside
        rim = floor + (meet - floor) * close * inside
        skin = lid - 0.05 * width * close * inside  # the lashes of the open eye would show as dots
        above = crease + (y - crease) * (skin - crease) / np.maximum(edge - crease, 1e-3)
        below = floor + 0.05 * width * close * inside
        under = below + (y - rim) * (depth - below) / np.maximum(depth - rim, 1e-3)
        source = np.where(y < crease, y, np.where(y < edge, above, np.where(y > rim, under, y)))
        source = np.where(y > depth, y, source)
        move = (source - y).astype(np.float32)
        if close > 0:
            move = np.asarray(cv2.GaussianBlur(move, (0, 0), max(0.5, 0.012 * width)), np.float32)
        blink.append(move[..., None] * axes.y)
        covered = smoothstep(-0.06 * width, 0.06 * width, y - lid) * smoothstep(0.02 * width, -0.06 * width, y - edge)
        lashes = np.exp(-(((y - edge) / (0.04 * width)) ** 2)) * inside**2
        shade.append(1 - close * (0.08 * covered + 0.55 * lashes * smoothstep(0.3, 1, np.array(close))))
    opening = np.maximum(floor - lid, 1e-3)
    middle = np.clip(1 - np.abs((y - (lid + floor) / 2) / (opening / 2)), 0, 1) * np.clip(inside, 0, 1)
    gaze = smoothstep(0.0, 0.5, middle) * smoothstep(0.5, 0.25, np.abs((x - (ux[0] + ux[-1]) / 2) / width))
    return Eye(
        box=(int(x0), int(y0), int(x1), int(y1)),
        blink=np.asarray(blink, np.float32),
        shade=np.asarray(shade, np.float32),
        gaze=gaze.astype(np.float32),
    )


def build_eyes(rig: Rig, size: tuple[int, int]) -> tuple[Eye, ...]:
    """Both eyes on a canvas of ``size`` (width, height); an eye that lies outside is left out."""
    eyes = (_eye(rig, size, *parts) for parts in _EYES)
    return tuple(e for e in eyes if e.box[2] - e.box[0] > 4 and e.box[3] - e.box[1] > 4)
