"""From a person's film to what a field learns from: the square of each picture, what is behind the head, poses, eyes.

The film has been watched already (``person.prepare``): its reels and landmarks lie in the avatar's folder. What is made
here lies in the work folder as memory maps, so that half an hour of film needs no more memory than ten seconds.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.field.networks import Ear
from vivavoce.engines.nerf.field.rays import Camera
from vivavoce.engines.nerf.hearing import Hearing
from vivavoce.engines.nerf.lips import filmed_lips
from vivavoce.engines.nerf.training import layers
from vivavoce.engines.nerf.training.layers import Square
from vivavoce.engines.nerf.training.lessons import Lessons
from vivavoce.engines.nerf.training.poses import camera_poses
from vivavoce.engines.person.library import Library
from vivavoce.engines.photo.shoot import picture_of
from vivavoce.errors import InvalidInput, TooLarge
from vivavoce.face import mesh as m
from vivavoce.media import audio, video
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio
from vivavoce.ports import Report

__all__ = ["Prepared", "blinks", "eyes_of", "prepare"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_VERSION = 3
_WALL = 40
"""Pictures that the wall is made out from."""
_LONGEST = 2000.0
"""Seconds of sound; films are shorter."""
_NOTED = 100
"""Pictures between two notes of how far it is."""
_MOUTH = sorted({*m.OUTER_UPPER, *m.OUTER_LOWER})
_LIDS = sorted({*m.LEFT_UPPER_LID, *m.LEFT_LOWER_LID, *m.RIGHT_UPPER_LID, *m.RIGHT_LOWER_LID})
_MOUTH_MARGIN, _FACE_MARGIN, _LID_MARGIN = 0.12, 0.1, 0.05
"""Eye distances around the lips, the face and the eyes that are theirs."""
_HAIR = 0.35, 0.9, 0.2
"""Eye distances beside, above and below the face that are the head's."""
_MASK = 96
"""Pixels along a side of a mask."""
_BROW = 0.12
"""Eye distances by which a brow moves from usual to wholly up or down."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A film of ``n`` pictures, taken apart; ``pictures`` and ``behind`` are memory maps."""

    square: Square
    camera: Camera
    pictures: Bytes
    """``(n, pixels, pixels, 3)``."""
    behind: Bytes
    """The same, without the head."""
    plate: Bytes
    """``(pixels, pixels, 3)``: the wall."""
    poses: F32
    """``(n, 4, 4)``, in the frame of ``rays.from_nerf``."""
    eyes: F32
    """``(n, 1 or 7)``."""
    heard: F32
    """Features of the film's own sound, or of what its mouth does: a row a picture, normalised."""
    ear_mean: F32
    ear_spread: F32
    mouths: Ints
    """``(n, 4)``: first and last column, first and last row."""
    faces: Ints
    """The same of the face."""
    lids: Ints
    """The same of the eyes."""
    heads: Ints
    """The same of the head with its hair."""
    masks: Bytes
    """``(n, 96, 96)``: the part that SyncTalk lays over the film; its edge is soft."""
    good: tuple[int, ...]
    """Pictures to learn from: sharp, with nothing before the mouth."""
    error: float
    """How far landmarks are from where the poses have them, eye distances."""

    def lessons(self, taught: tuple[int, ...] = ()) -> Lessons:
        """For a school; of all good pictures unless told."""
        return Lessons(
            torch.from_numpy(self.pictures),
            torch.from_numpy(self.poses),
            self.camera,
            torch.from_numpy(self.heard),
            torch.from_numpy(self.behind),
            eyes=torch.from_numpy(self.eyes),
            mouths=torch.from_numpy(self.mouths),
            taught=taught or self.good,
            plate=torch.from_numpy(self.plate),
            faces=torch.from_numpy(self.faces),
            lids=torch.from_numpy(self.lids),
            heads=torch.from_numpy(self.heads),
        )


def prepare(
    library: Library,
    folder: Path,
    work: Path,
    models: ModelStore,
    *,
    ear: Ear = "lips",
    eyes: int = 1,
    pixels: int = 512,
    device: str = "cpu",
    report: Report = lambda *_: None,
) -> Prepared:
    """Take the film of an avatar's ``folder`` apart; what is done already lies in ``work``.

    ``eyes``: 1, how far they are shut, or 7 numbers of brows and lids. Encoders hear on ``device``. ``report`` hears
    0-1 with ``layers``. Raises ``EngineUnavailable`` where the sound cannot be heard in the way of ``ear``,
    ``FaceRejected``, and ``InvalidInput`` for a film without sound where sound is to be heard.
    """
    n = len(library.footage.track.points)
    square = layers.square_around(library.points[:n][library.seen[:n]], library.footage.size, pixels)
    points = square.placed(library.points[:n])
    heard = _heard(library, folder, Hearing(models, device), ear)
    shape = np.median(library.slow[library.usable], axis=0)
    width, height = library.footage.size
    centre = tuple(float(v) for v in square.placed(np.array([width / 2 - 0.5, height / 2 - 0.5], np.float32)) + 0.5)
    found = camera_poses(points + 0.5, shape, library.seen[:n], (centre[0], centre[1]), pixels / 512)
    pictures, behind, plate = _layers(library, folder, work, models, square, report)
    mean, spread = (heard.mean(axis=0), heard.std(axis=0) + 1e-4) if ear == "lips" else _unchanged(heard)
    small = Square(square.x, square.y, square.side, _MASK)
    masks = [np.uint8(layers.face_mask(p, (_MASK, _MASK)) * 255 + 0.5) for p in small.placed(library.points[:n])]
    return Prepared(
        square=square,
        camera=Camera(found.focal, (centre[0], centre[1]), pixels, pixels),
        pictures=pictures,
        behind=behind,
        plate=plate,
        poses=found.cameras.astype(np.float32),
        eyes=eyes_of(library, eyes)[:n],
        heard=((heard - mean) / spread).astype(np.float32),
        ear_mean=mean.astype(np.float32),
        ear_spread=spread.astype(np.float32),
        mouths=_boxes(points[:, _MOUTH], points, _MOUTH_MARGIN, pixels),
        faces=_boxes(points, points, _FACE_MARGIN, pixels),
        lids=_boxes(points[:, _LIDS], points, _LID_MARGIN, pixels),
        heads=_heads(points, pixels),
        masks=np.stack(masks),
        good=tuple(np.flatnonzero(library.usable[:n] & library.seen[:n]).tolist()),
        error=found.error,
    )


def _unchanged(heard: F32) -> tuple[F32, F32]:
    return np.zeros(heard.shape[1:], np.float32), np.ones(heard.shape[1:], np.float32)


def _heard(library: Library, folder: Path, hearing: Hearing, ear: Ear) -> F32:
    """Features of the film's own sound, a row for each of its pictures."""
    n = len(library.footage.track.points)
    if ear == "lips":
        return filmed_lips(library)[:n]
    try:
        sound = audio.decode(folder / "source", max_seconds=_LONGEST, rate=16_000)
    except InvalidInput as e:
        raise InvalidInput("The video has no sound that a head could learn to follow; choose ear=lips.") from e
    ahead = round(video.sound_ahead(folder / "source") * sound.rate)
    samples = sound.samples[ahead:] if ahead >= 0 else np.pad(sound.samples, (-ahead, 0))
    return hearing.features(ear, Audio(samples, sound.rate), n, float(library.footage.fps))


def blinks(shape: F32) -> F32:
    """How far each eye is shut in canonical shapes ``(n, 468, 3)``: ``(n, 2)`` 0-1, the picture's left first."""
    lids = [np.linalg.norm(shape[:, a, :2] - shape[:, b, :2], axis=1) for a, b in ((159, 145), (386, 374))]
    height = np.stack(lids, axis=1)
    usual = np.percentile(height, 75, axis=0)
    return np.asarray(np.clip(1 - (height / usual - 0.2) / 0.7, 0, 1), np.float32)


def eyes_of(library: Library, count: int) -> F32:
    """``(n, 1)``: how far the eyes are shut; ``(n, 7)``: brows down, up within and up without, and the lids.

    The seven stand where MediaPipe's blendshapes stand that SyncTalk takes: browDownLeft, browDownRight, browInnerUp,
    browOuterUpLeft, browOuterUpRight, eyeBlinkLeft, eyeBlinkRight, left and right being the person's.
    """
    shape = library.head.shape
    shut = blinks(shape)
    if count == 1:
        return np.asarray(shut.mean(axis=1, keepdims=True), np.float32)

    def risen(brow: tuple[int, ...], lid: tuple[int, int]) -> F32:
        height = shape[:, list(lid), 1].mean(axis=1) - shape[:, list(brow), 1].mean(axis=1)
        return np.asarray((height - np.median(height[library.usable])) / _BROW, np.float32)

    inner = [risen((336, 285), (362, 263)), risen((107, 55), (33, 133))]  # the person's left, and right
    outer = [risen((300, 293), (362, 263)), risen((70, 63), (33, 133))]
    within = np.asarray((inner[0] + inner[1]) / 2, np.float32)
    rows = [-inner[0], -inner[1], within, outer[0], outer[1], shut[:, 1], shut[:, 0]]
    return np.asarray(np.clip(np.stack(rows, axis=1), 0, 1), np.float32)


def _boxes(parts: F32, points: F32, margin: float, pixels: int) -> Ints:
    eye = np.linalg.norm(points[:, 263, :2] - points[:, 33, :2], axis=1)[:, None] * margin
    low, high = parts[..., :2].min(axis=1) - eye, parts[..., :2].max(axis=1) + eye
    both = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    return np.clip(np.round(both), 0, pixels - 1).astype(np.int64)


def _heads(points: F32, pixels: int) -> Ints:
    eye = np.linalg.norm(points[:, 263, :2] - points[:, 33, :2], axis=1)
    low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)
    beside, above, below = _HAIR
    sides = low[:, 0] - beside * eye, high[:, 0] + beside * eye, low[:, 1] - above * eye, high[:, 1] + below * eye
    return np.clip(np.round(np.stack(sides, axis=1)), 0, pixels - 1).astype(np.int64)


# ---- pictures


def _layers(
    library: Library, folder: Path, work: Path, models: ModelStore, square: Square, report: Report
) -> tuple[Bytes, Bytes, Bytes]:
    """The square of each picture, what is behind the head there, and the wall; as far as ``work`` has them, taken."""
    n = len(library.footage.track.points)
    told = work / "layers.json"
    key: dict[str, Any] = {"version": _VERSION, **asdict(square), "n": n, "film": _digest(library.points[:n])}
    done = _done(told, key)
    if not done:
        _check_room(work, n, square.pixels)
    if done < 2 * n:
        mode: Literal["r+", "w+"] = "r+" if done else "w+"
        size = (n, square.pixels, square.pixels)
        shapes = {"pictures": (*size, 3), "behind": (*size, 3), "mattes": size}
        maps = {
            name: np.lib.format.open_memmap(work / f"{name}.npy", mode, np.uint8, shape)
            for name, shape in shapes.items()
        }
        pictures, mattes = maps["pictures"], maps["mattes"]

        def note(now: int) -> None:
            """So many pictures have been taken apart, and then so many more have got what is behind."""
            if now % _NOTED == 0 or now in (n, 2 * n):
                for written in maps.values():
                    written.flush()
                part = told.with_suffix(".part")
                part.write_text(json.dumps(key | {"done": now}), encoding="utf-8")
                part.replace(told)
            report(min(0.8 * now / n, 0.8) + 0.2 * max(0, now - n) / n, "layers")

        points = square.placed(library.points[:n])
        with Reel(folder / library.footage.takes[0].name) as reel:
            for i in range(done, n):
                pictures[i] = layers.cut(picture_of(reel[i]), square)
                mattes[i] = np.uint8(255 * layers.matte_of(pictures[i], points[i], models) + 0.5)
                note(i + 1)
        some = np.unique(np.linspace(0, n - 1, _WALL).astype(int)).tolist()
        plate = layers.plate_of([pictures[i] for i in some], [_share(mattes[i]) for i in some])
        np.save(work / "plate.npy", plate)
        for i in range(max(0, done - n), n):
            maps["behind"][i] = layers.behind(pictures[i], _share(mattes[i]), points[i], plate)
            note(n + i + 1)
    (work / "mattes.npy").unlink(missing_ok=True)
    names = ("pictures.npy", "behind.npy", "plate.npy")
    opened = [np.load(work / name, mmap_mode="c", allow_pickle=False) for name in names]
    return opened[0], opened[1], opened[2]


def _done(told: Path, key: Mapping[str, Any]) -> int:
    """What ``told`` says of the film of that ``key``; 0 when it says nothing, or is of another one."""
    try:
        facts = json.loads(told.read_text(encoding="utf-8"))
        done = int(facts.pop("done"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
    return done if facts == key else 0


def _check_room(work: Path, n: int, pixels: int) -> None:
    """Raise ``TooLarge`` where ``n`` pictures, what is behind them and their mattes would not find room."""
    needed = n * pixels**2 * 7
    free = shutil.disk_usage(work).free + sum(path.stat().st_blocks * 512 for path in work.glob("*.npy"))
    if needed > free:
        raise TooLarge(
            f"The film's pictures take {needed / 1e9:.1f} GB of disk while they are learnt, and {free / 1e9:.1f} GB "
            f"are free; choose a size smaller than {pixels}, or send a shorter film."
        )


def _share(matte: Bytes) -> F32:
    return np.asarray(matte / 255, np.float32)


def _digest(points: F32) -> str:
    return hashlib.sha256(np.ascontiguousarray(points).tobytes()).hexdigest()[:16]
