"""Pictures in which something is before the mouth: a hand, a cup, a microphone.

The landmark net does not mind: it draws the lips where they ought to be. Colours do. Those of lips, chin and the skin
around the mouth are compared with what they are in the rest of the film at such a pose and such an opening; cheeks and
nose say how much light there is.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import stretches
from vivavoce.face import mesh as m

__all__ = ["AREAS", "hidden"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

AREAS: tuple[tuple[int, ...], ...] = (
    *((0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11), (12, 13, 14), (15, 16, 17)),
    *((18, 19, 20), (21, 22, 23), (24, 25, 26), (27, 28, 29), (30, 31, 32), (33, 34, 35), (36, 37), (38, 39)),
)
"""Places of ``look.View.flesh`` that lie side by side: the lips in thirds, chin, its sides, philtrum, corners, jaws."""
_TRUSTED, _ROUNDS = 0.6, 3
"""Share of the pictures, the most usual ones, that say what is usual; and how often that is asked again."""
_FLOOR = np.array([0.02, 0.02, 0.06])
"""Differences of log colours, two of hue and one of light, that mean nothing."""
_STRANGE, _STRANGEST = 2.5, 4
"""Mean deviation, over what is usual, of the so many strangest areas, from which the mouth is hidden."""
_LASTS = 5
"""Pictures over whose median that is judged: nothing comes and goes within two."""
_LEAST, _MOST = 100, 0.25
"""Pictures of an uncut part that are enough to judge by; the share above which it is the light that has changed."""


def hidden(flesh: F32, points: F32, seen: Bools, cut: Bools) -> Bools:
    """``(n,)``: where something covers the mouth of a face that is ``seen``.

    ``flesh`` ``(n, 40, 3)`` is ``look.View.flesh`` of the pictures with the landmarks ``points`` ``(n, 468, 3)``;
    ``cut`` where the film is cut.
    """
    found = np.zeros(len(seen), bool)
    for first, last in stretches(np.cumsum(cut)):
        here = first + np.flatnonzero(seen[first:last])
        if len(here) < _LEAST:
            continue
        strange = _strange(flesh[here].astype(np.float64), _causes(points[here]))
        even = np.pad(strange, _LASTS // 2, mode="edge")
        covered = np.median(np.lib.stride_tricks.sliding_window_view(even, _LASTS), axis=1) > _STRANGE
        if covered.mean() <= _MOST:
            found[here[covered]] = True
    return found


def _strange(flesh: Floats, causes: Floats) -> Floats:
    """How far each picture's strangest areas are from what its ``causes`` explain, ``(n,)``; 1 is usual."""
    rows = flesh.reshape(len(flesh), -1)
    usual = np.ones(len(rows), bool)
    score = np.zeros(len(rows))
    for _ in range(_ROUNDS):
        explained = np.linalg.lstsq(causes[usual], rows[usual], rcond=None)[0]
        rest = (rows - causes @ explained).reshape(flesh.shape)
        middle = np.median(rest[usual], axis=0)
        spread = 1.48 * np.median(np.abs(rest[usual] - middle), axis=0) + _FLOOR
        places = np.sqrt((((rest - middle) / spread) ** 2).mean(axis=-1))
        areas = np.stack([places[:, area].mean(axis=1) for area in AREAS], axis=1)
        score = np.sort(areas, axis=1)[:, -_STRANGEST:].mean(axis=1)
        usual = score <= np.quantile(score, _TRUSTED)
    return score


def _causes(points: npt.NDArray[np.floating]) -> Floats:
    """What changes the colours of a mouth that is seen, ``(n, 7)``: how it is opened and how the head is turned."""
    eyes = points[:, m.RIGHT_EYE_OUTER] - points[:, m.LEFT_EYE_OUTER]
    across = eyes[:, :2] / np.maximum(np.linalg.norm(eyes[:, :2], axis=1, keepdims=True), 1e-6)
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    eye = np.maximum(np.linalg.norm(eyes, axis=1), 1e-6)

    def apart(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating], along: npt.NDArray[np.floating]) -> Floats:
        return np.asarray(((b - a)[:, :2] * along).sum(axis=1) / eye, np.float64)

    between = points[:, [m.LEFT_EYE_OUTER, m.RIGHT_EYE_OUTER]].mean(axis=1)
    gap = apart(points[:, 13], points[:, 14], down)
    width = apart(points[:, m.LEFT_CORNER], points[:, m.RIGHT_CORNER], across)
    turn, nod = apart(between, points[:, 1], across), apart(between, points[:, 1], down)
    return np.stack([np.ones(len(points)), np.sqrt(np.maximum(gap, 0)), gap, width, turn, turn**2, nod], axis=1)
