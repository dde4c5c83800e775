"""The engine: a film of a person becomes an avatar that says anything with the person's own mouth, on a CPU."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person import store
from vivavoce.engines.person.choose import choose, missing
from vivavoce.engines.person.drive import RANGE, drive
from vivavoce.engines.person.inner import Inner
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.mask import Layout
from vivavoce.engines.person.mouths import mouths, sober
from vivavoce.engines.person.paint import Painter
from vivavoce.engines.person.prepare import prepare
from vivavoce.engines.person.rests import rests
from vivavoce.engines.person.verdict import LEAST_SPEECH, LEAST_USABLE
from vivavoce.engines.person.walk import Walk, stretch
from vivavoce.errors import EngineUnavailable, FaceRejected, InvalidInput
from vivavoce.face.pool import Pool, check_canvas
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Canvas, FaceTraits, Frame, Lesson, Speech
from vivavoce.ports import Report, Tell

__all__ = ["PersonFace"]

F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_PEOPLE, _PAINTERS = 3, 4
"""Kept in memory: a person takes 40-200 MB, a canvas 50."""
_QUIET = 0.04
"""Mean opening of a base's own mouth up to which its own skin stays."""
_TALKS = 0.05
"""Opening of a mouth that says something."""
_PREPARED = 0.15
"""Of a training with a refinement, what comes before it."""
_TRAINED_WITH = ("torch", "onnx", "onnxscript")
_SILENT, _PAUSE = 0.999, 0.2
"""How sure it must be that nobody speaks, and for how many seconds, for the lips at rest to be shown."""


@dataclass(frozen=True, slots=True)
class _Person:
    """One of them, and what does not depend on what is said."""

    library: Library
    span: tuple[int, int]
    """The base: pictures of the film that are replayed."""
    rest: Ints
    """Whose lips each of them wears at rest."""
    layout: Layout
    expressiveness: float | None
    """Their own; None where the engine's holds."""
    inner: Inner | None = None
    """Their refinement, where they have one."""
    painters: Pool[Painter] = field(default_factory=lambda: Pool(_PAINTERS))

    @classmethod
    def load(cls, folder: Path) -> "_Person":
        library = store.load(folder)
        span = stretch(library)
        quiet = float(library.opening[slice(*span)].mean()) < _QUIET
        told = json.loads((folder / "avatar.json").read_text(encoding="utf-8")).get("expressiveness")
        own = None if told is None else float(told)
        layout = Layout.SKIN if quiet else Layout.FULL
        return cls(library, span, rests(library, span), layout, own, Inner.load(folder, library))

    def painter(self, canvas: Canvas) -> AbstractContextManager[Painter]:
        """One for as long as a block lasts."""
        return self.painters.lent(_shape(canvas), lambda: Painter(self.library, canvas, self.inner))

    def resting(self, bases: Ints) -> Ints:
        """Pictures with the lips at rest for these pictures of the base."""
        return self.rest[bases - self.span[0]]


class PersonFace:
    """Animates people out of films of them. The landmark nets are needed when one is prepared, never later."""

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        expressiveness: float = 1.0,
    ) -> None:
        """``expressiveness``, 0.5-2: how widely they articulate; 1 is as they do in the film."""
        self._models = ModelStore(models_dir, models_cache, offline)
        self._expressiveness = _expressiveness(expressiveness)
        self._people: OrderedDict[tuple[Path, float], _Person] = OrderedDict()
        self._lock = Lock()

    @property
    def traits(self) -> FaceTraits:
        """A video, 128-1920 pixels, CPU."""
        return FaceTraits(
            sources=frozenset({"video"}),
            licence="Apache-2.0; the optional landmark nets are Apache-2.0 (MediaPipe)",
        )

    def prepare(self, source: Path, into: Path, *, report: Report | None = None) -> Avatar:
        """Learn the mouth of the person in a video of 8 s to 30 min: in about the time that it lasts.

        ``report`` hears 0-1 and may raise ``Cancelled``. Raises ``FaceRejected`` with advice for a film with too
        little speech or too few good pictures, other ``InvalidInput`` for what is no film.
        """
        avatar = prepare(source, into, self._models, report=report or (lambda *_: None))
        _check_speech(store.load(into))
        return avatar

    def train(
        self,
        source: Path,
        into: Path,
        *,
        work: Path,
        epochs: int,
        options: Mapping[str, float | str],
        tell: Tell,
    ) -> Avatar:
        """The same as ``prepare``, going on where it was when ``work`` holds what an earlier call has done.

        ``options``: ``expressiveness`` of this person, in place of the engine's. With ``quality`` ``best`` a net for
        the inside of the mouth is trained besides, which sees the film ``epochs`` times, with ``lr`` and ``batch``; it
        is used only where it is better on pictures that taught it nothing. Raises ``EngineUnavailable`` without torch.
        """
        best = options.get("quality") == "best"
        if best:
            _check_trainable()
        wide = _expressiveness(float(options.get("expressiveness", self._expressiveness)))
        work.mkdir(parents=True, exist_ok=True)
        share = _PREPARED if best else 1.0
        avatar = prepare(
            source, into, self._models, work=work, report=lambda done, stage: tell(Lesson(share * done, stage))
        )
        _check_speech(store.load(into))
        store.write_about(into, store.about(into) | {"expressiveness": wide})
        if best:
            from vivavoce.engines.person.refine.refinement import refine

            def tell_rest(lesson: Lesson) -> None:
                tell(replace(lesson, fraction=share + (1 - share) * lesson.fraction))

            refine(into, work, self._models, epochs=epochs, options=options, tell=tell_rest)
        return avatar

    def animate(
        self,
        avatar: Avatar,
        speech: Speech,
        *,
        canvas: Canvas,
        start_frame: int = 0,
        frame_skip: int = 1,  # noqa: ARG002  no frame is dear
    ) -> Iterator[Frame]:
        """One frame at a time; see ``ports.Animator``. A frame costs 5 ms, so none is skipped."""
        check_canvas(self.traits, canvas)
        person = self._person(avatar)
        return self._spoken(avatar, person, speech, canvas, start_frame)

    def idle(self, avatar: Avatar, *, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """A film of the person listening, which can be played in a loop: ``canvas.frames(seconds)`` frames."""
        check_canvas(self.traits, canvas)
        person = self._person(avatar)
        bases = Walk(person.library, person.span).loop(canvas.frames(seconds), _rate(person.library, canvas))
        return self._painted(avatar, person, canvas, bases, person.resting(bases), None)

    def _spoken(self, avatar: Avatar, person: _Person, speech: Speech, canvas: Canvas, start: int) -> Iterator[Frame]:
        library = person.library
        wide = self._expressiveness if person.expressiveness is None else person.expressiveness
        target = drive(library, speech, canvas, wide)
        steps = np.floor((start + np.arange(len(target))) * _rate(library, canvas) + 1e-6).astype(np.intp)
        bases = Walk(library, person.span).pictures(steps)
        calm = sober(library, bases)
        units = choose(library, target, bases, canvas.fps, slow=calm)
        silent = _long(target.rest >= _SILENT, round(_PAUSE * canvas.fps))
        silent[[0, -1]] = True  # chunks join at rest
        units = np.where(silent, person.resting(bases), units)
        more = missing(library, target, units, slow=calm) * (1 - target.rest)[:, None, None]
        more[silent] = 0
        yield from self._painted(avatar, person, canvas, bases, units, more)

    def _painted(
        self, avatar: Avatar, person: _Person, canvas: Canvas, bases: Ints, units: Ints, more: F32 | None
    ) -> Iterator[Frame]:
        with person.painter(canvas) as painter, Reel(avatar.path / painter.screen.take.name) as reel:
            worn = mouths(person.library, bases, units, more)
            for i, (base, mouth) in enumerate(zip(bases.tolist(), worn, strict=True)):
                yield Frame(painter.paint(base, reel[base], mouth, person.layout), i / canvas.fps)

    def _person(self, avatar: Avatar) -> _Person:
        facts = avatar.path / "avatar.json"
        key = avatar.path, facts.stat().st_mtime if facts.exists() else 0.0
        with self._lock:
            if key in self._people:
                self._people.move_to_end(key)
                return self._people[key]
        person = _Person.load(avatar.path)
        with self._lock:
            self._people[key] = person
            while len(self._people) > _PEOPLE:
                self._people.popitem(last=False)
        return person


def _check_trainable() -> None:
    """Raise where a refinement cannot be trained: before anything else is done."""
    if lacking := [name for name in _TRAINED_WITH if find_spec(name) is None]:
        raise EngineUnavailable(
            f"quality=best needs {' and '.join(lacking)}; install it with pip install 'vivavoce[train]', "
            "or leave quality out, which trains no network."
        )


def _expressiveness(value: float) -> float:
    if not RANGE[0] <= value <= RANGE[1]:
        raise InvalidInput(f"The expressiveness is a number from {RANGE[0]:g} to {RANGE[1]:g}, not {value:g}.")
    return value


def _check_speech(library: Library) -> None:
    """Raise for a film of somebody who hardly speaks: there are no mouths to take. Without sound, the lips tell."""
    speech = float(library.report["speech_seconds"])
    talking = int((library.usable & (library.opening > _TALKS)).sum())
    if speech < LEAST_SPEECH and talking < LEAST_USABLE:
        raise FaceRejected(
            f"The person in the video speaks for {speech:.0f} s; at least {LEAST_SPEECH:.0f} s are needed to learn "
            "their mouth. Film them talking, or make the avatar with the engine photo, which moves a mouth of its own."
        )


def _shape(canvas: Canvas) -> Canvas:
    """What a painter depends on."""
    return Canvas(canvas.width, canvas.height)


def _rate(library: Library, canvas: Canvas) -> float:
    """Pictures of the film a frame: it is played as fast as it was filmed."""
    return float(library.footage.fps / canvas.fps)


def _long(silent: npt.NDArray[np.bool_], least: int) -> npt.NDArray[np.bool_]:
    """Of the stretches that are true those that last, or lie at an end."""
    out = silent.copy()
    edges = np.flatnonzero(np.diff(silent)) + 1
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(silent)], strict=True):
        if silent[first] and last - first < least and first > 0 and last < len(silent):
            out[first:last] = False
    return out
