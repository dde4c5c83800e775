"""What the net learns from: mouths of the film painted out of other moments of it, and how they were filmed.

Each picture is painted several times, with nearer and farther sources, in both layouts, with and without another one
that shines through: as films of speech are. Nobody has to label anything; the film itself is the truth.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.inner import APART, stacked, unlike
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.mask import Layout
from vivavoce.engines.person.paint import Mouth, Painter
from vivavoce.engines.person.voice import GUARD
from vivavoce.media.reel import Reel
from vivavoce.nouns import Canvas

__all__ = ["MARGIN", "Pairs", "held_back", "make_pairs", "taught"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

MARGIN = 4
"""Pixels around a close-up, by which it is shifted to and fro while the net learns."""
_RANKS = (0, 1, 2, 5)
"""Sources of the paintings of a picture, by likeness."""
_SHINE = 0.25
_MOST = 600
"""Pictures that are painted: they take 0.4 MB each."""
_PARTS = 2
"""Stretches of the film that are held back."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """``n`` pictures, each painted ``v`` times; close-ups with a margin."""

    numbers: Ints
    """``(n,)``: of the pictures in the film, rising."""
    filmed: Bytes
    """``(n, h, w, 3)``."""
    inside: Bytes
    """``(n, h, w)``, 0-255."""
    lips: Bytes
    painted: Bytes
    """``(n, v, h, w, 3)``."""
    second: Bytes
    """``(n, v, h, w, 3)``."""
    slide: npt.NDArray[np.float16]
    """``(n, v, h, w, 2)``."""

    def __len__(self) -> int:
        return len(self.numbers)

    def seen(self, i: int, v: int) -> tuple[F32, F32]:
        """What the net sees of a painting, and the filmed mouth, ``(3, h, w)``, 0-1."""
        inside, lips = (a[i].astype(np.float32) / 255 for a in (self.inside, self.lips))
        filmed = self.filmed[i].astype(np.float32).transpose(2, 0, 1) / 255
        slide = self.slide[i, v].astype(np.float32)
        return stacked(self.painted[i, v], self.second[i, v], inside, lips, slide), filmed

    def save(self, path: Path) -> None:
        """Write them down, whole or not at all."""
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__slots__})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Pairs":
        """Read what ``save`` wrote. Raises errors of several kinds when it is not whole."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return cls(**{name: data[name] for name in cls.__slots__})


def held_back(count: int) -> list[Ints]:
    """Numbers of the pictures that teach nothing and decide: a tenth of the film, in two stretches."""
    length = max(1, round(count / 10 / _PARTS))
    middles = [round(count * (2 * k + 1) / (2 * _PARTS)) for k in range(_PARTS)]
    return [np.arange(middle - length // 2, middle - length // 2 + length) for middle in middles]


def taught(count: int, stretches: list[Ints]) -> Bools:
    """``(count,)``: the pictures that teach: not those that are held back, nor eight to each side of them."""
    out = np.ones(count, bool)
    for part in stretches:
        out[max(0, int(part[0]) - GUARD) : int(part[-1]) + 1 + GUARD] = False
    return out


def make_pairs(
    folder: Path, library: Library, which: Ints | None = None, show: Callable[[float], None] = lambda _: None
) -> Pairs:
    """Paint pictures of the avatar's ``folder`` out of the usable ones of ``library``: ``which``, or those themselves.

    Only pictures that lie in the reels can be. ``show`` hears 0-1 and may raise. Raises ``ValueError`` when there are
    hardly any.
    """
    which = np.flatnonzero(library.usable) if which is None else which
    rows = list(_rows(folder, library, _thinned(which[which < len(library.footage.track.points)]), show))
    if len(rows) < 2:
        raise ValueError("hardly any pictures")
    numbers, *parts = zip(*rows, strict=True)
    return Pairs(np.array(numbers), *(np.stack(part) for part in parts))


def _thinned(which: Ints) -> Ints:
    """At most ``_MOST`` of them, from all over the film, neighbours together."""
    couples = np.arange(len(which)) // 2
    return np.asarray(which[couples % max(1, -(-len(which) // _MOST)) == 0], np.intp)


_Row = tuple[int, Bytes, Bytes, Bytes, Bytes, Bytes, npt.NDArray[np.float16]]


def _rows(folder: Path, library: Library, which: Ints, show: Callable[[float], None]) -> Iterator[_Row]:
    painter = Painter(library, Canvas(*library.footage.size))
    k = np.flatnonzero(library.usable)
    with Reel(folder / painter.screen.take.name) as reel:
        for at, i in enumerate(which.tolist()):
            show(at / len(which))
            cost = unlike(library, np.array([i]), k)[0]
            near = np.argsort(cost, kind="stable")
            near = near[np.isfinite(cost[near])][: 4 * len(_RANKS)]
            if not len(near):
                continue
            looks = []
            for v, rank in enumerate(_RANKS):
                partner, mouth = _mouth(library, i, k[near], rank, shines=v % 2 == 1)
                layout = Layout.FULL if v < len(_RANKS) // 2 else Layout.SKIN
                seen = painter.close_up(i, reel[i], mouth, partner, layout, MARGIN)
                if seen is not None:
                    looks.append(seen)
            if len(looks) < len(_RANKS):
                continue
            close, _, truth = looks[0]
            inside, lips = (np.round(a * 255).astype(np.uint8) for a in (close.inside, close.lips))
            painted, second = np.stack([p for _, p, _ in looks]), np.stack([c.second for c, _, _ in looks])
            slide = np.stack([c.slide for c, _, _ in looks]).astype(np.float16)
            yield i, truth, inside, lips, painted, second, slide


def _mouth(library: Library, i: int, near: Ints, rank: int, *, shines: bool) -> tuple[int, Mouth]:
    """The mouth of picture ``i`` out of another moment, and by which picture it is seen a second time."""
    unit = int(near[min(rank, len(near) - 1)])
    others = near[np.abs(near - unit) > APART * float(library.footage.fps)]
    partner = int(others[0]) if len(others) else unit
    fading = ((partner, _SHINE),) if shines else ()
    return partner, Mouth(unit, library.fast[i], fading)
