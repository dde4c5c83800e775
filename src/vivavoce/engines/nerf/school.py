"""A head that learns from pictures of one person: the photometric loss alone, and all that it takes to go on later.

Rates and weights are ER-NeRF's (Li et al. 2023, and its main.py): AdamW without momentum, the planes ten times as fast
as the nets. Every step draws from numbers of its own, so that a training that was interrupted ends as another.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vivavoce.engines.nerf.composite import over
from vivavoce.engines.nerf.encodings import Grid
from vivavoce.engines.nerf.lessons import Lessons
from vivavoce.engines.nerf.networks import Head, Shape
from vivavoce.engines.nerf.occupancy import Occupancy
from vivavoce.engines.nerf.picture import Moment, look
from vivavoce.engines.nerf.rays import BOX
from vivavoce.errors import EngineUnavailable

__all__ = ["Plan", "School", "Tell"]

Tell = Callable[[int, int, float], None]
"""Told after every step: steps done, steps in all, the loss. What it raises ends the training where it stands."""

_PLANES, _NETS, _ATTENTION = 1e-2, 1e-3, 5e-3
"""Learning rates."""
_FADE = 1e-2
"""Of the planes' features."""
_HALVED = 0.5
"""What is left of the rates at the end."""
_ENTROPY = 1e-4
"""Weight of the loss that wants opacities to be 0 or 1."""
_KEPT = 0.95
"""Of the mean weights, from step to step."""
_CELLS_EVERY = 16
_TOLD = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a training the one it is."""

    shape: Shape
    steps: int
    """In all."""
    rays: int = 65536
    """Of each step."""
    together: int = 1
    """Frames that they are drawn from."""
    cells: int = 128
    """Along a side of the grid that tells where there is anything."""
    seed: int = 0


class School:
    """A head, and all that it takes to go on teaching it. ``torch.set_num_threads`` is the caller's."""

    def __init__(self, plan: Plan, device: str = "cpu") -> None:
        self.plan = plan
        self.device = torch.device(device)
        self.step = 0
        """Steps that are over."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self._head, self.mean = (Head(plan.shape, dense=True).to(device) for _ in range(2))
        self.mean.load_state_dict(self._head.state_dict())
        self.cells = Occupancy(plan.cells).to(device)
        self.cells.fill()
        self._steps = torch.optim.AdamW(list(_groups(self._head)), betas=(0.0, 0.99), eps=1e-8)

    def learn(self, lessons: Lessons, tell: Tell | None = None, until: int | None = None) -> None:
        """Take the steps that are left, or those up to ``until``."""
        last = self.plan.steps if until is None else min(until, self.plan.steps)
        while self.step < last:
            chance = np.random.default_rng([self.plan.seed, self.step])
            if self.step % _CELLS_EVERY == 0:
                self._look_around(lessons, chance)
            loss = self._step(lessons, chance)
            self.step += 1
            if tell is not None:
                tell(self.step, self.plan.steps, loss)

    def _step(self, lessons: Lessons, chance: np.random.Generator) -> float:
        for group in self._steps.param_groups:
            group["lr"] = group["first"] * _HALVED ** (self.step / self.plan.steps)
        drawn = lessons.drawn(chance, self.plan.rays, self.plan.together)
        filmed, behind = lessons.filmed(drawn).to(self.device), lessons.behind(drawn).to(self.device)
        audio = self._head.listen(lessons.heard(drawn.frames).to(self.device))
        poses, eyes = lessons.poses[drawn.frames].to(self.device), self._eyes(lessons, drawn.frames)
        frames, of, which, shift = (a.to(self.device) for a in drawn)
        code = self._head.individual_codes[frames][of] if self._head.shape.code else None
        rays = lessons.camera.rays(poses[of], which)
        moment = Moment(audio[of], None if eyes is None else eyes[of], code)
        seen = look(self._head, self.cells, rays, moment, shift).pixels
        made = over(seen, behind)
        loss = ((made - filmed) ** 2).mean() + _ENTROPY * _entropy(seen.opacity)
        self._steps.zero_grad(set_to_none=True)
        loss.backward()
        self._steps.step()
        kept = min(_KEPT, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, own in zip(self.mean.parameters(), self._head.parameters(), strict=True):
                mean.lerp_(own, 1 - kept)
        return float(loss.detach())

    def _eyes(self, lessons: Lessons, frames: torch.Tensor) -> torch.Tensor | None:
        return None if lessons.eyes is None else lessons.eyes[frames].to(self.device)

    @torch.no_grad()
    def _look_around(self, lessons: Lessons, chance: np.random.Generator) -> None:
        """Tell again where there is anything, with the sound and the eyes of one frame."""
        frame = torch.from_numpy(chance.choice(np.array(lessons.frames()), 1))
        audio = self._head.listen(lessons.heard(frame).to(self.device))
        eyes = self._eyes(lessons, frame)
        drawn = torch.Generator().manual_seed(int(chance.integers(2**62)))
        box = torch.tensor(BOX, device=self.device)
        self.cells.update(lambda x: self._head.density(x, audio, eyes), box, chance=drawn)

    # -- what is kept

    def save(self, folder: Path) -> None:
        """Write tensors as safetensors, and then the JSON that names them; until that is there, the older hold."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"head.{name}": value for name, value in self._head.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self.mean.state_dict().items()}
        tensors |= {f"cells.{name}": value for name, value in self.cells.state_dict().items()}
        for name, held in self._moments():
            tensors |= {f"steps.{name}.{kind}": torch.as_tensor(value) for kind, value in held.items()}
        name = f"step-{self.step:06}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        new = folder / f"{_TOLD}.new"
        new.write_text(json.dumps({"plan": asdict(self.plan), "step": self.step, "tensors": name}), encoding="utf-8")
        new.replace(folder / _TOLD)
        for old in folder.glob("step-*.safetensors"):
            if old.name != name:
                old.unlink()

    @classmethod
    def resumed(cls, folder: Path, device: str = "cpu") -> "School":
        """Go on from what ``save`` wrote. Raises ``EngineUnavailable`` when there is nothing, or it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
            shape = told["plan"].pop("shape")
            grid = Grid(**shape.pop("grid"))
            school = cls(Plan(shape=Shape(grid=grid, **shape), **told["plan"]), device)
            school._take_up(load_file(folder / Path(told["tensors"]).name), int(told["step"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as e:
            raise EngineUnavailable(
                f"The training in {folder.name} cannot go on, its checkpoint is missing or damaged ({_said(e)}); "
                "start it again."
            ) from e
        return school

    def _take_up(self, tensors: Mapping[str, torch.Tensor], step: int) -> None:
        for name, net in (("head", self._head), ("mean", self.mean), ("cells", self.cells)):
            net.load_state_dict({key: tensors[f"{name}.{key}"] for key in net.state_dict()})
        for name, p in self._head.named_parameters():
            kinds = [kind for kind in ("step", "exp_avg", "exp_avg_sq") if f"steps.{name}.{kind}" in tensors]
            held = {kind: tensors[f"steps.{name}.{kind}"] for kind in kinds}
            if held:  # the count of steps stays on the CPU, where AdamW has it
                self._steps.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in held.items()}
        self.step = step

    def _moments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the steps remember of each parameter that has taken one."""
        for name, p in self._head.named_parameters():
            if p in self._steps.state:
                yield name, self._steps.state[p]


def _groups(head: Head) -> Iterator[dict[str, Any]]:
    """Parameters with their rates."""
    planes: list[Any] = []
    attention: list[Any] = []
    nets: list[Any] = []
    for name, p in head.named_parameters():
        group = planes if name.startswith("encoder_") else attention if name.startswith("audio_att_net") else nets
        group.append(p)
    yield {"params": planes, "lr": _PLANES, "first": _PLANES, "weight_decay": _FADE}
    yield {"params": attention, "lr": _ATTENTION, "first": _ATTENTION, "weight_decay": 1e-4}
    yield {"params": nets, "lr": _NETS, "first": _NETS, "weight_decay": 0.0}


def _entropy(opacity: torch.Tensor) -> torch.Tensor:
    """The mean, in bits."""
    a = opacity.clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
