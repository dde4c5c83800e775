"""The pictures of ``picture``, as fast as they can be had: what cannot be seen is not asked about.

Rays that miss all cells that count are the background. The others are followed in turns, from near to far, and left
alone once their light is gone; a colour is asked for only where it would be seen.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log
from threading import Barrier
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from vivavoce.engines.nerf.field.composite import GONE
from vivavoce.engines.nerf.field.encodings import harmonics
from vivavoce.engines.nerf.field.folded import Backdrop, Folded, Now
from vivavoce.engines.nerf.field.networks import Head, Torso
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment
from vivavoce.engines.nerf.field.rays import BOX, STEP, Camera, Marks, mark, pixels, span, turn
from vivavoce.engines.neural.device import Precision, place

__all__ = ["Renderer"]

_TURNS = 3, 3, 4, 6
"""Places of a ray that are asked about before it is looked at whether its light is gone; ``MOST`` in all."""
_UNSEEN = 5e-5
"""Weight below which a colour is not asked for: all ``MOST`` of a ray are less than a thousandth together."""
_DARK = -log(GONE)
"""Optical depth behind which nothing is looked at."""
_AT_ONCE, _AT_ONCE_THERE = 6144, 1 << 20
"""Places that are computed together: what they need fits a processor's cache, or a graphics card's memory."""
_ROWS = 256
"""Places are filled up to a multiple of it: for each number that it has not met, oneDNN makes a program first."""


class _Rays(NamedTuple):
    """Rays of one picture, ``n``."""

    pixel: torch.Tensor
    """``(n,)``."""
    directions: torch.Tensor
    """``(3, n)``."""
    facing: torch.Tensor
    """``(n, 16)``: harmonics of their directions."""
    near: torch.Tensor
    """``(n,)``: where their steps begin."""
    marks: torch.Tensor
    """``(w, n)``: steps that are still to be asked about, as of ``Marks``."""
    passed: torch.Tensor
    """``(n,)``: optical depth so far."""

    def some(self, which: torch.Tensor) -> "_Rays":
        """These of them."""
        pixel, directions, facing, near, marks, passed = self
        return _Rays(
            pixel.index_select(0, which),
            directions.index_select(1, which),
            facing.index_select(0, which),
            near.index_select(0, which),
            marks.index_select(1, which),
            passed.index_select(0, which),
        )

    def part(self, of: slice) -> "_Rays":
        """Neighbours among them."""
        pixel, directions, facing, near, marks, passed = self
        return _Rays(pixel[of], directions[:, of], facing[of], near[of], marks[:, of], passed[of])


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
        at = pixels(camera.width, camera.height, there)
        self._backdrop = None if torso is None else Backdrop(torso.to(there), at)
        self._at_once = _AT_ONCE if there.type == "cpu" else _AT_ONCE_THERE
        self._crew = _Crew(torch.get_num_threads() if there.type == "cpu" else 1)

    def close(self) -> None:
        """Let its threads go, which otherwise end with it."""
        self._crew.close()

    @torch.inference_mode()
    def layers(self, pose: torch.Tensor, moment: Moment) -> tuple[torch.Tensor, torch.Tensor]:
        """The head alone: colour ``(height, width, 3)``, dark where it is transparent, opacity ``(height, width)``."""
        pixel, colour, opacity = self._head(pose, moment)
        size = self.camera.height, self.camera.width
        whole = colour.new_zeros(len(self._seen), 3).index_copy_(0, pixel, colour)
        return whole.view(*size, 3), colour.new_zeros(len(self._seen)).index_copy_(0, pixel, opacity).view(size)

    @torch.inference_mode()
    def frame(self, pose: torch.Tensor, moment: Moment, background: torch.Tensor) -> torch.Tensor:
        """RGB ``(height, width, 3)``, 0-1, over a background of that shape."""
        pixel, colour, opacity = self._head(pose, moment)
        made = background.reshape(-1, 3).clone()
        if self._backdrop is not None:
            self._lay(self._backdrop, made, pixel[opacity > 1 - GONE], pose)
        behind = made.index_select(0, pixel).mul_((1 - opacity)[:, None])
        return made.index_copy_(0, pixel, behind.add_(colour).clamp_(0, 1)).view(background.shape)

    def _lay(self, torso: Backdrop, made: torch.Tensor, hidden: torch.Tensor, pose: torch.Tensor) -> None:
        """The torso over a background ``(n, 3)``, but for pixels that the head hides."""
        which = torch.ones(len(made), dtype=torch.bool, device=made.device).index_fill_(0, hidden, 0).nonzero()[:, 0]
        parts = which.split(self._at_once)
        laid = self._crew.each(lambda part: (torso.behind(part, pose, made.index_select(0, part)),), parts)
        made.index_copy_(0, which, laid[0]).clamp_(0, 1)

    def _head(self, pose: torch.Tensor, moment: Moment) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pixels ``(n,)`` that the head may be in, and what is seen there: colour ``(n, 3)``, opacity ``(n,)``."""
        now, origin = self._net.now(moment), pose[:3, 3]
        first, rays = self._rays(pose)
        pixel, which = rays.pixel, torch.arange(len(rays.pixel), device=pose.device)
        colour, opacity = torch.zeros(len(pixel), 3, device=pose.device), torch.zeros(len(pixel), device=pose.device)
        for turns in _TURNS:
            marks = Marks(first, rays.marks)
            steps = torch.stack([marks.take() for _ in range(turns)])
            size = max(1, self._at_once // turns)
            parts = [(rays.part(of), steps[:, of]) for of in _slices(len(which), size)]
            told, weight, passed = self._crew.each(lambda part: self._ask(part[0], part[1], origin, now), parts)
            colour.index_add_(0, which, told)
            opacity.index_add_(0, which, weight)
            held = (marks.left() & (passed <= _DARK)).nonzero()[:, 0]
            if not len(held):
                break
            which, rays = which[held], rays._replace(passed=passed).some(held)
        return pixel, colour, opacity

    def _rays(self, pose: torch.Tensor) -> tuple[int, _Rays]:
        """Those that meet a cell that counts, and the step that the lowest bit of their marks stands for."""
        origin, directions = pose[:3, 3][None], turn(pose, self._seen)
        enter, leave = span(origin, directions, self._within)
        pixel = (leave > enter).nonzero()[:, 0]
        directions = directions.T.index_select(1, pixel)
        near, far = span(origin, directions.T, self._box)
        marks = mark(origin, directions.T, near, far, self._cells, self._within)
        rays = _Rays(pixel, directions, directions.T, near, marks.words, torch.zeros_like(near))
        rays = rays.some(marks.left().nonzero()[:, 0])
        return marks.first, rays._replace(facing=harmonics(rays.directions.T).to(self.place.dtype))

    def _ask(
        self, rays: _Rays, steps: torch.Tensor, origin: torch.Tensor, now: Now
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What ``n`` rays see at ``steps`` ``(turns, n)``: colour ``(n, 3)``, opacity and the optical depth then."""
        distance = rays.near + STEP * steps
        x = (distance * rays.directions[:, None]).add_(origin[:, None, None]).clamp_(-1, 1)
        density, known = self._net.dense(functional.pad(x.flatten(1), (0, -steps.numel() % _ROWS)), now)
        thick = density[: steps.numel()].view_as(distance).mul_(STEP).mul_(steps >= 0)
        depths = [rays.passed]
        for row in thick:
            depths.append(depths[-1] + row)
        before = torch.stack(depths[:-1])
        weights = torch.exp(-before).mul_(torch.expm1(-thick)).mul_(before <= _DARK).neg_()
        flat = weights.view(-1)
        lit = (flat > _UNSEEN).nonzero()[:, 0]
        asked = functional.pad(lit, (0, -len(lit) % _ROWS))
        ray = torch.arange(len(rays.near), device=lit.device).repeat(len(steps)).index_select(0, asked)
        colour = self._net.colours(known.index_select(0, asked), rays.facing.index_select(0, ray), now)[: len(lit)]
        told = torch.zeros(len(flat), 3, device=lit.device)
        told.index_copy_(0, lit, colour.mul_(flat.index_select(0, lit)[:, None]))
        return told.view(*weights.shape, 3).sum(0), weights.sum(0), depths[-1]


class _Crew:
    """Threads that each compute parts of a picture alone: together on every product, they would wait for each other."""

    def __init__(self, size: int) -> None:
        self._threads = ThreadPoolExecutor(size, "render") if size > 1 else None
        if self._threads is not None:
            here, all_there = torch.get_num_threads(), Barrier(size)
            for started in [self._threads.submit(_alone, all_there) for _ in range(size)]:
                started.result()
            torch.set_num_threads(here)  # for threads to come, which go by what was last said

    def each(self, of: Callable[[Any], tuple[torch.Tensor, ...]], parts: Sequence[Any]) -> list[torch.Tensor]:
        """What ``of`` makes of the parts, several tensors of each, one after the other."""
        if self._threads is None or len(parts) == 1:
            made = [of(part) for part in parts]
        else:
            made = list(self._threads.map(torch.inference_mode()(of), parts))
        return [made[0][i] if len(made) == 1 else torch.cat([part[i] for part in made]) for i in range(len(made[0]))]

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()


def _alone(all_there: Barrier) -> None:
    torch.get_num_threads()  # a thread's own number is first told when it is asked for, and would replace the next
    torch.set_num_threads(1)
    all_there.wait()


def _slices(count: int, size: int) -> list[slice]:
    """One at least, though it be empty."""
    return [slice(i, i + size) for i in range(0, max(1, count), size)]


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
