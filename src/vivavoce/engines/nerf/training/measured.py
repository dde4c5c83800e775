"""What has been learnt, measured as a viewer sees it: how far the lips part when asked to, and how like a torso is."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.answers import Answers
from vivavoce.engines.nerf.field.networks import Torso
from vivavoce.engines.nerf.field.rays import pixels
from vivavoce.engines.nerf.lips import gaping_lips
from vivavoce.engines.nerf.training.prepare import Prepared
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.verdict import SHUT
from vivavoce.face.locate import FaceLocator
from vivavoce.face.mesh import FaceMesh

__all__ = ["answers_of", "torso_psnr"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_LEVELS, _HEADS = 9, 5
"""Gaps that are asked for, and pictures of the film that each is asked for in."""
_BETWEEN = 3.0, 99.5
"""Percentiles of the film's gaps within which they are."""
_TORSOS, _AT_ONCE = 8, 1 << 15
"""Pictures in which a torso is compared, and pixels that are painted together."""


def torso_psnr(torso: Torso, prepared: Prepared, device: torch.device) -> float:
    """How near a torso over the wall comes to the film's own, decibels; the mean of some pictures."""
    camera = prepared.camera
    at = pixels(camera.width, camera.height, device)
    wall = torch.from_numpy(np.array(prepared.plate)).to(device).reshape(-1, 3) / 255
    found = []
    for number in prepared.good[:: max(1, len(prepared.good) // _TORSOS)]:
        pose = torch.from_numpy(prepared.poses[number]).to(device)
        made = []
        with torch.inference_mode():
            for first in range(0, len(at), _AT_ONCE):
                part = slice(first, first + _AT_ONCE)
                opacity, colour = torso(at[part], pose)[:2]
                made.append(colour * opacity + wall[part] * (1 - opacity))
        own = torch.from_numpy(np.array(prepared.behind[number])).to(device).reshape(-1, 3) / 255
        error = float(((torch.cat(made) - own) ** 2).mean())
        found.append(-10 * np.log10(max(error, 1e-9)))
    return float(np.mean(found))


def answers_of(see: Callable[[int, F32], Bytes], prepared: Prepared, library: Library, locator: FaceLocator) -> Answers:
    """Gaps that were asked for and those that were seen, rising; none where too few faces can be found again.

    ``see`` renders a picture of the film, by its number, with normalised features ``(8,)`` of a mouth. Landmarks have
    lips nearer to each other in small pictures, so what is seen is read by what the film's own pictures show.
    """
    low, high = np.percentile(library.features[library.usable, 0], _BETWEEN)
    asked = np.unique(np.linspace(low, high, _LEVELS).astype(np.float32))
    rows = (gaping_lips(library, asked) - prepared.ear_mean) / prepared.ear_spread
    n = len(prepared.poses)
    points = prepared.square.placed(library.points[:n])
    numbers = _still(prepared, library)
    seen = _usual([[_gap(see(i, row), points[i], locator) for i in numbers] for row in rows])
    like = [_near(prepared, library, gap) for gap in asked]
    filmed = _usual([[_gap(np.asarray(prepared.pictures[i]), points[i], locator) for i in some] for some in like])
    if len(asked) < 2 or not (np.isfinite(seen).all() and np.isfinite(filmed).all()):
        return ()
    shown = np.interp(seen, filmed + 1e-9 * np.arange(len(filmed)), asked)
    return tuple((round(float(a), 5), round(float(b), 5)) for a, b in zip(asked, shown, strict=True))


def _usual(gaps: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """The median of each row, and none below the one before; not a number where most of a row are none."""
    rows = np.asarray(gaps, np.float64)
    known = np.isfinite(rows).sum(axis=1) * 2 > rows.shape[1]
    usual = [float(np.nanmedian(row)) if there else np.nan for row, there in zip(rows, known, strict=True)]
    return np.asarray(np.maximum.accumulate(usual), np.float64)


def _still(prepared: Prepared, library: Library) -> list[int]:
    """Some pictures of the whole film in which the mouth is shut, or nearly."""
    good = np.array(prepared.good)
    opening = library.opening[good]
    shut = good[opening <= max(SHUT, float(np.percentile(opening, 10)))]
    return sorted({int(shut[i]) for i in np.linspace(0, len(shut) - 1, _HEADS).astype(int)})


def _near(prepared: Prepared, library: Library, gap: float) -> list[int]:
    """Some pictures in which the lips part about so far."""
    good = np.array(prepared.good)
    return [int(i) for i in good[np.abs(library.features[good, 0] - gap).argsort()[:_HEADS]]]


def _gap(picture: Bytes, points: F32, locator: FaceLocator) -> float:
    """Between the lips of a picture, eye distances; not a number where no face is found near ``points``."""
    face = locator.follow(picture, FaceMesh(points))
    face = face and locator.follow(picture, face)  # from the film's own mouth it has but half the way at once
    return face.lip_gap if face else float("nan")
