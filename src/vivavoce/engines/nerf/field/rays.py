"""From a camera to the places along its rays where something is.

Lengths are in halves of the cube's side. The camera's frame is torch-ngp's: x to the right, y down, z ahead; the cube's
axes are the published ones too, where a face that a NeRF file has looking along +z looks along +y.
"""

from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import NamedTuple

import torch

from vivavoce.engines.nerf.field.occupancy import Occupancy

__all__ = ["BOX", "MOST", "STEP", "Camera", "Samples", "from_nerf", "march", "pixels", "span"]

BOX = (-1.0, -0.5, -1.0, 1.0, 0.5, 1.0)
"""The part of the cube that a head is in: least and greatest x, y and z."""
STEP = 2 * sqrt(3) / 128
"""From place to place: the cube's diagonal has 128."""
MOST = 16
"""Places along one ray."""
_NEAR = 0.05
_PARALLEL = 1e-12
_AT_ONCE, _AT_ONCE_THERE = 1 << 15, 1 << 23
"""Places whose cells are looked up in one go: they fit a processor's cache, or a graphics card's memory."""
_TOGETHER = 60, 20, 4
"""Steps of one ray among them: as many as there is room for, of numbers that fill a word."""
_BITS = 60
"""Steps that one whole number marks."""


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
        turned = turn(pose, self.seen(at))
        return pose[..., :3, 3].expand_as(turned), turned

    def seen(self, which: torch.Tensor) -> torch.Tensor:
        """Unit directions ``(n, 3)`` of pixels in the camera's own frame."""
        x = (which % self.width + 0.5 - self.centre[0]) / self.focal
        y = (which // self.width + 0.5 - self.centre[1]) / self.focal
        long = (x * x + y * y + 1).sqrt()
        return torch.stack([x / long, y / long, 1 / long]).T


def turn(pose: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Directions ``(n, 3)`` of a camera's frame in the cube's; each number by itself, so that it is always the same."""
    x, y, z = seen.to(pose).unbind(-1)
    rows = [pose[..., i, 0] * x + pose[..., i, 1] * y + pose[..., i, 2] * z for i in range(3)]
    return torch.stack(rows).T


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
    every place is one of a row that is known beforehand.
    """
    near, far = span(origins, directions, box)
    near = near if shift is None else near + STEP * shift
    marks = mark(origins, directions, near, far, occupancy)
    steps = torch.stack([marks.take() for _ in range(most)], 1)
    ray, turn = (steps >= 0).nonzero(as_tuple=True)
    distance = near[ray] + STEP * steps[ray, turn]
    return Samples(place(origins[ray], directions[ray], distance), ray, turn, distance)


def place(origins: torch.Tensor, directions: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """``(…, 3)``: that far along rays, and within the cube even when the last digit is rounded up."""
    return (origins + distance[..., None] * directions).clamp(-1, 1)


@dataclass(frozen=True, slots=True)
class Marks:
    """Steps of ``n`` rays whose cells count."""

    first: int
    """The step that is marked in the lowest bit."""
    words: torch.Tensor
    """``(w, n)`` of 64-bit integers, in each of which 60 steps are marked."""

    def of(self, which: torch.Tensor | slice) -> "Marks":
        """Those of some rays."""
        return Marks(self.first, self.words[:, which])

    def take(self) -> torch.Tensor:
        """The first step of each ray, ``(n,)``, whose mark is taken away; -1 where there is none."""
        step = torch.full_like(self.words[0], -1)
        for i, word in enumerate(self.words):
            lowest = torch.where(step < 0, word & -word, 0)
            word ^= lowest
            # a power of two is told by its float's exponent
            bit = (lowest.float().view(torch.int32) >> 23) - 127
            step = torch.where(lowest > 0, bit + self.first + _BITS * i, step)
        return step

    def left(self) -> torch.Tensor:
        """Which rays have any, ``(n,)``."""
        return (self.words != 0).any(0)


def mark(
    origins: torch.Tensor,
    directions: torch.Tensor,
    near: torch.Tensor,
    far: torch.Tensor,
    occupancy: Occupancy,
    within: torch.Tensor | None = None,
) -> Marks:
    """Which steps of rays from ``near`` to ``far`` are in cells that count.

    ``within`` ``(6,)``: a box outside which no cell counts, so that nothing is looked up there.
    """
    enter, leave = (near, far) if within is None else span(origins, directions, within)
    leave = torch.minimum(leave, far)
    ends = (torch.stack([enter, leave]) - near)[:, leave > enter] / STEP
    if not ends.numel():
        return Marks(0, torch.zeros(1, len(near), dtype=torch.int64, device=near.device))
    first, last = max(0, floor(float(ends[0].amin())) - 1), ceil(float(ends[1].amax())) + 1
    found = torch.zeros(-(-(last - first) // _BITS), len(near), dtype=torch.int64, device=near.device)
    room = _AT_ONCE if near.device.type == "cpu" else _AT_ONCE_THERE
    together = next((n for n in _TOGETHER if n * len(near) <= room), _TOGETHER[-1])
    rays = max(1, room // together)
    for part in (slice(i, i + rays) for i in range(0, len(near), rays)):
        for start in range(first, last, together):
            step = torch.arange(start, min(last, start + together), device=near.device)[:, None]
            distance = near[part] + STEP * step.to(near)
            full = _full(place(origins[part] if len(origins) > 1 else origins, directions[part], distance), occupancy)
            bits = (full & (distance < far[part])).long() << (step - first) % _BITS
            found[(start - first) // _BITS, part] |= bits.sum(0)
    return Marks(first, found)


def _full(x: torch.Tensor, occupancy: Occupancy) -> torch.Tensor:
    """As ``Occupancy.at``, for ``(k, n, 3)`` within the cube."""
    cell = ((x + 1) * (occupancy.size / 2)).int().clamp(max=occupancy.size - 1)
    index = (cell[..., 0] * occupancy.size + cell[..., 1]) * occupancy.size + cell[..., 2]
    return occupancy.counts.view(-1).index_select(0, index.view(-1)).view(index.shape)
