"""SyncNet (Chung and Zisserman 2016, version 2): whether lips and sound belong together, as the field measures it.

Five pictures of a face and 0.2 s of sound each become a vector; where both tell of the same moment the two are near.
Over all moments and shifts of up to 15 pictures, the least mean distance is LSE-D (lower is better), and how far it
lies below the median of the shifts is LSE-C, the confidence (higher is better). Published figures take faces as S3FD
finds them; here they are cut by landmarks, so compare figures of this program with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from vivavoce.engines.neural.checkpoint import tensors
from vivavoce.engines.neural.mfcc import HOP, mfcc
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Audio

__all__ = ["FPS", "LEAST", "SIDE", "Networks", "Sync", "SyncNet"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

RATE, FPS, SIDE = 16_000, 25, 224
"""Sound in Hz, pictures a second, and their width and height in pixels."""
_SEEN, _HEARD = 5, 20
"""Pictures, and steps of 10 ms, of one moment."""
_STEPS = RATE // FPS // HOP
_SHIFTS = 15
LEAST = _SEEN + 1
_BATCH = 8
_WIDTH = 1024


@dataclass(frozen=True, slots=True)
class Sync:
    """How well a film's lips and sound belong together."""

    distance: float
    """LSE-D: mean distance at the best shift; 6 to 8 in real films."""
    confidence: float
    """LSE-C: median over the shifts less the best; 6 to 9 in real films."""
    offset: int
    """Pictures by which the sound would have to come later to fit best: negative when it comes late."""


class SyncNet:
    """Judges films."""

    def __init__(self, checkpoint: Path) -> None:
        """``checkpoint``: ``syncnet_v2.model``. Raises ``EngineUnavailable`` for another file."""
        self._nets = Networks()
        found = tensors(checkpoint, own=True)
        wanted = self._nets.state_dict()
        wrong = [k for k, v in wanted.items() if k not in found or found[k].shape != v.shape]
        wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
        if wrong:
            raise EngineUnavailable(
                f"The file {checkpoint.name} is not SyncNet's: {len(wrong)} of {len(wanted)} entries are missing or "
                f"have other shapes, the first is {wrong[0]}."
            )
        self._nets.load_state_dict({k: v for k, v in found.items() if k in wanted}, strict=False)
        self._nets.eval()

    def judge(self, faces: Sequence[Bytes], sound: Audio) -> Sync:
        """Of faces, RGB ``(224, 224, 3)``, 25 a second, and what is heard meanwhile, mono at 16 kHz.

        Raises ``InvalidInput`` for less than six pictures.
        """
        if sound.rate != RATE:
            raise ValueError(f"SyncNet hears {RATE} samples a second, not {sound.rate}.")
        count = min(len(faces), len(sound.samples) * FPS // RATE) - _SEEN
        if count < 1:
            raise InvalidInput(f"SyncNet needs {LEAST} pictures or more with their sound, not {len(faces)}.")
        with torch.inference_mode():
            return _judged(self._seen(faces, count), self._heard(mfcc(sound.samples), count))

    def _seen(self, faces: Sequence[Bytes], count: int) -> Any:
        made = []
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count)
            film = np.stack([f[..., ::-1] for f in faces[first : last + _SEEN - 1]])  # it knows blue first
            windows = torch.from_numpy(film.copy()).float().permute(3, 0, 1, 2).unfold(1, _SEEN, 1)
            made.append(self._nets.lips(windows.permute(1, 0, 4, 2, 3)))
        return torch.cat(made)

    def _heard(self, cepstra: F32, count: int) -> Any:
        needed = (count - 1) * _STEPS + _HEARD
        padded = np.pad(cepstra, ((0, max(0, needed - len(cepstra))), (0, 0)), mode="edge")
        windows = torch.from_numpy(padded).float().unfold(0, _HEARD, _STEPS)[:count]
        return self._nets.sound(windows[:, None])


def _judged(seen: Any, heard: Any) -> Sync:
    """``(n, 1024)`` each. Shifts beyond the ends are compared with nothing, as published."""
    padded = functional.pad(heard, (0, 0, _SHIFTS, _SHIFTS))
    apart = torch.stack([
        functional.pairwise_distance(seen, padded[shift : shift + len(seen)]).mean()
        for shift in range(2 * _SHIFTS + 1)
    ])  # fmt: skip
    best = int(apart.argmin())
    least = float(apart[best])
    return Sync(least, float(apart.median()) - least, _SHIFTS - best)


class Networks(nn.Module):
    """Both networks, under the names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1, 1),
            *_block(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_block(nn.Conv2d(192, 384, 3, padding=1)),
            *_block(nn.Conv2d(384, 256, 3, padding=1)),
            *_block(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_block(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netfcaud = _head()
        self.netcnnlip = nn.Sequential(
            *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfclip = _head()

    def sound(self, cepstra: Any) -> Any:
        """``(n, 1, 13, 20)`` to ``(n, 1024)``."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def lips(self, faces: Any) -> Any:
        """``(n, 3, 5, 224, 224)``, blue first, 0-255, to ``(n, 1024)``."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def _block(layer: Any) -> tuple[Any, Any, Any]:
    norm = nn.BatchNorm3d if isinstance(layer, nn.Conv3d) else nn.BatchNorm2d
    return layer, norm(layer.out_channels), nn.ReLU()


def _head() -> Any:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, _WIDTH))
