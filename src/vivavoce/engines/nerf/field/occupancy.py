"""Where there is anything: a grid of cells over the cube -1 to 1, so that empty space is not asked about.

As instant-ngp has it (Müller et al. 2022), and torch-ngp after it: every cell keeps the greatest density met in it and
around it, which fades; files hold the cells in Morton order, and whether they count as one bit each.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Occupancy", "morton", "pack", "unpack"]

_AT_ONCE = 1 << 17
"""Cells whose density is asked in one call."""
_THRESHOLD = 10.0
"""Density from which a cell counts, unless the mean is lower."""
_TURNS = (1, 2, 3)
"""x + 2 y + 3 z is another number modulo 7 in each of a cell and the six that it touches (Golomb and Welch 1970)."""


def morton(cells: torch.Tensor) -> torch.Tensor:
    """Indices of cells ``(n, 3)`` of 64-bit integers below 1024, with the bits of x, y and z in turn; x's lowest."""
    made = torch.zeros_like(cells[:, 0])
    for bit in range(10):
        for axis in range(3):
            made |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return made


def pack(counts: torch.Tensor) -> torch.Tensor:
    """``(n,)`` of booleans to ``(n / 8,)`` bytes, the first in the lowest bit."""
    powers = 2 ** torch.arange(8, device=counts.device)
    return (counts.reshape(-1, 8).long() * powers).sum(-1).to(torch.uint8)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """What ``pack`` packed."""
    bits = torch.arange(8, device=packed.device)
    return ((packed[:, None].long() >> bits) & 1).bool().reshape(-1)


class Occupancy(nn.Module):
    """The cells, ``size`` along each side (a power of two, up to 1024)."""

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("density", torch.zeros(size, size, size))
        """By x, y and z; -1 where no camera ever looks."""
        self.register_buffer("counts", torch.zeros(size, size, size, dtype=torch.bool))

    def fill(self) -> None:
        """Everything counts: what a head begins with, of which nothing is known."""
        self.counts.fill_(True)

    def at(self, x: torch.Tensor) -> torch.Tensor:
        """Whether the cells that hold positions ``(n, 3)`` count."""
        cell = ((x + 1) * (self.size / 2)).long().clamp(0, self.size - 1)
        return self.counts.view(-1)[(cell[:, 0] * self.size + cell[:, 1]) * self.size + cell[:, 2]]

    @torch.no_grad()
    def update(
        self,
        density: Callable[[torch.Tensor], torch.Tensor],
        box: torch.Tensor,
        decay: float = 0.95,
        chance: torch.Generator | None = None,
        part: int | None = None,
    ) -> None:
        """Ask ``density`` for one place in each cell that lies in ``box`` ``(6,)``, and let what was known fade.

        With ``chance`` the place is anywhere in the cell, without it the middle. With ``part`` only one cell in seven
        is asked, by turns: those that, each with the six that it touches, fill the cube without overlapping. Cells
        that no camera sees are never asked.
        """
        cells = self.within(box)
        seen = self.density[cells[:, 0], cells[:, 1], cells[:, 2]] >= 0
        if part is not None:
            seen &= (cells @ cells.new_tensor(_TURNS) - part) % 7 == 0
        cells = cells[seen]
        middles = (2 * cells / (self.size - 1) - 1) * (1 - 1 / self.size)
        if chance is not None:
            middles += (torch.rand(middles.shape, generator=chance).to(middles) * 2 - 1) / self.size
        met = torch.zeros_like(self.density)
        found = torch.cat([density(part).float() for part in middles.split(_AT_ONCE)])
        met[cells[:, 0], cells[:, 1], cells[:, 2]] = found
        faded = torch.maximum(self.density * decay, _spread(met))
        self.density.copy_(torch.where(self.density < 0, self.density, faded))
        self.recount()

    def recount(self) -> None:
        """Tell again which cells count."""
        threshold = min(float(self.density.clamp(min=0).mean()), _THRESHOLD)
        self.counts.copy_(self.density > threshold)

    def within(self, box: torch.Tensor) -> torch.Tensor:
        """The cells that touch a box ``(6,)``: ``(n, 3)``."""
        low, high = ((box.reshape(2, 3) + 1) * (self.size / 2)).cpu()
        sides = [
            torch.arange(max(0, int(a)), min(self.size, int(-(-b // 1))), device=self.density.device)
            for a, b in zip(low.tolist(), high.tolist(), strict=True)
        ]
        return torch.stack(torch.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)

    # -- as files have it

    def published(self) -> dict[str, torch.Tensor]:
        """A checkpoint's ``density_grid`` ``(1, size³)`` and ``density_bitfield`` ``(size³ / 8,)``, in Morton order."""
        where = self._order()
        density, counts = (torch.empty_like(a.view(-1)) for a in (self.density, self.counts))
        density[where], counts[where] = self.density.view(-1), self.counts.view(-1)
        return {"density_grid": density[None], "density_bitfield": pack(counts)}

    def take(self, grid: torch.Tensor, bits: torch.Tensor) -> None:
        """Take over what a checkpoint has."""
        where = self._order()
        self.density.copy_(grid.reshape(-1)[where].view_as(self.density))
        self.counts.copy_(unpack(bits)[where].view_as(self.counts))

    def _order(self) -> torch.Tensor:
        side = torch.arange(self.size, device=self.density.device)
        return morton(torch.stack(torch.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3))


def _spread(met: torch.Tensor) -> torch.Tensor:
    """The greatest of each cell and the six that it touches."""
    made = met[None, None]
    sides = [
        functional.max_pool3d(made, kernel, 1, [k // 2 for k in kernel]) for kernel in ([3, 1, 1], [1, 3, 1], [1, 1, 3])
    ]
    return torch.stack(sides).amax(0)[0, 0]
