"""The nets of the refinement: one that goes over a mouth, and one that tells painted mouths from filmed ones."""

import torch
from torch import nn

from vivavoce.engines.person.inner import CHANNELS, INSIDE, REACH, SAID

__all__ = ["Critic", "Refiner", "refined"]


_LIGHT = 4
"""Halved pixels along the side of what gets lighter or darker as one: finer, it would paint over teeth."""


class _Block(nn.Module):
    """Two convolutions that add to what they are given (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(nn.functional.leaky_relu(self.first(x), 0.1))


class Refiner(nn.Module):
    """A U-Net (Ronneberger et al. 2015) on pixels taken together by four.

    ``(n, CHANNELS, h, w)`` to ``(n, SAID, h, w)``: how far each pixel slides, and the light that is added, 0-1.
    Its last layer is 0 at first: then nothing slides, and no light is added. 0.3 million weights.
    """

    def __init__(self, widths: tuple[int, int, int] = (16, 48, 96)) -> None:
        super().__init__()
        a, b, c = widths
        self.enter = nn.Conv2d(4 * CHANNELS, a, 3, padding=1)
        self.fine = _Block(a)
        self.down = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.middle = _Block(b)
        self.deeper = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.coarse = _Block(c)
        self.rise = nn.Conv2d(c, b, 1)
        self.middle_again = _Block(b)
        self.higher = nn.Conv2d(b, a, 1)
        self.fine_again = _Block(a)
        self.leave = nn.Conv2d(a, SAID, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is said of mouths."""

        def bent(y: torch.Tensor) -> torch.Tensor:
            return nn.functional.leaky_relu(y, 0.1)

        def doubled(y: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(y, scale_factor=2.0, mode="nearest")

        fine = self.fine(bent(self.enter(nn.functional.pixel_unshuffle(x, 2))))
        middle = self.middle(bent(self.down(fine)))
        coarse = self.coarse(bent(self.deeper(middle)))
        middle = self.middle_again(middle + doubled(self.rise(coarse)))
        fine = self.fine_again(fine + doubled(self.higher(middle)))
        said = self.leave(bent(fine))
        slide = REACH * torch.tanh(said[:, :2] / REACH)
        light = nn.functional.avg_pool2d(said[:, 2:], _LIGHT)
        return torch.cat([_enlarged(slide, 2.0), _enlarged(light, 2.0 * _LIGHT)], 1)


def _enlarged(x: torch.Tensor, scale: float) -> torch.Tensor:
    return nn.functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def refined(seen: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """The mouths ``(n, 3, h, w)`` that the net saw, as it wants them: as ``inner.Inner.refine`` makes them."""
    height, width = seen.shape[2:]
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack([xs, ys], -1).to(seen) + said[:, :2].permute(0, 2, 3, 1)
    at = (2 * at + 1) / torch.tensor([width, height]).to(seen) - 1
    taken = nn.functional.grid_sample(seen[:, :3], at, padding_mode="border", align_corners=False)
    return seen[:, :3] + (taken + said[:, 2:] - seen[:, :3]) * seen[:, INSIDE : INSIDE + 1]


class Critic(nn.Module):
    """Judges patches of 22 pixels (PatchGAN, Isola et al. 2017): ``(n, 4, h, w)``, mouth and lips, to a map."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Higher for what was filmed."""
        return self.layers(x)
