"""From a video of a person to footage: follow the face, choose the stretch and the resting face, measure the light.

The source is decoded once. Everything after that reads our own reels, which are cheap to enter anywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo.lips import refine_lips
from vivavoce.errors import FaceRejected, InvalidInput
from vivavoce.face import mesh as m
from vivavoce.face.footage import LIGHT, Footage, Take
from vivavoce.face.geometry import FaceAxes, Floats, sample, smoothstep, thin_plate
from vivavoce.face.locate import MIN_EYES, FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.preflight import MIN_SECONDS, USED_SECONDS
from vivavoce.face.rest import CONTROLS, calm, resting
from vivavoce.face.track import Canonical, Track, canonical, follow, sharpness, smoothed, track
from vivavoce.media import video
from vivavoce.media.reel import Planes, Reel, ReelWriter
from vivavoce.nouns import Frame

__all__ = ["SECONDS", "controls", "develop", "evenly", "picture_of", "rate_of", "shoot", "spline", "takes_of"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

SECONDS = USED_SECONDS
"""Of the video that are used at most."""
_MAX_FPS = 30
_LARGEST, _HEIGHTS = 1080, (720, 480, 360)
"""Shorter sides of the reels."""
_CANDIDATES = 12
_OPEN, _RED = 0.06, 0.25
"""Gap of the lips that shows teeth; red less green, over the largest, of what is no tooth."""
_FADE = 6
"""Pictures over which the mouth's drive fades beside a picture without a face."""
_WORK = 64
"""Cells along each side of the reference in which the light is measured."""
_TARGETS = 1024
"""Pictures whose places are found together."""


def picture_of(planes: Planes) -> Bytes:
    """RGB ``(height, width, 3)`` of a reel's planes."""
    luma, *chroma = planes
    width = luma.shape[1]
    stacked = np.vstack([luma, *(np.ascontiguousarray(c).reshape(-1, width) for c in chroma)])
    return np.asarray(cv2.cvtColor(stacked, cv2.COLOR_YUV2RGB_I420), np.uint8)


def spline(mesh: FaceMesh, at: npt.NDArray[np.floating]) -> F32:
    """Matrix ``(k, n)``: values of ``CONTROLS`` on a face to values at its positions ``at`` ``(k, 2)``."""
    points = controls(mesh.points[None, :, :2])[0].astype(np.float64) / mesh.eye_distance
    where = np.asarray(at, np.float64) / mesh.eye_distance
    return thin_plate(points, np.eye(len(points)), where, smoothing=2e-4).astype(np.float32)


def controls(points: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """``(n, k, 2)`` of ``(n, 468, 2)``; the middle of the lips' seam stands at the place of point 13."""
    out = points[:, list(CONTROLS)].copy()
    out[:, CONTROLS.index(13)] = (points[:, 13] + points[:, 14]) / 2
    return out


def shoot(source: Path, into: Path, locator: FaceLocator, report: Callable[[float], None]) -> Footage:
    """Write reels of ``source`` to the folder ``into`` and make out the footage; ``report`` hears 0–1.

    Takes about twice as long as the stretch that is used. Raises ``InvalidInput`` and its kinds for a film that cannot
    be used.
    """
    about = video.probe(source)
    fps = rate_of(about)
    takes = takes_of(about)
    size = takes[0].width, takes[0].height
    count = max(1, round(min(SECONDS, about.seconds or SECONDS) * fps))
    raw, sharp, motion = _watch(source, into / takes[0].name, size, fps, count, locator, lambda x: report(0.6 * x))
    if raw.eye < MIN_EYES:
        raise FaceRejected(
            f"The face in the video is too small: {raw.eye:.0f} pixels between the outer corners of the eyes, at least "
            f"{MIN_EYES} are needed; film from nearer."
        )
    with Reel(into / takes[0].name) as reel:
        _reduce(reel, into, takes, fps, len(sharp), lambda x: report(0.6 + 0.25 * x))
    return develop(into, takes, fps, raw, sharp, motion, lambda x: report(0.85 + 0.15 * x))


def rate_of(about: video.Probe) -> Fraction:
    """Pictures a second that are used of a film."""
    fps = Fraction(about.fps).limit_denominator(1001) if about.fps else Fraction(25)
    return fps / -(-fps // _MAX_FPS) if fps > _MAX_FPS + 1 else fps


def takes_of(about: video.Probe) -> tuple[Take, ...]:
    """The reels of a film, largest first: reductions for smaller canvases."""
    scale = min(1.0, _LARGEST / min(about.width, about.height))
    size = _even(about.width * scale), _even(about.height * scale)
    return Take("idle.mp4", *size), *_reductions(size)


def develop(
    folder: Path,
    takes: tuple[Take, ...],
    fps: Fraction,
    raw: Track,
    sharp: F32,
    motion: F32,
    report: Callable[[float], None],
) -> Footage:
    """The footage of reels that lie in ``folder``, whose face was followed.

    ``sharp`` is ``face.track.sharpness`` of each picture, ``motion`` how much the next one differs from it.
    """
    steady = smoothed(raw)
    heads = canonical(steady)
    first, last = _stretch(motion, steady.seen)
    with Reel(folder / takes[0].name) as reel:
        number = _reference(reel, steady, heads, sharp)
        x0, y0, x1, y1 = _crop(steady.mesh(number), (takes[0].width, takes[0].height))
        reference = picture_of(reel[number])[y0:y1, x0:x1].copy()
        teeth = _teeth(reel, steady, sharp)
    rest = resting(steady, heads, number)
    at = FaceMesh(steady.points[number] - np.array([x0, y0, 0], np.float32))
    with Reel(folder / takes[-1].name) as small:
        light = _light(small, steady, reference, at, takes[-1].width / takes[0].width, report)
    return Footage(
        fps=fps,
        takes=takes,
        first=first,
        last=last,
        track=steady,
        rest=rest,
        weight=_weight(steady.seen),
        light=light,
        blur=_blur(sharp, reference, at, float(sharp[number])),
        teeth=teeth,
        reference=reference,
        origin=(x0, y0),
        number=number,
    )


def _even(x: float) -> int:
    return max(2, round(x / 2) * 2)


def evenly(frames: Iterator[Frame], fps: Fraction, start: float | None = None, first: int = 0) -> Iterator[Bytes]:
    """Pictures at an even rate, from number ``first`` on: phones film at an uneven one.

    ``start``: seconds at which the film begins, where ``frames`` do not begin with its first picture.
    """
    tick, held = first, None
    for frame in frames:
        start = frame.time if start is None else start
        while held is not None and frame.time - start > float((tick + Fraction(1, 2)) / fps):
            yield held
            tick += 1
        held = frame.image
    if held is not None:
        yield held


@dataclass(slots=True)
class _Watched:
    sharp: list[float]
    small: list[F32]


def _watch(
    source: Path,
    target: Path,
    size: tuple[int, int],
    fps: Fraction,
    count: int,
    locator: FaceLocator,
    report: Callable[[float], None],
) -> tuple[Track, F32, F32]:
    """Follow the face while the largest reel is written: the raw track, its sharpness, the picture's motion."""
    seen = _Watched([], [])
    held: list[Bytes] = []

    def pictures(writer: ReelWriter) -> Iterator[Bytes]:
        for number, rgb in enumerate(islice(evenly(video.read_frames(source, size=size), fps), count)):
            if (rgb.shape[1], rgb.shape[0]) != size:
                rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
            writer.add(rgb)
            seen.small.append(cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32))
            held[:] = [rgb]
            report(number / count)
            yield rgb

    meshes: list[FaceMesh | None] = []
    with ReelWriter(target, size, fps) as writer:
        for mesh in follow(pictures(writer), locator):
            meshes.append(mesh)
            seen.sharp.append(sharpness(held[0], mesh) if mesh else 0.0)
    if len(meshes) < MIN_SECONDS * fps:
        raise InvalidInput(f"Only {len(meshes)} pictures of the video can be read; it seems to be damaged.")
    if sum(mesh is not None for mesh in meshes) < max(5, 0.2 * len(meshes)):
        raise FaceRejected(
            "Hardly any picture of the video shows a face from the front; use a video of one person who looks towards "
            "the camera."
        )
    moved = [float(np.abs(a - b).mean()) for a, b in zip(seen.small[1:], seen.small[:-1], strict=True)]
    return track(meshes), np.array(seen.sharp, np.float32), np.array([*moved, moved[-1]], np.float32)


def _stretch(motion: F32, seen: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Where the film turns back: the stillest moments near its ends, with a face to be seen."""
    n = len(motion)
    still = np.convolve(np.pad(motion, 3, mode="edge"), np.ones(7) / 7, mode="valid")[:n]
    still = still + np.where(seen, 0.0, still.max() + 1)
    edge = max(1, n // 6)
    return int(still[:edge].argmin()), int(n - edge + still[n - edge :].argmin()) + 1


def _reductions(size: tuple[int, int]) -> tuple[Take, ...]:
    """Smaller reels for smaller canvases."""
    short = min(size)
    scales = [h / short for h in _HEIGHTS if h < 0.9 * short]
    return tuple(Take(f"idle-{_even(short * s)}.mp4", _even(size[0] * s), _even(size[1] * s)) for s in scales)


def _reduce(
    reel: Reel, into: Path, takes: tuple[Take, ...], fps: Fraction, count: int, report: Callable[[float], None]
) -> None:
    """Write the smaller reels, each from the picture of the one above it."""
    writers = [ReelWriter(into / take.name, (take.width, take.height), fps) for take in takes[1:]]
    for number in range(count if writers else 0):
        rgb = picture_of(reel[number])
        for writer, take in zip(writers, takes[1:], strict=True):
            rgb = np.asarray(cv2.resize(rgb, (take.width, take.height), interpolation=cv2.INTER_AREA), np.uint8)
            writer.add(rgb)
        report(number / count)
    for writer in writers:
        with writer:
            pass


def _reference(reel: Reel, steady: Track, heads: Canonical, sharp: F32) -> int:
    """The picture whose lower face becomes the resting one: lips shut, the usual view of the head, sharp."""
    shut = calm(steady)
    seen = np.flatnonzero(steady.seen)
    angles = heads.angles
    usual = np.median(angles[seen], axis=0)
    turned = (((angles - usual) / np.radians([8, 8, 16])) ** 2).sum(axis=1)
    lips = list({*m.OUTER_UPPER, *m.OUTER_LOWER})
    weight = shut + 1e-3
    mean = (weight[:, None, None] * heads.shape[:, lips, :2]).sum(axis=0) / weight.sum()
    apart = np.sqrt(((heads.shape[:, lips, :2] - mean) ** 2).sum(axis=2).mean(axis=1)) / 0.02
    blurred = np.maximum(0, np.log(np.median(sharp[seen]) * 1.1 / np.maximum(sharp, 1e-3)))
    cost = 2.5 * (1 - shut) + 0.6 * turned + 0.4 * apart**2 + 3.0 * blurred
    cost[~steady.seen] = np.inf
    best = np.argsort(cost)[: min(_CANDIDATES, len(seen))]
    for number in best:
        mesh = steady.mesh(int(number))
        axes = FaceAxes.of(mesh)
        face = axes.to_face(mesh.points[:, :2])
        if refine_lips(picture_of(reel[int(number)]), face, axes, mesh.lip_gap)[1] == "shut":
            return int(number)
    return int(best[0])


def _teeth(reel: Reel, steady: Track, sharp: F32) -> F32 | None:
    """Colour of the teeth as speech shows them, in the shade of the lips, and not as a grin does, in the light."""
    gaps = np.array([steady.mesh(i).lip_gap if seen else 0.0 for i, seen in enumerate(steady.seen)])
    open_ = np.flatnonzero(gaps > _OPEN)
    colours = []
    clear = open_[sharp[open_] >= np.median(sharp[open_])] if len(open_) else open_
    for number in clear[np.argsort(gaps[clear])][: 2 * _CANDIDATES].tolist():
        points = steady.points[number, :, :2]
        ring = np.vstack([points[list(m.INNER_UPPER)], points[list(m.INNER_LOWER)][::-1]])
        rgb = picture_of(reel[number])
        mask = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 255)
        inside = rgb[mask > 0].astype(np.float32)
        inside = inside[inside[:, 0] - inside[:, 1] < _RED * inside.max(axis=1)]  # neither lip nor tongue nor gum
        if len(inside) < 12:
            continue
        level = inside.sum(axis=1)
        colours.append(inside[level >= np.percentile(level, 65)].mean(axis=0))
    if len(colours) < 3:
        return None
    found = np.median(colours, axis=0)
    return np.asarray(found, np.float32) if found.max() > 60 else None


def _crop(mesh: FaceMesh, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture that the rig needs: the face, and the throat below it."""
    low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
    eye = mesh.eye_distance
    x0, y0 = np.maximum(np.floor(low - 0.5 * eye), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + np.array([0.5, 0.9]) * eye), size).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _weight(seen: npt.NDArray[np.bool_]) -> F32:
    """1 where the mouth is driven; 0 without a face, with a soft fall on the way there."""
    away = np.flatnonzero(~seen)
    if not len(away):
        return np.ones(len(seen), np.float32)
    distance = np.abs(np.arange(len(seen))[:, None] - away).min(axis=1)
    return smoothstep(0, _FADE + 1, distance).astype(np.float32)


def _skin(mesh: FaceMesh, at: Floats) -> Floats:
    """Where the light is read off a face: its lower part, without the mouth, 0–1."""
    axes = FaceAxes.of(mesh)
    face = axes.to_face(at) / axes.eye
    outline = axes.to_face(mesh.points[list(m.OVAL), :2]) / axes.eye
    inside = np.array([cv2.pointPolygonTest(outline.astype(np.float32), tuple(map(float, p)), True) for p in face])
    mouth = (face[:, 0] / 0.45) ** 2 + ((face[:, 1] - 0.03) / 0.26) ** 2
    below_eyes = smoothstep(-0.62, -0.45, face[:, 1])
    return np.asarray(smoothstep(0.03, 0.10, inside) * smoothstep(0.8, 1.2, mouth) * below_eyes)


def _light(
    reel: Reel, steady: Track, reference: Bytes, mesh: FaceMesh, shrink: float, report: Callable[[float], None]
) -> F32:
    """How each picture's skin differs in colour from the reference's, on a coarse grid of the reference."""
    height, width = reference.shape[:2]
    xs = (np.arange(_WORK) + 0.5) * width / _WORK - 0.5
    ys = (np.arange(_WORK) + 0.5) * height / _WORK - 0.5
    at = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    matrix = spline(mesh, at)
    skin = _skin(mesh, at).reshape(_WORK, _WORK).astype(np.float32)
    own = cv2.resize(reference, (_WORK, _WORK), interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = 0.13 * mesh.eye_distance * _WORK / width
    spread = cv2.GaussianBlur(skin, (0, 0), sigma)[..., None] + 1e-3
    targets = controls(steady.points[..., :2]).astype(np.float32)
    out = np.empty((len(targets), LIGHT, LIGHT, 3), np.float32)
    for number in range(len(targets)):
        at_once = number % _TARGETS
        if at_once == 0:  # in one product: so many small ones would cost more in calls than in sums
            some = targets[number : number + _TARGETS]
            everywhere = matrix @ some.transpose(1, 0, 2).reshape(len(targets[0]), -1)
        there = everywhere[:, 2 * at_once : 2 * at_once + 2]
        places = ((there + 0.5) * shrink - 0.5).reshape(_WORK, _WORK, 2)
        rgb = np.asarray(cv2.GaussianBlur(picture_of(reel[number]), (0, 0), 1.0), np.uint8)
        seen = sample(rgb, places, cv2.BORDER_REPLICATE).astype(np.float32)
        difference = np.clip(seen - own, -70, 70) * skin[..., None]
        even = cv2.GaussianBlur(difference, (0, 0), sigma) / spread
        out[number] = cv2.resize(even, (LIGHT, LIGHT), interpolation=cv2.INTER_AREA)
        report(number / len(targets))
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    padded = np.concatenate([out[:1].repeat(4, 0), out, out[-1:].repeat(4, 0)])
    return np.asarray(sum(w * padded[i : i + len(out)] for i, w in enumerate(kernel / kernel.sum())), np.float32)


def _blur(sharp: F32, reference: Bytes, mesh: FaceMesh, best: float) -> F32:
    """Sigma in eye distances that makes the reference as soft as each picture."""
    sigmas = np.array([0.0, 0.004, 0.007, 0.011, 0.016, 0.024])
    levels = [
        sharpness(np.asarray(cv2.GaussianBlur(reference, (0, 0), s * mesh.eye_distance) if s else reference), mesh)
        for s in sigmas
    ]
    share = np.minimum(sharp / max(best, 1e-3) / 0.85, 1.0) * levels[0]  # a blink alone costs some
    return np.asarray(np.interp(-share, -np.array(levels), sigmas), np.float32)
