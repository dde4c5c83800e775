"""Which pixels a torso is ever seen in, so that it is not asked about the others."""

import torch
from torch import nn
from torch.nn import functional

from vivavoce.engines.nerf.field.networks import Torso

__all__ = ["Cover"]

_THRESHOLD = 0.01
"""Opacity from which a cell counts, unless the mean is lower."""
_AROUND = 5
"""Cells, along a side, of which each takes over the greatest opacity."""


class Cover(nn.Module):
    """A grid of cells over the picture, ``size`` along each side, as RAD-NeRF has it (Tang et al. 2022)."""

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("opacity", torch.ones(size, size))
        """By row and column: the greatest one met in it and around it. Before anything is told, all count."""

    @torch.no_grad()
    def tell(self, torso: Torso, poses: torch.Tensor) -> None:
        """Ask for the opacity in each cell's middle, in every one of ``poses`` ``(n, 4, 4)``."""
        side = torch.arange(self.size, device=self.opacity.device)
        middles = (2 * torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2) + 1) / self.size - 1
        met = torch.zeros_like(middles[:, :1])
        for pose in poses:
            met = torch.maximum(met, torso(middles, pose)[0])
        around = functional.max_pool2d(met.view(1, 1, self.size, self.size), _AROUND, 1, _AROUND // 2)
        self.opacity.copy_(around[0, 0])

    def at(self, pixels: torch.Tensor) -> torch.Tensor:
        """Whether the torso may be seen in pixels ``(n, 2)``, row and column, -1 to 1."""
        cell = ((pixels + 1) * (self.size / 2)).long().clamp(0, self.size - 1)
        return self.opacity[cell[:, 0], cell[:, 1]] > min(float(self.opacity.mean()), _THRESHOLD)

    def take(self, grid: torch.Tensor) -> None:
        """Take over a checkpoint's ``density_grid_torso`` ``(size²,)``, which counts columns first."""
        self.opacity.copy_(grid.reshape(self.size, self.size).T)
