"""LPIPS and SyncNet's scores of a head, for those who have the weights; without them nothing is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.neural.device import has_torch
from vivavoce.engines.person.evaluate import Fold
from vivavoce.engines.person.measures import mouth_box
from vivavoce.engines.wav2lip.boxes import face_box
from vivavoce.media.audio import decode
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio

__all__ = ["Perceptual"]

Bytes = npt.NDArray[np.uint8]

_RATE, _FPS, _SIDE = 16_000, 25.0, 224
"""Of SyncNet: Hz, pictures a second, pixels."""
_LOWER, _BESIDE = 0.8, 0.4
"""Of half the face box's longer side: how much more of the picture SyncNet sees below the face, and on each side."""
_GREY = (110, 110, 110)
_LEAST = 64
"""Pixels of a side that LPIPS needs."""
_MOST_SECONDS = 1800.0


class Perceptual:
    """Collects the scores of each row; ``folder`` is the head's."""

    def __init__(self, models: ModelStore, folder: Path) -> None:
        """Raises ``EngineUnavailable`` for files that are not what their names say."""
        self._lpips: Any = None
        self._syncnet: Any = None
        self._lines: list[str] = []
        if has_torch():
            self._load(models)
        source = folder / "source"
        hears = self._syncnet is not None and source.is_file()
        self._sound = decode(source, max_seconds=_MOST_SECONDS, rate=_RATE) if hears else None

    def _load(self, models: ModelStore) -> None:
        if alexnet := models.own("alexnet"):
            from vivavoce.engines.neural.lpips import Lpips

            self._lpips = Lpips(alexnet[0], models.path("lpips-alex"))
        if syncnet := models.own("syncnet"):
            from vivavoce.engines.neural.syncnet import SyncNet

            self._syncnet = SyncNet(syncnet[0])

    def add(self, row: str, fold: Fold, pictures: Sequence[Bytes]) -> None:
        """Judge the pictures of a row; with the first row also the film itself."""
        if self._lpips is None and self._syncnet is None:
            return
        truth = [fold.shown(fold.bench.picture(int(i))) for i in fold.test]
        if not self._lines:
            self._lines.append(f"| the film itself | 0 | 0 | {self._sync(fold, truth)} |")
        self._lines.append(f"| {row} | {self._distance(fold, pictures, truth)} | {self._sync(fold, pictures)} |")

    def _distance(self, fold: Fold, pictures: Sequence[Bytes], truth: Sequence[Bytes]) -> str:
        if self._lpips is None:
            return "– | –"
        boxes = [mouth_box(points) for points in fold.points]
        mouths, true = (
            [_large(rgb[y0:y1, x0:x1]) for rgb, (x0, y0, x1, y1) in zip(row, boxes, strict=True)]
            for row in (pictures, truth)
        )
        whole = self._lpips.distance(pictures, truth)
        return f"{whole:.4f} | {self._lpips.distance(mouths, true):.4f}"

    def _sync(self, fold: Fold, pictures: Sequence[Bytes]) -> str:
        if self._syncnet is None or self._sound is None:
            return "– | –"
        fps = float(fold.library.footage.fps)
        picked = np.round(np.arange(int(len(pictures) / fps * _FPS)) * fps / _FPS).astype(int)
        picked = np.minimum(picked, len(pictures) - 1)
        faces = [_face(pictures[i], fold.points[i]) for i in picked]
        first = round(int(fold.test[0]) / fps * _RATE)
        heard = Audio(self._sound.samples[first : first + round(len(pictures) / fps * _RATE)], _RATE)
        sync = self._syncnet.judge(faces, heard)
        return f"{sync.distance:.2f} ({sync.offset:+d}) | {sync.confidence:.2f}"

    def table(self) -> str:
        """Markdown, or nothing where nothing could be asked."""
        if not self._lines:
            return ""
        heads = ["| | LPIPS (AlexNet), face | mouth | LSE-D (offset) | LSE-C |", "|---|---|---|---|---|"]
        return "\n".join([*heads, *self._lines])


def _large(rgb: Bytes) -> Bytes:
    """The picture, enlarged where it is too small for LPIPS."""
    height, width = rgb.shape[:2]
    more = max(1.0, _LEAST / min(height, width))
    if more == 1:
        return rgb
    return np.asarray(cv2.resize(rgb, (round(width * more), round(height * more)), interpolation=cv2.INTER_CUBIC))


def _face(rgb: Bytes, points: npt.NDArray[np.floating]) -> Bytes:
    """A square around the face as SyncNet's authors cut it, grey where the picture ends."""
    x0, y0, x1, y1 = face_box(points[None, :, :2])[0]
    half = max(x1 - x0, y1 - y0) / 2
    left, top = (x0 + x1) / 2 - half * (1 + _BESIDE), (y0 + y1) / 2 - half
    scale = _SIDE / (half * (2 + _LOWER))
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return np.asarray(cv2.warpAffine(rgb, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderValue=_GREY), np.uint8)
