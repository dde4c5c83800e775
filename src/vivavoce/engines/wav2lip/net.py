"""The network in torch: as it was published, and as it runs here.

``Published`` has the 352 named tensors of a checkpoint and computes as written; it is what is compared with.
``Merged`` has the batch norms folded in, and numbers that lie channel by channel, in the type of its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from vivavoce.engines.neural.device import Place
from vivavoce.engines.wav2lip.architecture import AUDIO, DECODER, FACE, OUTPUT, SIDE, Folded, Layer

__all__ = ["Merged", "Published", "PublishedNet", "TorchNet", "audio_encoder"]

F32 = npt.NDArray[np.float32]


class _Convolution(nn.Module):
    """A layer with its batch norm, under the names of a checkpoint."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.residual = layer.residual
        options: dict[str, Any] = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
        if layer.up:
            up = nn.ConvTranspose2d(layer.inputs, layer.outputs, output_padding=layer.stride[0] - 1, **options)
            self.conv_block = nn.Sequential(up, nn.BatchNorm2d(layer.outputs))
        else:
            flat = nn.Conv2d(layer.inputs, layer.outputs, **options)
            self.conv_block = nn.Sequential(flat, nn.BatchNorm2d(layer.outputs))

    def forward(self, x: Any) -> Any:
        made = self.conv_block(x)
        return functional.relu(made + x if self.residual else made)


def _block(layers: Sequence[Layer]) -> Any:
    return nn.Sequential(*(_Convolution(layer) for layer in layers))


def audio_encoder() -> Any:
    """What hears, ``(n, 1, 80, 16)`` to ``(n, 512, 1, 1)``; SyncTalk has one of its own of the same layers."""
    return _block(AUDIO)


class Published(nn.Module):
    """The network as it was published."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList([_block(block) for block in FACE])
        self.audio_encoder = audio_encoder()
        self.face_decoder_blocks = nn.ModuleList([_block(block) for block in DECODER])
        self.output_block = nn.Sequential(_Convolution(OUTPUT[0]), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Any, face: Any) -> Any:
        """``mel`` ``(n, 1, 80, 16)``, ``face`` ``(n, 6, 96, 96)`` BGR 0-1; gives ``(n, 3, 96, 96)``."""
        seen = []
        for block in self.face_encoder_blocks:
            face = block(face)
            seen.append(face)
        x = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            x = torch.cat([block(x), seen.pop()], dim=1)
        return self.output_block(x)


class _Step(nn.Module):
    """One folded layer."""

    def __init__(self, held: Folded) -> None:
        super().__init__()
        self.layer = held.layer
        self.weight = nn.Parameter(torch.from_numpy(held.weight), requires_grad=False)
        self.bias = nn.Parameter(torch.from_numpy(held.bias), requires_grad=False)

    def forward(self, x: Any) -> Any:
        layer = self.layer
        if layer.up:
            more = layer.stride[0] - 1
            made = functional.conv_transpose2d(x, self.weight, self.bias, layer.stride, layer.padding, more)
        else:
            made = functional.conv2d(x, self.weight, self.bias, layer.stride, layer.padding)
        if layer.residual:
            made += x
        return made if layer.plain else made.relu_()


class Merged(nn.Module):
    """The network with its batch norms folded into the convolutions."""

    def __init__(self, layers: Mapping[str, Folded]) -> None:
        super().__init__()

        def block(of: Sequence[Layer]) -> Any:
            return nn.Sequential(*(_Step(layers[layer.name]) for layer in of))

        self.face = nn.ModuleList([block(b) for b in FACE])
        self.audio = block(AUDIO)
        self.decoder = nn.ModuleList([block(b) for b in DECODER])
        self.output = block(OUTPUT)

    def forward(self, mel: Any, face: Any) -> Any:
        """As ``Published.forward``, but the result is ahead of the sigmoid."""
        seen = []
        for block in self.face:
            face = block(face)
            seen.append(face)
        x = self.audio(mel)
        for block in self.decoder:
            x = torch.cat([block(x), seen.pop()], dim=1)
        return self.output(x)


class TorchNet:
    """The folded network at a place; any number of threads may ask it."""

    def __init__(self, layers: Mapping[str, Folded], place: Place) -> None:
        self.place = place
        self.name = f"torch {torch.__version__.partition('+')[0]} on {place.name}"
        net = Merged(layers).eval().to(place.device, place.dtype)
        self._net = net.to(memory_format=torch.channels_last)
        self.largest = 64 if place.device.type == "cuda" else 16

    def __call__(self, mel: F32, face: F32) -> F32:
        """``mel`` ``(n, 80, 16)``, ``face`` ``(n, 96, 96, 6)`` BGR 0-1; gives BGR ``(n, 96, 96, 3)``, 0-1."""
        device, dtype = self.place.device, self.place.dtype
        with torch.inference_mode():
            heard = torch.from_numpy(mel)[:, None].to(device, dtype)
            # pixels stand together already: this is channels_last without a copy
            seen = torch.from_numpy(face).permute(0, 3, 1, 2).to(device, dtype)
            made = self._net(heard.contiguous(memory_format=torch.channels_last), seen)
            out = torch.sigmoid(made.float()).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        assert out.shape[1:] == (SIDE, SIDE, 3)
        return np.asarray(out, np.float32)


class PublishedNet:
    """The network as published, on the CPU in float32, channels apart: what ours is measured against."""

    name, largest = "as published, torch, float32", 16

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._net = Published().eval()
        self._net.load_state_dict(tensors, strict=False)

    def __call__(self, mel: F32, face: F32) -> F32:
        """As ``TorchNet.__call__``."""
        with torch.no_grad():
            seen = torch.from_numpy(np.ascontiguousarray(face.transpose(0, 3, 1, 2)))
            made = self._net(torch.from_numpy(mel)[:, None], seen)
        return np.asarray(made.numpy().transpose(0, 2, 3, 1), np.float32)
