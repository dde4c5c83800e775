"""Places along rays become pixels (Max 1995, as Mildenhall et al. 2020 write it), and layers a picture."""

from typing import NamedTuple

import torch

from vivavoce.engines.nerf.field.rays import MOST, STEP, Samples

__all__ = ["GONE", "Pixels", "composite", "over"]

GONE = 1e-4
"""Light that is left, below which what lies behind is not looked at."""


class Pixels(NamedTuple):
    """What ``n`` rays saw."""

    colour: torch.Tensor
    """``(n, 3)``, of the head alone: what it hides is still to be taken away from what is behind."""
    opacity: torch.Tensor
    """``(n,)``, 0-1."""
    depth: torch.Tensor
    """``(n,)``: weighted mean distance times opacity."""
    weights: torch.Tensor
    """``(m,)``: how much each place is seen."""


def composite(
    density: torch.Tensor, colour: torch.Tensor, samples: Samples, rays: int, *, most: int = MOST, step: float = STEP
) -> Pixels:
    """Densities ``(m,)`` and colours ``(m, 3)`` of the places of ``rays`` rays.

    A place lets through exp(-density · step); with what all before it let through, that is its weight. Behind the place
    where less than 1e-4 is left, nothing counts. Distances are to a place's end, as published.
    """
    thick = density.new_zeros(rays, most)
    thick = thick.index_put((samples.ray, samples.turn), density * step)
    before = thick.cumsum(1) - thick
    left = torch.exp(-before)
    seen = (left * -torch.expm1(-thick) * (left >= GONE))[samples.ray, samples.turn]
    told = torch.cat([colour, torch.ones_like(density)[:, None], (samples.far + step)[:, None]], -1)
    made = density.new_zeros(rays, 5).index_add(0, samples.ray, seen[:, None] * told)
    return Pixels(made[:, :3], made[:, 3], made[:, 4], seen)


def over(
    head: Pixels, background: torch.Tensor, torso: tuple[torch.Tensor, torch.Tensor] | None = None
) -> torch.Tensor:
    """The head over the torso over the background ``(n, 3)``; ``torso``: opacity ``(n, 1)`` and colour ``(n, 3)``."""
    if torso is not None:
        opacity, colour = torso
        background = colour * opacity + background * (1 - opacity)
    return (head.colour + (1 - head.opacity)[:, None] * background).clamp(0, 1)
