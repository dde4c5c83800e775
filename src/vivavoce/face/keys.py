"""Which frames of a film are made with care when not all are: never those that close the lips.

Every n-th frame would miss the closures of p, b and m, which last one or two frames. So the frames that are made are
moved to the turning points of the mouth: its closures, its widest openings, its roundest and its widest shapes.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.text.articulation import PARAMETERS

__all__ = ["interpolated", "key_frames"]

F32 = npt.NDArray[np.float32]

_PRESSED = 0.25
"""Lips that press more than this touch."""
_OFF = 0.07
"""Error of the opening, 0–1, that is let pass, times the number of frames to a key."""
_TURN = 0.10
"""Rise and fall of a curve, 0–1, that a viewer notices."""


def _turns(curve: npt.NDArray[np.floating], least: float) -> set[int]:
    """Places where a curve turns after it has risen or fallen by at least ``least``."""
    found: set[int] = set()
    place, rising = 0, 0
    for i in range(1, len(curve)):
        change = float(curve[i] - curve[place])
        if rising == 0:
            if abs(change) >= least:
                found.add(place)
                place, rising = i, 1 if change > 0 else -1
        elif change * rising >= 0:
            place = i
        elif abs(change) >= least:
            found.add(place)
            place, rising = i, -rising
    return found


def key_frames(articulation: F32, skip: int) -> npt.NDArray[np.intp]:
    """Numbers of the frames to make of a film with these curves ``(n, 8)``: no two more than ``skip`` apart.

    The first and the last are among them, and every frame in which the lips close or the mouth turns.
    """
    n = len(articulation)
    if skip <= 1 or n < 3:
        return np.arange(n)
    curves = dict(zip(PARAMETERS, articulation.T, strict=True))
    opening = curves["jaw"] * (1 - 0.9 * curves["press"]) + 0.3 * (curves["lowdrop"] + curves["upraise"])
    wanted = {0, n - 1}
    for curve in (opening, curves["press"], curves["tuck"], curves["round"] - curves["wide"]):
        wanted |= _turns(curve, _TURN)
    press = curves["press"]
    for i in range(1, n - 1):
        if press[i] > _PRESSED and press[i] >= press[i - 1] and press[i] >= press[i + 1]:
            wanted.add(i)
    keys = [0]
    for key in sorted(wanted - {0}):
        gap = key - keys[-1]
        parts = -(-gap // skip)
        keys += [keys[-1] + round(gap * k / parts) for k in range(1, parts)] if parts > 1 else []
        keys.append(key)
    off = np.abs(opening - np.interp(np.arange(n), keys, opening[keys]))
    while off.max() > _OFF * skip:  # where the mouth snaps open a straight line would drawl
        keys = sorted({*keys, int(off.argmax())})
        off = np.abs(opening - np.interp(np.arange(n), keys, opening[keys]))
    return np.array(sorted(set(keys)), np.intp)


def interpolated(articulation: F32, keys: npt.NDArray[np.intp]) -> F32:
    """The curves ``(n, 8)`` as the key frames have them, in between along straight lines."""
    at = np.arange(len(articulation))
    return np.stack([np.interp(at, keys, column[keys]) for column in articulation.T], axis=1).astype(np.float32)
