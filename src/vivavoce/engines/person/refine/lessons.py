"""Training of the refinement, epoch by epoch: seeded, and the same whether or not it was interrupted."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from vivavoce.engines.person.inner import CHANNELS, HEIGHT, INSIDE, WIDTH
from vivavoce.engines.person.refine.net import Critic, Refiner, refined
from vivavoce.engines.person.refine.pairs import MARGIN, Pairs

__all__ = ["BATCH", "LR", "School"]

F32 = npt.NDArray[np.float32]

LR, BATCH = 5e-4, 8
_MOST = 200
"""Pairs of neighbouring pictures in an epoch."""
_GRADIENT, _TEXTURE, _TEMPORAL, _EVEN, _CRITIC = 0.5, 2.0, 0.5, 0.01, 0.01
"""Weights of the losses beside that of the pixels."""
_ALONE = 5
"""Epochs before the critic has a say."""
_KEPT = 0.998
"""Of the mean weights, from step to step."""
_GAIN = 0.1
_ABOVE = 8
"""Rows above and below the mouth that the critic need not see."""
_AROUND = 8
"""Pixels along the side of what has its detail measured."""


@dataclass(frozen=True, slots=True)
class _Batch:
    seen: torch.Tensor
    """``(n, CHANNELS, h, w)``; pictures 0 and 1, 2 and 3, … are neighbours in the film."""
    filmed: torch.Tensor
    follows: torch.Tensor
    """``(n / 2,)``: 1 where they really are, 0 where a picture between them is missing."""


class School:
    """A net that learns, and all that it takes to go on. ``torch.set_num_threads`` is the caller's."""

    def __init__(self, lr: float = LR, batch: int = BATCH, seed: int = 0) -> None:
        """``batch`` is how many mouths a step sees, ``lr`` how far it goes."""
        self._seed, self._batch = seed, batch
        self.epoch = 0
        """Epochs that are over."""
        self._count = 0
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            nets = Refiner(), Critic(), Refiner()
        self._net, self._critic, self.mean = (net.to(self._device, memory_format=torch.channels_last) for net in nets)
        self.mean.load_state_dict(self._net.state_dict())
        self._steps = torch.optim.AdamW(self._net.parameters(), lr, betas=(0.8, 0.99), weight_decay=1e-2)
        self._critics = torch.optim.AdamW(self._critic.parameters(), 2 * lr, betas=(0.5, 0.99))

    def learn(self, pairs: Pairs) -> float:
        """One epoch. The mean loss of its steps."""
        chance = np.random.default_rng([self._seed, self.epoch])
        losses = []
        for batch in self._batches(pairs, chance):
            losses.append(self._step(batch))
            with torch.no_grad():
                self._count += 1
                new = 1 - min(_KEPT, self._count / (10 + self._count))  # the first steps are soon forgotten
                for mean, own in zip(self.mean.parameters(), self._net.parameters(), strict=True):
                    mean.lerp_(own, new)
        self.epoch += 1
        return float(np.mean(losses))

    def _batches(self, pairs: Pairs, chance: np.random.Generator) -> Iterator[_Batch]:
        """Neighbouring pictures, in an order of this epoch's own."""
        firsts = np.arange(self.epoch % 2, len(pairs) - 1, 2)
        firsts = chance.permutation(firsts)[:_MOST]
        size = max(1, self._batch // 2)
        for at in range(0, len(firsts), size):
            rows = [self._row(pairs, j, chance) for i in firsts[at : at + size] for j in self._shifted(int(i), chance)]
            follows = np.diff(pairs.numbers)[firsts[at : at + size]] == 1
            seen, filmed = (np.stack(a) for a in zip(*rows, strict=True))
            yield _Batch(self._tensor(seen), self._tensor(filmed), self._tensor(follows.astype(np.float32)))

    @staticmethod
    def _shifted(i: int, chance: np.random.Generator) -> list[tuple[int, int, int, float]]:
        """Two neighbours, with the shift and the light that they have in common."""
        x, y = (int(v) for v in chance.integers(0, 2 * MARGIN + 1, 2))
        gain = float(1 + _GAIN * chance.uniform(-1, 1))
        return [(j, x, y, gain) for j in (i, i + 1)]

    @staticmethod
    def _row(pairs: Pairs, which: tuple[int, int, int, float], chance: np.random.Generator) -> tuple[F32, F32]:
        i, x, y, gain = which
        seen, filmed = pairs.seen(i, int(chance.integers(pairs.painted.shape[1])))
        seen, filmed = (a[:, y : y + HEIGHT, x : x + WIDTH].copy() for a in (seen, filmed))
        seen[:INSIDE] *= np.float32(gain)
        return seen, filmed * np.float32(gain)

    def _tensor(self, a: F32) -> torch.Tensor:
        made = torch.from_numpy(a).to(self._device)
        return made.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else made

    def _step(self, batch: _Batch) -> float:
        inside = batch.seen[:, INSIDE : INSIDE + 1]
        painted, lips = batch.seen[:, :3], batch.seen[:, INSIDE + 1 : INSIDE + 2]
        said = self._net(batch.seen)
        made = refined(batch.seen, said)
        loss = _likeness(made, batch.filmed, inside) + _EVEN * _uneven(said[:, :2])
        loss = loss + _TEXTURE * _texture(made, batch.filmed, inside)
        loss = loss + _TEMPORAL * _calm(made, batch.filmed, inside, batch.follows)
        told = float(loss.detach())
        if self.epoch >= _ALONE:
            filmed = painted + (batch.filmed - painted) * inside
            true, ours = (torch.cat([a, lips], 1)[..., _ABOVE:-_ABOVE, :] for a in (filmed, made))
            self._teach_critic(true, ours.detach())
            loss = loss - _CRITIC * self._critic(ours).mean()
        self._steps.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._steps.step()
        return told

    def _teach_critic(self, filmed: torch.Tensor, made: torch.Tensor) -> None:
        """The hinge loss (Lim and Ye 2017)."""
        loss = functional.relu(1 - self._critic(filmed)).mean() + functional.relu(1 + self._critic(made)).mean()
        self._critics.zero_grad(set_to_none=True)
        loss.backward()
        self._critics.step()

    # -- what is kept

    def state(self) -> dict[str, Any]:
        """Tensors and numbers alone, so that they can be read without running anything."""
        kept = {"net": self._net, "critic": self._critic, "mean": self.mean, "steps": self._steps}
        return {"epoch": self.epoch, "count": self._count, "critics": self._critics.state_dict()} | {
            name: part.state_dict() for name, part in kept.items()
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from there. Raises ``KeyError``, ``RuntimeError`` or ``ValueError`` when it is another net's."""
        self._net.load_state_dict(state["net"])
        self._critic.load_state_dict(state["critic"])
        self.mean.load_state_dict(state["mean"])
        self._steps.load_state_dict(state["steps"])
        self._critics.load_state_dict(state["critics"])
        self.epoch, self._count = int(state["epoch"]), int(state["count"])

    def refined(self, seen: F32) -> F32:
        """What the mean net makes of ``(n, CHANNELS, h, w)``: mouths ``(n, 3, h, w)``, 0-1."""
        with torch.inference_mode():
            given = self._tensor(seen)
            return np.asarray(refined(given, self.mean(given)).cpu().numpy(), np.float32)

    def exported(self) -> bytes:
        """The mean net as ONNX, for ``inner.Inner``."""
        net = Refiner()
        net.load_state_dict({name: part.cpu() for name, part in self.mean.state_dict().items()})
        seen = torch.zeros(1, CHANNELS, HEIGHT, WIDTH)
        with warnings.catch_warnings(), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")  # of the exporter about itself
            program = torch.onnx.export(
                net.eval(), (seen,), dynamo=True, input_names=["seen"], output_names=["said"], verbose=False
            )
        return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """The exporter tells what else could be installed."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _likeness(made: torch.Tensor, filmed: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Differences of pixels and of their neighbours' differences, where something may change."""
    error = made - filmed
    pixels = _mean(error.abs(), inside)
    across = _mean((error[..., 1:] - error[..., :-1]).abs(), inside[..., 1:])
    down = _mean((error[..., 1:, :] - error[..., :-1, :]).abs(), inside[..., 1:, :])
    return pixels + _GRADIENT * (across + down)


def _calm(made: torch.Tensor, filmed: torch.Tensor, inside: torch.Tensor, follows: torch.Tensor) -> torch.Tensor:
    """Differences from picture to picture, where these are neighbours."""
    change = (made - filmed)[1::2] - (made - filmed)[::2]
    where = torch.minimum(inside[1::2], inside[::2]) * follows[:, None, None, None]
    return _mean(change.abs(), where)


def _texture(made: torch.Tensor, filmed: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Differences of how much detail there is around each place, wherever it lies: what the others would blur away."""
    where = functional.avg_pool2d(inside, _AROUND, _AROUND // 2)
    there = (where > 0.05).float()

    def detail(x: torch.Tensor) -> torch.Tensor:
        grey = x.mean(1, keepdim=True)
        across, down = grey[..., 1:] - grey[..., :-1], grey[..., 1:, :] - grey[..., :-1, :]
        energy = functional.pad(across**2, (0, 1)) + functional.pad(down**2, (0, 0, 0, 1))
        return (functional.avg_pool2d(energy * inside, _AROUND, _AROUND // 2) / (where + 1e-3) + 1e-5).sqrt()

    return ((detail(made) - detail(filmed)).abs() * there).sum() / (there.sum() + 1e-6)


def _uneven(slide: torch.Tensor) -> torch.Tensor:
    """How much neighbours slide apart."""
    return (slide[..., 1:] - slide[..., :-1]).abs().mean() + (slide[..., 1:, :] - slide[..., :-1, :]).abs().mean()


def _mean(x: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return (x * where).sum() / (3 * where.sum() + 1e-6)
