"""A head's nets as one picture needs them: what is the same for all of its places is multiplied once, and not for each.

Layers that follow each other without a bend are one matrix: the sound's gains and the first layer of the density net,
the numbers that this hands on and the first layer of the colour net. All layers that are asked with the planes' numbers
are one too. What only a training asks for (doubt, how much is heard) is left out. Places are columns, so that a matrix
of the nets' small size is multiplied with rows as long as there are places.
"""

from typing import NamedTuple

import torch

from vivavoce.engines.nerf.encodings import Stack
from vivavoce.engines.nerf.networks import _MOST, HARMONICS, Head, _rimmed
from vivavoce.engines.nerf.picture import Moment

__all__ = ["Folded", "Now"]


class Now(NamedTuple):
    """The matrices of one picture."""

    rows: int
    """Of the layers that are asked with the planes' numbers; those of the eyes are the last, and left out at 0."""
    moved: torch.Tensor
    """``(64, 64 or more)``: what the sound, and the eyes where nothing holds them, add to the density net's first layer."""
    eyes: torch.Tensor | None
    """``(64, Shape.eyes)``: what the eyes add, of gates."""
    look: torch.Tensor
    """``(64, 1)``: what the frame's look adds to the colour net's first layer."""


class Folded:
    """A head that has learnt, its matrices in ``dtype``; positions, densities and colours are 32-bit floats."""

    def __init__(self, head: Head, dtype: torch.dtype = torch.float32) -> None:
        head = head.laid_out()
        planes = [head.encoder_xy, head.encoder_yz, head.encoder_xz]
        self.dtype, self.shape = dtype, head.shape
        self._stack = Stack(planes, [(0, 1), (1, 2), (0, 2)])
        width = len(self._stack.order)
        sigma = [layer.weight.detach() for layer in head.sigma_net.net]
        colour = [layer.weight.detach() for layer in head.color_net.net]
        heard = [layer.weight.detach() for layer in head.aud_ch_att_net.net]
        eyes = [layer.weight.detach() for layer in head.eye_att_net.net] if self.shape.eyes else [heard[0][:0]] * 2
        self._first = torch.cat([sigma[0][:, :width], heard[0], eyes[0]])[:, self._stack.order].to(dtype)
        self._asked, self._hidden = len(sigma[0]), len(heard[0])
        self._gains, self._gates = heard[1], eyes[1]
        self._heard, self._seen = sigma[0][:, width : width + len(heard[1])], sigma[0][:, width + len(heard[1]) :]
        self._second, self._density = sigma[1].to(dtype), sigma[2][:1].to(dtype)
        geometry = len(sigma[2]) - 1
        self._facing = colour[0][:, :HARMONICS].to(dtype)
        self._colour = (colour[0][:, HARMONICS : HARMONICS + geometry] @ sigma[2][1:]).to(dtype)
        self._looks = colour[0][:, HARMONICS + geometry :]
        self._usual = head.individual_codes[:1].detach() if self.shape.code else colour[0].new_zeros(1, 0)
        self._last = colour[1].to(dtype)

    def now(self, moment: Moment) -> Now:
        """What is fixed by a moment in one row."""
        moved, eyes = (self._heard * moment.audio) @ self._gains, None
        rows = len(self._first) if self.shape.eyes and moment.eyes is not None else self._asked + self._hidden
        if rows > self._asked + self._hidden:
            shut = self._seen * moment.eyes
            if self.shape.eye_gate:
                eyes = shut.to(self.dtype)
            else:
                moved = torch.cat([moved, shut @ self._gates], 1)
        code = self._usual if moment.code is None else moment.code
        return Now(rows, moved.to(self.dtype), eyes, (self._looks @ code.T).to(self.dtype))

    def dense(self, x: torch.Tensor, now: Now) -> tuple[torch.Tensor, torch.Tensor]:
        """Densities ``(n,)`` at positions ``(3, n)``, and what ``colours`` is told of these places, ``(64, n)``."""
        told = self._first[: now.rows] @ self._stack.read(x).to(self.dtype)
        made, bent = told[: self._asked], told[self._asked :].relu_()
        made.addmm_(now.moved, bent[: now.moved.shape[1]])
        if now.eyes is not None:
            gates = torch.sigmoid(self._gates.to(self.dtype) @ bent[self._hidden :])
            made.addmm_(now.eyes, gates)
        known = (self._second @ made.relu_()).relu_()
        return (self._density @ known)[0].float().clamp(max=_MOST).exp(), known

    def colours(self, known: torch.Tensor, facing: torch.Tensor, now: Now) -> torch.Tensor:
        """RGB ``(3, n)`` of places, in directions whose harmonics are ``(16, n)``."""
        made = torch.addmm(now.look, self._facing, facing).addmm_(self._colour, known).relu_()
        return _rimmed((self._last @ made).float())
