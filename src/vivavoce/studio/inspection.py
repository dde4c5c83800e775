"""What somebody sees before an avatar is made: the report, the points found on the face, and the picture upright.

Everything comes in built-in types, for it is sent from a worker; the picture is small enough to travel with it.
"""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.given import NAMED
from vivavoce.face.locate import FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.preflight import examine, of_picture
from vivavoce.media import video
from vivavoce.media.kinds import kind_of
from vivavoce.media.picture import Picture, open_picture, write_jpeg
from vivavoce.media.samples import samples

__all__ = ["inspect"]

_SHOWN = 1200
"""Pixels of the longer side of the picture that is shown."""
_BACKDROP = 208.0
"""Grey behind what is transparent."""


def inspect(source: Path, locator: FaceLocator, *, max_pixels: float) -> dict[str, Any]:
    """Look at a picture or a video.

    ``report`` (``face.preflight``), ``width`` and ``height`` (pixels, upright), ``seconds`` and ``fps`` (of a video,
    else None), ``landmarks`` (named points ``[x, y]`` in pixels of the upright picture; None for a video, and where no
    face is found) and ``preview`` (a JPEG, or None). Raises what ``face.preflight.examine`` raises.
    """
    if kind_of(source) == "picture":
        return _picture(open_picture(source, max_pixels=max_pixels), locator)
    report = examine(source, locator, max_pixels=max_pixels).as_dict()
    about = video.probe(source)
    first = next(iter(samples(source, [0.0], max_side=_SHOWN)), None)
    return {
        "report": report,
        "width": about.width,
        "height": about.height,
        "seconds": round(about.seconds, 3),
        "fps": round(about.fps, 3),
        "landmarks": None,
        "preview": None if first is None else _jpeg(first.rgb),
    }


def _picture(picture: Picture, locator: FaceLocator) -> dict[str, Any]:
    height, width = picture.rgb.shape[:2]
    meshes = locator.all(picture.rgb)
    return {
        "report": of_picture(picture.rgb, meshes).as_dict(),
        "width": width,
        "height": height,
        "seconds": None,
        "fps": None,
        "landmarks": _named(meshes[0]) if meshes else None,
        "preview": _jpeg(_flat(picture)),
    }


def _named(mesh: FaceMesh) -> dict[str, list[float]]:
    return {name: [round(float(v), 1) for v in mesh.points[index, :2]] for name, index in NAMED.items()}


def _flat(picture: Picture) -> npt.NDArray[np.uint8]:
    """The picture without transparency."""
    if picture.alpha is None:
        return picture.rgb
    share = picture.alpha[..., None].astype(np.float32) / 255
    return np.asarray(picture.rgb * share + _BACKDROP * (1 - share) + 0.5, np.uint8)


def _jpeg(rgb: npt.NDArray[np.uint8]) -> bytes:
    scale = _SHOWN / max(rgb.shape[:2])
    if scale < 1:
        size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    buffer = io.BytesIO()
    write_jpeg(buffer, rgb, quality=85)
    return buffer.getvalue()
