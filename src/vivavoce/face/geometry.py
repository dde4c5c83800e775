"""The face's own coordinate frame, and smooth interpolation of scattered values."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.face.mesh import CHIN, FOREHEAD, LEFT_CORNER, LEFT_EYE_OUTER, RIGHT_CORNER, RIGHT_EYE_OUTER, FaceMesh

__all__ = ["FaceAxes", "falloff", "sample", "smoothstep", "thin_plate"]

Floats = npt.NDArray[np.float64]


def smoothstep(low: float, high: float, x: npt.NDArray[np.floating]) -> Floats:
    """0 at ``low``, 1 at ``high`` (which may be the smaller), with level ends."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def falloff(x: npt.NDArray[np.floating], reach: float, power: float) -> Floats:
    """1 at 0, near 0 from ``reach`` on."""
    return np.asarray(np.exp(-((np.abs(x) / reach) ** power)), np.float64)


def sample(
    image: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    at: npt.NDArray[np.floating],
    border: int = cv2.BORDER_CONSTANT,
) -> npt.NDArray[Any]:
    """``image`` at the positions ``at`` ``(h, w, 2)`` (x, y in pixels), bilinear; by default 0 outside."""
    where = np.asarray(at, np.float32)
    # the stubs demand a second map, which a map of pairs does not have
    return np.asarray(cv2.remap(image, where, None, cv2.INTER_LINEAR, borderMode=border))  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class FaceAxes:
    """Origin between the mouth's corners, x along the eyes, y towards the chin; independent of the head's roll."""

    origin: Floats
    """Pixels, shape ``(2,)``."""
    x: Floats
    y: Floats
    eye: float
    """Pixels between the outer eye corners: the unit E."""
    mouth: float
    """Half the mouth's width in pixels."""

    @classmethod
    def of(cls, mesh: FaceMesh) -> "FaceAxes":
        """Read the axes off a mesh."""
        p = mesh.points[:, :2].astype(np.float64)
        x = p[RIGHT_EYE_OUTER] - p[LEFT_EYE_OUTER]
        eye = float(np.hypot(*x))
        x = x / eye
        y = np.array([-x[1], x[0]])
        if (p[CHIN] - p[FOREHEAD]) @ y < 0:
            y = -y
        return cls(
            origin=(p[LEFT_CORNER] + p[RIGHT_CORNER]) / 2,
            x=x,
            y=y,
            eye=eye,
            mouth=float(np.hypot(*(p[RIGHT_CORNER] - p[LEFT_CORNER])) / 2),
        )

    def to_face(self, pixels: npt.NDArray[np.floating]) -> Floats:
        """Pixels ``(…, 2)`` in face coordinates, still in pixels."""
        d = np.asarray(pixels, np.float64) - self.origin
        return np.stack([d @ self.x, d @ self.y], axis=-1)

    def to_pixels(self, face: npt.NDArray[np.floating]) -> Floats:
        """The inverse of ``to_face``."""
        f = np.asarray(face, np.float64)
        return np.asarray(self.origin + f[..., :1] * self.x + f[..., 1:] * self.y)

    def turn(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Vectors ``(…, 2)`` of the face frame as pixel vectors."""
        return np.asarray(np.asarray(vectors, np.float64) @ np.stack([self.x, self.y]))


def thin_plate(points: Floats, values: Floats, at: Floats, smoothing: float) -> Floats:
    """Thin-plate spline through scattered ``values`` ``(n, k)`` at ``points`` ``(n, 2)``, evaluated at ``at``.

    Minimises bending energy plus ``smoothing`` times the squared error (Wahba 1990, Spline Models for Observational
    Data); a plane is reproduced exactly.
    """

    def kernel(a: Floats, b: Floats) -> Floats:
        r2 = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        np.maximum(r2, 1e-12, out=r2)
        out = np.log(r2)
        out *= r2
        out *= 0.5
        return np.asarray(out)

    n = len(points)
    plane = np.hstack([np.ones((n, 1)), points])
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(points, points) + smoothing * np.eye(n)
    system[:n, n:], system[n:, :n] = plane, plane.T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))
    return np.asarray(kernel(at, points) @ weights[:n] + np.hstack([np.ones((len(at), 1)), at]) @ weights[n:])
