"""Carries faces to where a target face lies: one thin-plate system a frame for everything that is carried.

A point of the target moves back to where the picture to be carried shows it. The system depends on the target alone,
so the base and every source of a frame share it; only displacements are enlarged, never positions: near the edge of
a coarse grid enlarged positions would stretch into a line that shows.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Grain", "carried", "fields", "window"]

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_BENDING = 0.012
"""Smoothing of the spline, in squared units of ``_UNIT``: landmarks tremble by a pixel, skin does not."""
_UNIT = 0.375
"""Eye distances that are the spline's unit of length."""
_FADE = 3
"""Cells of the grid along the edges in which the base's own movement fades out."""


@dataclass(frozen=True, slots=True)
class Grain:
    """How coarse the work is that need not be fine; it grows with the face."""

    eye: float
    """The eye distance that it is made for, pixels."""
    cell: int
    """Pixels along the side of what colours are matched in, and fading pictures are laid over the main one."""

    @classmethod
    def of(cls, eye: float) -> "Grain":
        """For a face with this eye distance, pixels of the canvas."""
        return cls(eye, max(1, round(eye / 27)))

    @property
    def step(self) -> int:
        """Pixels along the side of the displacement grid's cells; boxes are made of whole ones."""
        return 2 * self.cell


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the canvas, which may reach beyond its edges."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def around(cls, points: npt.NDArray[np.floating], margin: float, grain: Grain) -> "Box":
        """The whole cells that hold ``points`` ``(n, 2)`` with a margin in pixels."""
        step = grain.step
        low = np.floor((points.min(axis=0) - margin) / step).astype(int) * step
        high = np.ceil((points.max(axis=0) + margin) / step).astype(int) * step
        return cls(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.x1 - self.x0, self.y1 - self.y0

    @property
    def origin(self) -> npt.NDArray[np.float32]:
        """Its first pixel."""
        return np.array([self.x0, self.y0], np.float32)

    def cut(self, other: "Box") -> "Box | None":
        """What it has in common with ``other``; None for nothing."""
        x0, y0, x1, y1 = max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def within(self, other: "Box") -> tuple[slice, slice]:
        """Rows and columns of ``other`` that this one covers; it lies inside."""
        return slice(self.y0 - other.y0, self.y1 - other.y0), slice(self.x0 - other.x0, self.x1 - other.x0)


def fields(target: npt.NDArray[np.floating], moves: npt.NDArray[np.floating], box: Box, grain: Grain) -> F32:
    """Displacements on the box's grid, ``(rows, columns, m)``, that are ``moves`` ``(n, m)`` at ``target`` ``(n, 2)``.

    Thin-plate splines (Bookstein 1989) with a common matrix. OpenCV's own elimination is asked because it stays in its
    thread: LAPACK's wakes others for 130 unknowns and waits for them, ten times as long where the processors are busy.
    """
    n = len(target)
    unit = _UNIT * grain.eye
    middle = target.mean(axis=0)
    at = (target - middle) / unit
    system = np.zeros((n + 3, n + 3))
    squares = (at**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares - 2 * at @ at.T, 1e-9)
    system[:n, :n] = 0.5 * apart * np.log(apart)
    system[range(n), range(n)] = _BENDING
    system[:n, n], system[:n, n + 1 :] = 1, at
    system[n:, :n] = system[:n, n:].T
    wanted = np.zeros((n + 3, moves.shape[1]))
    wanted[:n] = moves
    weights = np.asarray(cv2.solve(system, wanted, flags=cv2.DECOMP_LU)[1], np.float32)
    nodes = (_nodes(box.size, grain.step) + (box.origin - middle)) / unit
    nodes, at = nodes.astype(np.float32), at.astype(np.float32)
    basis = np.empty((len(nodes), n + 3), np.float32)
    apart = np.maximum((nodes**2).sum(axis=1)[:, None] + (at**2).sum(axis=1) - 2 * nodes @ at.T, 1e-9)
    np.multiply(apart, np.log(apart) * np.float32(0.5), out=basis[:, :n])
    basis[:, n], basis[:, n + 1 :] = 1, nodes
    columns, rows = (side // grain.step for side in box.size)
    # picture by picture: what one moves must not depend on which others are asked for beside it
    pairs = [basis @ np.ascontiguousarray(weights[:, i : i + 2]) for i in range(0, weights.shape[1], 2)]
    return np.hstack(pairs).reshape(rows, columns, -1)


@lru_cache(maxsize=64)
def _nodes(size: tuple[int, int], step: int) -> F32:
    """Middles of the cells of a box at the origin, ``(k, 2)``."""
    xs, ys = (np.arange(side // step) * step + (step - 1) / 2 for side in size)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float32)


@lru_cache(maxsize=64)
def window(size: tuple[int, int], step: int) -> F32:
    """1 in the middle of a box, 0 in the cells at its edges: ``(rows, columns, 1)``."""
    across, down = (np.minimum(np.arange(side // step), np.arange(side // step)[::-1]) for side in size)
    t = np.clip(np.minimum(across[None], down[:, None]) / _FADE, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)[..., None]


@lru_cache(maxsize=64)
def _places(size: tuple[int, int]) -> F32:
    xs, ys = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
    return np.stack(np.meshgrid(xs, ys), axis=-1)


def carried(image: Bytes, field: F32, size: tuple[int, int], how: int, scale: int = 1) -> Bytes:
    """``image`` ``(h, w, 3)`` in a box of ``size``: each of its pixels shows the one that ``field`` leads to.

    ``field`` ``(rows, columns, 2)``: from a place in the box to the one in the image. With ``scale``, image and result
    are smaller by so much than the box and the picture that the field is about.
    """
    width, height = size[0] // scale, size[1] // scale
    moves = cv2.resize(field * np.float32(1 / scale), (width, height), interpolation=cv2.INTER_LINEAR)
    at = cv2.add(moves, _places((width, height)))
    # the stubs demand a second map, which a map of pairs does not have
    return np.asarray(cv2.remap(image, at, None, how, borderMode=cv2.BORDER_REPLICATE), np.uint8)  # type: ignore[call-overload]
