"""A film written to reels of several sizes at once: converted once, each size made of the one above it."""

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.footage import Take
from vivavoce.media.reel import ReelWriter

__all__ = ["Reels"]

Bytes = npt.NDArray[np.uint8]


class Reels:
    """Writers of ``takes``, the largest first, to ``paths``; a context, whole when it ends without an error."""

    def __init__(self, paths: Sequence[Path], takes: Sequence[Take], fps: Fraction) -> None:
        self._takes = takes
        # Kept: fresh memory for every picture costs more than what is done in it.
        self._planes = [np.empty((take.height * 3 // 2, take.width), np.uint8) for take in takes]
        with ExitStack() as stack:
            self._writers = [
                stack.enter_context(ReelWriter(path, (take.width, take.height), fps))
                for path, take in zip(paths, takes, strict=True)
            ]
            self._stack = stack.pop_all()

    def add(self, rgb: Bytes) -> None:
        """One more picture, RGB, of the largest size."""
        for number, (writer, planes) in enumerate(zip(self._writers, self._planes, strict=True)):
            if number:
                _shrink(self._planes[number - 1], self._takes[number - 1], planes, self._takes[number])
            else:
                cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420, dst=planes)
            writer.add_planes(planes)

    def __enter__(self) -> "Reels":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)


def _shrink(large: Bytes, before: Take, small: Bytes, take: Take) -> None:
    """Make I420 of one size I420 of a smaller one, in place."""
    # Below half, linear interpolation leaves pixels out; above, it is as good as the mean of areas, and much quicker.
    way = cv2.INTER_LINEAR if before.width < 2 * take.width else cv2.INTER_AREA
    cv2.resize(large[: before.height], (take.width, take.height), dst=small[: take.height], interpolation=way)
    colour = large[before.height :].reshape(2, before.height // 2, before.width // 2)
    shrunk = small[take.height :].reshape(2, take.height // 2, take.width // 2)
    for number in range(2):
        cv2.resize(colour[number], (take.width // 2, take.height // 2), dst=shrunk[number], interpolation=way)
