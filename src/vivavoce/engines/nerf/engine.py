"""The engines ``ernerf`` and ``synctalk``: a radiance field that was learnt of one person says anything.

Made without torch, which is loaded with the first film or training. ER-NeRF paints head, torso and background;
SyncTalk paints the face anew in the film that it was learnt from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from vivavoce.engines.neural.device import EXTRA, Precision, has_torch, likely
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.pool import check_canvas
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Canvas, FaceTraits, Frame, Speech
from vivavoce.ports import Report, Tell

if TYPE_CHECKING:
    from vivavoce.engines.nerf.filming import Filming

__all__ = ["ErNerfFace", "SyncTalkFace"]


class _NerfFace:
    """What both have in common: everything but the name."""

    name: Literal["ernerf", "synctalk"]
    title: str

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        expressiveness: float = 1.0,
    ) -> None:
        """``threads`` 0 leaves torch's own number. Raises ``EngineUnavailable`` without torch."""
        if not has_torch():
            raise EngineUnavailable(
                f"torch is not installed, which {self.title} is computed with; add it with {EXTRA}."
            )
        self._models = ModelStore(models_dir, models_cache, offline)
        self._device, self._precision, self._threads = device, precision, threads
        self._expressiveness = expressiveness
        self._filming: Filming | None = None
        self._lock = Lock()

    @property
    def traits(self) -> FaceTraits:
        """A video, 128-1920 pixels; a frame wants to have heard four more."""
        return FaceTraits(
            sources=frozenset({"video"}),
            device=likely(self._device),
            lookahead=0.36,
            licence="Apache-2.0, and what is learnt here is yours; models that were imported: of whoever made them",
        )

    def prepare(self, source: Path, into: Path, *, report: Report | None = None) -> Avatar:  # noqa: ARG002  see below
        """No film becomes such a head in moments. Raises ``InvalidInput`` with what to do instead."""
        raise InvalidInput(
            f"A head of {self.title} is learnt over hours, and not prepared: use `vivavoce train --engine {self.name}` "
            "or POST /model_training; the engine person makes a head of a film in a minute."
        )

    def train(
        self,
        source: Path,
        into: Path,
        *,
        work: Path,
        epochs: int,
        options: Mapping[str, float | str],
        tell: Tell,
        enough: int = 0,
    ) -> Avatar:
        """Learn the person in a video of 8 s to 30 min; see ``ports.Trainer``.

        ``options``: ``size``, pixels along a side of what is learnt (512 on a graphics card, else 160), ``lr``, times
        the published rates when above 0.01 and a rate of nets below, ``batch``, frames of a step, ``ear``, what it
        hears: ``lips``, ``mel`` or ``ave``, and ``expressiveness``. With ``enough`` the avatar is made of what
        ``work`` holds, or of so many epochs where it holds nothing.
        """
        from vivavoce.engines.nerf.training.learning import learn

        return learn(
            self.name,
            source,
            into,
            self._models,
            work=work,
            epochs=epochs,
            options=options,
            tell=tell,
            enough=enough,
            device=self._device,
            threads=self._threads,
        )

    def animate(
        self,
        avatar: Avatar,
        speech: Speech,
        *,
        canvas: Canvas,
        start_frame: int = 0,
        frame_skip: int = 1,  # noqa: ARG002  a frame between two would have the lips of neither
    ) -> Iterator[Frame]:
        """One frame after another as it is rendered; see ``ports.Animator``."""
        check_canvas(self.traits, canvas)
        return self._loaded().spoken(avatar, speech, canvas, start_frame)

    def idle(self, avatar: Avatar, *, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """A film of the person listening, which can be played in a loop: ``canvas.frames(seconds)`` frames."""
        check_canvas(self.traits, canvas)
        return self._loaded().idle(avatar, canvas, seconds)

    def close(self) -> None:
        """Let go of the heads' memory."""
        with self._lock:
            self._filming = None

    def _loaded(self) -> "Filming":
        from vivavoce.engines.nerf.filming import Filming

        with self._lock:  # two streams may begin at once
            if self._filming is None:
                self._filming = Filming(
                    self._models, self._device, self._precision, self._threads, self._expressiveness
                )
            return self._filming


class ErNerfFace(_NerfFace):
    """Head, torso and background out of three nets (Li et al. 2023)."""

    name = "ernerf"
    title = "ER-NeRF"


class SyncTalkFace(_NerfFace):
    """The face out of a net, in its own film (Peng et al. 2024)."""

    name = "synctalk"
    title = "SyncTalk"
