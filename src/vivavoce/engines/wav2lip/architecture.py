"""The 96-pixel network as a table: which layers, of which shapes, under which names; numpy only.

Everything else is read off this table: the network itself, the names and shapes a checkpoint must have, batch norms
folded into their convolutions, and the ONNX model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable

__all__ = ["AUDIO", "DECODER", "FACE", "OUTPUT", "SIDE", "Folded", "Layer", "check", "folded", "layers", "shapes"]

F32 = npt.NDArray[np.float32]

SIDE = 96
"""Pixels along each side of what it sees and paints."""
_EPSILON = 1e-5
"""Of the batch norms."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, or one upwards, with batch norm and ReLU behind it."""

    name: str
    """Before ``.conv_block.0.weight`` and the like; of a plain convolution before ``.weight``."""
    inputs: int
    outputs: int
    kernel: int
    stride: tuple[int, int] = (1, 1)
    padding: int = 0
    up: bool = False
    residual: bool = False
    """Whether its input is added ahead of the ReLU."""
    plain: bool = False
    """Whether it has neither norm nor ReLU."""

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Torch's: outputs come first, upwards inputs do."""
        ends = (self.inputs, self.outputs) if self.up else (self.outputs, self.inputs)
        return *ends, self.kernel, self.kernel

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Its tensors' names and shapes in a checkpoint."""
        n = (self.outputs,)
        if self.plain:
            yield from ((f"{self.name}.weight", self.weight_shape), (f"{self.name}.bias", n))
            return
        yield from ((f"{self.name}.conv_block.0.weight", self.weight_shape), (f"{self.name}.conv_block.0.bias", n))
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{self.name}.conv_block.1.{part}", n
        yield f"{self.name}.conv_block.1.num_batches_tracked", ()


Block = tuple[Layer, ...]


def _conv(name: str, inputs: int, outputs: int, stride: int | tuple[int, int] = 1) -> Layer:
    pair = stride if isinstance(stride, tuple) else (stride, stride)
    return Layer(name, inputs, outputs, 3, pair, 1)


def _kept(name: str, width: int) -> Layer:
    return Layer(name, width, width, 3, padding=1, residual=True)


def _stage(name: str, inputs: int, outputs: int, more: int) -> Block:
    """Half the size, then residual layers."""
    return (_conv(f"{name}.0", inputs, outputs, 2), *(_kept(f"{name}.{j}", outputs) for j in range(1, 1 + more)))


def _rise(name: str, inputs: int, outputs: int, more: int) -> Block:
    """Twice the size, then residual layers; the first one leads from one pixel to three."""
    first = name.endswith(".1")
    up = Layer(f"{name}.0", inputs, outputs, 3, (1, 1) if first else (2, 2), 0 if first else 1, up=True)
    return (up, *(_kept(f"{name}.{j}", outputs) for j in range(1, 1 + more)))


_F, _A, _D = "face_encoder_blocks", "audio_encoder", "face_decoder_blocks"

FACE: tuple[Block, ...] = (
    (Layer(f"{_F}.0.0", 6, 16, 7, padding=3),),
    _stage(f"{_F}.1", 16, 32, 2),
    _stage(f"{_F}.2", 32, 64, 3),
    _stage(f"{_F}.3", 64, 128, 2),
    _stage(f"{_F}.4", 128, 256, 2),
    _stage(f"{_F}.5", 256, 512, 1),
    (Layer(f"{_F}.6.0", 512, 512, 3), Layer(f"{_F}.6.1", 512, 512, 1)),
)
"""From 96 pixels to one; what each block makes, the decoder sees."""
AUDIO: Block = (
    _conv(f"{_A}.0", 1, 32),
    *(_kept(f"{_A}.{j}", 32) for j in (1, 2)),
    _conv(f"{_A}.3", 32, 64, (3, 1)),
    *(_kept(f"{_A}.{j}", 64) for j in (4, 5)),
    _conv(f"{_A}.6", 64, 128, 3),
    *(_kept(f"{_A}.{j}", 128) for j in (7, 8)),
    _conv(f"{_A}.9", 128, 256, (3, 2)),
    _kept(f"{_A}.10", 256),
    Layer(f"{_A}.11", 256, 512, 3),
    Layer(f"{_A}.12", 512, 512, 1),
)
"""From 80 bands and 16 rows to 512 numbers."""
DECODER: tuple[Block, ...] = (
    (Layer(f"{_D}.0.0", 512, 512, 1),),
    _rise(f"{_D}.1", 1024, 512, 1),
    _rise(f"{_D}.2", 1024, 512, 2),
    _rise(f"{_D}.3", 768, 384, 2),
    _rise(f"{_D}.4", 512, 256, 2),
    _rise(f"{_D}.5", 320, 128, 2),
    _rise(f"{_D}.6", 160, 64, 2),
)
"""From the sound's one pixel to 96; behind each block comes what the face encoder made at that size."""
OUTPUT: Block = (_conv("output_block.0", 80, 32), Layer("output_block.1", 32, 3, 1, plain=True))
"""Then a sigmoid."""


def layers() -> Iterator[Layer]:
    """All of them."""
    for block in (*FACE, AUDIO, *DECODER, OUTPUT):
        yield from block


def shapes() -> dict[str, tuple[int, ...]]:
    """The 352 tensors of a checkpoint."""
    return dict(pair for layer in layers() for pair in layer.shapes())


def check(found: Mapping[str, tuple[int, ...]], file: str) -> None:
    """Raise ``EngineUnavailable`` unless the tensors of ``file`` are this network's; the sentence says what they are.

    Tensors that it does not need are passed over.
    """
    wanted = shapes()
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    other = [name for name in wanted if name in found and tuple(found[name]) != wanted[name]]
    if not missing and not other and _blocks(found) == len(FACE):
        return
    raise EngineUnavailable(
        f"The checkpoint {file} is not the Wav2Lip of {SIDE} pixels: {_told(found, missing, other)}."
    )


def _blocks(found: Mapping[str, tuple[int, ...]]) -> int:
    return len({name.split(".")[1] for name in found if name.startswith(f"{_F}.")})


def _told(found: Mapping[str, tuple[int, ...]], missing: list[str], other: list[str]) -> str:
    """What a file with these tensors is."""
    if "conv3_3_norm.weight" in found:
        return "it is the face detector S3FD, which belongs into s3fd.pth"
    if any(name.startswith("face_encoder.") for name in found):
        if any(name.startswith("face_decoder") for name in found):
            return "it is a Wav2Lip of another make (256 pixels, named face_encoder), which does not run here"
        return "it is a SyncNet, which judges films and makes none"
    if any(name.startswith("binary_pred") for name in found):
        return "it is the discriminator of a training, which judges pictures and makes none"
    blocks = _blocks(found)
    if blocks and (blocks != len(FACE) or any(name.startswith("sam.") for name in found) or other):
        first = found.get(f"{_F}.0.0.conv_block.0.weight", ("?",))
        return (
            f"it is one for larger pictures (192, 288 or 384 pixels: {blocks} blocks of its face encoder instead of "
            f"{len(FACE)}, {first[0]} channels first instead of 16), which do not run here"
        )
    if blocks:
        return f"{len(missing)} of its {len(shapes())} tensors are missing, such as {missing[0]}"
    return f"it holds {len(found)} tensors of another net, such as {next(iter(found), 'none')}"


@dataclass(frozen=True, slots=True)
class Folded:
    """A layer whose batch norm has become part of its convolution."""

    layer: Layer
    weight: F32
    bias: F32


def folded(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Folded]:
    """Every layer by name, its batch norm folded in: what it computes stays the same but for rounding.

    ``y = g (w x + b - m) / sqrt(v + e) + h`` is a convolution with ``w g / sqrt(v + e)``. Raises ``EngineUnavailable``
    when the numbers are no numbers.
    """
    out = {}
    for layer in layers():
        if layer.plain:
            weight, bias = (np.asarray(tensors[f"{layer.name}.{part}"], np.float64) for part in ("weight", "bias"))
        else:
            weight, bias = _merged(layer, tensors)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise EngineUnavailable(f"The checkpoint of Wav2Lip is damaged: {layer.name} holds values without end.")
        out[layer.name] = Folded(layer, weight.astype(np.float32), bias.astype(np.float32))
    return out


def _merged(layer: Layer, tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    weight, bias = (np.asarray(tensors[f"{layer.name}.conv_block.0.{part}"], np.float64) for part in ("weight", "bias"))
    gain, shift, mean, variance = (
        np.asarray(tensors[f"{layer.name}.conv_block.1.{part}"], np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    with np.errstate(invalid="ignore"):  # a damaged file is told of later
        scale = gain / np.sqrt(variance + _EPSILON)
    along = (1, -1, 1, 1) if layer.up else (-1, 1, 1, 1)
    return weight * scale.reshape(along), (bias - mean) * scale + shift
