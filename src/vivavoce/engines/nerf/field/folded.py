"""A head's nets as one picture needs them: what is the same for all of its places is multiplied once, and not for each.

Layers that follow each other without a bend are one matrix: the sound's gains and the first layer of the density net,
the numbers that this hands on and the first layer of the colour net. All layers that are asked with the planes' numbers
are asked together. What only a training asks for (doubt, how much is heard) is left out.
"""

from typing import NamedTuple

import torch

from vivavoce.engines.nerf.field.encodings import DensePlane, Stack, frequencies
from vivavoce.engines.nerf.field.networks import AUDIO, DENSEST, GEOMETRY, HARMONICS, Head, Mlp, Torso, rimmed
from vivavoce.engines.nerf.field.picture import Moment

__all__ = ["Backdrop", "Folded", "Now"]


class Now(NamedTuple):
    """The matrices of one picture, as ``(inputs, outputs)``."""

    bent: torch.Tensor
    """``(width of the planes, 64 or more)``: first layers of the sound's gains and of the eyes, if any."""
    moved: torch.Tensor
    """``(64 or more, 64)``: what the sound, and eyes that nothing holds, add to the density net's first layer."""
    eyes: torch.Tensor | None
    """``(Shape.eyes, 64)``: what the eyes add, of gates."""
    look: torch.Tensor
    """``(1, 64)``: what the frame's look adds to the colour net's first layer."""


class Folded:
    """A head that has learnt, its matrices in ``dtype``; positions, densities and colours are 32-bit floats."""

    def __init__(self, head: Head, dtype: torch.dtype = torch.float32) -> None:
        head = head.laid_out()
        self.dtype, self.shape = dtype, head.shape
        self._stack = Stack([head.encoder_xy, head.encoder_yz, head.encoder_xz], [(0, 1), (1, 2), (0, 2)])
        width, order = len(self._stack.order), self._stack.order
        sigma, colour, heard = (_matrices(net) for net in (head.sigma_net, head.color_net, head.aud_ch_att_net))
        eyes = _matrices(head.eye_att_net) if self.shape.eyes else None
        self._asked = sigma[0][:width][order].to(dtype)
        self._heard, self._hears = heard[0][order].to(dtype), (heard[1], sigma[0][width : width + AUDIO])
        self._gates = None if eyes is None else (eyes[0][order].to(dtype), eyes[1], sigma[0][width + AUDIO :])
        self._second, self._density = sigma[1].to(dtype), sigma[2][:, :1].to(dtype)
        self._facing = colour[0][:HARMONICS].to(dtype)
        self._colour = (sigma[2][:, 1:] @ colour[0][HARMONICS : HARMONICS + GEOMETRY]).to(dtype)
        self._looks, self._last = colour[0][HARMONICS + GEOMETRY :], colour[1].to(dtype)
        self._usual = head.individual_codes[:1].detach() if self.shape.code else colour[0].new_zeros(1, 0)

    def now(self, moment: Moment) -> Now:
        """What is fixed by a moment in one row."""
        gains, heard = self._hears
        bent, moved, gates = self._heard, gains * moment.audio @ heard, None
        if self._gates is not None and moment.eyes is not None:
            first, eyes, seen = self._gates
            bent = torch.cat([bent, first], 1)
            if self.shape.eye_gate:
                gates = (moment.eyes.T * seen).to(self.dtype)
            else:
                moved = torch.cat([moved, eyes * moment.eyes @ seen])
        code = self._usual if moment.code is None else moment.code
        return Now(bent, moved.to(self.dtype), gates, (code @ self._looks).to(self.dtype))

    def dense(self, x: torch.Tensor, now: Now) -> tuple[torch.Tensor, torch.Tensor]:
        """Densities ``(n,)`` at positions ``(3, n)``, and what ``colours`` is told of these places, ``(n, 64)``."""
        told = self._stack.read(x).to(self.dtype).T
        made, bent = told @ self._asked, _relu(told @ now.bent)
        made.addmm_(bent[:, : len(now.moved)], now.moved)
        if now.eyes is not None and self._gates is not None:
            made.addmm_(torch.sigmoid(bent[:, len(now.moved) :] @ self._gates[1].to(self.dtype)), now.eyes)
        known = _relu(_relu(made) @ self._second)
        return (known @ self._density)[:, 0].float().clamp_(max=DENSEST).exp_(), known

    def colours(self, known: torch.Tensor, facing: torch.Tensor, now: Now) -> torch.Tensor:
        """RGB ``(n, 3)`` of places, in directions whose harmonics are ``(n, 16)``."""
        made = _relu(torch.addmm(now.look, facing, self._facing).addmm_(known, self._colour))
        return rimmed((made @ self._last).float())


class Backdrop:
    """A torso that has learnt, over a background. What pixels are told by their places alone is kept, once for all."""

    def __init__(self, torso: Torso, pixels: torch.Tensor) -> None:
        """``pixels`` ``(n, 2)``: all of a picture, as of ``rays.pixels``."""
        self._torso, self._plane = torso, DensePlane.of(torso.torso_encoder)
        self._x = pixels * torso.shrink
        told = frequencies(self._x, torso.octaves)
        shifts, nets = _matrices(torso.torso_deform_net), _matrices(torso.torso_net)
        self._shifts, self._nets = shifts[1:], nets[1:]
        self._read, given = nets[0].split([torso.torso_encoder.grid.width, len(shifts[0])])
        # the pixel's own numbers come first, the pose's last
        self._first, self._second = told @ shifts[0][: told.shape[1]], told @ given[: told.shape[1]]
        self._posed = shifts[0][told.shape[1] :], given[told.shape[1] :]

    def behind(self, which: torch.Tensor, pose: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        """RGB of pixels ``which`` ``(n,)``, ``(n, 3)``, with what is behind them there."""
        torso = self._torso
        seen = torso.anchor_points @ torch.linalg.inv(pose).T
        anchors = frequencies((seen[:, :2] / seen[:, 3:] / seen[:, 2:3]).reshape(1, -1), torso.anchor_octaves)
        first, second = (torch.cat([anchors, torso.individual_codes_torso[:1]], 1) @ posed for posed in self._posed)
        made = _relu(self._first.index_select(0, which) + first)
        shift = _relu(made @ self._shifts[0]) @ self._shifts[1]
        read = self._plane((self._x.index_select(0, which) + shift).clamp_(-1, 1))
        made = _relu((self._second.index_select(0, which) + second).addmm_(read, self._read))
        made = rimmed(_relu(made @ self._nets[0]) @ self._nets[1])
        return made[:, 1:] * made[:, :1] + background * (1 - made[:, :1])


def _matrices(net: Mlp) -> list[torch.Tensor]:
    return [layer.weight.detach().T.contiguous() for layer in net.net]


def _relu(x: torch.Tensor) -> torch.Tensor:
    """In place. What is below 0 has its highest bit set, in 16 bits too, where whole numbers are compared faster."""
    if x.dtype == torch.float32:
        return x.relu_()
    x.view(torch.int16).clamp_(min=0)
    return x
