"""Which cells no camera of a film ever sees: nothing is learnt there, so that nothing may be there."""

from math import sqrt

import torch

from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.rays import BOX, Camera

__all__ = ["forget_unseen"]

_BLOCK = 8
"""Cells along a side of what is looked at first, as a ball around it."""
_AT_ONCE = 16
"""Cameras, after which the cells that they see are left out."""
_EACH, _OTHERS = 4, 128
"""Of a long film: cameras that see furthest at one place and side of the picture, and others, at even distances."""


@torch.no_grad()
def forget_unseen(cells: Occupancy, poses: torch.Tensor, camera: Camera) -> None:
    """Mark the cells of a head's box that none of ``poses`` ``(n, 4, 4)`` sees: they never count again.

    As torch-ngp has it: a cell is seen when its middle is before a camera, and at most a cell's side beyond its edge.
    Of a film with many frames, those are asked that see furthest to any side, and some others.
    """
    poses = poses[_telling(poses, camera)]
    rest = cells.within(poses.new_tensor(BOX))
    block = min(_BLOCK, cells.size)
    blocks, of = (rest // block).unique(dim=0, return_inverse=True)
    near = _seen(blocks, cells.size // block, poses, camera, sqrt(3) * block / cells.size)
    hidden, rest = rest[~near[of]], rest[near[of]]
    for some in poses.split(_AT_ONCE):
        rest = rest[~_seen(rest, cells.size, some, camera, 0.0)]
    unseen = torch.cat([hidden, rest]).unbind(-1)
    cells.density[unseen] = -1
    cells.counts[unseen] = False


def _telling(poses: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Which of many cameras to ask, ``(m,)``: at 27 places in the box, the ones that see furthest to each side."""
    low, high = poses.new_tensor(BOX).reshape(2, 3)
    places = low + torch.cartesian_prod(*poses.new_tensor([0, 0.5, 1]).expand(3, 3)) * (high - low)
    across, down, ahead = ((places - poses[:, None, :3, 3]) @ poses[:, :3, :3]).unbind(-1)
    right, bottom = _edges(camera)
    sides = torch.stack([right * ahead - across, right * ahead + across, bottom * ahead - down, bottom * ahead + down])
    furthest = sides.topk(min(_EACH, len(poses)), dim=1).indices.flatten()
    others = torch.arange(0, len(poses), max(1, len(poses) // _OTHERS), device=poses.device)
    return torch.cat([furthest, others]).unique()


def _edges(camera: Camera) -> tuple[float, float]:
    """How far to the side, and how far down, the picture reaches at the distance 1."""
    (x, y), width, height = camera.centre, camera.width, camera.height
    return max(x, width - x) / camera.focal, max(y, height - y) / camera.focal


def _seen(cells: torch.Tensor, size: int, poses: torch.Tensor, camera: Camera, radius: float) -> torch.Tensor:
    """Which of ``cells`` ``(n, 3)``, ``size`` along a side of the cube, any camera sees a point of, within ``radius``
    around the middle."""
    middles = (2 * cells + 1) / size - 1
    found = torch.zeros_like(cells[:, 0], dtype=torch.bool)
    right, bottom = _edges(camera)
    for pose in poses:
        across, down, ahead = ((middles - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
        inside = ahead > -radius
        for at, edge in ((across, right), (down, bottom)):
            inside &= at.abs() < edge * ahead + (1 + edge) * radius + 2 / size
        found |= inside
    return found
