"""How fast a radiance field is filmed and taught here: ER-NeRF's or SyncTalk's head, at the published sizes.

The head is a ball with random weights, as dense as one that has learnt: what a picture costs depends on how much of it
the head fills and on how soon its light is gone, and not on what is seen.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vivavoce.bench.suite import Measured
from vivavoce.engines.neural.device import Place, has_torch, place
from vivavoce.errors import EngineUnavailable

__all__ = ["measure"]

Show = Callable[[float, str], None]

_SIDES = (128, 256, 512)
_RADIUS, _AWAY, _FOCAL = 0.4, 2.0, 1.8
"""Of the ball, in halves of the field's side; from the camera to its middle; and in sides of a picture."""
_DENSITY = 3.6
"""Logarithm of its median density: half of the light is gone within a step of the march."""
_TARGETS = {("cpu", 128): 15.0, ("cpu", 256): 4.0, ("cpu", 512): 1.0}
"""Frames a second; on a graphics card 50 are wanted at every size."""
_RAYS = 4096


def measure(engine: str, *, quick: bool = False, show: Show = lambda *_: None) -> tuple[list[Measured], str]:
    """Everything of ``ernerf`` or ``synctalk``, on this machine: about a minute. Needs torch.

    Returns rows, and what is to be known about them in Markdown. Raises ``EngineUnavailable`` without torch.
    """
    if not has_torch():
        raise EngineUnavailable("torch is not installed, which this measures; add `pip install 'vivavoce[neural]'`.")
    times = 2 if quick else 5
    here = place()
    scene = _Scene(engine, str(here.device))
    rows = []
    for index, side in enumerate(_SIDES):
        show(0.8 * index / len(_SIDES), f"Filming at {side}x{side}")
        rows += _film_rows(scene, side, times, here)
    show(0.8, "Teaching")
    rows.append(_school_row(scene, times))
    more = (
        "Frames a second are those of a machine that does nothing else, reckoned from the processor's time; behind "
        f'"seen", what the clock saw. Best of {times}. The head fills {scene.share():.0%} of the picture; its light is '
        "gone after about eight places of a ray. The plain way asks about all places; what the fast one is tested by."
    )
    return rows, more


class _Scene:
    """A head before a camera."""

    def __init__(self, engine: str, device: str) -> None:
        import torch

        from vivavoce.engines.nerf.networks import Head, Shape
        from vivavoce.engines.nerf.occupancy import Occupancy
        from vivavoce.engines.nerf.picture import Moment
        from vivavoce.engines.nerf.rays import from_nerf

        self.torch, self.device = torch, device
        shape = Shape.synctalk() if engine == "synctalk" else Shape()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            self.head = Head(shape, dense=True)
            for name, values in self.head.named_parameters():
                if name.startswith("encoder_"):
                    values.uniform_(-0.5, 0.5)
            self.moment = Moment(torch.randn(1, 32, device=device), torch.rand(1, shape.eyes, device=device))
        self.cells = Occupancy()
        side = (torch.arange(self.cells.size) + 0.5) * 2 / self.cells.size - 1
        x, y, z = torch.meshgrid(side, side, side, indexing="ij")
        self.cells.counts.copy_(x**2 + y**2 + z**2 < _RADIUS**2)
        pose = torch.eye(4)
        pose[2, 3] = _AWAY
        self.head, self.cells = self.head.to(device).requires_grad_(False), self.cells.to(device)
        self.pose = from_nerf(pose, scale=1.0).to(device)
        self._thicken()

    def _thicken(self) -> None:
        """Make the densities those of a head that has learnt, whatever the random weights say."""
        row = self.head.sigma_net.net[-1].weight[0]
        row.fill_(1)  # of numbers that are 0 and above: alike everywhere
        with self.torch.inference_mode():
            places = 0.6 * self.torch.rand(4096, 3, device=self.device) - 0.3
            told = self.head.density(places, self.moment.audio, self.moment.eyes).log()
        row.mul_(_DENSITY / float(told.median()))

    def wait(self) -> None:
        """For what a graphics card is still at."""
        if self.device != "cpu":
            self.torch.cuda.synchronize()

    def camera(self, side: int) -> Any:
        from vivavoce.engines.nerf.rays import Camera

        return Camera(_FOCAL * side, (side / 2, side / 2), side, side)

    def share(self) -> float:
        """Of a picture that the ball fills."""
        return float(np.pi * (_FOCAL * _RADIUS) ** 2 / (_AWAY**2 - _RADIUS**2))


def _film_rows(scene: _Scene, side: int, times: int, here: Place) -> list[Measured]:
    """The plain way, ours in the same numbers, and ours as it runs here; in turn, so that all meet the same machine."""
    from vivavoce.engines.nerf.picture import picture
    from vivavoce.engines.nerf.renderer import Renderer

    camera = scene.camera(side)
    given = scene.pose, scene.moment, scene.torch.full((side, side, 3), 0.5, device=scene.device)
    exact, ours = (
        Renderer(scene.head, scene.cells, camera, device=scene.device, precision=precision)
        for precision in ("fp32", "auto")
    )
    ways: dict[str, Callable[[], Any]] = {
        "plain": lambda: picture(scene.head, scene.cells, camera, *given),
        "exact": lambda: exact.frame(*given),
        "as it runs here": lambda: ours.frame(*given),
    }
    best = _taken(ways, times, scene)
    for renderer in (exact, ours):
        renderer.close()
    wanted = _TARGETS.get((here.device.type, side), 50.0)
    rows = [
        Measured(
            f"{side}x{side}, {way}", speed[0], "fps", 0.0 if way == "plain" else wanted, "more", _said(speed, way, here)
        )
        for way, speed in best.items()
    ]
    gains = [best[way][0] / best["plain"][0] for way in ("exact", "as it runs here")]
    return [
        *rows,
        Measured(f"{side}x{side}: gain over the plain way", gains[1], "", 2.0, "more", f"exact {gains[0]:.1f}"),
    ]


def _said(speed: tuple[float, float], way: str, here: Place) -> str:
    numbers = here.name if way == "as it runs here" else f"{here.device}, float32"
    return f"seen {speed[1]:.2f}; {numbers}"


def _taken(ways: dict[str, Callable[[], Any]], times: int, scene: _Scene) -> dict[str, tuple[float, float]]:
    """Each way's runs a second: on all cores of a machine that does nothing else, and as the clock saw it."""
    best = dict.fromkeys(ways, (0.0, 0.0))
    for turn in range(times + 1):  # the first is for warming up
        for way, run in ways.items():
            began = time.perf_counter(), time.process_time()
            run()
            scene.wait()
            clock, spent = time.perf_counter() - began[0], time.process_time() - began[1]
            # a graphics card's time is the clock's
            cores = min(len(os.sched_getaffinity(0)), scene.torch.get_num_threads())
            free = cores / max(spent, 1e-9) if scene.device == "cpu" else 1 / clock
            if turn:
                best[way] = max(best[way][0], free), max(best[way][1], 1 / clock)
    return best


def _school_row(scene: _Scene, times: int) -> Measured:
    """A step of the head's stage: looking where there is anything is a part of every sixteenth."""
    from vivavoce.engines.nerf.lessons import Lessons
    from vivavoce.engines.nerf.networks import EARS
    from vivavoce.engines.nerf.school import Plan, School

    torch, frames, side = scene.torch, 8, 64
    shape = scene.head.shape
    chance = torch.Generator().manual_seed(3)
    lessons = Lessons(
        torch.rand(frames, side, side, 3, generator=chance),
        scene.pose.cpu().expand(frames, 4, 4).clone(),
        scene.camera(side),
        torch.randn(frames, *EARS[shape.ear], generator=chance),
        torch.rand(side, side, 3, generator=chance),
        eyes=torch.rand(frames, shape.eyes, generator=chance),
    )
    school = School(Plan(shape, head=100_000, rays=_RAYS), scene.device)
    school.cells.load_state_dict(scene.cells.state_dict())
    school.step = 1
    best = _taken({"": lambda: school.learn(lessons, until=school.step + 3)}, times, scene)[""]
    detail = f"seen {3 * best[1]:.2f}; {_RAYS} rays a step, published 65536"
    return Measured("training of the head", 3 * best[0], "steps/s", 1.0, "more", detail)
