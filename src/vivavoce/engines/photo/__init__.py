"""``face.photo``: a portrait, or a film of a person, talks, on a CPU, with no weights at run time."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.lips import Mouth
from vivavoce.engines.photo.prepare import prepare
from vivavoce.engines.photo.renderer import Pose, Renderer
from vivavoce.engines.photo.renew import renewed
from vivavoce.engines.photo.replay import Replay
from vivavoce.engines.photo.rig import PARAMETERS
from vivavoce.errors import InvalidInput
from vivavoce.face.drive import Drive, drive
from vivavoce.face.footage import Footage, quiet_span, swing
from vivavoce.face.keys import interpolated, key_frames
from vivavoce.face.motion import Motion, motion
from vivavoce.face.pool import Pool, check_canvas
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Canvas, FaceTraits, Frame, Speech
from vivavoce.ports import Report
from vivavoce.text.articulation import PARAMETERS as ARTICULATION

__all__ = ["PhotoFace"]

_KEPT = 4
"""Renderers kept in memory: an avatar on a canvas takes 5–40 MB."""
_MOST_SKIPPED = 4

Picture = Renderer | Replay


class PhotoFace:
    """Animates portraits and films. The landmark nets are needed when an avatar is prepared, never later."""

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        max_pixels: float = 50e6,
    ) -> None:
        self._models = ModelStore(models_dir, models_cache, offline)
        self._max_pixels = max_pixels
        self._renderers: Pool[Picture] = Pool(_KEPT)

    @property
    def traits(self) -> FaceTraits:
        """A picture or a video, 128–1920 pixels, CPU."""
        return FaceTraits(
            sources=frozenset({"picture", "video"}),
            licence="Apache-2.0; the optional landmark nets are Apache-2.0 (MediaPipe)",
        )

    def prepare(
        self, source: Path, into: Path, *, landmarks: object | None = None, report: Report | None = None
    ) -> Avatar:
        """Locate the face, cut the person out, store both: 0.5–2 s; of a video, follow the face: twice its length.

        ``landmarks``: points given by hand instead of the detector's, see ``face.given``; for pictures only.
        ``report`` is called for every picture of a video and may raise ``Cancelled``.
        """

        def told(fraction: float) -> None:
            if report is not None:
                report(fraction, "prepare")

        return prepare(source, into, self._models, landmarks=landmarks, max_pixels=self._max_pixels, report=told)

    def animate(
        self, avatar: Avatar, speech: Speech, *, canvas: Canvas, start_frame: int = 0, frame_skip: int = 1
    ) -> Iterator[Frame]:
        """One frame at a time; see ``ports.Animator``."""
        check_canvas(self.traits, canvas)
        if not 1 <= frame_skip <= _MOST_SKIPPED:
            raise InvalidInput(f"frame_skip is a whole number from 1 to {_MOST_SKIPPED}, not {frame_skip}.")
        driven = _sparse(drive(speech, canvas), frame_skip)
        moved = motion(
            len(driven.articulation),
            canvas.fps,
            start_frame=start_frame,
            seed=_seed(avatar),
            stress=driven.stress,
            energy=driven.energy,
        )
        return self._frames(avatar, canvas, driven, moved, start_frame, frame_skip)

    def idle(self, avatar: Avatar, *, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """A film of the avatar listening, which can be played in a loop: ``canvas.frames(seconds)`` frames."""
        n_frames = canvas.frames(seconds)
        rest = Drive(
            np.zeros((n_frames, len(ARTICULATION)), np.float32),
            np.zeros(n_frames, np.float32),
            np.zeros(n_frames, np.float32),
        )
        moved = motion(n_frames, canvas.fps, seed=_seed(avatar), loop=True)
        return self._frames(avatar, canvas, rest, moved, None, 1)

    def _frames(
        self, avatar: Avatar, canvas: Canvas, driven: Drive, moved: Motion, start: int | None, skip: int
    ) -> Iterator[Frame]:
        """``start``: number of the first frame in the whole film; None for a film that is a loop of its own."""
        facts = renewed(avatar.path, self._again)
        if facts["kind"] == "video":
            yield from self._replayed(avatar, canvas, driven, moved, start)
        else:
            yield from self._rendered(avatar, canvas, driven, moved, start or 0, skip)

    def _again(self, source: Path, into: Path, landmarks: object | None) -> Avatar:
        return self.prepare(source, into, landmarks=landmarks)

    def _rendered(
        self, avatar: Avatar, canvas: Canvas, driven: Drive, moved: Motion, start: int, skip: int
    ) -> Iterator[Frame]:
        with self._lent(avatar, canvas) as renderer:
            assert isinstance(renderer, Renderer)
            renderer.forget()  # the same request gives the same frames
            for i in range(len(driven.articulation)):
                held = max(i - (start + i) % skip, 0)  # the head waits for the next frame that is made in full
                yield Frame(renderer.render(_pose(driven, moved, i, held, renderer.mouth)), i / canvas.fps)

    def _replayed(
        self, avatar: Avatar, canvas: Canvas, driven: Drive, moved: Motion, start: int | None
    ) -> Iterator[Frame]:
        with self._lent(avatar, canvas) as replay:
            assert isinstance(replay, Replay)
            numbers = _numbers(replay.footage, canvas, len(driven.articulation), start)
            with Reel(avatar.path / replay.screen.take.name) as reel:
                for i, number in enumerate(numbers.tolist()):
                    pose = _pose(driven, moved, i, i, replay.mouth)
                    shape = pose.shape * _FILMED
                    yield Frame(replay.render(number, reel[number], shape, pose.tongue), i / canvas.fps)

    def _lent(self, avatar: Avatar, canvas: Canvas) -> AbstractContextManager[Picture]:
        facts = avatar.path / "avatar.json"
        changed = facts.stat().st_mtime if facts.exists() else 0.0
        shape = Canvas(canvas.width, canvas.height)
        return self._renderers.lent((avatar.path, changed, shape), lambda: _opened(avatar, canvas))


def _opened(avatar: Avatar, canvas: Canvas) -> Picture:
    if bundle.about(avatar.path)["kind"] == "video":
        return Replay(bundle.load_footage(avatar.path), canvas)
    portrait: Portrait = bundle.load(avatar.path)
    return Renderer(fit(portrait, canvas))


def _seed(avatar: Avatar) -> int:
    """Every avatar has its own way of moving."""
    return sum(avatar.name.encode())


def _sparse(driven: Drive, skip: int) -> Drive:
    """The drive with the mouth of the key frames, in between on straight lines."""
    if skip == 1:
        return driven
    curves = interpolated(driven.articulation, key_frames(driven.articulation, skip))
    return Drive(curves, driven.stress, driven.energy)


def _numbers(
    footage: Footage, canvas: Canvas, n_frames: int, start: int | None
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Which picture of the film each frame shows: forth and back, as fast as it was filmed."""
    rate = float(footage.fps / canvas.fps)
    if start is not None:
        steps = np.floor((start + np.arange(n_frames)) * rate + 1e-6)
        return footage.first + swing(footage.last - footage.first, steps)
    first, length = quiet_span(footage, n_frames * rate)
    period = np.arange(n_frames) / n_frames
    return first + swing(length, period, periodic=True)


_FILMED = np.array([0.0 if name == "brow" else 1.0 for name in PARAMETERS], np.float32)
"""In a film the person's own brows are seen."""
_HEAD = ("yaw", "pitch", "roll", "tx", "ty", "scale", "breath")
_GAZE_REST = 0.20
"""Share of the head's turn that the eyes take back, so that they rest on the viewer."""


def _pose(driven: Drive, moved: Motion, i: int, held: int, mouth: Mouth) -> Pose:
    """Frame ``i``: articulation, expression and head in one; the head is that of frame ``held``."""
    said = dict(zip(ARTICULATION, (float(v) for v in driven.articulation[i]), strict=True))
    silence = max(0.0, 1 - 2.2 * (said["jaw"] + 0.5 * said["lowdrop"] + 0.3 * said["round"]))
    shape = {
        **{name: said[name] for name in PARAMETERS if name in said},
        "round": said["round"] * (1 - 0.6 * said["press"]),  # lips that press do not purse
        "smile": float(moved.smile[i]) * (1 - 0.6 * said["round"]),
        "brow": float(moved.brow[held]),
        "close": {"shut": 0.0, "parted": 1.0, "open": max(silence, said["press"], said["tuck"])}[mouth],
    }
    yaw, pitch = float(moved.yaw[held]), float(moved.pitch[held])
    return Pose(
        shape=np.array([shape[name] for name in PARAMETERS], np.float32),
        tongue=said["tongue"],
        head=np.array([getattr(moved, name)[held] for name in _HEAD], np.float32),
        blink=float(moved.blink[i]),
        gaze=(-_GAZE_REST * yaw, -_GAZE_REST * pitch),
    )
