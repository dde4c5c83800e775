"""The inside of the mouth, gone over by the person's own small net: teeth and tongue that fit the lips around them.

A mouth is carried to new lips as a whole, but teeth belong to the skull and the jaw. The net sees the painted mouth
upright and in one size, a second picture of it, where the lips lie, and how far the skull would have carried it
elsewhere. It says how far what lies between the lips is to slide, and how much lighter or darker it is: never a pixel
of its own, so it cannot blur. It is trained by ``refine``, and here needs onnxruntime and no torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.library import Library
from vivavoce.engines.person.pose import low_of
from vivavoce.errors import NotFound
from vivavoce.face import mesh as m

__all__ = [
    "APART",
    "CHANNELS",
    "FILE",
    "HEIGHT",
    "INSIDE",
    "LIPS",
    "REACH",
    "SAID",
    "WIDTH",
    "Close",
    "Inner",
    "close_up",
]
__all__ += ["partners_of", "stacked", "unlike"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FILE = "refine.onnx"
WIDTH, HEIGHT = 96, 72
CHANNELS = 10
"""Of what the net sees: the painted mouth, the second picture of it, between the lips, within their outline, and how
far the skull would have carried it elsewhere, across and down, in ``REACH``."""
INSIDE = 6
"""Which of them says where something may change; those before it are colours."""
SAID = 5
"""Channels of what it says: from where, in pixels across and down, each pixel is taken, and the light added to it."""
REACH = 8.0
"""Pixels of a close-up by which anything slides at most, and as which slides are counted."""
_EYE = 128.0
"""Pixels from eye to eye in a close-up: a mouth takes two thirds of its width."""
_RINGS = ((m.INNER_UPPER, m.INNER_LOWER), (m.OUTER_UPPER, m.OUTER_LOWER))
LIPS = tuple(sorted({i for ring in _RINGS for part in ring for i in part}))
"""Landmarks that a close-up is made by."""
_BEYOND = 7
"""Pixels, of a close-up, across the round brush by which the inner lips are grown: their edge is repainted, too."""
_SOFT = 1.5
_FAINT = 1 / 512
"""Of what may change, what would change nothing."""
APART = 0.5
"""Seconds by which two pictures of the film must differ to tell something of each other's mouths."""
_PIXELS = 160.0
_TURN = np.radians([8.0, 8.0, 16.0])
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Close:
    """A mouth that the net is to go over."""

    matrix: Floats
    """``(2, 3)``: from pixels of the picture to pixels of the close-up."""
    second: Bytes
    """``(height, width, 3)``: another picture of the same mouth, carried to the same lips."""
    inside: F32
    """``(height, width)``, 0-1: between the lips and a little beyond: what may change."""
    lips: F32
    """The same within the lips' outline."""
    slide: F32
    """``(height, width, 2)``: pixels, across and down, by which the skull would have carried the mouth elsewhere."""

    def view(self, picture: Bytes) -> Bytes:
        """``picture`` seen close up."""
        return _seen(picture, self.matrix, self.second.shape[1::-1])

    def stacked(self, view: Bytes) -> F32:
        """``(CHANNELS, height, width)``, 0-1: what the net sees of the mouth that is painted as in ``view``."""
        return stacked(view, self.second, self.inside, self.lips, self.slide)


def stacked(view: Bytes, second: Bytes, inside: F32, lips: F32, slide: F32) -> F32:
    """``(CHANNELS, height, width)``, 0-1; the second picture in the light of the first."""
    out = np.empty((CHANNELS, *inside.shape), np.float32)
    out[:3], out[3:6] = view.transpose(2, 0, 1), second.transpose(2, 0, 1)
    around = ((1 - inside) * lips).ravel()
    light = (out[:3] - out[3:6]).reshape(3, -1) @ around / max(float(around.sum()), 1.0)
    out[3:6] += light[:, None, None]
    out[:6] *= np.float32(1 / 255)
    out[INSIDE], out[INSIDE + 1] = inside, lips
    out[INSIDE + 2 :] = slide.transpose(2, 0, 1) / np.float32(REACH)
    return out


def close_up(
    second: Bytes,
    slide: F32,
    lips: npt.NDArray[np.floating],
    along: npt.NDArray[np.floating],
    eye: float,
    *,
    step: int = 1,
    margin: int = 0,
) -> Close:
    """The close-up of a mouth in a picture, where the landmarks ``LIPS`` lie at ``lips`` ``(k, 2)``.

    ``second`` ``(h, w, 3)`` is another picture of the mouth at the same place, ``slide`` how far its pixels lie from
    where the skull would have carried them, ``(h / step, w / step, 2)`` for cells of ``step`` pixels. ``along``
    ``(2,)`` is the direction from eye to eye, ``eye`` their distance in pixels. With ``margin`` it is larger by so many
    pixels on each side.
    """
    size = WIDTH + 2 * margin, HEIGHT + 2 * margin
    x = np.asarray(along, np.float64) / max(float(np.hypot(*along)), 1e-9)
    turn = np.array([x, [-x[1], x[0]]]) * (_EYE / max(eye, 1e-6))
    low, high = (lips @ turn.T).min(axis=0), (lips @ turn.T).max(axis=0)
    matrix = np.column_stack([turn, (np.array(size) - 1) / 2 - (low + high) / 2])
    there = lips @ turn.T + matrix[:, 2]
    inner, outer = (_filled(there, ring, size) for ring in _RINGS)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_BEYOND, _BEYOND))
    inside = cv2.GaussianBlur(np.asarray(cv2.dilate(inner, brush), np.float32) / 255, (0, 0), _SOFT)
    soft = cv2.GaussianBlur(outer.astype(np.float32) / 255, (0, 0), _SOFT)
    cells = np.column_stack([turn * step, turn @ np.full(2, (step - 1) / 2) + matrix[:, 2]])
    slid = cv2.warpAffine(slide, cells, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    slid = np.clip(slid @ turn.T.astype(np.float32), -REACH, REACH)
    seen = _seen(second, matrix, size)
    return Close(matrix, seen, *(np.asarray(a, np.float32) for a in (inside, soft, slid)))


def _filled(points: Floats, ring: tuple[tuple[int, ...], tuple[int, ...]], size: tuple[int, int]) -> Bytes:
    upper, lower = ([LIPS.index(i) for i in part] for part in ring)
    outline = np.vstack([points[upper], points[lower][::-1]])
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def _seen(picture: Bytes, matrix: Floats, size: tuple[int, int]) -> Bytes:
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.6:  # a large face: what is finer than the close-up would alias
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale), np.uint8)
    seen = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.uint8)


def partners_of(library: Library) -> Ints:
    """``(n,)``: for each picture another one with a like mouth and pose, not from the same moment; -1 for none.

    It is what a mouth is seen a second time by.
    """
    k = np.flatnonzero(library.usable)
    out = np.full(len(library), -1, np.intp)
    for first in range(0, len(k), _ROWS):
        some = k[first : first + _ROWS]
        cost = unlike(library, some, k)
        best = cost.argmin(axis=1)
        out[some] = np.where(np.isfinite(cost[range(len(some)), best]), k[best], -1)
    return out


def unlike(library: Library, some: Ints, others: Ints) -> F32:
    """How unlike mouths and poses are, ``(len(some), len(others))``; infinite for pictures of the same moment."""
    low = low_of(library.head.shape) * np.float32(_PIXELS)
    turned = (library.head.angles / _TURN).astype(np.float32)
    cost = 2 * _squares(low[some], low[others]) / low.shape[1] + 3 * _squares(turned[some], turned[others])
    cost = cost + 8 * np.maximum(-library.skin[others] - 0.2, 0)
    near = np.abs(some[:, None] - others) <= APART * float(library.footage.fps)
    return np.asarray(np.where(near, np.inf, cost), np.float32)


def _squares(a: F32, b: F32) -> F32:
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0), np.float32)


class Inner:
    """A person's net, and which picture each mouth is seen a second time by. Threads may share it."""

    def __init__(self, model: bytes, partners: Ints, threads: int = 1) -> None:
        """``model`` is ONNX; raises ``ValueError`` when it is not, or when it is another net."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ValueError("no ONNX model") from error
        (seen,), (said,) = self._session.get_inputs(), self._session.get_outputs()
        if list(seen.shape)[1:] != [CHANNELS, HEIGHT, WIDTH] or list(said.shape)[1:] != [SAID, HEIGHT, WIDTH]:
            raise ValueError("another net")
        self._name = seen.name
        self._partners = partners

    @classmethod
    def load(cls, folder: Path, library: Library) -> "Inner | None":
        """That of the avatar in ``folder``; None where it has none. Raises ``NotFound`` when it is damaged."""
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return cls(path.read_bytes(), partners_of(library))
        except (OSError, ValueError) as error:
            raise NotFound(f"The avatar {folder.name!r} is damaged; add its video again.") from error

    def partner(self, unit: int) -> int | None:
        """The picture by which the mouth of picture ``unit`` is seen a second time."""
        found = int(self._partners[unit])
        return found if found >= 0 else None

    def refine(self, picture: Bytes, close: Close, weight: float = 1.0) -> None:
        """Go over the mouth in ``picture`` ``(height, width, 3)``, in place; ``weight`` 0-1 is how much of it."""
        said = self.said(close.stacked(close.view(picture)))
        back = cv2.invertAffineTransform(close.matrix)
        x, y, width, height = cv2.boundingRect((close.inside > _FAINT).astype(np.uint8))
        ends = np.array([[x - 1, y - 1, 1], [x + width, y - 1, 1], [x - 1, y + height, 1], [x + width, y + height, 1]])
        low = np.maximum(np.floor((ends @ back.T).min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil((ends @ back.T).max(axis=0)).astype(int) + 1, picture.shape[1::-1])
        if (high <= low).any():
            return
        matrix = close.matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ low
        size, how = (int(high[0] - low[0]), int(high[1] - low[1])), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        inside, slides, light = (
            np.asarray(cv2.warpAffine(a, matrix, size, flags=how), np.float32)
            for a in (close.inside * np.float32(weight), said[..., :2], said[..., 2:])
        )
        at = np.stack(np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])), axis=-1)
        at = (at + slides @ back[:, :2].T).astype(np.float32)
        taken = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        part = picture[low[1] : high[1], low[0] : high[0]]
        change = taken.astype(np.float32) + 255 * light - part
        part[:] = cv2.add(part, change * inside[..., None], dtype=cv2.CV_8U)

    def said(self, stacked: F32) -> F32:
        """``(HEIGHT, WIDTH, SAID)``: pixels of the close-up across and down, and light, 0-1."""
        said = self._session.run(None, {self._name: stacked[None]})[0][0]
        return np.ascontiguousarray(said.transpose(1, 2, 0))
