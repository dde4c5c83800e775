"""The nets of ER-NeRF (Li et al. 2023) and SyncTalk (Peng et al. 2024), of the published sizes and under their names.

The names are those of a published checkpoint, so that ``take`` can fill a net from one. The nets are written from the
papers; what one film has in common with another is in ``Shape``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from vivavoce.engines.nerf.field.encodings import DensePlane, Grid, HashedPlane, frequencies, harmonics
from vivavoce.engines.nerf.field.gathered import GatheredPlane
from vivavoce.errors import InvalidInput

__all__ = [
    "EARS",
    "AudioAttention",
    "AudioNet",
    "AveNet",
    "Ear",
    "Field",
    "Head",
    "LipsNet",
    "Mlp",
    "Shape",
    "Torso",
    "take",
    "window",
]

AUDIO, GEOMETRY, HARMONICS = 32, 64, 16
"""Numbers of an audio code, of what the density net hands to the colour net, and of a direction."""
WINDOW = 8
"""Frames of audio that are listened to for one picture: four before it, itself, and three after it."""
_SLOPE = 0.02
DENSEST = 15.0
"""Logarithm of a density beyond which nothing can be seen to be denser, and its exponential would overflow."""
_OWN = 3.0
"""By how much a picture's own frame is listened to more than the others, before anything is learnt."""
_RIM = 0.001
"""Colours and opacities reach this far beyond 0 and 1, so that they can be 0 and 1."""

Ear = Literal["deepspeech", "esperanto", "hubert", "hubert_cn", "ave", "mel", "lips"]
EARS: dict[Ear, tuple[int, ...]] = {
    "deepspeech": (29, 16),
    "esperanto": (44, 16),
    "hubert": (1024, 2),
    "hubert_cn": (1024, 2),
    "ave": (512,),
    "mel": (80, 16),
    "lips": (8,),
}
"""Shape of each kind of audio feature, a frame: the five of the publications, and two that need no weights.

``mel``: bands and rows of ``face.mel.windows``. ``lips``: what sound and words ask of this person's mouth, as
``lips.spoken_lips`` tells it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What may differ between heads. ER-NeRF is ``Shape()``, SyncTalk ``Shape.synctalk()``."""

    ear: Ear = "deepspeech"
    eyes: int = 1
    """Numbers that move the eyes: 0, how far they are shut, or 7 blendshapes."""
    eye_width: int = 16
    eye_gate: bool = True
    """Whether what each place makes of them is held between 0 and 1."""
    codes: int = 10000
    """Frames that can have a look of their own."""
    code: int = 4
    """Numbers of such a look; 0 for none."""
    grid: Grid = field(default_factory=Grid)

    @classmethod
    def synctalk(cls) -> "Shape":
        """SyncTalk's, with AVE features and 7 blendshapes."""
        return cls(ear="ave", eyes=7, eye_width=64, eye_gate=False)


def window(features: torch.Tensor, frame: int) -> torch.Tensor:
    """The ``WINDOW`` rows around ``frame`` of ``(n, …)``, with zeros beyond the ends."""
    first = frame - WINDOW // 2
    rows = torch.arange(first, first + WINDOW, device=features.device)
    there = (rows >= 0) & (rows < len(features))
    heard = features[rows.clamp(0, len(features) - 1)]
    return heard * there.reshape(-1, *[1] * (features.ndim - 1)).to(features.dtype)


class AudioNet(nn.Module):
    """Windows of DeepSpeech, wav2vec or HuBERT features ``(n, inputs, steps)`` to ``(n, 32)``."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = (inputs, 32, 32, 64, 64)
        layers: list[Any] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv1d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        self.encoder_conv = nn.Sequential(*layers)
        self.encoder_fc1 = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, AUDIO))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sixteen steps of 20 ms become one code; of HuBERT's, two."""
        return self.encoder_fc1(self.encoder_conv(x).flatten(1))


class AveNet(nn.Module):
    """SyncTalk's features ``(n, 512)``, of the audio-visual encoder, to ``(n, 32)``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_fc1 = nn.Sequential(
            nn.Linear(512, 256), nn.LeakyReLU(_SLOPE), nn.Linear(256, 128), nn.LeakyReLU(_SLOPE), nn.Linear(128, AUDIO)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One code a frame."""
        return self.encoder_fc1(x)


class LipsNet(nn.Module):
    """What the mouth is asked to do, ``(n, 8)``, to ``(n, 32)``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_fc1 = nn.Sequential(nn.Linear(EARS["lips"][0], 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, AUDIO))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One code a frame."""
        return self.encoder_fc1(x)


def _listener(ear: Ear) -> nn.Module:
    """The net that makes codes of a kind of features."""
    if ear == "lips":
        return LipsNet()
    return AveNet() if ear == "ave" else AudioNet(EARS[ear][0])


class AudioAttention(nn.Module):
    """The codes of ``WINDOW`` frames ``(n, 8, 32)``, weighed against each other, to one ``(n, 32)``."""

    def __init__(self) -> None:
        super().__init__()
        widths = (AUDIO, 16, 8, 4, 2, 1)
        layers: list[Any] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv1d(a, b, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        self.attentionConvNet = nn.Sequential(*layers)
        self.attentionNet = nn.Sequential(nn.Linear(WINDOW, WINDOW), nn.Softmax(dim=1))
        with torch.no_grad():  # a head that began with the mean of all eight would learn slow lips first
            self.attentionNet[0].bias[WINDOW // 2] = _OWN

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """The weighted mean."""
        weights = self.attentionNet(self.attentionConvNet(codes.transpose(1, 2))[:, 0])
        return (weights[..., None] * codes).sum(1)


class Mlp(nn.Module):
    """Layers without biases, and with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in pairwise(widths)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, first width)`` to ``(n, last width)``."""
        *inner, last = self.net
        for layer in inner:
            x = functional.relu(layer(x))
        return last(x)


class Field(NamedTuple):
    """What the head is at ``n`` places."""

    density: torch.Tensor
    """``(n,)``, per unit of length."""
    colour: torch.Tensor
    """``(n, 3)`` RGB, 0-1."""
    heard: torch.Tensor
    """``(n,)``: how much the sound moves a place."""
    eyes: torch.Tensor
    """``(n,)``: how much the eyes' numbers do."""
    doubt: torch.Tensor
    """``(n,)``: how uncertain its colour is, 0 and above."""


class Head(nn.Module):
    """Density and colour of places in the cube -1 to 1, as the sound and the eyes have them."""

    def __init__(self, shape: Shape | None = None, *, dense: bool = False) -> None:
        """``dense``: with planes laid out instead of hashed."""
        super().__init__()
        self.shape = shape = shape or Shape()
        plane, width = DensePlane if dense else HashedPlane, 3 * shape.grid.width
        self.audio_net = _listener(shape.ear)
        self.audio_att_net = AudioAttention()
        self.encoder_xy, self.encoder_yz, self.encoder_xz = (plane(shape.grid) for _ in range(3))
        if shape.eyes:
            self.eye_att_net = Mlp(width, shape.eye_width, shape.eyes)
        self.aud_ch_att_net = Mlp(width, 64, AUDIO)
        self.sigma_net = Mlp(width + AUDIO + shape.eyes, 64, 64, 1 + GEOMETRY)
        self.color_net = Mlp(HARMONICS + GEOMETRY + shape.code, 64, 3)
        self.unc_net = Mlp(width, 32, 1)
        if shape.code:
            self.individual_codes = nn.Parameter(0.1 * torch.randn(shape.codes, shape.code))

    def laid_out(self) -> "Head":
        """The same head with dense planes, to render with."""
        made: Head = Head(self.shape, dense=True).to(self.sigma_net.net[0].weight)
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("encoder_")}
        made.load_state_dict(own, strict=False)
        for name in ("encoder_xy", "encoder_yz", "encoder_xz"):
            plane = getattr(self, name)
            setattr(made, name, DensePlane.of(plane) if isinstance(plane, HashedPlane) else plane)
        return made

    def listen(self, heard: torch.Tensor) -> torch.Tensor:
        """Windows of audio ``(n, WINDOW, …)`` to codes ``(n, 32)``."""
        codes = self.audio_net(heard.flatten(0, 1))
        return self.audio_att_net(codes.reshape(*heard.shape[:2], AUDIO))

    def planes(self, x: torch.Tensor) -> torch.Tensor:
        """What the three planes hold for positions ``(n, 3)``."""
        told = self.encoder_xy(x[:, [0, 1]]), self.encoder_yz(x[:, [1, 2]]), self.encoder_xz(x[:, [0, 2]])
        return torch.cat(told, -1)

    def density(self, x: torch.Tensor, audio: torch.Tensor, eyes: torch.Tensor | None = None) -> torch.Tensor:
        """Densities ``(n,)`` at positions ``(n, 3)`` alone."""
        return self._dense(self.planes(x), audio, eyes)[0]

    def forward(
        self,
        x: torch.Tensor,
        directions: torch.Tensor,
        audio: torch.Tensor,
        code: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
    ) -> Field:
        """Positions and directions ``(n, 3)``; audio, looks and eyes in one row for all of them, or in ``n``.

        Without ``code`` the look is that of the first frame; without ``eyes`` they are 0.
        """
        told = self.planes(x)
        density, geometry, heard, moved = self._dense(told, audio, eyes)
        seen = [harmonics(directions), geometry]
        if self.shape.code:
            seen.append((self.individual_codes[:1] if code is None else code).expand(len(x), -1))
        colour = rimmed(self.color_net(torch.cat(seen, -1)))
        doubt = functional.softplus(self.unc_net(told.detach())[:, 0])
        return Field(density, colour, heard, moved, doubt)

    def _dense(
        self, told: torch.Tensor, audio: torch.Tensor, eyes: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        gains = self.aud_ch_att_net(told)
        given, moved = [told, audio * gains], told.new_zeros(len(told))
        if self.shape.eyes:
            gate = self.eye_att_net(told)
            gate = torch.sigmoid(gate) if self.shape.eye_gate else gate
            given.append(gate * (gate.new_zeros(1, self.shape.eyes) if eyes is None else eyes))
            moved = gate.norm(dim=-1)
        made = self.sigma_net(torch.cat(given, -1))
        return made[:, 0].clamp(max=DENSEST).exp(), made[:, 1:], gains.norm(dim=-1), moved


class Torso(nn.Module):
    """The torso as a picture that the head's pose shifts: colour and opacity of pixels."""

    octaves, anchor_octaves, code = 8, 3, 8
    shrink = 0.8
    """Pixels are drawn this far towards the middle, so that what is shifted stays on the grid."""

    def __init__(self, codes: int = 10000) -> None:
        super().__init__()
        given = 2 + 4 * self.octaves + 6 + 12 * self.anchor_octaves + self.code
        grid = Grid(levels=16, features=2, base=16, finest=2048, log2_rows=16, kind="tiled")
        points = [[0.01, 0.01, 0.1, 1], [-0.1, -0.1, 0.1, 1], [0.1, -0.1, 0.1, 1]]
        self.anchor_points = nn.Parameter(torch.tensor(points))
        self.torso_deform_net = Mlp(given, 32, 32, 2)
        self.torso_encoder = GatheredPlane(grid)
        self.torso_net = Mlp(grid.width + given, 32, 32, 4)
        self.individual_codes_torso = nn.Parameter(0.1 * torch.randn(codes, self.code))

    def forward(
        self, pixels: torch.Tensor, pose: torch.Tensor, frame: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Opacity ``(n, 1)``, colour ``(n, 3)`` and shift ``(n, 2)`` of pixels ``(n, 2)``, row and column, -1 to 1.

        ``pose`` ``(4, 4)`` is the camera's, as ``rays.from_nerf`` gives it; ``frame`` whose look it has.
        """
        x = pixels * self.shrink
        seen = self.anchor_points @ torch.linalg.inv(pose).T
        anchors = (seen[:, :2] / seen[:, 3:] / seen[:, 2:3]).reshape(1, -1)
        same = torch.cat([frequencies(anchors, self.anchor_octaves), self.individual_codes_torso[frame][None]], -1)
        given = torch.cat([frequencies(x, self.octaves), same.expand(len(x), -1)], -1)
        shift = self.torso_deform_net(given)
        read = self.torso_encoder((x + shift).clamp(-1, 1))
        made = rimmed(self.torso_net(torch.cat([read, given], -1)))
        return made[:, :1], made[:, 1:], shift


def rimmed(x: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(x) * (1 + 2 * _RIM) - _RIM


def take(net: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Fill a net with its part of a checkpoint, whatever else that holds.

    Raises ``InvalidInput`` with the tensors that are missing or of another shape.
    """
    own = net.state_dict()
    missing = [name for name in own if name not in state]
    if missing:
        raise InvalidInput(
            f"The checkpoint lacks {len(missing)} of {len(own)} tensors ({', '.join(missing[:3])}); it is no "
            f"{type(net).__name__.lower()} of this shape, so choose the audio features and eyes it was trained with."
        )
    other = [f"{n} {tuple(state[n].shape)}, not {tuple(v.shape)}" for n, v in own.items() if state[n].shape != v.shape]
    if other:
        raise InvalidInput(f"The checkpoint's tensors are of another shape: {'; '.join(other[:3])}.")
    net.load_state_dict({name: state[name] for name in own})
