"""A ball that stands for a head that has learnt: what ``vivavoce bench`` films and teaches.

What a picture costs depends on how much of it the head fills and on how soon its light is gone, not on what is seen.
"""

from collections.abc import Callable
from math import pi
from typing import Any

import torch

from vivavoce.engines.nerf.field.networks import EARS, Head, Shape
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment, picture
from vivavoce.engines.nerf.field.rays import Camera, from_nerf
from vivavoce.engines.nerf.field.renderer import Renderer
from vivavoce.engines.nerf.training.lessons import Lessons
from vivavoce.engines.nerf.training.school import Plan, School

__all__ = ["Ball"]

_RADIUS, _AWAY, _FOCAL = 0.4, 2.0, 1.8
"""In halves of the field's side; from the camera to the middle; and in sides of a picture."""
_DENSITY = 3.6
"""Logarithm of the median density: half of the light and more is gone within a step of the march."""


class Ball:
    """A head of the published size with random weights, as dense as one that has learnt, before a camera."""

    def __init__(self, engine: str, device: str) -> None:
        """``engine``: ``ernerf`` or ``synctalk``."""
        self.device = device
        shape = Shape.synctalk() if engine == "synctalk" else Shape()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            self.head = Head(shape, dense=True)
            for name, values in self.head.named_parameters():
                if name.startswith("encoder_"):
                    values.uniform_(-0.5, 0.5)
            self.moment = Moment(*(told.to(device) for told in (torch.randn(1, 32), torch.rand(1, shape.eyes))))
            places = 0.6 * torch.rand(4096, 3) - 0.3
        self.cells = Occupancy()
        side = (torch.arange(self.cells.size) + 0.5) * 2 / self.cells.size - 1
        x, y, z = torch.meshgrid(side, side, side, indexing="ij")
        self.cells.counts.copy_(x**2 + y**2 + z**2 < _RADIUS**2)
        pose = torch.eye(4)
        pose[2, 3] = _AWAY
        self.head, self.cells = self.head.to(device).requires_grad_(False), self.cells.to(device)
        self.pose = from_nerf(pose, scale=1.0).to(device)
        self._thicken(places.to(device))

    def _thicken(self, places: torch.Tensor) -> None:
        """Make the densities those of a head that has learnt, whatever the random weights say."""
        row = self.head.sigma_net.net[-1].weight[0]
        row.fill_(1)  # of numbers that are 0 and above: alike everywhere
        told = self.head.density(places, self.moment.audio, self.moment.eyes).log()
        row.mul_(_DENSITY / float(told.median()))

    @property
    def share(self) -> float:
        """Of a picture that the ball fills."""
        return pi * (_FOCAL * _RADIUS) ** 2 / (_AWAY**2 - _RADIUS**2)

    def camera(self, side: int) -> Camera:
        """One whose picture has ``side`` by ``side`` pixels."""
        return Camera(_FOCAL * side, (side / 2, side / 2), side, side)

    def threads(self) -> int:
        """That torch computes with."""
        return int(torch.get_num_threads())

    def wait(self) -> None:
        """For what a graphics card is still at."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def ways(self, side: int) -> dict[str, Callable[[], Any]]:
        """A picture in the plain way, by a ``Renderer`` in the same numbers, and by one as it runs here."""
        camera = self.camera(side)
        given = self.pose, self.moment, torch.full((side, side, 3), 0.5, device=self.device)
        exact = Renderer(self.head, self.cells, camera, device=self.device, precision="fp32")
        ours = Renderer(self.head, self.cells, camera, device=self.device)
        return {
            "plain": lambda: picture(self.head, self.cells, camera, *given),
            "exact": lambda: exact.frame(*given),
            "as it runs here": lambda: ours.frame(*given),
        }

    def lesson(self, rays: int, steps: int) -> Callable[[], None]:
        """So many steps of the head's stage, from pictures of noise; the cells are told again in every sixteenth."""
        frames, side, shape = 8, 64, self.head.shape
        chance = torch.Generator().manual_seed(3)
        lessons = Lessons(
            torch.rand(frames, side, side, 3, generator=chance),
            self.pose.cpu().expand(frames, 4, 4).clone(),
            self.camera(side),
            torch.randn(frames, *EARS[shape.ear], generator=chance),
            torch.rand(side, side, 3, generator=chance),
            eyes=torch.rand(frames, shape.eyes, generator=chance),
        )
        school = School(Plan(shape, head=100_000, rays=rays), self.device)
        school.cells.load_state_dict(self.cells.state_dict())
        school.step = 1
        return lambda: school.learn(lessons, until=school.step + steps)
