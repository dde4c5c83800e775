"""From a camera to the places along its rays where something is.

Lengths are in halves of the cube's side. The camera's frame is torch-ngp's: x to the right, y down, z ahead; the cube's
axes are the published ones too, where a face that a NeRF file has looking along +z looks along +y.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import torch

from vivavoce.engines.nerf.occupancy import Occupancy

__all__ = ["BOX", "MOST", "STEP", "Camera", "Samples", "from_nerf", "march", "pixels", "span"]

BOX = (-1.0, -0.5, -1.0, 1.0, 0.5, 1.0)
"""The part of the cube that a head is in: least and greatest x, y and z."""
STEP = 2 * sqrt(3) / 128
"""From place to place: the cube's diagonal has 128."""
MOST = 16
"""Places along one ray."""
_NEAR = 0.05
_PARALLEL = 1e-12
_AT_ONCE = 1 << 22
"""Places whose cells are looked up in one go."""


def from_nerf(pose: torch.Tensor, scale: float = 4.0) -> torch.Tensor:
    """A camera's pose ``(4, 4)`` of a ``transforms.json`` (x right, y up, z behind it) in the frame used here.

    ``scale`` times the file's unit is half the cube's side. The world's axes y, z, x become x, y, z.
    """
    turned = pose[..., [1, 2, 0, 3], :] * pose.new_tensor([1.0, -1.0, -1.0, 1.0])
    turned[..., :3, 3] *= scale
    return turned


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole."""

    focal: float
    """In pixels."""
    centre: tuple[float, float]
    """The axis's pixel: x, y."""
    width: int
    height: int

    def rays(self, pose: torch.Tensor, which: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Origins and unit directions ``(n, 3)`` of pixels, counted by rows; of all, unless ``which`` ``(n,)`` says.

        ``pose`` ``(4, 4)``, or one for each: ``(n, 4, 4)``.
        """
        at = torch.arange(self.width * self.height, device=pose.device) if which is None else which
        x = (at % self.width + 0.5 - self.centre[0]) / self.focal
        y = (at // self.width + 0.5 - self.centre[1]) / self.focal
        seen = torch.stack([x, y, torch.ones_like(x)], -1)
        seen = (seen / seen.norm(dim=-1, keepdim=True)).to(pose)
        turned = (pose[..., :3, :3] @ seen[..., None])[..., 0]
        return pose[..., :3, 3].expand_as(turned), turned


def pixels(width: int, height: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Where pixels are, ``(n, 2)``: row and column, each -1 to 1, counted by rows. What a torso is asked with."""
    rows, columns = (torch.linspace(-1, 1, n, device=device) for n in (height, width))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def span(
    origins: torch.Tensor, directions: torch.Tensor, box: torch.Tensor, near: float = _NEAR
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where rays enter and leave a box ``(6,)``: two ``(n,)``; the first is the greater where a ray misses it.

    No ray begins nearer than ``near`` (Kay and Kajiya 1986).
    """
    parallel = directions.abs() < _PARALLEL
    safe = torch.where(parallel, torch.full_like(directions, _PARALLEL), directions)
    first, second = ((side - origins) / safe for side in box.reshape(2, 3))
    return torch.minimum(first, second).amax(-1).clamp(min=near), torch.maximum(first, second).amin(-1)


class Samples(NamedTuple):
    """Places along rays, ordered by ray and then from near to far."""

    x: torch.Tensor
    """``(m, 3)``."""
    ray: torch.Tensor
    """``(m,)``: whose it is."""
    turn: torch.Tensor
    """``(m,)``: how many of the same ray are nearer."""
    far: torch.Tensor
    """``(m,)``: its distance from the camera."""


@torch.no_grad()
def march(
    origins: torch.Tensor,
    directions: torch.Tensor,
    occupancy: Occupancy,
    box: torch.Tensor,
    *,
    most: int = MOST,
    shift: torch.Tensor | None = None,
) -> Samples:
    """The first ``most`` places along each ray, ``STEP`` apart, whose cells count.

    ``shift`` ``(n,)``, 0-1: how much of a step each ray begins later. Empty cells are skipped in whole steps, so that
    every place is one of a row that is known beforehand: all of them are looked up at once.
    """
    near, far = span(origins, directions, box)
    near = near if shift is None else near + STEP * shift
    longest = float((far - near).clamp(min=0).nan_to_num().amax()) if len(near) else 0.0
    steps = STEP * torch.arange(max(1, ceil(longest / STEP)), device=near.device, dtype=near.dtype)
    rows = max(1, _AT_ONCE // len(steps))
    found = []
    for first in range(0, max(1, len(near)), rows):
        part = slice(first, first + rows)
        found.append(_marched(origins[part], directions[part], near[part], far[part], steps, occupancy, most, first))
    return Samples(*(torch.cat(a) for a in zip(*found, strict=True)))


def _marched(
    origins: torch.Tensor,
    directions: torch.Tensor,
    near: torch.Tensor,
    far: torch.Tensor,
    steps: torch.Tensor,
    occupancy: Occupancy,
    most: int,
    first: int,
) -> Samples:
    at = near[:, None] + steps
    ray, step = (at < far[:, None]).nonzero(as_tuple=True)
    x = (origins[ray] + at[ray, step][:, None] * directions[ray]).clamp(-1, 1)
    full = torch.zeros(at.shape, dtype=torch.bool, device=at.device)
    full[ray, step] = occupancy.at(x)
    turn = full.cumsum(1) - 1
    full &= turn < most
    ray, step = full.nonzero(as_tuple=True)
    distance = at[ray, step]
    x = (origins[ray] + distance[:, None] * directions[ray]).clamp(-1, 1)
    return Samples(x, ray + first, turn[ray, step], distance)
