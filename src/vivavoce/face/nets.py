"""The two nets that read a face, run by OpenCV so that no inference runtime has to be installed.

BlazeFace finds faces (Bazarevsky et al., 2019, arXiv:1907.05047), the face mesh net places 468 landmarks (Kartynnik et
al., 2019, arXiv:1907.06724). Both are MediaPipe's, in its .tflite files; pre- and post-processing follow its graphs.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, FaceMesh

__all__ = ["Detection", "FaceDetector", "MeshNet"]

Image = npt.NDArray[np.uint8]
_Array = npt.NDArray[np.float32]

_DETECTOR_SIDE, _MESH_SIDE = 128, 192
_MARGIN = 1.5
"""Side of the mesh net's crop over that of the face."""
_FINER = 1.5
"""Side of a crop in pixels over the net's, from which it has more detail than the net takes in."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face that the detector believes in."""

    score: float
    """0–1."""
    centre: tuple[float, float]
    """Pixels."""
    side: float
    """Pixels of a square that holds eyes, nose and mouth."""
    roll: float
    """Radians by which the line of the eyes is turned clockwise."""

    def moved(self, scale: float, x: float, y: float) -> "Detection":
        """The same face in a picture of which the detector saw the part at ``(x, y)``, shrunk by ``scale``."""
        centre = self.centre[0] * scale + x, self.centre[1] * scale + y
        return Detection(self.score, centre, self.side * scale, self.roll)

    def turned(self, width: int, height: int) -> "Detection":
        """The same face in a picture of which the detector saw the copy that stands on its head."""
        return Detection(self.score, (width - self.centre[0], height - self.centre[1]), self.side, self.roll + np.pi)

    def same_as(self, other: "Detection") -> bool:
        """Whether both are the same face."""
        apart = np.hypot(self.centre[0] - other.centre[0], self.centre[1] - other.centre[1])
        return bool(apart < 0.5 * max(self.side, other.side))


def _anchors() -> _Array:
    """Centres ``(896, 2)``, 0–1, of the detector's cells: two a cell of 8 pixels, six a cell of 16."""
    rows = []
    for stride, repeats in ((8, 2), (16, 6)):
        n = _DETECTOR_SIDE // stride
        y, x = np.mgrid[:n, :n]
        cells = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1) / n
        rows.append(np.repeat(cells, repeats, axis=0))
    return np.concatenate(rows).astype(np.float32)


def _read(path: Path) -> cv2.dnn.Net:
    net = cv2.dnn.readNetFromTFLite(str(path))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    return net


def _forward(net: cv2.dnn.Net, blob: cv2.typing.MatLike) -> list[_Array]:
    """All outputs, smallest first."""
    net.setInput(blob)
    outputs = net.forward(list(net.getUnconnectedOutLayersNames()))
    return sorted((np.asarray(o, np.float32) for o in outputs), key=lambda o: o.size)


def _sigmoid(x: _Array) -> _Array:
    return (1 / (1 + np.exp(-np.clip(x, -80, 80)))).astype(np.float32)


class FaceDetector:
    """Finds faces that fill at least about an eighth of the picture's longer side."""

    def __init__(self, path: Path) -> None:
        self._net = _read(path)
        self._anchors = _anchors()

    def detect(self, rgb: Image, threshold: float = 0.5) -> list[Detection]:
        """Faces in ``rgb`` ``(h, w, 3)``, best first, each once."""
        height, width = rgb.shape[:2]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        scale = _DETECTOR_SIDE / side
        small_size = max(1, round(width * scale)), max(1, round(height * scale))
        small = np.zeros((_DETECTOR_SIDE, _DETECTOR_SIDE, 3), np.uint8)
        x, y = round(left * scale), round(top * scale)
        shrunk = cv2.resize(rgb, small_size, interpolation=cv2.INTER_AREA)[: _DETECTOR_SIDE - y, : _DETECTOR_SIDE - x]
        small[y : y + shrunk.shape[0], x : x + shrunk.shape[1]] = shrunk
        scores, boxes = _forward(self._net, cv2.dnn.blobFromImage(small, 1 / 127.5, mean=(127.5,) * 3))
        return self._decode(_sigmoid(scores.reshape(-1)), boxes.reshape(-1, 16), side, (left, top), threshold)

    def _decode(
        self, scores: _Array, boxes: _Array, side: int, offset: tuple[int, int], threshold: float
    ) -> list[Detection]:
        found: list[Detection] = []
        for i in np.argsort(-scores):
            if scores[i] < threshold:
                break
            # A row: centre, size, then six points (eyes, nose, mouth, ears), all relative to the cell's centre.
            points = boxes[i, 4:].reshape(6, 2)
            eyes = points[1] - points[0]
            centre = (boxes[i, :2] / _DETECTOR_SIDE + self._anchors[i]) * side - offset
            face = Detection(
                float(scores[i]),
                (float(centre[0]), float(centre[1])),
                float(boxes[i, 2:4].max()) / _DETECTOR_SIDE * side,
                float(np.arctan2(eyes[1], eyes[0])),
            )
            if not any(face.same_as(other) for other in found):
                found.append(face)
        return found


class MeshNet:
    """Places 468 landmarks on a detected face."""

    def __init__(self, path: Path) -> None:
        self._net = _read(path)

    def mesh(self, rgb: Image, face: Detection) -> FaceMesh:
        """Landmarks of ``face`` in pixels of ``rgb``.

        The net always sees an upright face, also in one that stands on its head, so both ways are tried and the one
        that the net believes in more is kept; a second pass then crops by the landmarks of the first.
        """
        centre = np.array(face.centre, np.float32)
        side = face.side * _MARGIN
        tries = [self._place(rgb, centre, side, face.roll + turn) for turn in (0.0, np.pi)]
        seconds = [self._again(rgb, points) for points, _ in tries]
        points, score = max(seconds, key=lambda second: second[1])
        return FaceMesh(points, 1 / (1 + float(np.exp(-score))))

    def follow(self, rgb: Image, before: FaceMesh) -> FaceMesh:
        """Landmarks of the face that lay at ``before`` in the picture before this one of a film.

        Two crops that differ a little are averaged: the net's jitter is a third less for it.
        """
        found = [self._again(rgb, before.points, margin) for margin in (0.97 * _MARGIN, 1.03 * _MARGIN)]
        score = float(np.mean([score for _, score in found]))
        return FaceMesh(np.mean([points for points, _ in found], axis=0), 1 / (1 + float(np.exp(-score))))

    def _again(self, rgb: Image, points: _Array, margin: float = _MARGIN) -> tuple[_Array, float]:
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        dx, dy = (points[RIGHT_EYE_OUTER] - points[LEFT_EYE_OUTER])[:2]
        return self._place(rgb, (low + high) / 2, float((high - low).max()) * margin, float(np.arctan2(dy, dx)))

    def _place(self, rgb: Image, centre: _Array, side: float, roll: float) -> tuple[_Array, float]:
        """Landmarks in a turned square of the picture, and the logit of there being a face."""
        side = max(side, 1.0)
        shrink, origin, source = _shrunk(rgb, centre, side)
        local = (centre - origin + 0.5) * shrink - 0.5
        # Cut out at twice the net's size and halved: a cheap way not to alias, whatever the size of the face.
        finer = 2 if side > _FINER * _MESH_SIDE else 1
        view = finer * _MESH_SIDE
        turn = cv2.getRotationMatrix2D((float(local[0]), float(local[1])), np.degrees(roll), view / side / shrink)
        turn[:, 2] = turn[:, 2] + view / 2 - local
        crop = cv2.warpAffine(source, turn, (view, view), flags=cv2.INTER_LINEAR)
        if finer > 1:
            crop = cv2.resize(crop, (_MESH_SIDE, _MESH_SIDE), interpolation=cv2.INTER_AREA)
        score, flat = _forward(self._net, cv2.dnn.blobFromImage(crop, 1 / 255))
        raw = flat.reshape(468, 3)
        back = cv2.invertAffineTransform(turn)
        seen = (raw[:, :2] + 0.5) * finer - 0.5
        points = np.empty((468, 3), np.float32)
        points[:, :2] = (seen @ back[:, :2].T + back[:, 2] + 0.5) / shrink - 0.5 + origin
        points[:, 2] = raw[:, 2] * side / _MESH_SIDE
        return points, float(np.clip(score.reshape(-1)[0], -80, 80))


def _shrunk(rgb: Image, centre: _Array, side: float) -> tuple[float, _Array, Image]:
    """The part of the picture around a crop, made a whole number of times smaller where it is much larger than needed.

    Its scale, its origin, its pixels.
    """
    height, width = rgb.shape[:2]
    reach = side * 0.75  # a turned square reaches out by up to half its diagonal
    x0, y0 = (int(np.clip(c - reach, 0, end - 1)) for c, end in zip(centre, (width, height), strict=True))
    x1, y1 = (int(np.clip(c + reach, 1, end)) for c, end in zip(centre, (width, height), strict=True))
    part = rgb[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    cell = min(int(side // (2 * _MESH_SIDE)), *part.shape[:2])
    if cell > 1:
        rows, columns = part.shape[0] // cell, part.shape[1] // cell
        whole = part[: rows * cell, : columns * cell]
        part = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return 1 / max(cell, 1), np.array([x0, y0], np.float32), part
