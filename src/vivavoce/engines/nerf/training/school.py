"""A head that learns from a film of one person, in stages, and all that it takes to go on later.

Rates and weights are ER-NeRF's (Li et al. 2023, and its main.py): first the head, then its lips in patches that are
compared as pictures, then the torso, which the head is not touched by. Every step draws from numbers of its own, so
that a training that was interrupted ends as another.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from vivavoce.engines.nerf.field.composite import over
from vivavoce.engines.nerf.field.encodings import Grid
from vivavoce.engines.nerf.field.networks import Field, Head, Shape, Torso
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment, Seen
from vivavoce.engines.nerf.field.rays import BOX, pixels
from vivavoce.engines.nerf.training.cover import Cover
from vivavoce.engines.nerf.training.frustum import forget_unseen
from vivavoce.engines.nerf.training.lessons import Drawn, Lessons
from vivavoce.engines.nerf.training.losses import Compare, doubted, edges, entropy, moved, steady, summed
from vivavoce.engines.nerf.training.pupil import Pupil, head_rates, torso_rates
from vivavoce.engines.nerf.training.sight import ask, sight
from vivavoce.errors import EngineUnavailable, InvalidInput

__all__ = ["Plan", "Progress", "School", "Stage", "Tell"]

Stage = Literal["head", "lips", "torso"]


class Progress(NamedTuple):
    """Where a training is."""

    step: int
    """Steps that are over, of all stages."""
    of: int
    """In all."""
    loss: float
    """Of the last one."""
    stage: Stage
    """That the last one was of."""


Tell = Callable[[Progress], None]
"""Told after every step. What it raises ends the training where it stands."""

_LEFT = {"head": (1.0, 0.5), "lips": (0.1, 0.05), "torso": (1.0, 0.5)}
"""What is left of the rates when a stage begins and when it ends; between, they fall by the same share each step."""
_ENTROPY, _MOVED, _STEADY = 1e-4, 1e-4, 1e-5
"""Weights of losses."""
_COMPARED, _EDGES = 0.01, 0.3
"""Weights of how different a patch looks: to a ``Compare``, or by its slopes."""
_EVERY = 16
"""Steps, from which to which it is told again where there is anything, and asked what is beside places."""
_WHOLE = 256
"""Steps, up to which all cells are asked, and later a part."""
_BESIDE, _PLACES = 1e-3, 4096
"""How far beside, and how many places are asked about."""
_POSES = 64
"""In which it is told where a torso is seen, and as many again at most."""
_TOLD = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a training the one it is."""

    shape: Shape
    head: int
    """Steps of its stage, and so the next two."""
    lips: int = 0
    torso: int = 0
    rays: int = 65536
    """Of each step."""
    together: int = 1
    """Frames that they are drawn from."""
    patch: int = 32
    """Pixels along a side of what lips learn from."""
    cells: int = 128
    """Along a side of the grid that tells where there is anything."""
    rate: float = 1.0
    """Times the published learning rates."""
    seed: int = 0

    @property
    def steps(self) -> int:
        """In all."""
        return self.head + self.lips + self.torso

    def at(self, step: int) -> tuple[Stage, float]:
        """The stage that a step is of, and which part of it, 0-1, is over before it."""
        lengths: dict[Stage, int] = {"head": self.head, "lips": self.lips}
        for stage, length in lengths.items():
            if step < length:
                return stage, step / length
            step -= length
        return "torso", step / max(1, self.torso)


class School:
    """A head, a torso where one is planned, and all that it takes to go on teaching them.

    ``torch.set_num_threads`` is the caller's.
    """

    def __init__(self, plan: Plan, device: str = "cpu", floats: torch.dtype | None = None) -> None:
        """``floats``: what nets compute with; 16 bits on a graphics card and 32 on a processor, unless told."""
        self.plan = plan
        self.device = torch.device(device)
        self.step = 0
        """Steps that are over."""
        self._floats = floats or (torch.float16 if self.device.type == "cuda" else torch.float32)
        scaled = self._floats == torch.float16
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            head, mean = (Head(plan.shape, dense=True).to(device) for _ in range(2))
            self._head = Pupil(head, mean, head_rates(head), scaled=scaled)
            self._torso = None
            if plan.torso:
                torso, worn = (Torso(plan.shape.codes).to(device) for _ in range(2))
                self._torso = Pupil(torso, worn, torso_rates(torso), scaled=scaled)
        self.cells = Occupancy(plan.cells).to(device)
        self.cells.fill()
        self.cover = Cover().to(device)

    @property
    def mean(self) -> Head:
        """The head to film: what it was in its last steps, on the whole."""
        mean: Head = self._head.mean
        return mean

    @property
    def torso(self) -> Torso | None:
        """The torso to film; None where none is planned."""
        return None if self._torso is None else self._torso.mean

    def learn(
        self, lessons: Lessons, tell: Tell | None = None, until: int | None = None, compare: Compare | None = None
    ) -> None:
        """Take the steps that are left, or those up to ``until``. ``compare``: what lips are compared with, LPIPS.

        Raises ``InvalidInput`` when a torso is to be learnt and the lessons have no plate.
        """
        if self.plan.torso and lessons.plate is None:
            raise InvalidInput("A torso is learnt from what lies behind it; give the lessons a plate.")
        if self.step == 0:
            forget_unseen(self.cells, self._here(lessons.poses), lessons.camera)
        last = self.plan.steps if until is None else min(until, self.plan.steps)
        while self.step < last:
            stage, part = self.plan.at(self.step)
            chance = np.random.default_rng([self.plan.seed, self.step])
            if stage == "torso":
                loss = self._torso_step(lessons, chance, part)
            else:
                loss = self._head_step(lessons, chance, stage, part, compare)
            self.step += 1
            if tell is not None:
                tell(Progress(self.step, self.plan.steps, loss, stage))
        if self._torso is not None and self.step == self.plan.steps:
            spread = lessons.poses[:: max(1, len(lessons.poses) // _POSES)]
            self.cover.tell(self._torso.mean, self._here(spread))

    # -- steps

    def _head_step(
        self, lessons: Lessons, chance: np.random.Generator, stage: Stage, part: float, compare: Compare | None
    ) -> float:
        if self.step % _EVERY == 0:
            self._look_around(lessons, chance)
        squares, side = self._squares(lessons, stage)
        if squares:
            drawn = lessons.patches(chance, squares, side, self.plan.together)
        else:
            drawn = lessons.drawn(chance, self.plan.rays, self.plan.together)
        rays, moment = self._rays(lessons, drawn)
        seen = sight(self._head.net, self.cells, rays, moment, drawn.shift.to(self.device), self._floats)
        made, filmed = over(seen.pixels, self._here(lessons.behind(drawn))), self._here(lessons.filmed(drawn))
        face, field = lessons.face(drawn).to(self.device), seen.field
        apart, grown = made - filmed, part if stage == "head" else 1.0
        error = (apart**2).mean()
        loss = error if stage == "lips" else doubted(apart, summed(seen, field.doubt), face, grown)
        if squares:
            pictures = (a.view(squares, side, side, 3).permute(0, 3, 1, 2) for a in (made, filmed))
            loss = loss + (_EDGES * edges(*pictures) if compare is None else _COMPARED * compare(*pictures))
        loss = loss + _ENTROPY * entropy(seen.pixels.opacity)
        loss = loss + _MOVED * grown * moved(summed(seen, field.heard), summed(seen, field.eyes), face)
        if stage == "head" and self.step % _EVERY == 0 and len(seen.samples.ray):
            loss = loss + _STEADY * grown * self._unsteady(seen, rays[1], moment, chance)
        self._head.learn(loss, self.step, self._rate(stage, part))
        return float(error.detach())

    def _torso_step(self, lessons: Lessons, chance: np.random.Generator, part: float) -> float:
        pupil, poses = self._torso, lessons.poses
        assert pupil is not None  # a plan with steps of a torso has one
        drawn = lessons.drawn(chance, self.plan.rays, self.plan.together, close=False)
        at = pixels(lessons.camera.width, lessons.camera.height, self.device)[drawn.which.to(self.device)]
        layers = []
        with torch.autocast(self.device.type, self._floats, enabled=self._floats != torch.float32):
            for i, frame in enumerate(drawn.frames.tolist()):
                layers.append(pupil.net(at[(drawn.of == i).to(self.device)], poses[frame].to(self.device), frame)[:2])
        opacity, colour = (torch.cat(a).to(at.dtype) for a in zip(*layers, strict=True))
        made = colour * opacity + self._here(lessons.plain(drawn)) * (1 - opacity)
        error = ((made - self._here(lessons.behind(drawn))) ** 2).mean()
        loss = error + _ENTROPY * entropy(opacity) + ((1 - pupil.net.anchor_points[:, 3]) ** 2).mean()
        pupil.learn(loss, self.step - self.plan.head - self.plan.lips, self._rate("torso", part))
        return float(error.detach())

    def _squares(self, lessons: Lessons, stage: Stage) -> tuple[int, int]:
        """How many patches this step is of, none in every other one; and their side."""
        side = min(self.plan.patch, lessons.camera.width, lessons.camera.height)
        return max(1, self.plan.rays // side**2) if stage == "lips" and self.step % 2 == 0 else 0, side

    def _rate(self, stage: Stage, part: float) -> float:
        first, last = _LEFT[stage]
        return float(self.plan.rate * first * (last / first) ** part)

    def _here(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.device)

    def _rays(self, lessons: Lessons, drawn: Drawn) -> tuple[tuple[torch.Tensor, torch.Tensor], Moment]:
        # one row for all rays, where they are of one frame
        each = slice(None) if len(drawn.frames) == 1 else self._here(drawn.of)
        eyes = None if lessons.eyes is None else self._here(lessons.eyes[drawn.frames])[each]
        code = self._head.net.individual_codes[self._here(drawn.frames)][each] if self.plan.shape.code else None
        moment = Moment(self._heard(lessons, drawn.frames)[each], eyes, code)
        return lessons.camera.rays(self._here(lessons.poses[drawn.frames[drawn.of]]), self._here(drawn.which)), moment

    def _heard(self, lessons: Lessons, frames: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, self._floats, enabled=self._floats != torch.float32):
            return self._head.net.listen(self._here(lessons.heard(frames))).float()

    def _unsteady(
        self, seen: Seen, directions: torch.Tensor, moment: Moment, chance: np.random.Generator
    ) -> torch.Tensor:
        """Of some places, what is just beside them."""
        count = min(_PLACES, len(seen.samples.ray))
        which = self._here(torch.from_numpy(chance.integers(0, len(seen.samples.ray), count)))
        aside = self._here(torch.from_numpy(chance.uniform(-_BESIDE, _BESIDE, (count, 3)).astype(np.float32)))
        ray = seen.samples.ray[which]
        now = Moment(*(None if a is None else a.detach() for a in moment.of(ray)))
        beside = ask(self._head.net, (seen.samples.x[which] + aside).clamp(-1, 1), directions[ray], now, self._floats)
        return steady(Field(*(a[which] for a in seen.field)), beside)

    @torch.no_grad()
    def _look_around(self, lessons: Lessons, chance: np.random.Generator) -> None:
        """Tell again where there is anything, with the sound and the eyes of one frame."""
        frame = torch.from_numpy(chance.choice(np.array(lessons.frames()), 1))
        audio = self._heard(lessons, frame)
        eyes = None if lessons.eyes is None else self._here(lessons.eyes[frame])

        def density(x: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, self._floats, enabled=self._floats != torch.float32):
                return self._head.net.density(x, audio, eyes).float()

        box = torch.tensor(BOX, device=self.device)
        part = None if self.step < _WHOLE else self.step // _EVERY
        self.cells.update(density, box, chance=_generator(chance), part=part)

    # -- what is kept

    def save(self, folder: Path) -> None:
        """Write tensors as safetensors, and then the JSON that names them; until that is there, the older hold."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"{kind}.{name}": v for kind, net in self._fixed() for name, v in net.state_dict().items()}
        for kind, pupil in self._pupils():
            tensors |= {f"{kind}.{name}": value for name, value in pupil.tensors()}
        name = f"step-{self.step:06}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        scales = {kind: pupil.scale() for kind, pupil in self._pupils()}
        told = {"plan": asdict(self.plan), "step": self.step, "tensors": name, "scales": scales}
        new = folder / f"{_TOLD}.new"
        new.write_text(json.dumps(told), encoding="utf-8")
        new.replace(folder / _TOLD)
        for old in folder.glob("step-*.safetensors"):
            if old.name != name:
                old.unlink()

    @classmethod
    def resumed(cls, folder: Path, device: str = "cpu", floats: torch.dtype | None = None) -> "School":
        """Go on from what ``save`` wrote. Raises ``EngineUnavailable`` when there is nothing, or it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
            shape = told["plan"].pop("shape")
            grid = Grid(**shape.pop("grid"))
            school = cls(Plan(shape=Shape(grid=grid, **shape), **told["plan"]), device, floats)
            tensors = load_file(folder / Path(told["tensors"]).name)
            for kind, net in school._fixed():
                net.load_state_dict({name: tensors[f"{kind}.{name}"] for name in net.state_dict()})
            for kind, pupil in school._pupils():
                own = {name.removeprefix(f"{kind}."): v for name, v in tensors.items() if name.startswith(f"{kind}.")}
                pupil.take_up(own, told["scales"][kind])
            school.step = int(told["step"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as e:
            raise EngineUnavailable(
                f"The training in {folder.name} cannot go on, its checkpoint is missing or damaged ({_said(e)}); "
                "start it again."
            ) from e
        return school

    def _fixed(self) -> tuple[tuple[str, Any], ...]:
        return ("cells", self.cells), ("cover", self.cover)

    def _pupils(self) -> tuple[tuple[str, Pupil[Any]], ...]:
        return (("head", self._head),) + (() if self._torso is None else (("torso", self._torso),))


def _generator(chance: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(chance.integers(2**62)))


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
