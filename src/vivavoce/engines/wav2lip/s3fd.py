"""S3FD (Zhang et al., 2017, arXiv:1708.05237): the face detector of Wav2Lip's own program, for boxes like its own.

A VGG16 with six heads; its decoding is vectorised, and it looks at 480 pixels at most: once for an avatar that is
half a second on two cores. Its checkpoint is the user's own.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.neural.device import place
from vivavoce.errors import EngineUnavailable

__all__ = ["MOST", "S3FD", "decode", "kept", "shapes"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Map = npt.NDArray[np.float32]

MOST = 480
"""Pixels of the longer side that it looks at."""
_VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each stage; a pooling stands between two."""
_MORE = {
    "fc6": (512, 1024, 3, 1, 3),
    "fc7": (1024, 1024, 1, 1, 0),
    "conv6_1": (1024, 256, 1, 1, 0),
    "conv6_2": (256, 512, 3, 2, 1),
    "conv7_1": (512, 128, 1, 1, 0),
    "conv7_2": (128, 256, 3, 2, 1),
}
"""Inputs, outputs, kernel, stride, padding."""
_NORMS = {"conv3_3": 256, "conv4_3": 512, "conv5_3": 512}
"""Stages whose features are scaled to length 1 and then by learnt gains."""
_HEADS = {"conv3_3_norm": (256, 4), "conv4_3_norm": (512, 2), "conv5_3_norm": (512, 2)} | {
    "fc7": (1024, 2),
    "conv6_2": (512, 2),
    "conv7_2": (256, 2),
}
"""Channels, and scores at each place: the first head has three for the background, of which the largest counts."""
_MEAN = (104, 117, 123)
"""Taken off, channel by channel. Of BGR pictures it would be the mean; the published program takes it off RGB."""
_VARIANCES = (0.1, 0.2)
_WIDEST = 8.0
"""Logarithm of sides to which a square may grow: what is beyond is no face, and would have no area."""
_CANDIDATE, _OVERLAP, _SURE = 0.05, 0.3, 0.5


def _convolutions() -> Iterator[tuple[str, tuple[int, int, int, int, int]]]:
    inputs = 3
    for stage, (width, count) in enumerate(_VGG, 1):
        for i in range(1, count + 1):
            yield f"conv{stage}_{i}", (inputs, width, 3, 1, 1)
            inputs = width
    yield from _MORE.items()


def shapes() -> dict[str, tuple[int, ...]]:
    """The 65 tensors of a checkpoint."""
    out: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs, kernel, _, _) in _convolutions():
        out |= {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}
    out |= {f"{name}_norm.weight": (width,) for name, width in _NORMS.items()}
    for name, (inputs, scores) in _HEADS.items():
        for part, outputs in (("conf", scores), ("loc", 4)):
            head = f"{name}_mbox_{part}"
            out |= {f"{head}.weight": (outputs, inputs, 3, 3), f"{head}.bias": (outputs,)}
    return out


def decode(scores: Map, places: Map, stride: int) -> F32:
    """Candidates ``(k, 5)`` of one head: x0, y0, x1, y1 and how sure.

    ``scores`` ``(height, width)`` 0-1, ``places`` ``(4, height, width)``: shifts and log sizes relative to squares of
    four strides around the middle of each cell.
    """
    rows, columns = np.nonzero(scores > _CANDIDATE)
    side = 4.0 * stride
    centre = np.stack([columns, rows], axis=1) * float(stride) + stride / 2
    told = places[:, rows, columns].T.astype(np.float64)
    middle = centre + told[:, :2] * (_VARIANCES[0] * side)
    size = side * np.exp(np.minimum(told[:, 2:] * _VARIANCES[1], _WIDEST))
    low = middle - size / 2
    return np.hstack([low, low + size, scores[rows, columns, None]]).astype(np.float32)


def kept(boxes: F32) -> F32:
    """Of candidates ``(k, 5)`` those that no surer one overlaps, the surest first; pixels are counted inclusively."""
    boxes = np.asarray(boxes[np.argsort(-boxes[:, 4], kind="stable")], np.float64)
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    out: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        best, left = int(left[0]), left[1:]
        out.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:4], boxes[left, 2:4])
        shared = np.maximum(high - low + 1, 0).prod(axis=1)
        left = left[shared / (area[best] + area[left] - shared) <= _OVERLAP]
    return boxes[out].astype(np.float32)


class S3FD:
    """The detector; one picture at a time."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """``path``: the operator's own checkpoint. Raises ``EngineUnavailable`` when it is another net's or damaged."""
        from vivavoce.engines.neural.checkpoint import tensors

        self._place = place(device, "fp32")  # for boxes like those of the published program
        held = tensors(path, own=True)
        _check({name: tuple(value.shape) for name, value in held.items()}, path.name)
        import torch

        where = {"device": self._place.device, "dtype": self._place.dtype}
        self._weights = {
            name: held[name].to(**where, memory_format=torch.channels_last)
            if held[name].dim() == 4
            else held[name].to(**where)
            for name in shapes()
        }

    def boxes(self, rgb: Bytes) -> F32:
        """Faces in a picture ``(height, width, 3)``: ``(k, 5)`` x0, y0, x1, y1 in its pixels and 0-1, surest first."""
        scale = min(1.0, MOST / max(rgb.shape[:2]))
        if scale < 1:
            size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        heads = self._asked(rgb)
        found = np.concatenate([decode(scores, places, 4 << i) for i, (scores, places) in enumerate(heads)])
        sure = kept(found)
        sure = sure[sure[:, 4] > _SURE]
        sure[:, :4] /= scale
        return sure

    def _asked(self, rgb: Bytes) -> list[tuple[Map, Map]]:
        """Scores and places of each head."""
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(rgb.astype(np.float32) - np.array(_MEAN, np.float32))
            x = x.permute(2, 0, 1)[None].to(self._place.device, self._place.dtype)
            out = []
            for name, features in self._features(x.contiguous(memory_format=torch.channels_last)):
                conf, places = (self._head(f"{name}_mbox_{part}", features) for part in ("conf", "loc"))
                if conf.shape[1] == 4:
                    conf = torch.cat([conf[:, :3].amax(dim=1, keepdim=True), conf[:, 3:]], dim=1)
                out.append((conf.softmax(dim=1)[0, 1].cpu().numpy(), places[0].cpu().numpy()))
            return out

    def _head(self, name: str, features: Any) -> Any:
        from torch.nn import functional

        return functional.conv2d(features, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], 1, 1).float()

    def _features(self, x: Any) -> Iterator[tuple[str, Any]]:
        """What each head looks at."""
        from torch.nn import functional

        for name, (_, _, _, stride, padding) in _convolutions():
            if name == "fc6" or (name[:4] == "conv" and name.endswith("_1") and name[4] in "2345"):
                x = functional.max_pool2d(x, 2, 2)
            x = functional.conv2d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], stride, padding)
            x = x.relu_()
            if name in _NORMS:
                length = x.float().square().sum(dim=1, keepdim=True).sqrt() + 1e-10
                yield f"{name}_norm", (x / length).to(x.dtype) * self._weights[f"{name}_norm.weight"].view(1, -1, 1, 1)
            elif name in _HEADS:
                yield name, x


def _check(found: Mapping[str, tuple[int, ...]], file: str) -> None:
    wanted = shapes()
    off = [name for name in wanted if found.get(name) != wanted[name]]
    if off:
        what = "a Wav2Lip" if any(name.startswith("face_encoder_blocks") for name in found) else "another net"
        raise EngineUnavailable(
            f"The checkpoint {file} is not S3FD but {what}: {len(off)} of its {len(wanted)} tensors are missing or of "
            f"another shape, such as {off[0]}."
        )
