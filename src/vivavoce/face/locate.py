"""Finds the one face that an avatar is made of, or refuses the picture with a sentence that says why.

The face is located on the original picture, before anything is cropped or fitted: a face squeezed into a canvas first
is found in the wrong place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.errors import FaceRejected
from vivavoce.face.mesh import OVAL, FaceMesh
from vivavoce.face.nets import Detection, FaceDetector, MeshNet
from vivavoce.models import ModelStore

__all__ = ["FaceLocator", "Located", "judge"]

Image = npt.NDArray[np.uint8]

MIN_EYES, GOOD_EYES = 40, 70
"""Pixels between the outer eye corners: below the first a face is refused, below the second it is warned of."""
MAX_YAW = 0.4
"""Turn of the head (``FaceMesh.yaw``) that still animates well."""
MAX_TILT = 0.6
"""Radians of roll above which the user is told that the picture may lie on its side."""
MIN_CONFIDENCE = 0.5
MIN_LUMA, MIN_CONTRAST = 35.0, 8.0
"""Mean and standard deviation of the face's brightness, 0–255."""
_PARTS = (2, 4, 8)
"""The longer side is divided so when a face is looked for in tiles."""
_SMALLEST_TILE = 256
"""Pixels: a face that cannot be found in a tile of this side is too small to animate."""
_VIEW = 256
"""Pixels to which a view is shrunk before it is cut into tiles; the detector itself sees 128."""
_MAX_FACES = 12


@dataclass(frozen=True, slots=True)
class Located:
    """The face of a picture."""

    mesh: FaceMesh
    warnings: tuple[str, ...] = ()
    """Sentences for the user: the avatar can be made, but would be better otherwise."""


class FaceLocator:
    """Locates faces with the nets of the model store; they are loaded at the first use. Safe to share by threads."""

    def __init__(self, models: ModelStore) -> None:
        self._models = models
        self._nets: tuple[FaceDetector, MeshNet] | None = None
        self._lock = Lock()

    def locate(self, rgb: Image) -> Located:
        """The face in ``rgb`` ``(h, w, 3)``, of several the largest.

        Raises ``FaceRejected`` for a picture without a face that can be animated, ``EngineUnavailable`` when the nets
        cannot be had.
        """
        with self._lock:  # OpenCV's nets keep their state between two calls
            faces = self._faces(rgb)
        if not faces:
            raise FaceRejected(
                "No face was found in the picture; use a photo of one face, seen from the front, in good light."
            )
        sure = [f for f in faces if f.confidence >= MIN_CONFIDENCE]
        if not sure:
            raise FaceRejected(
                "What looks like a face in the picture is not clear enough to animate; use a photo of a human face "
                "that nothing covers."
            )
        sure.sort(key=lambda f: f.eye_distance, reverse=True)
        mesh = sure[0]
        several = (f"The picture shows {len(sure)} faces; the largest is used.",) if len(sure) > 1 else ()
        return Located(mesh, (*several, *judge(rgb, mesh)))

    def all(self, rgb: Image, *, quick: bool = False) -> list[FaceMesh]:
        """Every face in ``rgb`` ``(h, w, 3)`` that is clear enough, the largest first; none is refused, none needed.

        ``quick``: one look at the whole picture, which misses small faces. Raises ``EngineUnavailable`` when the nets
        cannot be had.
        """
        with self._lock:
            detector, net = self._loaded()
            faces = [net.mesh(rgb, f) for f in detector.detect(rgb)[:_MAX_FACES]] if quick else self._faces(rgb)
            sure = [f for f in faces if f.confidence >= MIN_CONFIDENCE]
        return sorted(sure, key=lambda f: f.eye_distance, reverse=True)

    def follow(self, rgb: Image, before: FaceMesh | None) -> FaceMesh | None:
        """The face of a film that lay at ``before`` in the picture before ``rgb``, or the largest one; None for none.

        The detector looks only at the whole picture, and only when the face is lost.
        """
        with self._lock:
            detector, net = self._loaded()
            if before is not None:
                mesh = net.follow(rgb, before)
                if mesh.confidence >= MIN_CONFIDENCE and mesh.eye_distance > 0.5 * before.eye_distance:
                    return mesh
            found = sorted(detector.detect(rgb), key=lambda face: face.side, reverse=True)
            for mesh in (net.mesh(rgb, face) for face in found[:2]):
                if mesh.confidence >= MIN_CONFIDENCE:
                    return net.follow(rgb, mesh)
        return None

    def _loaded(self) -> tuple[FaceDetector, MeshNet]:
        if self._nets is None:
            self._nets = (
                FaceDetector(self._models.path("face-detector")),
                MeshNet(self._models.path("face-mesh")),
            )
        return self._nets

    def _faces(self, rgb: Image) -> list[FaceMesh]:
        """Meshes of the faces of the first view that shows a convincing one, else all doubtful ones."""
        detector, net = self._loaded()
        doubtful: list[FaceMesh] = []
        for found in _views(detector, rgb):
            meshes = [net.mesh(rgb, face) for face in found[:_MAX_FACES]]
            if any(m.confidence >= MIN_CONFIDENCE for m in meshes):
                return meshes
            doubtful += meshes
        return doubtful


def _views(detector: FaceDetector, rgb: Image) -> Iterator[list[Detection]]:
    """What the detector finds in the whole picture, then, each only when asked for, in views that show other faces."""
    height, width = rgb.shape[:2]
    longest = max(height, width)
    whole = detector.detect(rgb)
    if whole and max(face.side for face in whole) < longest / 4:  # near the limit: one beside it may have been missed
        whole = _once(whole + _in_tiles(detector, rgb, longest // 2))
    yield whole
    small, scale = _shrunk(rgb, _VIEW / longest)
    # With a border, for a face that fills the picture; upside down, for a picture that was scanned so.
    border = max(small.shape) // 4
    roomy = np.asarray(cv2.copyMakeBorder(small, *(border,) * 4, cv2.BORDER_CONSTANT), np.uint8)
    yield [face.moved(scale, -border * scale, -border * scale) for face in detector.detect(roomy)]
    turned = detector.detect(np.ascontiguousarray(small[::-1, ::-1]))
    yield [face.moved(scale, 0, 0).turned(width, height) for face in turned]
    for part in _PARTS:
        if longest // part >= _SMALLEST_TILE:
            yield _in_tiles(detector, rgb, longest // part)


def _in_tiles(detector: FaceDetector, rgb: Image, tile: int) -> list[Detection]:
    """Faces in overlapping tiles of ``tile`` pixels: the detector misses those smaller than an eighth of its view."""
    small, scale = _shrunk(rgb, _VIEW / tile)
    height, width = small.shape[:2]
    side = max(1, round(tile / scale))
    found: list[Detection] = []
    for y in _starts(height, side):
        for x in _starts(width, side):
            faces = detector.detect(small[y : y + side, x : x + side])
            found += [face.moved(scale, x * scale, y * scale) for face in faces]
    return _once(found)


def _shrunk(rgb: Image, factor: float) -> tuple[Image, float]:
    """The picture made smaller by ``factor`` (never larger), and the scale that leads back."""
    if factor >= 1:
        return rgb, 1.0
    size = max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8), 1 / factor


def _once(found: list[Detection]) -> list[Detection]:
    """Each face once, best first."""
    once: list[Detection] = []
    for face in sorted(found, key=lambda f: f.score, reverse=True):
        if not any(face.same_as(other) for other in once):
            once.append(face)
    return once


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles that overlap by half begin."""
    half = max(1, tile // 2)
    return sorted({min(start, max(0, length - tile)) for start in range(0, max(1, length - half), half)})


def judge(rgb: Image, mesh: FaceMesh) -> tuple[str, ...]:
    """Warnings about a face that can be animated; raises ``FaceRejected`` for one that cannot.

    It judges given landmarks as well as found ones.
    """
    eyes = mesh.eye_distance
    if eyes < MIN_EYES:
        raise FaceRejected(
            f"The face is too small: {eyes:.0f} pixels between the outer corners of the eyes, at least {MIN_EYES} are "
            "needed; use a larger photo."
        )
    if abs(mesh.yaw) > MAX_YAW:
        raise FaceRejected("The face is turned too far to the side; use a photo that looks towards the camera.")
    light, contrast = _brightness(rgb, mesh)
    if light < MIN_LUMA:
        raise FaceRejected("The face is too dark; use a photo with more light on the face.")
    if contrast < MIN_CONTRAST:
        raise FaceRejected("The face has too little contrast; use a clear, well lit photo.")
    warnings = []
    if eyes < GOOD_EYES:
        warnings.append(f"The face is small ({eyes:.0f} pixels between the eyes' outer corners); the film may be soft.")
    if abs(mesh.roll) > MAX_TILT:
        warnings.append(
            f"The head is tilted by {abs(np.degrees(mesh.roll)):.0f} degrees; turn the picture if that is not meant."
        )
    return tuple(warnings)


def _brightness(rgb: Image, mesh: FaceMesh) -> tuple[float, float]:
    """Mean and standard deviation of the luma inside the face's outline, 0–255."""
    height, width = rgb.shape[:2]
    x, y, w, h = cv2.boundingRect(mesh.points[:, :2].astype(np.float32))
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 <= x0 or y1 <= y0:
        raise FaceRejected("The landmarks of the face lie outside the picture.")
    luma = cv2.cvtColor(np.ascontiguousarray(rgb[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    mask = np.zeros(luma.shape, np.uint8)
    outline = np.round(mesh.points[list(OVAL), :2] - (x0, y0)).astype(np.int32)
    cv2.fillPoly(mask, [outline], 255)
    mean, deviation = cv2.meanStdDev(luma, mask=mask)
    return float(mean[0, 0]), float(deviation[0, 0])
