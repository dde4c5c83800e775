"""One pass over a film: the face followed, the mouth measured and cut out, reels written; in blocks that are kept.

Blocks are shared out to threads by time: decoding, encoding, the nets and OpenCV let go of the interpreter, so two
threads use two cores. A block that is whole lies in the work folder, and a preparation that was killed goes on there.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.look import colours, crop_of, packed, view
from vivavoce.engines.person.reels import Reels
from vivavoce.engines.photo.shoot import evenly
from vivavoce.face.footage import BROKEN, Take
from vivavoce.face.locate import MAX_YAW, FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.track import sharpness
from vivavoce.media import video
from vivavoce.media.reel import GROUP
from vivavoce.models import ModelStore

__all__ = ["BLOCK", "Plan", "Rows", "reel_parts", "watch"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Told = Callable[[float], None]

BLOCK = 10 * GROUP
"""Pictures of a block; reels are joined between their groups of pictures."""
_WARM = 3
"""Pictures ahead of a block in which the face is found, for its landmarks depend on those of the picture before."""
_STRAYED, _ANOTHER = 0.6, 0.5
"""Eye distances from picture to picture that no head moves; size over the person's below which it is somebody else."""
_MOST_THREADS = 4
_PACK = 0.42e6
"""Bytes of JPEG for a second of film."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is looked at. A *tick* is the number of a picture at an even rate, counted from the film's first."""

    fps: Fraction
    takes: tuple[Take, ...]
    """All coordinates are pixels of the largest."""
    start: float
    """Seconds at which the film's first picture stands."""
    blocks: tuple[tuple[int, int], ...]
    """Ticks ``first`` up to, and without, ``last``, rising."""
    filmed: int
    """The first so many ticks are written to reels; a whole number of blocks, or the end of one."""
    place: tuple[float, float, float] | None
    """Where the person usually is: x and y between the eyes, and the distance of the eyes; None where there is but one
    face."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest reel."""
        return self.takes[0].width, self.takes[0].height


@dataclass(frozen=True, slots=True)
class Rows:
    """What was seen, a row for each picture."""

    ticks: npt.NDArray[np.int64]
    """``(n,)``."""
    points: F32
    """``(n, 468, 3)``; zeros without a face."""
    confidence: F32
    """``(n,)``; 0 where there is no face or it is turned away too far."""
    sharp: F32
    """``(n,)``: ``face.track.sharpness``."""
    moved: F32
    """``(n,)``: how much the picture differs from the one before, 0-255."""
    changed: F32
    """``(n,)``: how much its colours do, 0-1."""
    opening: F32
    """``(n,)``: ``View.opening``."""
    skin: F32
    """``(n,)``: log sharpness of the skin."""
    lips: F32
    """``(n,)``: log sharpness of the lips."""
    flesh: F32
    """``(n, 40, 3)``: ``View.flesh``."""
    corners: npt.NDArray[np.int64]
    """``(n, 2)``."""
    lengths: npt.NDArray[np.int64]
    """``(n,)``: bytes of each crop."""
    pack: Bytes
    """All crops, one after another."""

    @property
    def crops(self) -> tuple[bytes, ...]:
        """JPEG of each lower face, b"" without one."""
        ends = np.cumsum(self.lengths)
        data = self.pack.tobytes()
        return tuple(data[end - length : end] for end, length in zip(ends, self.lengths, strict=True))

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """Rows of following blocks."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Read them. Raises one of ``footage.BROKEN`` when they are missing or damaged."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return cls(**{f.name: data[f.name] for f in fields(cls)})


def watch(source: Path, work: Path, plan: Plan, models: ModelStore, report: Told) -> Rows:
    """Look at all blocks of ``plan``; those that the folder ``work`` holds are taken from there.

    ``report`` is called from this thread with 0-1 and may raise. A film that ends early gives fewer rows.
    """
    _Watching(source, work, plan, models).run(report)
    parts = [Rows.load(_kept(work, number)) for number in range(len(plan.blocks))]
    return Rows.joined([part for part in parts if len(part.ticks)])


def reel_parts(work: Path, plan: Plan, take: Take) -> list[Path]:
    """The parts of a reel, one for each block that is filmed."""
    return [_reel(work, number, take) for number, (first, _) in enumerate(plan.blocks) if first < plan.filmed]


def _kept(work: Path, number: int) -> Path:
    return work / f"block-{number:04d}.npz"


def _reel(work: Path, number: int, take: Take) -> Path:
    return work / f"{number:04d}-{take.name}"


class _Watching:
    """The threads and what they tell."""

    def __init__(self, source: Path, work: Path, plan: Plan, models: ModelStore) -> None:
        self._source, self._work, self._plan, self._models = source, work, plan, models
        self._told: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def run(self, report: Told) -> None:
        plan = self._plan
        sizes = [last - first for first, last in plan.blocks]
        waiting = [number for number in range(len(sizes)) if not _whole(_kept(self._work, number))]
        total, done = sum(sizes), sum(sizes) - sum(sizes[number] for number in waiting)
        threads = [
            threading.Thread(target=self._share, args=(share,), name="watch", daemon=True)
            for share in _shares(waiting, [sizes[n] for n in waiting], min(os.cpu_count() or 1, _MOST_THREADS))
        ]
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the cores are busy with blocks: OpenCV's own threads would wait for each other
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                told = self._told.get()
                if isinstance(told, BaseException):
                    raise told
                running -= told is None
                done += told or 0
                report(done / total)
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()
            cv2.setNumThreads(before)

    def _share(self, numbers: Sequence[int]) -> None:
        try:
            locator = FaceLocator(self._models)
            film = _Film(self._source, self._plan)
            for number in numbers:
                self._block(number, film, locator)
            self._told.put(None)
        except _Stopped:
            self._told.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._told.put(error)

    def _block(self, number: int, film: "_Film", locator: FaceLocator) -> None:
        plan = self._plan
        first, last = plan.blocks[number]
        face = _Follower(locator, plan.place)
        gathered = _Gathered(_PACK / float(plan.fps))
        begin = max(0, first - _WARM)
        takes = plan.takes if first < plan.filmed else ()
        with Reels([_reel(self._work, number, take) for take in takes], takes, plan.fps) as reels:
            for tick, rgb in enumerate(film.pictures(begin, last), begin):
                if self._stopped.is_set():
                    raise _Stopped
                mesh = face.follow(rgb)
                gathered.look(rgb)
                if tick >= first:
                    gathered.add(tick, rgb, mesh)
                    reels.add(rgb)
                    self._told.put(1)
        self._told.put(last - first - len(gathered.ticks))
        gathered.rows().save(_kept(self._work, number))


class _Stopped(Exception):
    """Somebody else failed, or the work was cancelled."""


def _whole(path: Path) -> bool:
    try:
        Rows.load(path)
    except BROKEN:
        return False
    return True


def _shares(numbers: Sequence[int], sizes: Sequence[int], count: int) -> list[Sequence[int]]:
    """Blocks in stretches of about the same length, so that each thread enters the film once."""
    if not sizes:
        return []
    ends = np.cumsum([0, *sizes])
    cuts = [int(np.abs(ends - ends[-1] * k / count).argmin()) for k in range(1, count)]
    shares = [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]
    return [share for share in shares if share]


class _Film:
    """Pictures of a film by their ticks; going on is cheap, going elsewhere enters it anew."""

    def __init__(self, source: Path, plan: Plan) -> None:
        self._source, self._plan = source, plan
        self._held: list[Bytes] = []
        self._from = 0
        self._rest: Iterator[Bytes] = iter(())
        self._next = -1

    def pictures(self, first: int, last: int) -> Iterator[Bytes]:
        """Ticks ``first`` up to, and without, ``last``, in the size of the largest reel."""
        if not self._next - len(self._held) <= first <= self._next:
            self._enter(first)
        yield from self._held[len(self._held) - (self._next - first) :] if first < self._next else ()
        while self._next < last:
            rgb = next(self._rest, None)
            if rgb is None:
                return
            if (rgb.shape[1], rgb.shape[0]) != self._plan.size:  # odd sides are made even
                rgb = np.asarray(cv2.resize(rgb, self._plan.size, interpolation=cv2.INTER_AREA), np.uint8)
            self._held = [*self._held[1 - _WARM :], rgb]
            self._next += 1
            yield rgb

    def _enter(self, tick: int) -> None:
        plan = self._plan
        # A picture that stands until the next one may have come some time before; half a second is kept in hand.
        since = plan.start + float(tick / plan.fps) - 0.5 if tick else None
        self._rest = evenly(video.read_frames(self._source, since, plan.size), plan.fps, plan.start, tick)
        self._held, self._next = [], tick


class _Follower:
    """One person among those that a film shows."""

    def __init__(self, locator: FaceLocator, place: tuple[float, float, float] | None) -> None:
        self._locator = locator
        self._place = place
        self._before: FaceMesh | None = None

    def follow(self, rgb: Bytes) -> FaceMesh | None:
        """The person's face in the next picture; None where it is lost, or turned away too far."""
        before = self._before
        mesh = self._locator.follow(rgb, before) if before else None
        if before is None or mesh is None or _apart(mesh, _place(before)) > _STRAYED:
            found = self._found(rgb)
            mesh = found and self._locator.follow(rgb, found)
        self._before = mesh
        return None if mesh is None or abs(mesh.yaw) > MAX_YAW else mesh

    def _found(self, rgb: Bytes) -> FaceMesh | None:
        faces, place = self._locator.all(rgb, quick=True), self._place
        if place is None or not faces:
            return faces[0] if faces else None
        nearest = min(faces, key=lambda face: _apart(face, place))
        return nearest if nearest.eye_distance > _ANOTHER * place[2] else None


def _place(mesh: FaceMesh) -> tuple[float, float, float]:
    x, y = mesh.points[[33, 263], :2].mean(axis=0)
    return float(x), float(y), mesh.eye_distance


def _apart(mesh: FaceMesh, place: tuple[float, float, float]) -> float:
    """How far a face is from where it should be, in eye distances; another size counts as well."""
    x, y, eye = _place(mesh)
    return float(np.hypot(x - place[0], y - place[1]) / place[2] + 2 * abs(np.log(max(eye, 1.0) / place[2])))


class _Gathered:
    """The rows of a block while it is looked at."""

    def __init__(self, budget: float) -> None:
        self.ticks: list[int] = []
        self._points: list[F32] = []
        self._numbers: list[tuple[float, ...]] = []
        self._flesh: list[F32] = []
        self._corners: list[tuple[int, int]] = []
        self._crops: list[bytes] = []
        self._budget, self._quality = budget, 92
        self._before: tuple[F32, F32] | None = None
        self._differs = 0.0, 0.0

    def look(self, rgb: Bytes) -> None:
        """Compare a picture with the one before."""
        rough = np.ascontiguousarray(rgb[:: max(1, rgb.shape[0] // 256), :: max(1, rgb.shape[1] // 256)])
        small = cv2.resize(rough, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
        shares = colours(rough)
        if self._before is not None:
            moved, changed = np.abs(small - self._before[0]).mean(), np.abs(shares - self._before[1]).sum() / 2
            self._differs = float(moved), float(changed)
        self._before = small, shares

    def add(self, tick: int, rgb: Bytes, mesh: FaceMesh | None) -> None:
        """Keep what a picture shows."""
        self.ticks.append(tick)
        box = None if mesh is None else crop_of(mesh.points, (rgb.shape[1], rgb.shape[0]))
        if mesh is None or box is None:
            self._points.append(np.zeros((468, 3), np.float32))
            self._numbers.append((0.0, 0.0, *self._differs, 0.0, 0.0, 0.0))
            self._flesh.append(np.zeros((40, 3), np.float32))
            self._corners.append((0, 0))
            self._crops.append(b"")
            return
        x0, y0, x1, y1 = box
        crop, self._quality = packed(rgb[y0:y1, x0:x1], self._budget, self._quality)
        seen = view(rgb, mesh.points)
        measured = seen.opening(), *seen.sharpness()
        self._points.append(mesh.points)
        self._numbers.append((mesh.confidence, sharpness(rgb, mesh), *self._differs, *measured))
        self._flesh.append(seen.flesh())
        self._corners.append((x0, y0))
        self._crops.append(crop)

    def rows(self) -> Rows:
        """All of them."""
        confidence, sharp, moved, changed, opening, skin, lips = np.array(self._numbers, np.float32).reshape(-1, 7).T
        return Rows(
            ticks=np.array(self.ticks, np.int64),
            points=np.array(self._points, np.float32).reshape(-1, 468, 3),
            confidence=confidence,
            sharp=sharp,
            moved=moved,
            changed=changed,
            opening=opening,
            skin=skin,
            lips=lips,
            flesh=np.array(self._flesh, np.float32).reshape(-1, 40, 3),
            corners=np.array(self._corners, np.int64).reshape(-1, 2),
            lengths=np.array([len(crop) for crop in self._crops], np.int64),
            pack=np.frombuffer(b"".join(self._crops), np.uint8),
        )
