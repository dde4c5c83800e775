"""A net that learns: itself, the mean of what it was lately, and what its steps remember."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from vivavoce.engines.nerf.field.networks import Head, Torso

__all__ = ["Pupil", "head_rates", "torso_rates"]

Net = TypeVar("Net", bound=nn.Module)

_PLANES, _NETS, _ATTENTION = 1e-2, 1e-3, 5e-3
"""Learning rates."""
_FADE = 1e-2
"""Of the planes' features; AdamW's own."""
_KEPT = 0.95
"""Of the mean weights, from step to step."""
_MEMORY = ("step", "exp_avg", "exp_avg_sq")


class Pupil(Generic[Net]):
    """AdamW without momentum and with one pass over its numbers; with half floats, losses are scaled."""

    def __init__(self, net: Net, mean: Net, rates: Iterable[dict[str, Any]], *, scaled: bool = False) -> None:
        """``mean`` is another of the same kind, which becomes what ``net`` is. ``scaled`` for 16-bit floats."""
        self.net, self.mean = net, mean
        mean.load_state_dict(net.state_dict())
        mean.requires_grad_(False)
        self._steps = torch.optim.AdamW(list(rates), betas=(0.0, 0.99), eps=1e-8, fused=True)
        self._scaler = torch.amp.GradScaler(next(net.parameters()).device.type, enabled=scaled)

    def learn(self, loss: torch.Tensor, step: int, rate: float) -> None:
        """One step down a loss: the ``step``th, its rates times ``rate``."""
        for group in self._steps.param_groups:
            group["lr"] = group["first"] * rate
        self._steps.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._steps)
        self._scaler.update()
        kept = min(_KEPT, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.mean.parameters()), list(self.net.parameters()), 1 - kept)

    # -- what is kept

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All that it takes to go on, named."""
        for kind, net in (("net", self.net), ("mean", self.mean)):
            yield from ((f"{kind}.{name}", value) for name, value in net.state_dict().items())
        for name, p in self.net.named_parameters():
            held = self._steps.state.get(p, {})
            yield from ((f"steps.{name}.{kind}", held[kind]) for kind in _MEMORY if kind in held)

    def scale(self) -> dict[str, Any]:
        """What scales the losses; empty where nothing does."""
        return dict(self._scaler.state_dict())

    def take_up(self, tensors: Mapping[str, torch.Tensor], scale: Mapping[str, Any]) -> None:
        """Go on from these. Raises ``KeyError`` and ``RuntimeError`` when they are another net's."""
        for kind, net in (("net", self.net), ("mean", self.mean)):
            net.load_state_dict({name: tensors[f"{kind}.{name}"] for name in net.state_dict()})
        for name, p in self.net.named_parameters():
            held = {kind: tensors.get(f"steps.{name}.{kind}") for kind in _MEMORY}
            if held["step"] is not None:
                self._steps.state[p] = {kind: value.to(p.device) for kind, value in held.items() if value is not None}
        if scale:
            self._scaler.load_state_dict(dict(scale))


def head_rates(head: Head) -> Iterator[dict[str, Any]]:
    """Its parameters by their rates: the planes learn ten times as fast as the nets, and fade."""
    planes: list[Any] = []
    attention: list[Any] = []
    nets: list[Any] = []
    for name, p in head.named_parameters():
        group = planes if name.startswith("encoder_") else attention if name.startswith("audio_att_net") else nets
        group.append(p)
    yield {"params": planes, "lr": _PLANES, "first": _PLANES, "weight_decay": _FADE}
    yield {"params": attention, "lr": _ATTENTION, "first": _ATTENTION, "weight_decay": 1e-4}
    yield {"params": nets, "lr": _NETS, "first": _NETS, "weight_decay": 0.0}


def torso_rates(torso: Torso) -> Iterator[dict[str, Any]]:
    """As a head's: its grid, and the rest."""
    grid = list(torso.torso_encoder.parameters())
    nets = [p for name, p in torso.named_parameters() if not name.startswith("torso_encoder")]
    yield {"params": grid, "lr": _PLANES, "first": _PLANES, "weight_decay": _FADE}
    yield {"params": nets, "lr": _NETS, "first": _NETS, "weight_decay": 0.0}
