"""A head that was learnt, or imported, in front of the camera: which poses it takes, what it hears, where it is shown.

Poses are replayed forth and back, as in ``person.walk`` where there is a library; a function of the film's time alone,
so that chunk follows chunk without a jump. What is rendered is laid over the film that it was learnt from: SyncTalk's
the face, ER-NeRF's the whole square. An imported head without a film fills the canvas by itself.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.field.networks import EARS, window
from vivavoce.engines.nerf.field.picture import Moment
from vivavoce.engines.nerf.field.renderer import Renderer
from vivavoce.engines.nerf.files import BEHIND, FILM, SOUND
from vivavoce.engines.nerf.hearing import Hearing
from vivavoce.engines.nerf.lips import resting_lips, spoken_lips
from vivavoce.engines.nerf.recordings import Recording
from vivavoce.engines.nerf.stages import Stage, filmed, lone
from vivavoce.engines.nerf.talker import Talker, load
from vivavoce.engines.neural.device import Precision, place
from vivavoce.engines.person import store
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.walk import Walk, stretch
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.errors import EngineUnavailable, NotFound
from vivavoce.face.footage import swing
from vivavoce.face.mel import SILENCE
from vivavoce.face.pool import Pool
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Speech

__all__ = ["Filming"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_PEOPLE, _STAGES = 2, 3
"""Kept in memory: a head takes 20-100 MB, a stage some pictures."""
_AT_ONCE = 256
"""Windows of sound that are listened to together."""
_NOTHING, _NEAR = 1e-4, 0.1
"""Amplitude below which there is no sound, as voices that are made leave between sentences; seconds to each side."""


@dataclass(frozen=True, slots=True)
class _Head:
    """One of them, ready to be filmed."""

    talker: Talker
    renderer: Renderer
    wall: torch.Tensor
    """``(height, width, 3)``, 0-1: what is behind everything."""
    library: Library | None
    """None of an imported one."""
    span: tuple[int, int]
    """Its poses that are replayed."""
    expressiveness: float | None
    film: str
    """The reel that it is laid over; "" without one."""
    behind: str
    """The reel of what is behind it; "" where the torso is a net, or nothing is known."""
    own: Recording | None
    """The sound that it can speak from features that came with it."""
    turn: Lock = field(default_factory=Lock)
    """A head is rendered by one at a time: it uses all of the machine."""
    stages: Pool[Stage] = field(default_factory=lambda: Pool(_STAGES))

    def bases(self, steps: Ints) -> Ints:
        """Frames of its film at these steps of the film's clock."""
        if self.library is not None:
            return Walk(self.library, self.span).pictures(steps)
        return self.span[0] + swing(self.span[1] - self.span[0], steps)

    def loop(self, frames: int, rate: float) -> Ints:
        """The same for a film of so many frames that can be repeated."""
        if self.library is not None:
            return Walk(self.library, self.span).loop(frames, rate)
        length = int(min(max(round(frames * rate / 2) + 1, 1), self.span[1] - self.span[0]))
        return self.span[0] + swing(length, np.arange(frames) / frames, periodic=True)


class Filming:
    """All heads of an engine."""

    def __init__(
        self, models: ModelStore, device: str, precision: Precision, threads: int, expressiveness: float
    ) -> None:
        self._place = place(device, precision)
        self._hearing = Hearing(models, str(self._place.device))
        self._precision: Precision = precision
        self._threads = threads
        self._expressiveness = expressiveness
        self._heads: OrderedDict[tuple[Path, float], _Head] = OrderedDict()
        self._lock = Lock()

    def spoken(self, avatar: Avatar, speech: Speech, canvas: Canvas, start: int) -> Iterator[Frame]:
        """Frames that cover the speech. Raises ``EngineUnavailable`` where the head cannot hear it."""
        head = self._head(avatar)
        count = canvas.frames(speech.audio.seconds)
        rate = float(head.talker.fps) / canvas.fps
        steps = np.floor((start + np.arange(count)) * rate + 1e-6).astype(np.intp)
        bases = head.bases(steps)
        return self._filmed(avatar, head, canvas, bases, self._heard(head, speech, canvas, bases))

    def idle(self, avatar: Avatar, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """Frames without speech, to be played in a loop."""
        head = self._head(avatar)
        bases = head.loop(canvas.frames(seconds), float(head.talker.fps) / canvas.fps)
        return self._filmed(avatar, head, canvas, bases, self._silence(head, bases))

    def _filmed(self, avatar: Avatar, head: _Head, canvas: Canvas, bases: Ints, heard: F32) -> Iterator[Frame]:
        codes = self._codes(head, heard)
        with ExitStack() as stack:
            stage = stack.enter_context(head.stages.lent(canvas, lambda: _stage(head, canvas)))
            film = stack.enter_context(Reel(avatar.path / (stage.reel or head.film))) if head.film else None
            behind = stack.enter_context(Reel(avatar.path / head.behind)) if head.behind else None
            for i, base in enumerate(bases.tolist()):
                picture = self._picture(head, base, codes[i : i + 1], behind)
                shown = stage.show(base, picture, None if film is None else film[base])
                yield Frame(shown, i / canvas.fps)

    def _picture(self, head: _Head, base: int, code: torch.Tensor, behind: Reel | None) -> Bytes:
        """The camera's picture of one frame, RGB."""
        talker, device = head.talker, self._place.device
        below = head.wall
        if behind is not None:
            below = torch.from_numpy(picture_of(behind[base])).to(device).float() / 255
        eyes = None if talker.eyes is None else talker.eyes[base][None].float()
        look = None
        if head.library is not None and talker.head.shape.code:
            look = talker.head.individual_codes[min(base, talker.head.shape.codes - 1)][None]
        with head.turn, torch.inference_mode():
            made = head.renderer.frame(talker.poses[base], Moment(code, eyes, look), below)
            return np.asarray((made * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())

    # -- what it hears

    def _heard(self, head: _Head, speech: Speech, canvas: Canvas, bases: Ints) -> F32:
        """Features, a row a frame."""
        talker, ear = head.talker, head.talker.head.shape.ear
        if ear == "lips":
            assert head.library is not None  # as of ``_check``
            wide = self._expressiveness if head.expressiveness is None else head.expressiveness
            return _normal(spoken_lips(head.library, speech, canvas, bases, wide, talker.answers), talker)
        if head.own is not None and talker.heard is not None:
            at = head.own.found_in(speech.audio)
            if at is not None:
                rows = np.floor((at + np.arange(len(bases)) / canvas.fps) * float(talker.fps) + 1e-6).astype(np.intp)
                return np.asarray(talker.heard.cpu().numpy()[rows.clip(0, len(talker.heard) - 1)], np.float32)
        if talker.heard is not None and (why := self._hearing.unheard(ear)) is not None:
            raise EngineUnavailable(f"{why} So this head speaks the recording that it came with, and no other.")
        made = _normal(self._hearing.features(ear, speech.audio, len(bases), canvas.fps), talker)
        if talker.quiet is not None:
            made[_soundless(speech.audio, len(bases), canvas.fps)] = talker.quiet.cpu().numpy()
        return made

    def _silence(self, head: _Head, bases: Ints) -> F32:
        """What it hears when nobody speaks."""
        talker, ear = head.talker, head.talker.head.shape.ear
        if ear == "lips":
            assert head.library is not None
            return _normal(resting_lips(head.library, bases), talker)
        shape = (len(bases), *EARS[ear])
        if talker.quiet is not None:
            return np.broadcast_to(talker.quiet.cpu().numpy(), shape)
        if ear == "mel":
            return _normal(np.full(shape, SILENCE, np.float32), talker)
        return np.zeros(shape, np.float32)  # what is beyond the ends of a recording

    def _codes(self, head: _Head, heard: F32) -> torch.Tensor:
        """``(n, 32)``."""
        device = self._place.device
        features = torch.from_numpy(np.ascontiguousarray(heard))
        made = []
        with torch.inference_mode():
            for first in range(0, len(features), _AT_ONCE):
                frames = range(first, min(first + _AT_ONCE, len(features)))
                windows = torch.stack([window(features, frame) for frame in frames])
                made.append(head.talker.head.listen(windows.to(device)))
        return torch.cat(made)

    # -- who is kept

    def _head(self, avatar: Avatar) -> _Head:
        facts = avatar.path / "avatar.json"
        key = avatar.path, facts.stat().st_mtime if facts.exists() else 0.0
        with self._lock:
            if key in self._heads:
                self._heads.move_to_end(key)
                return self._heads[key]
            if self._threads:
                torch.set_num_threads(self._threads)
            made = self._made(avatar.path)
            self._heads[key] = made
            while len(self._heads) > _PEOPLE:
                self._heads.popitem(last=False)
            return made

    def _made(self, folder: Path) -> _Head:
        talker = load(folder, str(self._place.device))
        facts = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
        library = store.load(folder, talker.engine) if store.held(folder) else None
        _check(talker, library, folder)
        own = facts.get("expressiveness")
        film = FILM if library is None and (folder / FILM).exists() and talker.engine == "synctalk" else ""
        torso = talker.torso if talker.engine == "ernerf" or library is None else None
        return _Head(
            talker,
            Renderer(
                talker.head,
                talker.cells,
                talker.camera,
                torso,
                device=str(self._place.device),
                precision=self._precision,
            ),
            talker.background.to(self._place.device).float() / 255,
            library,
            (0, len(talker)) if library is None else stretch(library),
            None if own is None else float(own),
            library.footage.takes[0].name if library is not None else film,
            BEHIND if torso is None and (folder / BEHIND).exists() else "",
            Recording.load(folder / SOUND) if talker.heard is not None and (folder / SOUND).exists() else None,
        )


def _check(talker: Talker, library: Library | None, folder: Path) -> None:
    """Raise ``NotFound`` for files of two avatars, or where one is missing: each of them may be whole."""
    if library is None:
        whole = talker.head.shape.ear != "lips" and talker.square is None
    else:
        whole = talker.square is not None and len(library.footage.track.points) == len(talker)
    if not whole:
        raise NotFound(f"The avatar {folder.name!r} is missing or damaged; import or train it again.")


def _soundless(audio: Audio, n_frames: int, fps: float) -> npt.NDArray[np.bool_]:
    """Frames ``(n,)`` around which there is no sound."""
    loud = np.flatnonzero(np.abs(audio.samples) > _NOTHING) / audio.rate
    middles = (np.arange(n_frames) + 0.5) / fps
    after = np.searchsorted(loud, middles - _NEAR)
    return np.asarray(np.searchsorted(loud, middles + _NEAR) == after)


def _normal(heard: F32, talker: Talker) -> F32:
    if talker.mean is None or talker.spread is None:
        return heard
    return np.asarray((heard - talker.mean.cpu().numpy()) / talker.spread.cpu().numpy(), np.float32)


def _stage(head: _Head, canvas: Canvas) -> Stage:
    talker, library = head.talker, head.library
    masks = None if talker.masks is None else talker.masks.cpu().numpy()
    if library is not None and talker.square is not None:
        return filmed(
            library.footage, talker.square, talker.camera.width, canvas, masks, face=talker.engine == "synctalk"
        )
    return lone((talker.camera.width, talker.camera.height), canvas, masks if head.film else None)
