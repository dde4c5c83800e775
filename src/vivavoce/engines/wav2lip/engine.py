"""The engine: the photo engine's avatars, with the mouth that Wav2Lip paints."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from vivavoce.engines.neural.device import Precision, has_torch, likely
from vivavoce.engines.neural.together import Together
from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.prepare import prepare
from vivavoce.engines.photo.renew import renewed
from vivavoce.engines.wav2lip.bases import Base, Shot, open_base, pictured
from vivavoce.engines.wav2lip.boxes import differing, face_box
from vivavoce.engines.wav2lip.paint import lay, paste, seen
from vivavoce.engines.wav2lip.weights import LICENCE, Net, Runtime, find, load
from vivavoce.errors import InvalidInput
from vivavoce.face.drive import Drive, drive
from vivavoce.face.keys import key_frames
from vivavoce.face.mel import LOOKAHEAD, RATE, mel, windows
from vivavoce.face.pool import Pool, check_canvas
from vivavoce.media.audio import resample
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Canvas, FaceTraits, Frame, Speech
from vivavoce.ports import Report

__all__ = ["Wav2LipFace"]

F32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_KEPT = 4
"""Bases kept in memory: an avatar on a canvas takes 5-40 MB."""
_MOST_SKIPPED = 4
_MOST_SYNC = 10
_HELD_BYTES = 48_000_000
"""Of pictures that wait for the net."""
_SAYS = 0.02
"""Of any articulator, 0-1: above this somebody speaks."""
_AROUND, _RAMP = 0.06, 0.10
"""Seconds around speech in which the net's mouth is shown, and in which it comes and goes."""


@dataclass(frozen=True, slots=True)
class _Score:
    """What the net is to do in a film."""

    heard: F32
    """``(n, 80, 16)``."""
    share: F32
    """``(n,)`` 0-1: how much of its mouth is shown; 0 at rest."""
    asked: Flags
    """``(n,)``: the frames that it makes; between them its answers are blended."""


class Wav2LipFace:
    """Animates portraits and films with the user's own Wav2Lip checkpoint; made without torch, which loads on use."""

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        max_pixels: float = 50e6,
        *,
        checkpoint: str = "",
        runtime: Runtime = "auto",
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        exact: bool = False,
        sync_offset: int = 0,
    ) -> None:
        """``exact``: box, paste and windows as published, every frame; else softly, and at rest in silence.

        ``sync_offset``: frames by which the net hears later than published; -1 is what it was trained on. ``threads`` 0
        leaves torch's own number. Raises ``EngineUnavailable`` when there is no checkpoint; it is read on first use.
        """
        self._models = ModelStore(models_dir, models_cache, offline)
        self._found = find(self._models, runtime, checkpoint)
        self._device, self._precision, self._threads = device, precision, threads
        self._max_pixels = max_pixels
        self._exact = exact
        if not -_MOST_SYNC <= sync_offset <= _MOST_SYNC:
            raise InvalidInput(
                f"The sync_offset is a whole number from {-_MOST_SYNC} to {_MOST_SYNC}, not {sync_offset}."
            )
        self._offset = sync_offset
        self._net: tuple[Net, Together] | None = None
        self._bases: Pool[Base] = Pool(_KEPT)
        self._loading = Lock()

    @property
    def traits(self) -> FaceTraits:
        """A picture or a video, 128-1920 pixels; it hears 200 ms ahead."""
        return FaceTraits(
            sources=frozenset({"picture", "video"}),
            device=likely(self._device) if self._found.runtime == "torch" else "cpu",
            lookahead=LOOKAHEAD,
            licence=f"Wav2Lip's weights: {LICENCE}; the user's own",
        )

    def prepare(
        self, source: Path, into: Path, *, landmarks: object | None = None, report: Report | None = None
    ) -> Avatar:
        """Make an avatar as ``face.photo`` does; with a file of S3FD in the models' folder, its box is noted too.

        Raises ``FaceRejected`` or another ``InvalidInput``, ``EngineUnavailable``.
        """

        def told(fraction: float) -> None:
            if report is not None:
                report(fraction, "prepare")

        made = prepare(source, into, self._models, landmarks=landmarks, max_pixels=self._max_pixels, report=told)
        facts = bundle.about(into) | {"engine": "wav2lip", **self._box(into)}
        bundle.write_about(into, facts)
        return replace(made, engine="wav2lip")

    def animate(
        self, avatar: Avatar, speech: Speech, *, canvas: Canvas, start_frame: int = 0, frame_skip: int = 1
    ) -> Iterator[Frame]:
        """See ``ports.Animator``; the checkpoint is read with the first film."""
        check_canvas(self.traits, canvas)
        if not 1 <= frame_skip <= _MOST_SKIPPED:
            raise InvalidInput(f"frame_skip is a whole number from 1 to {_MOST_SKIPPED}, not {frame_skip}.")
        self._loaded()
        return self._spoken(avatar, speech, canvas, start_frame, frame_skip)

    def idle(self, avatar: Avatar, *, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """A film of the avatar listening, which can be played in a loop: ``canvas.frames(seconds)`` frames."""
        check_canvas(self.traits, canvas)
        n = canvas.frames(seconds)
        none = np.zeros(n, np.float32)
        with self._lent(avatar, canvas) as base, closing(base.shots(n, None, none, none)) as shots:
            for i, shot in enumerate(shots):
                yield Frame(shot.image, i / canvas.fps)

    @property
    def runs_on(self) -> str:
        """What runs the network, in words; it is loaded if need be."""
        return self._loaded()[0].name

    def use(self, net: Net) -> None:
        """Ask this network from now on instead of the checkpoint's: for those who measure or compare."""
        with self._loading:
            self._net = net, Together(net, net.largest)

    def close(self) -> None:
        """Let go of the net's memory."""
        with self._loading:
            self._net = None

    # -- a film

    def _spoken(self, avatar: Avatar, speech: Speech, canvas: Canvas, start: int, skip: int) -> Iterator[Frame]:
        driven = drive(speech, canvas)
        score = self._score(speech, canvas, driven, skip)
        n, stress, energy = len(score.share), driven.stress, driven.energy
        with self._lent(avatar, canvas) as base, closing(base.shots(n, start, stress, energy)) as shots:
            held: tuple[int, F32] | None = None
            first, size = 0, 2  # the first picture should not wait for a whole batch
            while block := list(islice(shots, size)):
                answers = self._answers(block, first, score, held)
                for i, shot in enumerate(block, first):
                    if i in answers:
                        held = (i, answers[i][1])
                        self._paint(shot, *answers[i], float(score.share[i]))
                    yield Frame(shot.image, i / canvas.fps)
                first += len(block)
                size = self._grown(size, canvas)

    def _grown(self, size: int, canvas: Canvas) -> int:
        return max(2, min(2 * size, self._loaded()[0].largest, _HELD_BYTES // (canvas.width * canvas.height * 3)))

    def _score(self, speech: Speech, canvas: Canvas, driven: Drive, skip: int) -> _Score:
        n = len(driven.articulation)
        rows = mel(resample(speech.audio, RATE).samples)
        heard = windows(rows, n, canvas.fps, offset=self._offset, hold=self._exact)
        share = np.ones(n, np.float32) if self._exact else _speaking(driven, canvas)
        asked = np.zeros(n, bool)
        asked[key_frames(driven.articulation, skip)] = True
        shown = np.pad(share > 0, 1)
        asked |= (shown[1:-1] & ~shown[:-2]) | (shown[1:-1] & ~shown[2:])  # both ends of every stretch
        return _Score(heard, share, asked & (share > 0))

    def _answers(
        self, block: Sequence[Shot], first: int, score: _Score, held: tuple[int, F32] | None
    ) -> dict[int, tuple[F32, F32]]:
        """By frame: what the net saw of it and what its mouth looks like; none where nothing is painted."""
        looked = {
            i: seen(shot.image, shot.box)
            for i, shot in enumerate(block, first)
            if shot.box is not None and shot.weight > 0 and score.share[i] > 0
        }
        if not looked:
            return {}
        last = max(looked)
        asked = [i for i in looked if score.asked[i] or i == last]
        if held is None or held[0] < first - 1:
            asked = sorted({min(looked), *asked})
        made = self._loaded()[1](score.heard[asked], np.stack([looked[i] for i in asked]))
        keys = [*([held[0]] if held and held[0] < asked[0] else []), *asked]
        known = np.concatenate([held[1][None], made]) if len(keys) > len(asked) and held else made
        return {i: (looked[i], _between(keys, known, i)) for i in looked}

    def _paint(self, shot: Shot, looked: F32, made: F32, share: float) -> None:
        assert shot.box is not None
        if self._exact:
            paste(shot.image, shot.box, made)
        else:
            lay(shot.image, shot.box, shot.points, looked, made, share * shot.weight)

    # -- what is kept

    def _loaded(self) -> tuple[Net, Together]:
        with self._loading:  # two streams may begin before the net is loaded
            if self._net is None:
                net = load(self._found, device=self._device, precision=self._precision, threads=self._threads)
                self._net = net, Together(net, net.largest)
            return self._net

    def _box(self, folder: Path) -> dict[str, object]:
        """How the box of the user's S3FD differs from the outline's; nothing where there is no file of it."""
        files = self._models.own("s3fd")
        if not files or not has_torch():
            return {}
        from vivavoce.engines.wav2lip.s3fd import S3FD

        rgb, points = pictured(folder)
        outline = face_box(points)
        middle = (outline[:2] + outline[2:]) / 2
        for box in S3FD(files[0], self._device).boxes(rgb)[:, :4]:
            if (box[:2] < middle).all() and (middle < box[2:]).all():
                return {"s3fd": differing(box.tolist(), outline)}
        return {}

    def _lent(self, avatar: Avatar, canvas: Canvas) -> AbstractContextManager[Base]:
        renewed(avatar.path, lambda source, into, given: self.prepare(source, into, landmarks=given))
        facts = avatar.path / "avatar.json"
        key = avatar.path, facts.stat().st_mtime if facts.exists() else 0.0, canvas
        return self._bases.lent(key, lambda: open_base(avatar.path, avatar.name, canvas, exact=self._exact))


def _speaking(driven: Drive, canvas: Canvas) -> F32:
    """How much of the net's mouth each frame shows: 1 in speech, 0 in silence and at both ends, softly between."""
    n = len(driven.articulation)
    says = driven.articulation.max(axis=1) > _SAYS
    frames = np.arange(n)
    spoken = np.flatnonzero(says)
    if not len(spoken):
        return np.zeros(n, np.float32)
    at = np.searchsorted(spoken, frames)
    after = np.abs(spoken[np.minimum(at, len(spoken) - 1)] - frames)
    away = np.minimum(after, np.abs(frames - spoken[np.maximum(at - 1, 0)])) / canvas.fps
    near = 1 - np.clip((away - _AROUND) / _RAMP, 0, 1)
    ends = np.clip(np.minimum(frames, n - 1 - frames) / canvas.fps / _RAMP, 0, 1)
    level = np.minimum(near, ends)
    return np.asarray(level * level * (3 - 2 * level), np.float32)


def _between(keys: Sequence[int], made: F32, frame: int) -> F32:
    """The net's answer for a frame: its own, or its neighbours' on a straight line."""
    at = int(np.searchsorted(keys, frame))
    if at < len(keys) and (keys[at] == frame or at == 0):
        return np.asarray(made[at])
    before, after = keys[at - 1], keys[at]
    t = np.float32((frame - before) / (after - before))
    return np.asarray(made[at - 1] * (1 - t) + made[at] * t, np.float32)
