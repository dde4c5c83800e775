"""Averages landmark files into the template that given points are expanded with.

    python scripts/make_face_template.py anna_mp468.json aigul_mp468.json david_mp468.json

Each file holds 468 rows of x, y, z, relative to a square picture. The faces are scaled to an eye distance of 1 around
the middle of the eyes and averaged; the mean goes to src/vivavoce/face/template.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np

from vivavoce.face.mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

TARGET = Path(__file__).resolve().parents[1] / "src" / "vivavoce" / "face" / "template.npz"


def upright(points: np.ndarray) -> np.ndarray:
    """The face with its eye line level, the middle of the eyes at the origin, and an eye distance of 1."""
    left, right = points[LEFT_EYE_OUTER], points[RIGHT_EYE_OUTER]
    across = (right - left)[:2]
    cosine, sine = across / np.linalg.norm(across)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    return (points - (left + right) / 2) @ turn.T / np.linalg.norm(across)


faces = [upright(np.array(json.loads(Path(name).read_text()), np.float64)) for name in sys.argv[1:]]
np.savez_compressed(TARGET, points=np.mean(faces, axis=0).astype(np.float32))
print(f"{len(faces)} faces, {TARGET.stat().st_size} bytes")
