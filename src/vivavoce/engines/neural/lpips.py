"""LPIPS (Zhang et al. 2018, version 0.1): how different two pictures look to a network that knows pictures.

Both pictures pass AlexNet; at five depths the unit vectors of their features are compared, channel by channel, with
weights that were fitted to what people said. Those weights come from the package index; AlexNet's, which were learnt
from ImageNet, are a file of the user's own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from vivavoce.engines.neural.checkpoint import tensors
from vivavoce.errors import EngineUnavailable

__all__ = ["Lpips"]

Bytes = npt.NDArray[np.uint8]

_LAYERS = (
    ("features.0", 4, 2),
    ("features.3", 1, 2),
    ("features.6", 1, 1),
    ("features.8", 1, 1),
    ("features.10", 1, 1),
)
"""AlexNet's convolutions: name, stride, padding. Before the second and the third, the largest of each 3 by 3 stays."""
_POOLED = (1, 2)
_SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
_MEAN, _SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the colours, for values from -1 to 1."""
_TINY = 1e-10
_LEAST = 64
"""Pixels of the shorter side: smaller pictures have no features left at the end."""


class Lpips:
    """Compares pictures. Threads may share it."""

    def __init__(self, alexnet: Path, weights: Path) -> None:
        """``alexnet``: torchvision's checkpoint; ``weights``: the comparison's (``lpips/weights/v0.1/alex.pth``).

        Raises ``EngineUnavailable`` for files that are not these.
        """
        trunk, compared = tensors(alexnet, own=True), tensors(weights, own=True)
        self._layers = []
        for (name, stride, padding), shape in zip(_LAYERS, _SHAPES, strict=True):
            kernel, bias = (
                _taken(trunk, f"{name}.weight", shape, alexnet),
                _taken(trunk, f"{name}.bias", shape[:1], alexnet),
            )
            self._layers.append((kernel, bias, stride, padding))
        self._linear = [
            _taken(compared, f"lin{i}.model.1.weight", (1, shape[0], 1, 1), weights) for i, shape in enumerate(_SHAPES)
        ]

    def distance(self, ours: Sequence[Bytes], truth: Sequence[Bytes]) -> float:
        """The mean over pairs of pictures, RGB ``(h, w, 3)``, both sides 64 pixels or more; 0 for the same picture."""
        with torch.inference_mode():
            return float(np.mean([self._pair(a, b) for a, b in zip(ours, truth, strict=True)]))

    def apart(self, ours: Any, truth: Any) -> Any:
        """The same of tensors ``(n, 3, h, w)``, RGB 0-1, for a training: gradients pass, and 32 pixels are enough."""
        apart: Any = 0.0
        features = (self._features(2 * pictures - 1) for pictures in (ours, truth))
        for one, other, weight in zip(*features, self._linear, strict=True):
            apart = apart + functional.conv2d((_unit(one) - _unit(other)) ** 2, weight.to(one.device)).mean()
        return apart

    def _pair(self, a: Bytes, b: Bytes) -> float:
        if a.shape != b.shape or min(a.shape[:2]) < _LEAST:
            raise ValueError(f"Pictures are alike in size and {_LEAST} pixels or more, not {a.shape} and {b.shape}.")
        both = torch.from_numpy(np.stack([a, b])).permute(0, 3, 1, 2).float() / 255
        return float(self.apart(both[:1], both[1:]))

    def _features(self, x: Any) -> list[Any]:
        """Of pictures ``(n, 3, h, w)``, -1 to 1."""
        mean, spread = (torch.tensor(v, device=x.device)[:, None, None] for v in (_MEAN, _SPREAD))
        x = (x - mean) / spread
        found = []
        for i, (kernel, bias, stride, padding) in enumerate(self._layers):
            if i in _POOLED:
                x = functional.max_pool2d(x, 3, 2)
            x = torch.relu(functional.conv2d(x, kernel.to(x.device), bias.to(x.device), stride, padding))
            found.append(x)
        return found


def _unit(features: Any) -> Any:
    """Every place's channels, as a vector of length 1; of a place that shows nothing, 0, and so is its gradient."""
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY**2).sqrt()


def _taken(found: dict[str, Any], name: str, shape: tuple[int, ...], path: Path) -> Any:
    value = found.get(name)
    if value is None or tuple(value.shape) != shape:
        has = "is missing" if value is None else f"has the shape {tuple(value.shape)}"
        raise EngineUnavailable(f"The file {path.name} is not what LPIPS needs: {name} {has}, and should have {shape}.")
    return value.float()
