"""A head before a camera: rays, places, the field there, and the pixels that become of it.

This is the plain way, which a training takes and ``renderer`` is tested by; that makes the same pictures faster.
"""

from typing import NamedTuple

import torch

from vivavoce.engines.nerf.field.composite import Pixels, composite, over
from vivavoce.engines.nerf.field.networks import Field, Head, Torso
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.rays import BOX, Camera, Samples, march, pixels

__all__ = ["Moment", "Seen", "look", "picture"]

_AT_ONCE = 1 << 14
"""Rays of a picture that are computed together: what they need fits a processor's cache."""


class Moment(NamedTuple):
    """What a head does: in one row for all rays, or in a row for each."""

    audio: torch.Tensor
    """``(n, 32)``, of ``Head.listen``."""
    eyes: torch.Tensor | None = None
    """``(n, Shape.eyes)``; they are 0 without."""
    code: torch.Tensor | None = None
    """``(n, Shape.code)``: the look of a frame; that of the first without."""

    def of(self, ray: torch.Tensor) -> "Moment":
        """In a row for each place, whose rays are ``ray``."""
        return Moment(*(a if a is None or len(a) == 1 else a[ray] for a in self))


class Seen(NamedTuple):
    """What rays saw, and what of; the losses of a training need it all."""

    pixels: Pixels
    field: Field
    samples: Samples


def look(
    head: Head,
    cells: Occupancy,
    rays: tuple[torch.Tensor, torch.Tensor],
    moment: Moment,
    shift: torch.Tensor | None = None,
) -> Seen:
    """Along rays, origins and unit directions ``(n, 3)``. ``shift`` as of ``march``."""
    origins, directions = rays
    samples = march(origins, directions, cells, origins.new_tensor(BOX), shift=shift)
    now = moment.of(samples.ray)
    field = head(samples.x, directions[samples.ray], now.audio, now.code, now.eyes)
    return Seen(composite(field.density, field.colour, samples, len(origins)), field, samples)


@torch.inference_mode()
def picture(
    head: Head,
    cells: Occupancy,
    camera: Camera,
    pose: torch.Tensor,
    moment: Moment,
    background: torch.Tensor,
    torso: Torso | None = None,
) -> torch.Tensor:
    """The head, over its torso if it has one, over the background: RGB ``(height, width, 3)``, 0-1, as that is.

    ``pose`` ``(4, 4)`` as ``rays.from_nerf`` gives it, ``moment`` in one row.
    """
    origins, directions = camera.rays(pose)
    behind = background.reshape(-1, 3)
    at = pixels(camera.width, camera.height, pose.device)
    made = []
    for first in range(0, len(origins), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        seen = look(head, cells, (origins[part], directions[part]), moment).pixels
        layer = None if torso is None else torso(at[part], pose)[:2]
        made.append(over(seen, behind[part], layer))
    return torch.cat(made).reshape(camera.height, camera.width, 3)
