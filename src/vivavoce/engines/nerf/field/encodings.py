"""What the radiance field is asked with: positions, directions and poses, each as a row of numbers that a net can use.

Frequencies (Mildenhall et al. 2020), real spherical harmonics, and the grids of features of Müller et al. (2022) in two
dimensions, hashed or tiled as ER-NeRF and SyncTalk have them. A grid that hashes 2-D positions hides nothing: each of
its levels expands into a dense picture, ``DensePlane``, which ``grid_sample`` reads several times faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["DensePlane", "Grid", "HashedPlane", "Level", "Stack", "frequencies", "harmonics"]

_PRIME = 2654435761
_WORD = 0xFFFFFFFF
_START = 1e-4
"""Features are uniform within this much of 0 at first."""


def frequencies(x: torch.Tensor, octaves: int) -> torch.Tensor:
    """``(n, d)`` to ``(n, d + 2 d octaves)``: x itself, then sin and cos of x, of 2x, of 4x, and so on."""
    told = [x]
    for octave in range(octaves):
        told += [torch.sin(x * 2**octave), torch.cos(x * 2**octave)]
    return torch.cat(told, -1)


def harmonics(directions: torch.Tensor) -> torch.Tensor:
    """Unit vectors ``(n, 3)`` to the 16 real spherical harmonics of degrees 0 to 3, with the Condon-Shortley phase."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    told = [
        torch.full_like(x, 0.28209479177387814),  # 1 / (2 sqrt(pi))
        -0.4886025119029199 * y,  # sqrt(3 / (4 pi))
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,  # sqrt(15 / (4 pi))
        -1.0925484305920792 * y * z,
        0.9461746957575601 * zz - 0.31539156525252,  # sqrt(5 / (16 pi)) (3 zz - 1)
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (xx - yy),  # sqrt(15 / (16 pi))
        0.5900435899266435 * y * (yy - 3 * xx),  # sqrt(35 / (32 pi))
        2.890611442640554 * x * y * z,  # sqrt(105 / (4 pi))
        0.4570457994644658 * y * (1 - 5 * zz),  # sqrt(21 / (32 pi))
        0.3731763325901154 * z * (5 * zz - 3),  # sqrt(7 / (16 pi))
        0.4570457994644658 * x * (1 - 5 * zz),
        1.445305721320277 * z * (xx - yy),  # sqrt(105 / (16 pi))
        0.5900435899266435 * x * (3 * yy - xx),
    ]
    return torch.stack(told, -1)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a grid: position 0-1 times ``scale`` plus a half is where it is read."""

    scale: float
    resolution: int
    """Its points along a side are one more."""
    first: int
    """Its first row in the table of all levels."""
    rows: int

    @property
    def hashed(self) -> bool:
        """Whether it has more points than rows."""
        return (self.resolution + 1) ** 2 > self.rows


@dataclass(frozen=True, slots=True)
class Grid:
    """The shape of a grid of features over a square."""

    levels: int = 12
    features: int = 1
    """Per level."""
    base: int = 64
    """Points along a side of the coarsest level."""
    finest: int = 512
    log2_rows: int = 14
    """A level's table has 2 to the power of it rows at most."""
    kind: Literal["hash", "tiled"] = "hash"
    """What happens to a level that has more points: positions are hashed, or the table is laid over them again."""

    @property
    def width(self) -> int:
        """Numbers that a position is given."""
        return self.levels * self.features

    def table(self) -> list[Level]:
        """The levels, as the published encoder counts them.

        It sizes the table with 64-bit numbers and reads it with 32-bit ones. So does this, or a level whose side falls
        on a whole number would be taken for another.
        """
        octaves = np.log2(self.finest / self.base) / max(1, self.levels - 1)
        growth = np.exp2(octaves)
        found, first = [], 0
        for level in range(self.levels):
            points = (ceil(self.base * growth**level) + 1) ** 2
            rows = ceil(min(2**self.log2_rows, points) / 8) * 8
            power = np.float32(level) * np.float32(np.log2(growth))
            scale = np.exp2(power, dtype=np.float32) * np.float32(self.base) - np.float32(1)
            found.append(Level(float(scale), ceil(scale) + 1, first, rows))
            first += rows
        return found

    def row(self, level: Level, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The row within the level's part of the table that holds the point ``x``, ``y`` (64-bit integers)."""
        if level.hashed and self.kind == "hash":
            return (x ^ ((y * _PRIME) & _WORD)) % level.rows
        return (x + y * (level.resolution + 1)) % level.rows


class HashedPlane(nn.Module):
    """A grid with its table as published: ``embeddings`` ``(rows, features)``, and ``offsets`` of the levels."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.table = grid.table()
        ends = [level.first for level in self.table] + [self.table[-1].first + self.table[-1].rows]
        self.register_buffer("offsets", torch.tensor(ends, dtype=torch.int32))
        self.embeddings = nn.Parameter(torch.empty(ends[-1], grid.features).uniform_(-_START, _START))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Positions ``(n, 2)`` within -1 and 1 to features ``(n, width)``; 0 for what lies outside."""
        unit = (x + 1) / 2
        inside = ((unit >= 0) & (unit <= 1)).all(-1, keepdim=True)
        told = []
        for level in self.table:
            at = unit.clamp(0, 1) * level.scale + 0.5
            corner = at.detach().floor()
            part, low = at - corner, corner.long()
            made: Any = 0
            for right in (0, 1):
                for down in (0, 1):
                    row = level.first + self.grid.row(level, low[:, 0] + right, low[:, 1] + down)
                    across = part[:, 0] if right else 1 - part[:, 0]
                    along = part[:, 1] if down else 1 - part[:, 1]
                    made = made + (across * along)[:, None] * self.embeddings[row]
            told.append(made)
        return torch.cat(told, -1) * inside


class DensePlane(nn.Module):
    """The same grid with every point of every level laid out: what is rendered with, and what is learnt with here."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.table = grid.table()
        shapes = [(1, grid.features, level.resolution + 1, level.resolution + 1) for level in self.table]
        self.levels = nn.ParameterList([nn.Parameter(torch.empty(s).uniform_(-_START, _START)) for s in shapes])

    @classmethod
    def of(cls, hashed: HashedPlane) -> "DensePlane":
        """Lay out what a hashed plane holds: ``(resolution + 1)²`` points a level, to about 1e-4 the same features."""
        made: DensePlane = cls(hashed.grid).to(hashed.embeddings)
        with torch.no_grad():
            for level, picture in zip(hashed.table, made.levels, strict=True):
                side = torch.arange(level.resolution + 1, device=picture.device)
                y, x = torch.meshgrid(side, side, indexing="ij")
                found = hashed.embeddings[level.first + hashed.grid.row(level, x, y)]
                picture.copy_(found.permute(2, 0, 1)[None])
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``HashedPlane.forward``."""
        inside = (x.abs() <= 1).all(-1, keepdim=True)
        at = x.clamp(-1, 1)[None, :, None]
        told = []
        for level, picture in zip(self.table, self.levels, strict=True):
            # ((x + 1) / 2 scale + 1/2) points from the first is this much of the way from -1 to 1
            place = (at * level.scale + (level.scale + 1 - level.resolution)) / level.resolution
            read = functional.grid_sample(picture, place, mode="bilinear", align_corners=True)
            told.append(read[0, :, :, 0])
        return torch.cat(told).T * inside


class Stack:
    """Several dense planes of one grid, with levels of alike sizes in one picture: read with a call for four levels.

    To render with; it takes the planes' numbers as they are when it is made.
    """

    _TOGETHER = 4
    """Levels of a picture, whose points beyond a smaller one's are empty; all in one would be half empty."""

    def __init__(self, planes: Sequence[DensePlane], axes: Sequence[tuple[int, int]]) -> None:
        """``axes``: which two of a position's numbers, in their order, each plane is asked with."""
        grid, table = planes[0].grid, planes[0].table
        self.order: list[int] = []
        """Where a row of what is read stands among the features of the planes, one plane after the other."""
        self._axes = [slice(first, second + 1, second - first) for first, second in axes]
        self._pictures: list[tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]] = []
        for first in range(0, len(table), self._TOGETHER):
            levels = range(first, min(len(table), first + self._TOGETHER))
            points = max(table[i].resolution for i in levels) + 1
            kept = planes[0].levels[0].detach()
            pictures = []
            for plane, i in product(range(len(planes)), levels):
                if i == first:
                    pictures.append(kept.new_zeros(len(levels), grid.features, points, points))
                side = table[i].resolution + 1
                pictures[-1][i - first, :, :side, :side] = planes[plane].levels[i].detach()[0]
                self.order += [plane * grid.width + i * grid.features + f for f in range(grid.features)]
            # ((x + 1) / 2 scale + 1/2) points from the first, of so many that the picture has
            slope = kept.new_tensor([table[i].scale / (points - 1) for i in levels])
            start = kept.new_tensor([(table[i].scale + 1) / (points - 1) - 1 for i in levels])
            self._pictures.append((pictures, slope[:, None, None], start[:, None, None]))

    def read(self, x: torch.Tensor) -> torch.Tensor:
        """Positions ``(3, n)`` within -1 and 1 to features ``(width of all planes, n)``, in ``order``."""
        told = []
        for pictures, slope, start in self._pictures:
            places = (x * slope).add_(start)
            for picture, axes in zip(pictures, self._axes, strict=True):
                place = places[:, axes].transpose(1, 2)[:, None]
                read = functional.grid_sample(picture, place, mode="bilinear", align_corners=True)
                told.append(read.flatten(0, 2))
        return torch.cat(told)
