"""What a head that learns is seen as: like ``picture.look``, but nothing is asked of places that others hide.

Those have no weight and so no gradient; leaving them out is exact. A head in its first hundreds of steps hides little.
"""

from itertools import pairwise

import torch

from vivavoce.engines.nerf.field.composite import GONE, composite
from vivavoce.engines.nerf.field.networks import Field, Head
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment, Seen
from vivavoce.engines.nerf.field.rays import BOX, MOST, STEP, Samples, march

__all__ = ["ask", "sight"]

_PARTS = (0, 6, MOST)
"""Places along a ray that are asked about in one go, from one number up to the next."""
_DARK = GONE / 2
"""Light that is left, below which nothing behind is seen, however it is rounded."""
_AT_ONCE = 1 << 14
"""Places whose numbers fit a processor's cache. A graphics card takes all of them."""


def sight(
    head: Head,
    cells: Occupancy,
    rays: tuple[torch.Tensor, torch.Tensor],
    moment: Moment,
    shift: torch.Tensor,
    floats: torch.dtype = torch.float32,
) -> Seen:
    """Along rays, origins and unit directions ``(n, 3)``, of which each begins ``shift`` ``(n,)`` of a step later.

    ``floats``: what the nets compute with; densities, colours and all that becomes of them are 32 bits.
    """
    origins, directions = rays
    samples = march(origins, directions, cells, origins.new_tensor(BOX), shift=shift)
    left = torch.ones_like(origins[:, 0])
    asked, fields = [], []
    for first, end in pairwise(_PARTS):
        bright = (samples.turn >= first) & (samples.turn < end) & (left >= _DARK)[samples.ray]
        for which in bright.nonzero()[:, 0].split(_AT_ONCE if left.device.type == "cpu" else len(bright) or 1):
            part = Samples(*(a[which] for a in samples))
            field = ask(head, part.x, directions[part.ray], moment.of(part.ray), floats)
            thick = torch.zeros_like(left).index_add(0, part.ray, field.density.detach() * STEP)
            left = left * torch.exp(-thick)
            asked.append(which)
            fields.append(field)
    which = torch.cat(asked)
    order = which.argsort()  # by ray and then from near to far again
    samples = Samples(*(a[which[order]] for a in samples))
    field = Field(*(torch.cat(a)[order] for a in zip(*fields, strict=True)))
    return Seen(composite(field.density, field.colour, samples, len(origins)), field, samples)


def ask(head: Head, x: torch.Tensor, directions: torch.Tensor, now: Moment, floats: torch.dtype) -> Field:
    """The field at places ``(m, 3)``; ``now`` in one row, or in one for each of them."""
    with torch.autocast(x.device.type, floats, enabled=floats != torch.float32):
        field = head(x, directions, now.audio, now.code, now.eyes)
    return Field(*(a.to(x.dtype) for a in field))
