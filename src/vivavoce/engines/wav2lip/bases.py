"""The pictures that get another mouth: the photo engine's, with the mouth at rest.

A portrait's head sways and blinks, a film is replayed forth and back, as ``face.photo`` does both. As published, a
portrait stands still and a film shows its own mouth.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.head import MOVES
from vivavoce.engines.photo.renderer import Pose, Renderer
from vivavoce.engines.photo.replay import Replay
from vivavoce.engines.photo.rig import PARAMETERS
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.engines.wav2lip.boxes import Box, face_box, published, whole
from vivavoce.face.footage import Footage, quiet_span, swing
from vivavoce.face.motion import Motion, motion
from vivavoce.media.reel import Reel
from vivavoce.nouns import Canvas

__all__ = ["Base", "Shot", "open_base", "pictured"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Shares = tuple[float, float, float, float]

_GAZE_REST = 0.20
"""Share of the head's turn that the eyes take back, so that they rest on the viewer."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to be painted on."""

    image: Bytes
    """RGB ``(height, width, 3)``, nobody else's."""
    points: F32
    """``(468, 2)``: where the face lies in it, pixels of the canvas."""
    box: Box | None
    """What the net sees; None where there is nothing to paint on."""
    weight: float
    """0-1: how much of another mouth it takes; 0 where no face is seen."""


class Base(Protocol):
    """An avatar on a canvas. Not shared between threads."""

    def shots(self, n_frames: int, start: int | None, stress: F32, energy: F32) -> Generator[Shot]:
        """Pictures from the film's frame ``start`` on; None for a loop of their own.

        ``stress`` and ``energy`` are ``face.drive``'s, ``(n_frames,)``.
        """


def open_base(folder: Path, name: str, canvas: Canvas, *, exact: bool) -> Base:
    """The base of a bundle of ``engines.photo``. Raises ``NotFound`` where it is missing, damaged or older."""
    facts = bundle.about(folder)
    given = facts.get("s3fd") or (0.0, 0.0, 0.0, 0.0)
    shares: Shares = (float(given[0]), float(given[1]), float(given[2]), float(given[3]))
    if facts["kind"] == "video":
        return _Film(folder, bundle.load_footage(folder), canvas, shares, exact=exact)
    return _Still(fit(bundle.load(folder), canvas), canvas, sum(name.encode()), shares, exact=exact)


def pictured(folder: Path) -> tuple[Bytes, F32]:
    """A picture of a bundle that shows the face best, RGB, and its landmarks ``(468, 2)`` in pixels."""
    if bundle.about(folder)["kind"] == "picture":
        portrait = bundle.load(folder)
        return portrait.rgb, portrait.mesh.points[:, :2]
    footage = bundle.load_footage(folder)
    with Reel(folder / footage.takes[0].name) as reel:
        return picture_of(reel[footage.number]), footage.track.points[footage.number, :, :2]


class _Still(Renderer):
    """A portrait with its mouth shut."""

    def __init__(self, portrait: Portrait, canvas: Canvas, seed: int, shares: Shares, *, exact: bool) -> None:
        super().__init__(portrait)
        self._points = portrait.mesh.points[:, :2].astype(np.float64)
        self._fps, self._seed, self._shares, self._exact = canvas.fps, seed, shares, exact

    def shots(self, n_frames: int, start: int | None, stress: F32, energy: F32) -> Generator[Shot]:
        """See ``Base``."""
        if self._exact:
            box = published(face_box(self._points, self._shares)[None], self.size)[0]
            for _ in range(n_frames):
                yield Shot(self.base.copy(), self._points.astype(np.float32), box, 1.0)
            return
        loop = start is None
        moved = motion(
            n_frames, self._fps, start_frame=start or 0, seed=self._seed, stress=stress, energy=energy, loop=loop
        )
        self.forget()  # the same request gives the same frames
        for i in range(n_frames):
            image = self.render(self._pose(moved, i))
            points = self._swayed(self._points, self._head.grid - self._displacement())
            yield Shot(image, points.astype(np.float32), whole(face_box(points, self._shares), self.size), 1.0)

    def _displacement(self) -> F32:
        """Forward, on the coarse grid, of the head that was painted last."""
        assert self._sway is not None
        return np.asarray((self._sway @ self._head.basis).reshape(self._head.grid.shape), np.float32)

    def _pose(self, moved: Motion, i: int) -> Pose:
        """Frame ``i`` with the lips shut, whether the picture has them so or not."""
        shape = {"smile": moved.smile[i], "brow": moved.brow[i], "close": 0.0 if self.mouth == "shut" else 1.0}
        yaw, pitch = float(moved.yaw[i]), float(moved.pitch[i])
        return Pose(
            shape=np.array([shape.get(name, 0.0) for name in PARAMETERS], np.float32),
            tongue=0.0,
            head=np.array([getattr(moved, name)[i] for name in MOVES], np.float32),
            blink=float(moved.blink[i]),
            gaze=(-_GAZE_REST * yaw, -_GAZE_REST * pitch),
        )


class _Film:
    """A film, replayed forth and back, with its mouth at rest or, as published, with its own."""

    def __init__(self, folder: Path, footage: Footage, canvas: Canvas, shares: Shares, *, exact: bool) -> None:
        self._replay = Replay(footage, canvas)
        self._path = folder / self._replay.screen.take.name
        self._footage, self._canvas, self._exact = footage, canvas, exact
        shown = footage.track.points[..., :2] if exact else footage.rest
        self._points = self._replay.screen.to_canvas(shown).astype(np.float32)
        boxes = face_box(self._points, shares)
        self._boxes = published(boxes, canvas.size) if exact else [whole(box, canvas.size) for box in boxes]

    def shots(self, n_frames: int, start: int | None, stress: F32, energy: F32) -> Generator[Shot]:
        """See ``Base``; the person's own head is not moved by what is said."""
        del stress, energy
        with Reel(self._path) as reel:
            for number in self._numbers(n_frames, start).tolist():
                planes = reel[number]
                seen = bool(self._footage.track.seen[number])
                if self._exact:
                    image, weight = self._replay.screen.show(planes), float(seen)
                else:
                    image, weight = self._replay.at_rest(number, planes), float(self._footage.weight[number])
                yield Shot(image, self._points[number], self._boxes[number], weight)

    def _numbers(self, n_frames: int, start: int | None) -> npt.NDArray[np.intp]:
        """Which picture of the film each frame shows, as fast as it was filmed."""
        footage = self._footage
        rate = float(footage.fps / self._canvas.fps)
        if start is None:
            first, length = quiet_span(footage, n_frames * rate)
            return first + swing(length, np.arange(n_frames) / n_frames, periodic=True)
        steps = np.floor((start + np.arange(n_frames)) * rate + 1e-6)
        return footage.first + swing(footage.last - footage.first, steps)
