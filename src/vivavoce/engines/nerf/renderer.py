"""The pictures of ``picture``, as fast as they can be had: what cannot be seen is not asked about.

Rays that miss all cells that count are the background. The others are followed in turns, from near to far, and left
alone once their light is gone; a colour is asked for only where it would be seen.
"""

from math import log
from typing import NamedTuple

import torch

from vivavoce.engines.neural.device import Precision, place
from vivavoce.engines.nerf.composite import GONE
from vivavoce.engines.nerf.encodings import harmonics
from vivavoce.engines.nerf.folded import Folded, Now
from vivavoce.engines.nerf.networks import Head, Torso
from vivavoce.engines.nerf.occupancy import Occupancy
from vivavoce.engines.nerf.picture import Moment
from vivavoce.engines.nerf.rays import BOX, MOST, STEP, Camera, Marks, mark, span, turn
from vivavoce.engines.nerf.rays import place as placed

__all__ = ["Renderer"]

_TURNS = 3, 3, 4, 6
"""Places of a ray that are asked about before it is looked at whether its light is gone; ``MOST`` in all."""
_UNSEEN = 5e-5
"""Weight below which a colour is not asked for: all ``MOST`` of a ray are less than a thousandth together."""
_AT_ONCE, _AT_ONCE_THERE = 1 << 12, 1 << 20
"""Places that are computed together: what they need fits a processor's cache, or a graphics card's memory."""


class _Rays(NamedTuple):
    """Those of one picture that may meet something; ``n``."""

    pixel: torch.Tensor
    """``(n,)``."""
    origin: torch.Tensor
    """``(1, 3)``: that of all."""
    directions: torch.Tensor
    """``(n, 3)``."""
    near: torch.Tensor
    """``(n,)``: where their steps begin."""
    marks: Marks
    facing: torch.Tensor
    """``(16, n)``: harmonics of their directions."""


class Renderer:
    """Pictures of one head, to the same numbers as ``picture.picture`` within a thousandth (32-bit floats)."""

    def __init__(
        self,
        head: Head,
        cells: Occupancy,
        camera: Camera,
        torso: Torso | None = None,
        *,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        self.place = place(device, precision)
        self.camera = camera
        there = self.place.device
        self._net = Folded(head.to(there), self.place.dtype)
        self._cells = cells.to(there)
        self._box = torch.tensor(BOX, device=there)
        self._within = _bounds(self._cells, self._box)
        self._seen = camera.seen(torch.arange(camera.width * camera.height, device=there))

    @torch.inference_mode()
    def layers(self, pose: torch.Tensor, moment: Moment) -> tuple[torch.Tensor, torch.Tensor]:
        """The head alone: colour ``(height, width, 3)``, less where it is transparent, and opacity ``(height, width)``."""
        pixel, seen = self._head(pose, moment)
        whole = seen.new_zeros(4, len(self._seen)).index_copy_(1, pixel, seen)
        whole = whole.reshape(4, self.camera.height, self.camera.width)
        return whole[:3].permute(1, 2, 0), whole[3]

    @torch.inference_mode()
    def frame(self, pose: torch.Tensor, moment: Moment, background: torch.Tensor) -> torch.Tensor:
        """RGB ``(height, width, 3)``, 0-1, over a background of that shape."""
        pixel, seen = self._head(pose, moment)
        behind = background.reshape(-1, 3).clone()
        behind[pixel] = (seen[:3].T + (1 - seen[3])[:, None] * behind[pixel]).clamp(0, 1)
        return behind.reshape(background.shape)

    def _head(self, pose: torch.Tensor, moment: Moment) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels ``(n,)`` that the head may be in, and what is seen there ``(4, n)``: colour and opacity."""
        rays = self._rays(pose)
        return rays.pixel, self._follow(rays, self._net.now(moment))

    def _rays(self, pose: torch.Tensor) -> _Rays:
        origin, directions = pose[:3, 3][None], turn(pose, self._seen)
        enter, leave = span(origin, directions, self._within)
        pixel = (leave > enter).nonzero()[:, 0]
        directions = _some(directions, pixel)
        near, far = span(origin, directions, self._box)
        marks = mark(origin.expand_as(directions), directions, near, far, self._cells, self._within)
        met = marks.left().nonzero()[:, 0]
        directions = _some(directions, met)
        facing = harmonics(directions).T.to(self.place.dtype)
        return _Rays(pixel[met], origin, directions, near[met], marks.of(met), facing)

    def _follow(self, rays: _Rays, now: Now) -> torch.Tensor:
        """``(4, n)``."""
        seen = torch.zeros(4, len(rays.pixel), device=rays.near.device)
        passed = torch.zeros_like(rays.near)
        which, marks = torch.arange(len(passed), device=passed.device), rays.marks
        at_once = _AT_ONCE if passed.device.type == "cpu" else _AT_ONCE_THERE
        for turns in _TURNS:
            steps = torch.stack([marks.take() for _ in range(turns)])
            for part in torch.arange(len(which), device=which.device).split(max(1, at_once // turns)):
                self._ask(rays, now, which[part], steps[:, part], passed, seen)
            held = (marks.left() & (passed[which] <= -log(GONE))).nonzero()[:, 0]
            if not len(held):
                break
            which, marks = which[held], marks.of(held)
        return seen

    def _ask(
        self,
        rays: _Rays,
        now: Now,
        which: torch.Tensor,
        steps: torch.Tensor,
        passed: torch.Tensor,
        seen: torch.Tensor,
    ) -> None:
        """What ``which`` rays ``(n,)`` see at ``steps`` ``(turns, n)``; ``passed``: optical depths so far."""
        distance = rays.near[which] + STEP * steps
        x = placed(rays.origin, _some(rays.directions, which), distance)
        density, known = self._net.dense(x.permute(2, 0, 1).flatten(1), now)
        thick = density.view(steps.shape) * STEP * (steps >= 0)
        behind = thick.cumsum(0) + passed[which]
        before = behind - thick
        weights = torch.exp(-before) * -torch.expm1(-thick) * (before <= -log(GONE))
        passed[which] = behind[-1]
        lit = (weights.flatten() > _UNSEEN).nonzero()[:, 0]
        colour = self._net.colours(known[:, lit], rays.facing[:, which[lit % len(which)]], now)
        told = torch.zeros(3, weights.numel(), device=weights.device)
        told[:, lit] = colour * weights.flatten()[lit]
        seen[:3, which] += told.view(3, *weights.shape).sum(1)
        seen[3, which] += weights.sum(0)


def _some(rows: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Rows of a matrix that is held by columns; so are those that come out."""
    return rows.T[:, which].T


def _bounds(cells: Occupancy, box: torch.Tensor) -> torch.Tensor:
    """The part of a box ``(6,)`` that cells which count are in; nothing of it where there are none."""
    ends = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        held = cells.counts.any(others[1]).any(others[0]).nonzero()[:, 0]
        ends.append((held[0], held[-1] + 1) if len(held) else (cells.size, 0))
    low, high = torch.tensor(ends, device=box.device).T * (2 / cells.size) - 1
    # a cell's wall, as a position is rounded
    return torch.cat([torch.maximum(low - 1e-5, box[:3]), torch.minimum(high + 1e-5, box[3:])])
