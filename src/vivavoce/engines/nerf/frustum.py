"""Which cells no camera of a film ever sees: nothing is learnt there, so that nothing may be there."""

from math import sqrt

import torch

from vivavoce.engines.nerf.occupancy import Occupancy
from vivavoce.engines.nerf.rays import BOX, Camera

__all__ = ["forget_unseen"]

_BLOCK = 8
"""Cells along a side of what is looked at first, as a ball around it."""
_FRAMES = 16
"""Cameras, after which the cells that they see are left out."""
_GOLDEN = 0.6180339887498949


@torch.no_grad()
def forget_unseen(cells: Occupancy, poses: torch.Tensor, camera: Camera) -> None:
    """Mark the cells of a head's box that none of ``poses`` ``(n, 4, 4)`` sees: they never count again.

    As torch-ngp has it: a cell is seen when its middle is before a camera, and at most a cell's side beyond its edge.
    """
    # frames far from each other first, which leave few cells to look at
    order = (torch.arange(len(poses), dtype=torch.float64) * _GOLDEN % 1).argsort()
    poses = poses[order.to(poses.device)]
    rest = cells.within(poses.new_tensor(BOX))
    block = min(_BLOCK, cells.size)
    blocks, of = (rest // block).unique(dim=0, return_inverse=True)
    near = _seen(blocks, cells.size // block, poses, camera, sqrt(3) * block / cells.size)
    hidden, rest = rest[~near[of]], rest[near[of]]
    for some in poses.split(_FRAMES):
        rest = rest[~_seen(rest, cells.size, some, camera, 0.0)]
    unseen = torch.cat([hidden, rest]).unbind(-1)
    cells.density[unseen] = -1
    cells.counts[unseen] = False


def _seen(cells: torch.Tensor, size: int, poses: torch.Tensor, camera: Camera, radius: float) -> torch.Tensor:
    """Which of ``cells`` ``(n, 3)``, ``size`` along a side of the cube, any camera sees a point of, within ``radius``
    around the middle."""
    middles = (2 * cells + 1) / size - 1
    found = torch.zeros_like(cells[:, 0], dtype=torch.bool)
    edges = [max(c, n - c) / camera.focal for c, n in zip(camera.centre, (camera.width, camera.height), strict=True)]
    for pose in poses:
        across, down, ahead = ((middles - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
        inside = ahead > -radius
        for at, edge in ((across, edges[0]), (down, edges[1])):
            inside &= at.abs() < edge * ahead + (1 + edge) * radius + 2 / size
        found |= inside
    return found
