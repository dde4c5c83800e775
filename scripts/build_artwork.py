"""Packs our rendered artwork (portraits, landmarks, mouth library) into the package's avatars.

Usage: ``python scripts/build_artwork.py FOLDER_OF_RENDERS``. Output: ``src/vivavoce/artwork``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.renderer import Renderer
from vivavoce.face.mesh import FaceMesh
from vivavoce.media.picture import write_jpeg
from vivavoce.nouns import Canvas

TARGET = Path(__file__).resolve().parents[1] / "src" / "vivavoce" / "artwork"
SIDE = 1024
PAD = 328
"""Columns added to both sides, for wide films."""
LAYERS = ("cavity", "tongue", "lower", "lower_open", "upper")
LAYER_SCALE = 3
AVATARS = {"anna": "Anna", "aigul": "Aigul", "david": "David"}
Bytes = npt.NDArray[np.uint8]


def backdrop(studio: Bytes, alpha: Bytes) -> Bytes:
    """The studio's light as a smooth surface through the pixels that show it, wider than the picture by ``PAD``."""
    ys, xs = np.where(cv2.dilate(alpha, np.ones((31, 31))) == 0)
    pick = np.random.default_rng(0).choice(len(xs), min(len(xs), 20_000), replace=False)
    lowest = ys.max() / SIDE  # nothing is known, or seen, behind the body

    def terms(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = np.tanh((x - 0.5) / 0.7), np.minimum(y, lowest)  # the light levels off outside
        return np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], axis=-1)

    seen = studio[ys[pick], xs[pick]].astype(np.float64)
    weights = np.linalg.lstsq(terms(xs[pick] / SIDE, ys[pick] / SIDE), seen, rcond=1e-3)[0]
    x, y = np.meshgrid((np.arange(SIDE + 2 * PAD) - PAD) / SIDE, np.arange(SIDE) / SIDE)
    surface = terms(x.ravel(), y.ravel()) @ weights
    return np.asarray(np.clip(surface, 0, 255).reshape(*x.shape, 3).round(), np.uint8)


def widened(image: Bytes) -> Bytes:
    """RGBA with ``PAD`` more columns at both sides: shoulders that the picture cuts go on falling."""
    out = []
    for edge, inner in ((0, 24), (SIDE - 1, SIDE - 25)):
        solid, within = (np.flatnonzero(image[:, column, 3] > 128) for column in (edge, inner))
        if not len(solid) or not len(within):
            out.append(np.zeros((SIDE, PAD, 4), np.uint8))
            continue
        slope = max((solid[0] - within[0]) / 24, 0.2)
        x = np.arange(1, PAD + 1)
        fall = slope * x + 0.0035 * x**2
        rows = np.arange(SIDE)[:, None] - fall[None]
        columns = np.full_like(rows, edge)
        at = np.stack([columns, rows], axis=-1).astype(np.float32)
        side = cv2.remap(image, at, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        out.append(np.asarray(side[:, ::-1] if edge == 0 else side, np.uint8))
    return np.hstack([out[0], image, out[1]])


def bled(rgba: Bytes) -> Bytes:
    """RGB whose transparent pixels carry the colour of the nearest solid ones."""
    solid = rgba[..., 3] > 200
    _, labels = cv2.distanceTransformWithLabels(
        (~solid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[solid]] = rgba[solid][:, :3]
    soft = (rgba[..., 3] > 0) & ~solid
    out = np.where(soft[..., None], rgba[..., :3], colours[labels])
    return np.asarray(out, np.uint8)


def build_mouth(source: Path) -> None:
    """The mouth library: layers cropped to what they show, with their places in the portrait."""
    crops = json.loads((source / "mouth" / "layers.json").read_text())
    landmarks = json.loads((source / "anna_mp468.json").read_text())
    about: dict[str, Any] = {
        "about": "Pixel (u, v) of a layer lies at (x + u / scale, y + v / scale) of the portrait that it belongs to.",
        "portrait": SIDE,
        "scale": LAYER_SCALE,
        "layers": {},
        "landmarks": [[round(v, 5) for v in p] for p in landmarks],
    }
    folder = TARGET / "mouth"
    folder.mkdir(parents=True, exist_ok=True)
    for name in LAYERS:
        image = Image.open(source / "mouth" / f"{name}.png")
        ys, xs = np.where(np.asarray(image)[..., 3] > 2)
        x, y = max(int(xs.min()) - 3, 0), max(int(ys.min()) - 3, 0)
        image.crop((x, y, int(xs.max()) + 4, int(ys.max()) + 4)).save(
            folder / f"{name}.webp", quality=92, method=6, exact=True
        )
        left, top = crops[name]["crop"][:2]
        about["layers"][name] = {
            "x": round(left * SIDE + x / LAYER_SCALE, 3),
            "y": round(top * SIDE + y / LAYER_SCALE, 3),
        }
    (folder / "layers.json").write_text(json.dumps(about) + "\n")


def build_avatar(source: Path, name: str, title: str) -> None:
    """One bundle with its poster."""
    rgba = np.asarray(Image.open(source / f"{name}.png").convert("RGBA"))
    studio = np.asarray(Image.open(source / f"{name}_studio.jpg").convert("RGB"))
    points = np.asarray(json.loads((source / f"{name}_mp468.json").read_text()), np.float32) * SIDE
    points[:, 0] += PAD
    wide = widened(np.dstack([bled(rgba), rgba[..., 3]]))
    portrait = Portrait(bled(wide), wide[..., 3], backdrop(studio, rgba[..., 3]), FaceMesh(points))
    folder = TARGET / "avatars" / name
    folder.mkdir(parents=True, exist_ok=True)
    bundle.save(portrait, folder, {"name": name, "title": title, "landmarks": "artwork", "warnings": []})
    write_jpeg(folder / "poster.jpg", Renderer(fit(portrait, Canvas())).base)


def main() -> None:
    """Build everything from the folder given on the command line."""
    source = Path(sys.argv[1])
    build_mouth(source)
    for name, title in AVATARS.items():
        build_avatar(source, name, title)
    print(f"{sum(f.stat().st_size for f in TARGET.rglob('*') if f.is_file()) / 1e6:.2f} MB in {TARGET}")


if __name__ == "__main__":
    main()
