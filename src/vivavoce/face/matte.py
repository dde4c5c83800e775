"""Tells the person from what is behind, so that a head can move without the wall moving with it.

A small net (MediaPipe's selfie segmentation) gives a coarse mask, a guided filter (He et al., TPAMI 2013) brings it to
the edges of the picture. Where the net cannot be had, GrabCut (Rother et al., 2004) grows the mask from the face.
"""

from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable
from vivavoce.face.mesh import CHIN, FOREHEAD, OVAL, FaceMesh
from vivavoce.models import ModelStore

__all__ = ["background_plate", "person_matte"]

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]

_NET_SIDE = 256
_GRID_SIDE = 512
"""Longer side of the picture on which masks are worked; only the last step sees every pixel."""
_SMOOTHNESS = 3e-4
"""Variance of colour (0–1) that the guided filter takes for noise."""
_CUT_SIDE = 320
"""Longer side of the picture that GrabCut works on."""
_PLATE_SIDE = 192
"""Longer side of the picture in which the person is painted out."""
_loading = Lock()
"""OpenCV's nets keep their state between two calls."""


def person_matte(rgb: Image, mesh: FaceMesh, models: ModelStore) -> Mask:
    """How much of each pixel of ``rgb`` ``(h, w, 3)`` belongs to the person of ``mesh``: ``(h, w)``, 0–1.

    The face is inside whatever the net says; other people and loose specks are not.
    """
    try:
        coarse = _by_net(rgb, mesh, models)
    except EngineUnavailable:  # the avatar is worth making without the net
        coarse = _by_cut(rgb, mesh)
    _, scale = _grid(rgb.shape)
    coarse = _whole(np.maximum(coarse, _face(coarse.shape, scale, mesh)), mesh, scale)
    return np.maximum(_refined(rgb, coarse, mesh.eye_distance), _face(rgb.shape, 1, mesh))


def background_plate(rgb: Image, matte: Mask) -> Image:
    """The picture ``(h, w, 3)`` with the person painted out, to show where the person has moved away.

    What lies near the silhouette continues inwards, smoother the deeper it goes (pull-push, Gortler et al., SIGGRAPH
    1996); pixels that are clearly background stay as they are.
    """
    height, width = matte.shape
    scale = min(1.0, _PLATE_SIDE / max(height, width))
    small_size = max(1, round(width * scale)), max(1, round(height * scale))
    reach = max(3, round(max(height, width) * 0.02)) | 1
    # Hair lets its own colour into the pixels around it: what the net calls background there is not clean.
    touched = np.minimum(matte * 5, 1).astype(np.float32)
    covered = cv2.dilate(touched, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    known = 1 - cv2.resize(covered, small_size, interpolation=cv2.INTER_AREA)
    known = np.clip(known * 2 - 1, 0, 1)
    small = cv2.resize(rgb, small_size, interpolation=cv2.INTER_AREA)
    filled = cv2.resize(
        _pull_push(np.asarray(small, np.float32), np.asarray(known, np.float32)),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    own = (1 - cv2.GaussianBlur(covered, (reach, reach), 0))[..., None]
    own = np.clip(own * 2 - 1, 0, 1)
    return np.clip(rgb * own + filled * (1 - own) + 0.5, 0, 255).astype(np.uint8)


def _pull_push(colour: npt.NDArray[np.float32], weight: Mask) -> npt.NDArray[np.float32]:
    """Fill where ``weight`` is 0 from ever coarser means of what is around."""
    if max(weight.shape) <= 2 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = (colour * weight[..., None]).sum((0, 1)) / total
        return np.asarray(colour * weight[..., None] + mean * (1 - weight[..., None]), np.float32)
    size = (weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2
    less = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(colour * weight[..., None], size, interpolation=cv2.INTER_AREA)
    coarse = coarse / np.maximum(less, 1e-6)[..., None]
    below = _pull_push(coarse.astype(np.float32), np.minimum(less * 4, 1).astype(np.float32))
    above = cv2.resize(below, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(colour * weight[..., None] + above * (1 - weight[..., None]), np.float32)


def _by_net(rgb: Image, mesh: FaceMesh, models: ModelStore) -> Mask:
    """The net's mask on the working grid of ``rgb``."""
    path = models.path("person-matte")
    height, width = rgb.shape[:2]
    # The net sees a square around the head and what is below it; beyond, its border goes on.
    side = min(float(max(height, width)), 10 * mesh.eye_distance)
    chin = mesh.points[CHIN, :2]
    middle = [
        float(np.clip(c, min(side, n) / 2, max(n - side / 2, n / 2)))
        for c, n in zip((chin[0], chin[1] + side / 8), (width, height), strict=True)
    ]
    k = _NET_SIDE / side
    view = np.array([[k, 0, _NET_SIDE / 2 - k * middle[0]], [0, k, _NET_SIDE / 2 - k * middle[1]]])
    grid_size, scale = _grid(rgb.shape)
    small = cv2.resize(rgb, grid_size, interpolation=cv2.INTER_AREA)
    from_grid = view @ np.array([[1 / scale, 0, 0], [0, 1 / scale, 0], [0, 0, 1]])
    seen = cv2.warpAffine(small, from_grid, (_NET_SIDE, _NET_SIDE), borderMode=cv2.BORDER_REPLICATE)
    with _loading:
        net = cv2.dnn.readNetFromTFLite(str(path))
        net.setInput(cv2.dnn.blobFromImage(seen, 1 / 255))
        mask = np.asarray(net.forward(), np.float32).reshape(_NET_SIDE, _NET_SIDE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(mask, from_grid, grid_size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(np.asarray(back, np.float32), 0, 1)


def _grid(shape: tuple[int, ...]) -> tuple[tuple[int, int], float]:
    """Size ``(width, height)`` of the working grid of a picture, and its scale."""
    height, width = shape[:2]
    scale = min(1.0, _GRID_SIDE / max(height, width))
    return (max(1, round(width * scale)), max(1, round(height * scale))), scale


def _face(shape: tuple[int, ...], scale: float, mesh: FaceMesh) -> Mask:
    """The inside of the face's outline, soft by a pixel, in a picture of ``shape`` scaled by ``scale``."""
    mask = np.zeros(shape[:2], np.uint8)
    outline = np.round(mesh.points[list(OVAL), :2] * (scale * 16)).astype(np.int32)
    cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, 4)
    return np.asarray(mask / np.float32(255), np.float32)


def _whole(coarse: Mask, mesh: FaceMesh, scale: float) -> Mask:
    """Only the part that hangs together with the face, and without holes."""
    solid = (coarse > 0.5).astype(np.uint8)
    _, labels = cv2.connectedComponents(solid)
    height, width = coarse.shape
    x, y = (int(np.clip(v * scale, 0, n - 1)) for v, n in zip(mesh.points[1, :2], (width, height), strict=True))
    body = (labels == labels[y, x]).astype(np.uint8)
    others = cv2.dilate(((solid == 1) & (body == 0)).astype(np.uint8), np.ones((5, 5), np.uint8))
    kept = np.where((others == 1) & (body == 0), 0, coarse)
    # What the border of the picture cannot reach without crossing the body is a hole; small ones are the net's faults.
    count, areas, stats, _ = cv2.connectedComponentsWithStats(1 - body, connectivity=4)
    limit = (0.3 * mesh.eye_distance * scale) ** 2
    for i in range(1, count):
        left, top, w, h, area = stats[i]
        inside = left > 0 and top > 0 and left + w < width and top + h < height
        if inside and area < limit:
            kept = np.where(areas == i, 1, kept)
    return np.asarray(kept, np.float32)


def _refined(rgb: Image, coarse: Mask, eye_distance: float) -> Mask:
    """The coarse mask, on the working grid, brought to the edges of the picture at its full resolution."""
    grid_size, scale = _grid(rgb.shape)
    guide = (cv2.resize(rgb, grid_size, interpolation=cv2.INTER_AREA) / np.float32(255)).astype(np.float32)
    radius = max(2, round(0.05 * eye_distance * scale))
    slope, offset = _guided(guide, coarse, radius)
    size = rgb.shape[1], rgb.shape[0]
    fine = np.asarray(cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR), np.float32)
    for i in range(3):
        fine += cv2.resize(slope[i], size, interpolation=cv2.INTER_LINEAR) * (rgb[..., i] / np.float32(255))
    # The filter decides near the edge only: a white collar before a white wall stays in, a wall like a face stays out.
    core = cv2.blur(cv2.erode(coarse, np.ones((2 * radius - 1,) * 2, np.uint8)), (3, 3))
    reach = cv2.blur(cv2.dilate(coarse, np.ones((4 * radius + 1,) * 2, np.uint8)), (3, 3))
    low, high = (cv2.resize(m, size, interpolation=cv2.INTER_LINEAR) for m in (core, reach))
    return np.asarray(np.clip((fine - 0.06) / 0.88, low, np.maximum(low, high)), np.float32)


def _guided(guide: Mask, mask: Mask, radius: int) -> tuple[list[Mask], Mask]:
    """Guided filter with a colour guide ``(h, w, 3)``: the local linear map to the mask, slopes and offset."""

    def mean(a: Mask) -> Mask:
        return np.asarray(cv2.blur(a, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)

    colour = [np.ascontiguousarray(guide[..., i]) for i in range(3)]
    centre, level = [mean(c) for c in colour], mean(mask)

    def covariance(i: int, j: int) -> Mask:
        noise = np.float32(_SMOOTHNESS if i == j else 0)
        return mean(colour[i] * colour[j]) - centre[i] * centre[j] + noise

    rr, rg, rb, gg, gb, bb = (covariance(*ij) for ij in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    # The inverse of the symmetric 3x3 matrix at every pixel, by cofactors.
    inverse = {
        (0, 0): gg * bb - gb * gb,
        (0, 1): gb * rb - rg * bb,
        (0, 2): rg * gb - gg * rb,
        (1, 1): rr * bb - rb * rb,
        (1, 2): rb * rg - rr * gb,
        (2, 2): rr * gg - rg * rg,
    }
    determinant = rr * inverse[0, 0] + rg * inverse[0, 1] + rb * inverse[0, 2]
    together = [mean(c * mask) - m * level for c, m in zip(colour, centre, strict=True)]
    slope = [
        sum((inverse[min(i, j), max(i, j)] * together[j] for j in range(3)), np.zeros_like(mask)) / determinant
        for i in range(3)
    ]
    offset = level - sum((s * m for s, m in zip(slope, centre, strict=True)), np.zeros_like(mask))
    return [mean(s) for s in slope], mean(offset)


def _by_cut(rgb: Image, mesh: FaceMesh) -> Mask:
    """A mask on the working grid grown by colour from where head and shoulders of such a face must be."""
    grid_size, _ = _grid(rgb.shape)
    scale = min(1.0, _CUT_SIDE / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    labels = _head_and_shoulders(small.shape, mesh, scale)
    if (labels == cv2.GC_BGD).any():
        behind, before = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)  # GrabCut's clusters start at random; the same picture shall give the same mask
        cv2.grabCut(small, labels, (0, 0, 1, 1), behind, before, 3, cv2.GC_INIT_WITH_MASK)
    inside = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    inside = cv2.GaussianBlur(cv2.medianBlur((inside * 255).astype(np.uint8), 5).astype(np.float32) / 255, (5, 5), 0)
    return np.asarray(cv2.resize(inside, grid_size, interpolation=cv2.INTER_LINEAR), np.float32)


def _head_and_shoulders(shape: tuple[int, ...], mesh: FaceMesh, scale: float) -> Image:
    """GrabCut's labels from the geometry of a face: skull and chest surely, hair and arms perhaps, far away not."""
    points = mesh.points[:, :2] * scale
    unit = mesh.eye_distance * scale
    chin, top = points[CHIN], points[FOREHEAD]
    down = (chin - top) / max(float(np.linalg.norm(chin - top)), 1e-6)
    side = np.array([down[1], -down[0]])
    labels = np.full(shape[:2], cv2.GC_BGD, np.uint8)

    def area(label: int, *corners: tuple[float, float]) -> None:
        """Fill a polygon given sideways and downwards of the chin, in eye distances."""
        outline = [chin + unit * (x * side + y * down) for x, y in corners]
        cv2.fillPoly(labels, [np.round(np.array(outline)).astype(np.int32)], label)

    def head(label: int, width: float, height: float) -> None:
        middle = (chin + top) / 2 - down * unit * 0.2
        angle = float(np.degrees(np.arctan2(side[1], side[0])))
        axes = max(1, round(width * unit)), max(1, round(height * unit))
        cv2.ellipse(labels, (round(float(middle[0])), round(float(middle[1]))), axes, angle, 0, 360, label, -1)

    head(cv2.GC_PR_BGD, 1.7, 1.9)
    area(cv2.GC_PR_BGD, (-0.9, -0.5), (0.9, -0.5), (3.6, 1.0), (4.0, 9.0), (-4.0, 9.0), (-3.6, 1.0))
    head(cv2.GC_PR_FGD, 1.0, 1.35)
    area(cv2.GC_PR_FGD, (-0.45, -0.3), (0.45, -0.3), (2.0, 1.1), (2.3, 9.0), (-2.3, 9.0), (-2.0, 1.1))
    head(cv2.GC_FGD, 0.9, 1.15)
    cv2.fillPoly(labels, [np.round(points[list(OVAL)]).astype(np.int32)], cv2.GC_FGD)
    area(cv2.GC_FGD, (-0.3, -0.3), (0.3, -0.3), (0.7, 1.2), (0.7, 9.0), (-0.7, 9.0), (-0.7, 1.2))
    return labels
