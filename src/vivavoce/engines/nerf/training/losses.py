"""What a training wants of a picture: ER-NeRF's losses (Li et al. 2023, and its trainer), each of rays or of places."""

from collections.abc import Callable

import torch

from vivavoce.engines.nerf.field.networks import Field
from vivavoce.engines.nerf.field.picture import Seen

__all__ = ["Compare", "doubted", "edges", "entropy", "moved", "steady", "summed"]

Compare = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Two batches of pictures ``(k, 3, side, side)``, 0-1, to how different they look: LPIPS, or what stands for it."""

_LEAST, _MOST = 0.2, 10.0
"""A ray's error counts this much at least, however sure it is; and how much more than the mean one it may."""
_CALM = 1e-3
"""Weight of doubt where nothing moves."""


def entropy(opacity: torch.Tensor) -> torch.Tensor:
    """The mean, in bits: 0 where all is either there or not."""
    a = opacity.clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()


def doubted(apart: torch.Tensor, doubt: torch.Tensor, face: torch.Tensor, part: float) -> torch.Tensor:
    """The mean squared error of colours that are ``apart`` ``(n, 3)``, more where there is more ``doubt`` ``(n,)``.

    Doubt itself is learnt as the spread of a normal distribution (Kendall and Gal 2017) whose logarithm is held near 0;
    outside ``face`` ``(n,)`` there should be none. ``part``, 0-1, is how much all of this counts by now.
    """
    share = torch.softmax(doubt.detach(), 0) * len(doubt)
    weight = _LEAST + (1 - _LEAST) * ((1 - part) + part * share).clamp(max=_MOST)
    spread = doubt + 1
    told = apart.detach().norm(dim=-1) / (2 * spread**2) + spread.log() ** 2 / 2
    learnt = torch.where(face, told, _CALM * doubt)
    return (weight * (apart**2).mean(-1) + part * learnt).mean()


def moved(heard: torch.Tensor, eyes: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """How much sound moves what is outside ``face``, and the eyes' numbers within it what sound moves; all ``(n,)``."""
    return torch.where(face, eyes * heard.detach(), heard).mean()


def summed(seen: Seen, values: torch.Tensor) -> torch.Tensor:
    """Of what rays saw, ``(n,)``: values of places ``(m,)`` as far as these are seen, which this does not teach."""
    total = values.new_zeros(len(seen.pixels.opacity))
    return total.index_add(0, seen.samples.ray, seen.pixels.weights.detach() * values)


def steady(here: Field, beside: Field) -> torch.Tensor:
    """How much else sound and eyes move, and doubt is, just ``beside`` places; ``here`` is not taught."""
    pairs = ((here.heard, beside.heard), (here.eyes, beside.eyes), (here.doubt, beside.doubt))
    return torch.stack([((a.detach() - b) ** 2).mean() for a, b in pairs]).sum()


def edges(made: torch.Tensor, filmed: torch.Tensor) -> torch.Tensor:
    """How different pictures' slopes are (Mathieu et al. 2016, with signs): blur has too gentle ones, noise others."""
    apart = made - filmed
    return (apart[..., 1:, :] - apart[..., :-1, :]).abs().mean() + (apart[..., 1:] - apart[..., :-1]).abs().mean()
