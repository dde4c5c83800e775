"""One picture of the film with another mouth: the person's own, out of other pictures, where this one has its lips.

The base's pose and expression stay; its lower face moves to the shape that is wanted, and with it jaw, cheeks and
beard, fading out around the face. On that lies the lower face, or the lips, of the picture that was chosen, warped to
the same shape and in the base's light. Where runs of pictures join, the neighbouring ones shine through softly.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.colour import ring, spread
from vivavoce.engines.person.crops import Crops
from vivavoce.engines.person.inner import LIPS, Close, Inner, close_up
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.mask import OUTLINE, Layout, mask
from vivavoce.engines.person.warp import Box, Grain, carried, fields, window
from vivavoce.face import mesh as m
from vivavoce.face.geometry import smoothstep
from vivavoce.face.screen import Screen
from vivavoce.media.reel import Planes
from vivavoce.nouns import Canvas

__all__ = ["CONTROLS", "Mouth", "Painter", "lower_share"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_LIPS = (*m.OUTER_UPPER, *m.OUTER_LOWER, *m.INNER_UPPER, *m.INNER_LOWER)
CONTROLS = tuple(
    sorted(
        {
            *_LIPS,
            *(132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361),  # the jaw
            *(18, 200, 199, 175, 83, 313, 182, 406, 201, 421, 208, 428, 171, 396, 32, 262, 140, 369),  # the chin
            *(205, 425, 207, 427, 187, 411, 206, 426, 216, 436, 203, 423, 212, 432, 214, 434, 210, 430),  # cheeks
            *(192, 416, 213, 433, 50, 280, 36, 266, 57, 287, 43, 273, 204, 424, 202, 422, 186, 410, 165, 391),
            *(92, 322, 167, 393, 164, 2, 98, 327, 129, 358, 97, 326, 101, 330, 147, 376, 123, 352),
        }
    )
)
"""Landmarks that carry the lower face from picture to picture: lips, jaw, chin, cheeks, and below the nose."""
_USED = tuple(sorted({*CONTROLS, *OUTLINE}))
_CONTROLS = [_USED.index(i) for i in CONTROLS]
_OUTLINE = [_USED.index(i) for i in OUTLINE]
_MOUTH = [_USED.index(i) for i in LIPS]
_MARGIN = 0.25
"""Eye distances around the outlines of both lower faces in which the base's movement fades out."""
_STILL = 0.3
"""Pixels: a base that moves less is left as it is."""
_SEEN = 0.35
"""Pixels: a blur that is less is none."""
_LOST = (0.0, 0.37, 0.74, 0.99, 1.29, 1.6, 1.9)
_SIGMAS = (0.0, 0.0030, 0.0042, 0.0054, 0.0072, 0.0096, 0.0133)
"""How much of its log sharpness (``Library.skin``) a Gaussian of so many eye distances costs a face: measured."""
_SHARPER = 0.2
"""A source may be sharper than the base by so much."""
_BESIDE = 0.2
"""Eye distances around the lips that are seen close up."""
_SMALLEST = 10.0
"""Pixels between the eyes, below which no mouth can be seen."""


@dataclass(frozen=True, slots=True)
class Mouth:
    """What a frame's mouth looks like."""

    unit: int
    """Number of the picture that it is taken from."""
    fast: F32
    """``(468, 3)``: the part of the shape that is speech, in eye distances; the slow part is the base's."""
    fading: tuple[tuple[int, float], ...] = ()
    """Other pictures that shine through, and their shares: below 1 altogether."""


def lower_share(library: Library) -> F32:
    """How far each landmark follows speech, ``(468,)``: 0 above the base of the nose, 1 from the upper lip on."""
    height = np.median(library.slow[library.usable], axis=0)[:, 1]
    return smoothstep(-0.1375, 0.075, height - height[2]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Painted:
    """A part of the canvas with another mouth."""

    below: Bytes
    """RGB; it may reach beyond the canvas."""
    box: Box
    around: Box
    """The mouth with its surroundings, within the box."""
    close: Close | None
    """The mouth there, where there is a picture to see it a second time by."""

    @property
    def mouth(self) -> Bytes:
        """What is painted ``around``."""
        return self.below[self.around.y0 : self.around.y1, self.around.x0 : self.around.x1]


class Painter:
    """A person on a canvas. Not shared between threads."""

    def __init__(self, library: Library, canvas: Canvas, inner: Inner | None = None) -> None:
        """``inner`` goes over the inside of each mouth."""
        self.library = library
        self._inner = inner
        self.screen = Screen(library.footage, canvas, enlargement=1.0)  # as it was filmed: sharp
        self._crops = Crops(library, self.screen.scale)
        self._grain = Grain.of(library.footage.track.eye * self.screen.scale)
        self._whole = Box(0, 0, *canvas.size)
        used = list(_USED)
        self._points = library.points[:, used, :2]
        self._fast = library.fast[:, used]
        self._share = lower_share(library)[used]
        self._depth = float(np.median(library.slow[library.usable][:, list(m.OUTER_UPPER), 2]))

    def paint(self, number: int, planes: Planes, mouth: Mouth, layout: Layout = Layout.FULL) -> Bytes:
        """RGB ``(height, width, 3)``: picture ``number`` of the film, whose ``planes`` are given, with this mouth."""
        frame = self.screen.show(planes)
        partner = None if self._inner is None else self._inner.partner(mouth.unit)
        done = self._painted(number, frame, mouth, layout, partner)
        if done is None:
            return frame
        if self._inner is not None and done.close is not None:
            self._inner.refine(done.mouth, done.close, float(self.library.footage.weight[number]))
        inside = done.box.cut(self._whole)
        assert inside is not None
        frame[inside.within(self._whole)] = done.below[inside.within(done.box)]
        return frame

    def close_up(
        self, number: int, planes: Planes, mouth: Mouth, partner: int, layout: Layout, margin: int
    ) -> tuple[Close, Bytes, Bytes] | None:
        """What a net learns from: the close-up of a mouth, how it is painted and how it was filmed; both seen close up.

        ``partner`` is the picture that it is seen a second time by. None where the picture has no face.
        """
        frame = self.screen.show(planes)
        done = self._painted(number, frame, mouth, layout, partner, margin)
        if done is None or done.close is None:
            return None
        filmed = done.close.matrix.copy()
        filmed[:, 2] -= filmed[:, :2] @ (done.around.origin + done.box.origin)
        return done.close, done.close.view(done.mouth), replace(done.close, matrix=filmed).view(frame)

    def _painted(
        self, number: int, frame: Bytes, mouth: Mouth, layout: Layout, partner: int | None, margin: int = 0
    ) -> "_Painted | None":
        """The part of the canvas that changes; None where nothing does."""
        weight = float(self.library.footage.weight[number])
        if weight <= 0 or self._grain.eye < _SMALLEST:
            return None
        base, target = self._shapes(number, mouth.fast, weight)
        around = np.vstack([target[_OUTLINE], base[_OUTLINE]])
        box = Box.around(around, _MARGIN * self._grain.eye, self._grain)
        if box.cut(self._whole) is None:
            return None
        sources = [mouth.unit, *(unit for unit, _ in mouth.fading), *([] if partner is None else [partner])]
        own, patches = self._fields(base[_CONTROLS], target[_CONTROLS], sources, box)
        below = self._moved(frame, own, box, layout)
        cover = mask(dict(zip(OUTLINE, target[_OUTLINE], strict=True)), box, self._grain, layout)
        fading = patches[: 1 + len(mouth.fading)]
        self._lay(below, cover * np.float32(weight), fading, mouth, self._blur(number, mouth.unit))
        lips = target[_MOUTH] - box.origin
        beside = Box.around(lips, _BESIDE * self._grain.eye, self._grain).cut(Box(0, 0, *box.size))
        assert beside is not None
        close = None
        if partner is not None:
            step = self._grain.step
            nodes = slice(beside.y0 // step, beside.y1 // step), slice(beside.x0 // step, beside.x1 // step)
            own, other = (field[nodes] + beside.origin for field in (patches[0], patches[-1]))
            slide = self._slide(number, mouth.unit, own, beside.origin + box.origin)
            second = carried(self._crops[partner].rgb, other, beside.size, cv2.INTER_LINEAR)
            head = self.library.head
            along, eye = head.rotation[number][:2, 0], float(head.scale[number]) * self.screen.scale
            close = close_up(second, slide, lips - beside.origin, along, eye, step=step, margin=margin)
        return _Painted(below, box, beside, close)

    def _shapes(self, number: int, fast: F32, weight: float) -> tuple[Floats, Floats]:
        """Where the landmarks lie in the base, and where they shall lie; pixels of the canvas."""
        head = self.library.head
        change = (fast[list(_USED)] - self._fast[number]) * (self._share * np.float32(weight))[:, None]
        moved = (change @ head.rotation[number].T * head.scale[number])[:, :2]
        own = self._points[number]
        return self.screen.to_canvas(own), self.screen.to_canvas(own + moved)

    def _slide(self, number: int, unit: int, field: F32, at: F32) -> F32:
        """How far the skull would have carried what ``field`` takes from picture ``unit``, from where it is shown.

        ``(rows, columns, 2)``, pixels of the canvas; the grid's first cell begins at ``at`` ``(2,)``. A skull is no
        plane, but what is seen of teeth nearly is one.
        """
        head, step = self.library.head, self._grain.step
        rows, columns = field.shape[:2]
        shown = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) * step + (step - 1) / 2
        there = self._crops[unit].placed_back(shown + field)
        depth = self._depth
        (to, to_far), (back, back_far) = (
            (
                head.scale[i] * head.rotation[i][:2, :2],
                head.scale[i] * head.rotation[i][:2, 2] * depth + head.shift[i][:2],
            )
            for i in (number, unit)
        )
        rigid = (there - back_far) @ np.linalg.inv(back).T @ to.T + to_far
        return np.asarray(self.screen.to_canvas(rigid) - (shown + at), np.float32)

    def _fields(self, base: Floats, target: Floats, sources: list[int], box: Box) -> tuple[F32, list[F32]]:
        """Displacements on the box's grid: to the base on the canvas, and from the box to each source's crop."""
        points = self._points[sources][:, _CONTROLS]
        there = [self._crops[unit].place(p) for unit, p in zip(sources, points, strict=True)]
        moves = np.hstack([base - target, *(p - (target - box.origin) for p in there)])
        found = fields(target, moves, box, self._grain)
        return found[..., :2], [found[..., 2 * i + 2 : 2 * i + 4] for i in range(len(sources))]

    def _moved(self, frame: Bytes, field: F32, box: Box, layout: Layout) -> Bytes:
        """The base's part of the canvas, its lower face drawn to the target."""
        field = field * window(box.size, self._grain.step)
        inside = box.cut(self._whole)
        if np.abs(field).max() < _STILL and inside == box:
            return frame[box.within(self._whole)].copy()
        how = cv2.INTER_CUBIC if layout is Layout.SKIN else cv2.INTER_LINEAR
        return carried(frame, field + box.origin, box.size, how)

    def _blur(self, number: int, unit: int) -> float:
        """Sigma in pixels of the canvas that makes a source as soft as a base that moves fast."""
        lost = float(self.library.skin[unit] - self.library.skin[number]) - _SHARPER
        return float(np.interp(lost, _LOST, _SIGMAS)) * self._grain.eye

    def _lay(self, below: Bytes, cover: F32, fields_: list[F32], mouth: Mouth, blur: float) -> None:
        """Lay the sources over ``below``, where ``cover`` says."""
        part = _bounds(cover, self._grain.step)
        rows, columns = slice(part.y0, part.y1), slice(part.x0, part.x1)
        step, cell = self._grain.step, self._grain.cell
        nodes = slice(part.y0 // step, part.y1 // step), slice(part.x0 // step, part.x1 // step)
        near = np.array([part.x0, part.y0], np.float32)
        size = part.size
        base = np.ascontiguousarray(below[rows, columns])
        alpha = np.ascontiguousarray(cover[rows, columns])
        patch = carried(self._crops[mouth.unit].rgb, fields_[0][nodes] + near, size, cv2.INTER_CUBIC)
        if blur > _SEEN:
            patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), blur), np.uint8)
        coarse, seen = _means(patch, cell), _means(base, cell)
        edge = ring(_means(alpha, cell))
        light = spread(seen - coarse, edge)
        own = coarse + light
        for (unit, share), field in zip(mouth.fading, fields_[1:], strict=True):
            image = self._crops[unit].coarse(cell)
            other = carried(image, field[nodes] + near, size, cv2.INTER_LINEAR, cell).astype(np.float32)
            light += np.float32(share) * (other + spread(seen - other, edge) - own)
        lit = cv2.add(patch, cv2.resize(light, size, interpolation=cv2.INTER_LINEAR), dtype=cv2.CV_8U)
        below[rows, columns] = cv2.blendLinear(lit, base, alpha, 1 - alpha)


def _means(image: npt.NDArray[np.uint8] | F32, cell: int) -> F32:
    """Means of an image's cells."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // cell, height // cell), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _bounds(cover: F32, step: int) -> Box:
    """The whole cells that hold what is not 0."""
    x, y, width, height = cv2.boundingRect((cover > 0).astype(np.uint8))
    return Box(x // step * step, y // step * step, -(-(x + width) // step) * step, -(-(y + height) // step) * step)
