"""How good a person's head is: pictures that taught it nothing, said again from their own sound, against the film.

The last eleventh is held out, and for a figure that does not hang on two seconds each eleventh in turn. A base brings
its pose and upper face; what its mouth does is hidden: its expression is guessed from pictures with like upper faces.
Beside it stand what is possible (the true lips given) and what costs nothing (the picture whose upper face is nearest).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.baselines import Uppers, mean_face, pasted
from vivavoce.engines.person.choose import choose, missing
from vivavoce.engines.person.curves import correlation, gaussian
from vivavoce.engines.person.drive import by_windows
from vivavoce.engines.person.inner import Inner, partners_of
from vivavoce.engines.person.learn import restricted
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.measures import Judge, Score
from vivavoce.engines.person.mouths import mouths
from vivavoce.engines.person.paint import Mouth, Painter
from vivavoce.engines.person.pose import gap_of, low_of
from vivavoce.engines.person.voice import GUARD, folds
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.errors import InvalidInput
from vivavoce.face import mesh as m
from vivavoce.face.locate import FaceLocator
from vivavoce.media.reel import Reel
from vivavoce.nouns import Canvas

__all__ = ["OWN", "ROWS", "TRUE", "Bench", "Fold", "Pooled", "cross_validated", "held_out", "paint_with"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]
Paint = Callable[[Library, int, F32, Sequence[int], Sequence[float]], Bytes]
"""``paint(library, base, shape, sources, weights)``: picture ``base`` with a face of the canonical ``shape``
``(468, 3)`` below the nose, taken from pictures ``sources``, the first of which gives the detail; RGB."""
Show = Callable[[float, str], None]
Also = Callable[[str, "Fold", Sequence[Bytes]], None]
"""Told of each row's pictures, as much of them as is looked at."""

_PIXELS = 160.0
_TURN = np.radians([8.0, 8.0, 16.0])
_SHINE = 1 / 3
_CLEAR, _ALIKE, _SLOW = 0.05, 7, 0.4
"""Eye distances above the nose's tip, pictures, and seconds: of the guess of expressions."""
ROWS = (
    "nearest picture by the visible face",
    "mean picture",
    "true lips, one picture",
    "true lips, three pictures",
    "own sound",
    "another moment's sound",
)
"""What is compared, in this order."""
TRUE, OWN = ROWS[2], ROWS[4]


class Bench:
    """A head that is judged: its film, its library, the nets. A context."""

    def __init__(self, folder: Path, library: Library, locator: FaceLocator) -> None:
        self.library, self.locator, self.name = library, locator, folder.name
        film = library.footage
        self.count = len(film.track.points)
        """Pictures that lie in the reels: only these can be judged."""
        self._reel = Reel(folder / film.takes[0].name)
        with Reel(folder / film.takes[-1].name) as small:
            shrink = film.takes[-1].width / film.takes[0].width
            pictures = (picture_of(small[i]) for i in range(self.count))
            self.uppers = Uppers.of(pictures, library.points[: self.count] * np.float32(shrink))

    def picture(self, number: int) -> Bytes:
        """The film's picture, RGB."""
        return picture_of(self._reel[number])

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reel.close()

    def planes(self, number: int) -> tuple[Bytes, Bytes, Bytes]:
        """The film's picture as the painter wants it."""
        return self._reel[number]


def paint_with(bench: Bench, refinement: bytes | None = None) -> Paint:
    """The engine's own painter, on the film's own size; ``refinement`` is a net for the inside of the mouth, ONNX."""
    painters: dict[int, Painter] = {}

    def paint(library: Library, base: int, shape: F32, sources: Sequence[int], weights: Sequence[float]) -> Bytes:
        if id(library) not in painters:
            painters.clear()
            inner = None if refinement is None else Inner(refinement, partners_of(library))
            painters[id(library)] = Painter(library, Canvas(*library.footage.size), inner)
        fading = tuple(zip((int(s) for s in sources[1:]), (float(w) for w in weights[1:]), strict=True))
        mouth = Mouth(int(sources[0]), (shape - library.slow[base]).astype(np.float32), fading)
        return painters[id(library)].paint(base, bench.planes(base), mouth)

    return paint


def held_out(
    bench: Bench,
    paint: Paint,
    show: Show = lambda *_: None,
    strip: Path | None = None,
    also: Also = lambda *_: None,
) -> dict[str, Score]:
    """Scores of ``ROWS`` on the last eleventh; ``strip`` is where a picture of truth above ours is written.

    Raises ``InvalidInput`` for a head that has learnt from no speech.
    """
    _check_voice(bench)
    test = folds(bench.count)[-1]
    known = np.zeros(len(bench.library), bool)
    known[: test[0]] = True
    fold = Fold.of(bench, test, known)
    judge = fold.judge()
    scores = {}
    for number, name in enumerate(ROWS):
        show(number / len(ROWS), name)
        pictures = list(fold.pictures(name, paint))
        scores[name] = judge.score(pictures)
        also(name, fold, pictures)
        if strip is not None and name == OWN:
            _write_strip(strip, fold, pictures)
    return scores


def _check_voice(bench: Bench) -> None:
    if bench.library.voice is None:
        raise InvalidInput(f"The head {bench.name!r} has learnt from no speech, so there is nothing to judge it by.")


@dataclass(frozen=True, slots=True)
class Pooled:
    """Of all folds."""

    psnr: float
    """Decibels: mean over the folds."""
    ssim: float
    sharp: float
    worst_sharp: float
    """The fold farthest below."""
    landmarks: float
    opening: float
    """Correlation over all pictures at once, the expressions' part of the opening taken out."""
    lag: int
    flicker: tuple[float, float]
    folds: tuple[Score, ...]


def cross_validated(
    bench: Bench, paint: Paint, rows: Sequence[str] = ROWS, show: Show = lambda *_: None
) -> dict[str, Pooled]:
    """Scores over eleven folds, each of which taught nothing, and eight pictures beside it neither.

    Raises ``InvalidInput`` for a head that has learnt from no speech.
    """
    _check_voice(bench)
    parts = folds(bench.count)
    scores: dict[str, list[Score]] = {name: [] for name in rows}
    for number, test in enumerate(parts):
        known = np.ones(len(bench.library), bool)
        known[max(0, test[0] - GUARD) : test[-1] + 1 + GUARD] = False
        fold = Fold.of(bench, test, known)
        judge = fold.judge()
        for name in rows:
            show((number + rows.index(name) / len(rows)) / len(parts), name)
            scores[name].append(judge.score(list(fold.pictures(name, paint))))
    return {name: _pooled(found, float(bench.library.footage.fps)) for name, found in scores.items()}


def _pooled(scores: Sequence[Score], fps: float) -> Pooled:
    whole = replace(
        scores[0], gap=np.concatenate([s.gap for s in scores]), truth=np.concatenate([s.truth for s in scores])
    )
    ours, truth = whole.speech(fps)
    n = len(ours)
    lags = {k: correlation(ours[max(k, 0) : n + min(k, 0)], truth[max(-k, 0) : n + min(-k, 0)]) for k in range(-4, 5)}
    return Pooled(
        psnr=float(np.mean([s.psnr for s in scores])),
        ssim=float(np.mean([s.ssim for s in scores])),
        sharp=float(np.mean([s.sharp for s in scores])),
        worst_sharp=float(np.min([s.sharp for s in scores])),
        landmarks=float(np.mean([s.landmarks for s in scores])),
        opening=lags[0],
        lag=max(lags, key=lags.__getitem__),
        flicker=(float(np.mean([s.flicker[0] for s in scores])), float(np.mean([s.flicker[1] for s in scores]))),
        folds=tuple(scores),
    )


@dataclass(frozen=True, slots=True)
class Fold:
    """Pictures ``test`` of the film, and a library that does not know them."""

    bench: Bench
    test: Ints
    library: Library
    """Its expressions of the tested pictures are guessed."""
    true: Library
    """With the expressions as they are: for what is painted with true lips."""
    box: tuple[int, int, int, int]
    """The part of the pictures that is looked at."""

    @classmethod
    def of(cls, bench: Bench, test: Ints, known: npt.NDArray[np.bool_]) -> "Fold":
        """Of the pictures ``test`` in a row; a library is learnt from the pictures ``known`` ``(n,)``."""
        true = restricted(bench.library, known)
        slow = true.slow.copy()
        slow[test] = _expressions(true, test)
        faces = bench.library.points[test, :, :2]
        margin = 0.5 * bench.library.footage.track.eye
        low = np.maximum(faces.min(axis=(0, 1)) - margin, 0).astype(int) // 2 * 2
        high = np.minimum(faces.max(axis=(0, 1)) + margin, bench.library.footage.size).astype(int)
        return cls(bench, test, replace(true, slow=slow), true, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))

    @property
    def points(self) -> F32:
        """Landmarks of the tested pictures in the part that is looked at."""
        out = self.bench.library.points[self.test].copy()
        out[..., :2] -= np.array(self.box[:2], np.float32)
        return out

    def judge(self) -> Judge:
        """Of what is painted in their place."""
        return Judge([self.shown(self.bench.picture(int(i))) for i in self.test], self.points, self.bench.locator)

    def shown(self, rgb: Bytes) -> Bytes:
        """What is looked at of a picture."""
        x0, y0, x1, y1 = self.box
        return np.ascontiguousarray(rgb[y0:y1, x0:x1])

    def pictures(self, row: str, paint: Paint) -> Iterator[Bytes]:
        """The tested pictures as this row of ``ROWS`` has them."""
        known = np.flatnonzero(self.library.usable[: self.bench.count])
        if row == ROWS[0]:
            nearest = known[self.bench.uppers.apart(self.test, known).argmin(axis=1)]
            made: Iterator[Bytes] = (
                pasted(
                    self.library, int(i), self.bench.picture(int(i)), self.bench.picture(int(k)), self.library.points[k]
                )
                for i, k in zip(self.test, nearest, strict=True)
            )
        elif row == ROWS[1]:
            some = known[:: max(1, len(known) // 60)]
            face, points = mean_face(self.bench.picture(int(k)) for k in some)(self.library.points[some])
            made = (pasted(self.library, int(i), self.bench.picture(int(i)), face, points) for i in self.test)
        elif row in ROWS[2:4]:
            made = self._true(paint, 1 if row == ROWS[2] else 3)
        else:
            made = self._said(paint, row == ROWS[4])
        return (self.shown(rgb) for rgb in made)

    def _true(self, paint: Paint, count: int) -> Iterator[Bytes]:
        library = self.true
        k = np.flatnonzero(library.usable)
        low, turned = low_of(library.head.shape) * np.float32(_PIXELS), library.head.angles / _TURN
        for i in self.test.tolist():
            apart = ((low[k] - low[i]) ** 2).mean(axis=1) * 2 + 3 * ((turned[k] - turned[i]) ** 2).sum(axis=1)
            best = k[np.argsort(apart + 8 * np.maximum(-library.skin[k] - 0.2, 0))[:count]]
            shares = [1 - _SHINE * (count - 1), *[_SHINE] * (count - 1)]
            yield paint(library, i, library.head.shape[i], best.tolist(), shares)

    def _said(self, paint: Paint, own: bool) -> Iterator[Bytes]:
        library, test = self.library, self.test
        voice = library.voice
        assert voice is not None
        heard = test if own else np.roll(test, len(test) // 2)
        target = by_windows(library, voice, voice.windows[heard], np.zeros(len(test), np.float32))
        fps = float(library.footage.fps)
        units = choose(library, target, test, fps)
        # judged is the film with its grins: the base that mouths are told of is one that nothing has to be taken from
        calm = int(np.argmin(np.where(library.usable, gap_of(library.slow), np.inf)))
        made = mouths(library, np.full(len(test), calm), units, missing(library, target, units))
        for i, mouth in zip(test.tolist(), made, strict=True):
            sources = [mouth.unit, *(unit for unit, _ in mouth.fading)]
            shares = [1 - sum(share for _, share in mouth.fading), *(share for _, share in mouth.fading)]
            yield paint(library, i, library.slow[i] + mouth.fast, sources, shares)


def _expressions(library: Library, test: Ints) -> F32:
    """Guessed from the seven pictures with the most alike shapes above the nose's tip, smoothed: ``(n, 468, 3)``."""
    known = np.flatnonzero(library.usable)
    height = np.median(library.head.shape[known, :, 1], axis=0)
    shape = library.head.shape[:, height < height[m.NOSE_TIP] - _CLEAR]
    upper = shape.reshape(len(library), -1) - shape[known].mean(axis=0).ravel()
    a, b = upper[test], upper[known]
    apart = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    guess = library.slow[known[np.argsort(apart, axis=1)[:, :_ALIKE]]].mean(axis=1)
    return gaussian(guess.reshape(len(test), -1), _SLOW * float(library.footage.fps)).reshape(guess.shape)


def _write_strip(path: Path, fold: Fold, ours: Sequence[Bytes]) -> None:
    """Ten moments: the truth above, ours below."""
    reach = round(0.75 * fold.library.footage.track.eye)
    columns = []
    for i in np.linspace(0, len(ours) - 1, 10).astype(int):
        x, y = fold.points[i, [13, 14], :2].mean(axis=0).astype(int)
        truth = fold.shown(fold.bench.picture(int(fold.test[i])))
        around = slice(max(y - reach, 0), y + reach), slice(max(x - reach, 0), x + reach)
        pair = np.vstack([truth[around], ours[i][around]])
        columns.append(cv2.resize(pair, (150, 300), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))
