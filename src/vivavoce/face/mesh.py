"""A face as 468 points, and what can be read off them.

The topology is that of MediaPipe's face mesh: indices name the same anatomical place on every face.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHIN",
    "FOREHEAD",
    "INNER_LOWER",
    "INNER_UPPER",
    "LEFT_BROW",
    "LEFT_CORNER",
    "LEFT_LOWER_LID",
    "LEFT_UPPER_LID",
    "NOSE_TIP",
    "OUTER_LOWER",
    "OUTER_UPPER",
    "OVAL",
    "RIGHT_BROW",
    "RIGHT_CORNER",
    "RIGHT_LOWER_LID",
    "RIGHT_UPPER_LID",
    "FaceMesh",
]

Points = npt.NDArray[np.float32]

# Left and right are the picture's. Contours run from the picture's left to its right, ovals clockwise from the top.
LEFT_CORNER, RIGHT_CORNER = 61, 291
NOSE_TIP, CHIN, FOREHEAD = 1, 152, 10
LEFT_EYE_OUTER, LEFT_EYE_INNER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER = 33, 133, 362, 263
INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
# The rings of the lips between the outer and the inner contour, from outside in.
BETWEEN_UPPER = ((76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306), (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292))
BETWEEN_LOWER = ((76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306), (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292))
LEFT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LEFT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
RIGHT_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)
LEFT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
RIGHT_BROW = (336, 296, 334, 293, 300, 285, 295, 282, 283, 276)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


@dataclass(frozen=True, slots=True)
class FaceMesh:
    """The landmarks of one face in one picture."""

    points: Points
    """Shape ``(468, 3)``: x, y in pixels, z in pixels of the same scale, smaller is nearer to the camera."""
    confidence: float = 1.0
    """0–1, of the landmark net; landmarks given by hand have 1."""

    @property
    def eye_distance(self) -> float:
        """Pixels between the outer corners of the eyes: the unit of all other measures."""
        return float(np.linalg.norm(self.points[RIGHT_EYE_OUTER, :2] - self.points[LEFT_EYE_OUTER, :2]))

    @property
    def roll(self) -> float:
        """Radians by which the line of the eyes is turned clockwise."""
        dx, dy = (self.points[RIGHT_EYE_OUTER] - self.points[LEFT_EYE_OUTER])[:2]
        return float(np.arctan2(dy, dx))

    @property
    def yaw(self) -> float:
        """Turn of the head: how far the nose lies from the middle of the eyes, in eye distances; 0 is frontal."""
        eyes = (self.points[LEFT_EYE_OUTER, :2] + self.points[RIGHT_EYE_OUTER, :2]) / 2
        axis = np.array([np.cos(self.roll), np.sin(self.roll)])
        return float((self.points[NOSE_TIP, :2] - eyes) @ axis / self.eye_distance)

    @property
    def lip_gap(self) -> float:
        """Mean distance of the inner lips at the middle three pairs, in eye distances: 0 is a shut mouth."""
        pairs = ((82, 87), (13, 14), (312, 317))
        gaps = [np.linalg.norm(self.points[a, :2] - self.points[b, :2]) for a, b in pairs]
        return float(np.mean(gaps) / self.eye_distance)

    def moved(self, scale: float, shift: tuple[float, float]) -> "FaceMesh":
        """The mesh in a picture that was scaled by ``scale`` and then shifted by ``shift`` pixels."""
        points = self.points * np.float32(scale)
        points[:, :2] += np.asarray(shift, np.float32)
        return FaceMesh(points.astype(np.float32), self.confidence)
