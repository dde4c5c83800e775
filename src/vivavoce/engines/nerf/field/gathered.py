"""A hashed plane that is read in one go: what a torso is learnt with, whose finest level is too large to lay out."""

import torch

from vivavoce.engines.nerf.field.encodings import Grid, HashedPlane

__all__ = ["GatheredPlane"]


class GatheredPlane(HashedPlane):
    """The same numbers as those of its class, all levels and corners at once.

    Each look into the table has a gradient as large as the table, so that one look instead of four for each level is
    what a step's time depends on.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._scales = torch.tensor([level.scale for level in self.table])[:, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``HashedPlane.forward``."""
        unit = (x + 1) / 2
        inside = ((unit >= 0) & (unit <= 1)).all(-1, keepdim=True)
        at = unit.clamp(0, 1)[:, None] * self._scales.to(x) + 0.5
        corner = at.detach().floor()
        part = torch.stack([1 - (at - corner), at - corner], -1)
        share = part[:, :, 0, :, None] * part[:, :, 1, None]
        low = corner.long()
        steps = torch.arange(2, device=x.device)
        rows = self._at(low[:, :, 0, None, None] + steps[:, None], low[:, :, 1, None, None] + steps)
        read = self.embeddings[rows.flatten()].view(*share.shape, -1) * share[..., None]
        return read.sum((2, 3)).flatten(1) * inside

    def _at(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Rows of the whole table, of points ``(n, levels, 2, 2)``."""
        found = [self.grid.row(level, x[:, i], y[:, i]) + level.first for i, level in enumerate(self.table)]
        return torch.stack(found, 1)
