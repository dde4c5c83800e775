"""The inside of the mouth: our rendered library of teeth, tongue and gums, fitted to a face and lit like it.

Upper teeth and the palate stay with the skull; lower teeth and tongue go down with the jaw. Where the picture itself
shows teeth, the person's own pixels lie over the library.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vivavoce.engines.photo.rig import JAW_DROP, MEETING, Rig
from vivavoce.face import mesh as m
from vivavoce.face.geometry import FaceAxes, Floats, sample, smoothstep
from vivavoce.face.mesh import FaceMesh

__all__ = ["Interior", "build_interior"]

Layer = npt.NDArray[np.float32]
"""RGBA ``(height, width, 4)``: colour multiplied by alpha, 0–255, and alpha, 0–1."""

_NAMES = ("cavity", "tongue", "lower", "lower_open", "upper")
_CHEEKS = (50, 280, 205, 425, 195, 5)
_SHADE = np.array([1.0, 0.80, 0.74], np.float32)
"""Teeth in the shade show the red of the cheeks around them; grey ones would look blue."""
TEETH_BELOW_LIP = 0.030
"""How far the upper incisors reach below the lip line, in E."""
REFERENCE_LUMA = 160.0
"""Mean luma of the cheeks in the render that the library belongs to."""


@lru_cache(maxsize=1)
def _library() -> tuple[dict[str, npt.NDArray[np.uint8]], dict[str, tuple[float, float]], float, FaceAxes, float]:
    """Layers (RGBA), their origins in the portrait, their scale, the portrait's axes and the height of its lip line."""
    folder = files("vivavoce") / "artwork" / "mouth"
    about = json.loads((folder / "layers.json").read_text())
    layers, origins = {}, {}
    for name in _NAMES:
        with (folder / f"{name}.webp").open("rb") as file:
            layers[name] = np.asarray(Image.open(file).convert("RGBA"))
        origins[name] = (about["layers"][name]["x"], about["layers"][name]["y"])
    points = np.asarray(about["landmarks"], np.float32) * about["portrait"]
    axes = FaceAxes.of(FaceMesh(points))
    seam = float(axes.to_face(points[[13, 14], :2].mean(0))[1])
    return layers, origins, float(about["scale"]), axes, seam


@dataclass(frozen=True, slots=True)
class Interior:
    """The fitted library, in a box of the canvas."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of all layers."""
    cavity: Layer
    tongue: Layer
    lower: Layer
    lower_open: Layer
    upper: Layer
    own: Layer | None
    """The person's own teeth, from a picture with an open mouth."""
    throat: npt.NDArray[np.float32]
    """RGB of the dark behind everything."""
    axes: FaceAxes

    def paint(self, at: npt.NDArray[np.float32], jaw: float, rounded: float, lowdrop: float, tongue: float) -> Layer:
        """What one sees at the still-face positions ``at`` ``(h, w, 2)`` (canvas pixels): RGB ``(h, w, 3)`` 0–255."""
        eye, mouth, down = self.axes.eye, self.axes.mouth, self.axes.y
        drop = jaw * JAW_DROP * eye * 0.92 + lowdrop * 0.03 * eye
        at = np.asarray(cv2.subtract(np.ascontiguousarray(at), np.array([*self.box[:2], 0.0, 0.0])), np.float32)

        def seen(layer: Layer, shift: float) -> tuple[Layer, Layer]:
            painted = sample(layer, np.asarray(cv2.subtract(at, np.array([*(down * shift), 0.0, 0.0])), np.float32))
            alpha = cv2.extractChannel(painted, 3)
            colour = cv2.cvtColor(painted, cv2.COLOR_RGBA2RGB)
            return np.asarray(colour, np.float32), np.asarray(cv2.merge([alpha] * 3), np.float32)

        out = np.empty((*at.shape[:2], 3), np.float32)
        out[:] = self.throat
        opened = float(smoothstep(0.45, 0.8, np.array(jaw)))
        lift = tongue * 0.16 * mouth
        layers = [
            (self.cavity, -0.35 * (1 - jaw) * JAW_DROP * eye, 0.75),
            (self.lower_open, drop - JAW_DROP * eye, opened),
            (self.lower, drop, 1 - opened),
            (self.tongue, (0.9 * jaw - 0.9) * JAW_DROP * eye + 0.03 * eye - lift, 0.95),
            (self.upper, TEETH_BELOW_LIP * (1 - rounded) * eye, 1.0),
        ]
        for layer, shift, opacity in layers:
            if opacity > 0.01:
                colour, alpha = seen(layer, shift)
                out += np.float32(opacity) * (colour - out * alpha)
        out *= 1 - 0.25 * rounded  # pursed lips leave little light inside
        if self.own is not None:
            colour, alpha = seen(self.own, 0.0)
            out += colour - out * alpha
        return out


def _light(rgb: npt.NDArray[np.uint8], mesh: FaceMesh) -> tuple[float, Floats, bool]:
    """Brightness of the face against the library's own, its tint, and whether the picture is grey."""
    height, width = rgb.shape[:2]
    spots = mesh.points[list(_CHEEKS), :2].round().astype(int)
    spots = np.clip(spots, 0, [width - 1, height - 1])
    skin = np.asarray(rgb[spots[:, 1], spots[:, 0]], np.float64).mean(axis=0)
    luma = float(skin @ [0.299, 0.587, 0.114])
    grey = (skin.max() - skin.min()) / (skin.max() + 1) < 0.08
    tint = (skin / max(luma, 1.0)) ** 0.25
    return float(np.clip((luma / REFERENCE_LUMA) ** 0.8, 0.30, 1.15)), np.asarray(tint / tint.mean()), bool(grey)


def build_interior(
    rgb: npt.NDArray[np.uint8], mesh: FaceMesh, rig: Rig, teeth: npt.NDArray[np.float32] | None = None
) -> Interior:
    """Fit the library to a face: width by the mouth, place by the lip line, colours by the cheeks.

    ``teeth``: RGB of the person's own teeth, where a film has shown them.
    """
    layers, origins, library_scale, library, library_seam = _library()
    axes = rig.axes
    centre = axes.origin + axes.y * 0.25 * axes.mouth
    reach = np.array([1.5, 1.5]) * axes.mouth
    x0, y0 = (int(v) for v in np.floor(centre - reach))
    x1, y1 = (int(v) for v in np.ceil(centre + reach))
    box = (x0, y0, x1, y1)
    brightness, tint, grey = _light(rgb, mesh)
    seam = _lip_line(rig)
    # library mouth units -> this face's pixels; height follows the eyes as much as the mouth's width
    across = axes.mouth / library.mouth
    along = 0.5 * across + 0.5 * axes.eye / library.eye
    pixels = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), axis=-1).astype(np.float64)
    face = axes.to_face(pixels)
    at = (
        library.origin
        + (face[..., :1] / across) * library.x
        + ((face[..., 1:] - seam) / along + library_seam) * library.y
    )

    def place(name: str) -> Layer:
        ox, oy = origins[name]
        image = layers[name].astype(np.float32)
        image[..., :3] *= image[..., 3:] / 255
        reduction = library_scale / across
        if reduction > 1.5:  # sampling far apart would alias
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * reduction), np.float32)
        where = ((at - [ox, oy]) * library_scale).astype(np.float32)
        out = sample(image, where)
        out[..., :3] *= (brightness * tint).astype(np.float32)
        if grey:
            out[..., :3] = out[..., :3].mean(axis=-1, keepdims=True)
        out[..., 3] /= 255
        return np.asarray(out, np.float32)

    throat = np.array([26, 11, 11]) * brightness
    # it is darker towards the corners, where the cheeks keep the light away
    side = (1 - 0.88 * smoothstep(0.40, 0.95, np.abs(face[..., 0]) / axes.mouth))[..., None].astype(np.float32)
    fitted = {name: place(name) for name in _NAMES}
    # light falls in from the front: the back of the tongue and of the palate lies in the dark
    inward = (face[..., 1:] - seam) / axes.eye
    fitted["tongue"][..., :3] *= (0.05 + 0.70 * smoothstep(0.0, 0.29, inward)).astype(np.float32)
    fitted["cavity"][..., :3] *= (0.15 + 0.55 * smoothstep(0.02, 0.36, inward)).astype(np.float32)
    # molars in the corners of a half open mouth would stand there as grey slivers
    behind = smoothstep(0.80, 0.55, np.abs(face[..., 0]) / axes.mouth)[..., None].astype(np.float32)
    for name in ("lower", "lower_open"):
        fitted[name] = fitted[name] * behind
    if teeth is not None:
        ratio = _whiteness(fitted["upper"], teeth)
        for layer in fitted.values():
            layer[..., :3] *= ratio
    for name in ("upper", "lower", "lower_open", "cavity"):
        fitted[name][..., :3] *= side * (_SHADE + (1 - _SHADE) * side)
    return Interior(
        box=box,
        **fitted,
        own=_own_teeth(rgb, rig, box) if rig.mouth == "open" else None,
        throat=np.full(3, throat.mean(), np.float32) if grey else throat.astype(np.float32),
        axes=axes,
    )


def _whiteness(upper: Layer, teeth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """By what the library's teeth are multiplied to look like ``teeth``."""
    solid = upper[upper[..., 3] > 0.95][:, :3]
    if not len(solid):
        return np.ones(3, np.float32)
    redness = solid[:, 0] - solid[:, 1]
    white = solid[redness <= np.percentile(redness, 40)]  # not the gums
    bright = white[white.sum(axis=1) >= np.percentile(white.sum(axis=1), 50)].mean(axis=0)
    return np.asarray(np.clip(teeth / np.maximum(bright, 1.0), 0.55, 1.15), np.float32)


def _lip_line(rig: Rig) -> float:
    """Height of the middle of the lip line once the lips have met, in pixels of the face frame."""
    upper, lower = (
        float(np.interp(0, rig.face[list(c), 0], rig.face[list(c), 1])) for c in (m.INNER_UPPER, m.INNER_LOWER)
    )
    return upper if rig.mouth == "open" else upper + MEETING * (lower - upper)


def _own_teeth(rgb: npt.NDArray[np.uint8], rig: Rig, box: tuple[int, int, int, int]) -> Layer:
    """The inside of the mouth as the picture shows it, with a soft edge."""
    x0, y0, x1, y1 = box
    outline = np.vstack([rig.points[list(m.INNER_UPPER)], rig.points[list(m.INNER_LOWER)][::-1]]) - [x0, y0]
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    mask = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.uint8)
    alpha = cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.03 * rig.axes.mouth)).astype(np.float32) / 255
    xs = np.clip(np.arange(x0, x1), 0, rgb.shape[1] - 1)
    ys = np.clip(np.arange(y0, y1), 0, rgb.shape[0] - 1)
    colour = rgb[np.ix_(ys, xs)].astype(np.float32)
    return np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)
