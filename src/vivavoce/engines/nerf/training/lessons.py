"""What a head learns from: a film of one person, and the rays that are drawn from it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from vivavoce.engines.nerf.field.networks import window
from vivavoce.engines.nerf.field.rays import Camera
from vivavoce.errors import InvalidInput

__all__ = ["Drawn", "Lessons"]

_CLOSE, _LIDS, _HEAD = 0.4, 0.1, 0.35
"""Of the rays are drawn from the mouth and from the eyes, where these are told."""


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
    lids: torch.Tensor | None = None
    """``(n, 4)``, as ``mouths``: both eyes, which fewer rays are drawn from."""
    heads: torch.Tensor | None = None
    """``(n, 4)``, as ``mouths``: the head with its hair. What is around it is there without a field."""

    def __post_init__(self) -> None:
        """Raises ``InvalidInput`` when the parts are of different lengths or sizes."""
        n, height, width = self.images.shape[:3]
        own = self.background if self.background.ndim == self.images.ndim else None
        parts = (self.poses, self.audio, self.eyes, self.mouths, self.faces, self.lids, self.heads, own)
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

    def drawn(self, chance: np.random.Generator, rays: int, together: int, *, close: bool = True) -> Drawn:
        """Rays of ``together`` frames, anywhere in the picture; with ``close``, some from the mouth and the eyes."""
        frames = self._some(chance, together)
        of = np.arange(rays) * len(frames) // rays
        boxes = np.tile([[0, self.camera.width - 1, 0, self.camera.height - 1]], (rays, 1))
        part = chance.random(rays)
        eyes = _CLOSE + _LIDS
        shares = (self.mouths, 0.0, _CLOSE), (self.lids, _CLOSE, eyes), (self.heads, eyes, eyes + _HEAD)
        for box, least, most in shares:
            if close and box is not None:
                there = (part >= least) & (part < most)
                boxes[there] = box.cpu().numpy()[frames[of[there]]]
        column, row = (chance.integers(boxes[:, i], boxes[:, i + 1], endpoint=True) for i in (0, 2))
        return self._told(frames, of, row * self.camera.width + column, chance.random(rays, np.float32))

    def patches(self, chance: np.random.Generator, count: int, side: int, together: int) -> Drawn:
        """Squares of ``side`` pixels over the mouth, or anywhere where that is not told, of ``together`` frames.

        Their pixels stand by square, row and column: ``(count, side, side)``. None reaches beyond the picture.
        """
        frames = self._some(chance, together)
        of = np.arange(count) * len(frames) // count
        whole = np.array([0, self.camera.width - 1, 0, self.camera.height - 1])
        boxes = np.tile(whole, (count, 1)) if self.mouths is None else self.mouths.cpu().numpy()[frames[of]]
        corners = []
        for i in (2, 0):  # rows, columns
            ends = np.sort(np.stack([boxes[:, i], boxes[:, i + 1] + 1 - side]), 0)
            low, high = ends.clip(0, whole[i + 1] + 1 - side)
            corners.append(chance.integers(low, high, endpoint=True))
        row, column = (corner[:, None, None] for corner in corners)
        at = np.arange(side)
        which = ((row + at[:, None]) * self.camera.width + column + at).reshape(-1)
        return self._told(frames, of.repeat(side * side), which, chance.random(len(which), np.float32))

    def _some(self, chance: np.random.Generator, together: int) -> np.ndarray[Any, Any]:
        choice = np.array(self.frames())
        return chance.choice(choice, min(together, len(choice)), replace=False)

    def _told(self, *found: np.ndarray[Any, Any]) -> Drawn:
        return Drawn(*(torch.from_numpy(a).to(self.images.device) for a in found))

    def filmed(self, drawn: Drawn) -> torch.Tensor:
        """The colours of pixels, ``(n, 3)``, 0-1."""
        return _light(self.images.flatten(1, 2)[drawn.frames[drawn.of], drawn.which])

    def behind(self, drawn: Drawn) -> torch.Tensor:
        """What lies behind the head there, ``(n, 3)``, 0-1."""
        if self.background.ndim == self.images.ndim:
            return _light(self.background.flatten(1, 2)[drawn.frames[drawn.of], drawn.which])
        return _light(self.background.flatten(0, 1)[drawn.which])

    def plain(self, drawn: Drawn) -> torch.Tensor:
        """What lies behind the torso there, ``(n, 3)``, 0-1. Raises ``InvalidInput`` when nobody told."""
        if self.plate is None:
            raise InvalidInput("A torso is learnt from what lies behind it; give the lessons a plate.")
        return _light(self.plate.flatten(0, 1)[drawn.which])

    def face(self, drawn: Drawn) -> torch.Tensor:
        """Whether the sound may move what is seen there, ``(n,)``; all of it, where no face is told."""
        if self.faces is None:
            return torch.ones_like(drawn.which, dtype=torch.bool)
        left, right, top, bottom = self.faces.to(drawn.which.device)[drawn.frames][drawn.of].unbind(-1)
        column, row = drawn.which % self.camera.width, drawn.which // self.camera.width
        return (column >= left) & (column <= right) & (row >= top) & (row <= bottom)

    def heard(self, frames: torch.Tensor) -> torch.Tensor:
        """The windows of sound around frames, ``(k, 8, ...)``."""
        return torch.stack([window(self.audio, f) for f in frames.tolist()])


def _light(values: torch.Tensor) -> torch.Tensor:
    return values / 255 if values.dtype == torch.uint8 else values
