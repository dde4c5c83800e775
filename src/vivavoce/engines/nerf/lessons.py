"""What a head learns from: a film of one person, and the rays that are drawn from it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from vivavoce.engines.nerf.networks import window
from vivavoce.engines.nerf.rays import Camera
from vivavoce.errors import InvalidInput

__all__ = ["Drawn", "Lessons"]

_CLOSE = 0.4
"""Of the rays are drawn from the mouth, where it is told."""


class Drawn(NamedTuple):
    """Rays of a step, on the film's side: on the CPU, or wherever its pictures are."""

    frames: torch.Tensor
    """``(k,)``: those that they are drawn from."""
    of: torch.Tensor
    """``(n,)``: which of these each is of."""
    which: torch.Tensor
    """``(n,)``: its pixel, counted by rows."""
    shift: torch.Tensor
    """``(n,)``, 0-1: how far it begins along a step."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """A film to learn from. What has a value for each pixel of each frame is read where it lies, a few pixels at a
    time: it may be a memory map, and need not be where the head is."""

    images: torch.Tensor
    """``(n, height, width, 3)`` RGB: bytes, or 0-1."""
    poses: torch.Tensor
    """``(n, 4, 4)``, as ``rays.from_nerf`` gives them."""
    camera: Camera
    audio: torch.Tensor
    """Features, ``(n, inputs, steps)`` or ``(n, inputs)``: a row a frame."""
    background: torch.Tensor
    """``(height, width, 3)``, or one for each frame: what lies behind the head, which is the torso over the plate.
    Bytes, or 0-1."""
    eyes: torch.Tensor | None = None
    """``(n, Shape.eyes)``."""
    mouths: torch.Tensor | None = None
    """``(n, 4)``: first and last column, first and last row of the mouth, which a share of the rays is drawn from."""
    taught: tuple[int, ...] = ()
    """Frames to learn from; all, when empty. The others' sound is still heard in the windows around these."""
    plate: torch.Tensor | None = None
    """``(height, width, 3)``: what lies behind the torso. Bytes, or 0-1."""
    faces: torch.Tensor | None = None
    """``(n, 4)``, as ``mouths``: what the sound may move."""

    def __post_init__(self) -> None:
        """Raises ``InvalidInput`` when the parts are of different lengths or sizes."""
        n, height, width = self.images.shape[:3]
        own = self.background if self.background.ndim == self.images.ndim else None
        parts = (self.poses, self.audio, self.eyes, self.mouths, self.faces, own)
        lengths = {n} | {len(part) for part in parts if part is not None}
        if len(lengths) > 1:
            raise InvalidInput(
                f"Pictures, poses, sound and the rest are of {sorted(lengths)} frames; give one of each."
            )
        sizes = {tuple(a.shape[-3:-1]) for a in (self.background, self.plate) if a is not None}
        if (width, height) != (self.camera.width, self.camera.height) or sizes != {(height, width)}:
            raise InvalidInput(
                f"The camera, the background and the plate must have the pictures' {width}x{height} pixels."
            )

    def frames(self) -> tuple[int, ...]:
        """The ones to learn from."""
        return self.taught or tuple(range(len(self.images)))

    def drawn(self, chance: np.random.Generator, rays: int, together: int) -> Drawn:
        """Rays of ``together`` frames, anywhere in the picture; some of them from the mouth, where it is told."""
        choice = np.array(self.frames())
        frames = chance.choice(choice, min(together, len(choice)), replace=False)
        of = np.arange(rays) * len(frames) // rays
        boxes = np.tile([[0, self.camera.width - 1, 0, self.camera.height - 1]], (rays, 1))
        if self.mouths is not None:
            close = chance.random(rays) < _CLOSE
            boxes[close] = self.mouths.cpu().numpy()[frames[of[close]]]
        column, row = (chance.integers(boxes[:, i], boxes[:, i + 1], endpoint=True) for i in (0, 2))
        shift = chance.random(rays, np.float32)
        found = frames, of, row * self.camera.width + column, shift
        return Drawn(*(torch.from_numpy(a).to(self.images.device) for a in found))

    def filmed(self, drawn: Drawn) -> torch.Tensor:
        """The colours of pixels, ``(n, 3)``, 0-1."""
        return _light(self.images.flatten(1, 2)[drawn.frames[drawn.of], drawn.which])

    def behind(self, drawn: Drawn) -> torch.Tensor:
        """What lies behind the head there, ``(n, 3)``, 0-1."""
        if self.background.ndim == self.images.ndim:
            return _light(self.background.flatten(1, 2)[drawn.frames[drawn.of], drawn.which])
        return _light(self.background.flatten(0, 1)[drawn.which])

    def heard(self, frames: torch.Tensor) -> torch.Tensor:
        """The windows of sound around frames, ``(k, 8, ...)``."""
        return torch.stack([window(self.audio, f) for f in frames.tolist()])


def _light(values: torch.Tensor) -> torch.Tensor:
    return values / 255 if values.dtype == torch.uint8 else values
