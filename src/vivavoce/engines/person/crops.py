"""Pictures of a person's lower face that mouths are taken from: decoded when they are wanted, the last ones kept."""

from collections import OrderedDict

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import unpacked

__all__ = ["Crop", "Crops"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_KEPT = 48
"""Bytes of decoded crops that are kept, in millions: 200 of them at 1080x1920."""


class Crop:
    """One picture's lower face, RGB, at the size of the canvas if that is smaller."""

    def __init__(self, rgb: Bytes, scales: F32, corner: npt.NDArray[np.intp]) -> None:
        self.rgb = rgb
        self._scales = scales
        self._corner = corner
        self._coarse: Bytes | None = None

    def place(self, points: npt.NDArray[np.floating]) -> F32:
        """Pixels of the largest reel ``(…, 2)`` as pixels of the crop."""
        return np.asarray((points - self._corner + 0.5) * self._scales - 0.5, np.float32)

    def placed_back(self, points: npt.NDArray[np.floating]) -> F32:
        """The reverse: pixels of the crop as pixels of the largest reel."""
        return np.asarray((points + 0.5) / self._scales - 0.5 + self._corner, np.float32)

    def coarse(self, cell: int) -> Bytes:
        """Means of its cells; those cut off at its right and lower edge are left away."""
        if self._coarse is None:
            height, width = (max(side // cell, 1) for side in self.rgb.shape[:2])
            whole = np.ascontiguousarray(self.rgb[: height * cell, : width * cell])
            self._coarse = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return self._coarse


class Crops:
    """The crops of a library for a canvas on which the film is shown at ``scale``. Not shared between threads."""

    def __init__(self, library: Library, scale: float) -> None:
        self._library = library
        self._scale = min(scale, 1.0)
        self._kept: OrderedDict[int, Crop] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, number: int) -> Crop:
        """That of picture ``number``, which must be usable."""
        crop = self._kept.get(number)
        if crop is None:
            crop = self._kept[number] = self._decoded(number)
            self._bytes += crop.rgb.nbytes
            while self._bytes > _KEPT * 1e6 and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].rgb.nbytes
        self._kept.move_to_end(number)
        return crop

    def _decoded(self, number: int) -> Crop:
        rgb = unpacked(self._library.crops[number])
        height, width = rgb.shape[:2]
        size = max(1, round(width * self._scale)), max(1, round(height * self._scale))
        if size != (width, height):
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        scales = np.array([size[0] / width, size[1] / height], np.float32)
        return Crop(rgb, scales, self._library.corners[number])
