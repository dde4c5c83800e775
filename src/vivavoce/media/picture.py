"""Pictures that strangers send, and the only code that opens them: the header is judged before a pixel is decoded."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia

__all__ = ["Picture", "open_picture", "picture_size", "write_jpeg"]

Plane = npt.NDArray[np.uint8]

_ALLOWED = "send a JPEG, PNG or WebP"
_LYING = (5, 6, 7, 8)
"""Values of EXIF's orientation with which width and height change places."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture, upright."""

    rgb: Plane
    """Shape ``(height, width, 3)``."""
    alpha: Plane | None = None
    """Shape ``(height, width)``, 0 is transparent; None when the picture is opaque everywhere."""


def open_picture(source: Path | bytes, *, max_pixels: float = 50e6) -> Picture:
    """Decode a JPEG, PNG or WebP of any colour mode; turned upright by its EXIF orientation, colour profile ignored.

    Raises ``UnsupportedMedia`` for another format or an animation, ``TooLarge`` above ``max_pixels``, ``InvalidInput``
    when it is empty, cut off or damaged; ``OSError`` when a path cannot be opened.
    """
    with _opened(source.read_bytes() if isinstance(source, Path) else source) as image:
        _check(image, max_pixels)
        try:
            image.load()
        except Exception as error:
            raise InvalidInput(f"The picture is cut off or damaged; {_ALLOWED} that opens elsewhere.") from error
        return _planes(_upright(image))


def picture_size(source: Path, *, max_pixels: float = 50e6) -> tuple[int, int]:
    """Width and height of the picture once it is upright, by its header alone.

    Raises what ``open_picture`` raises, but for damage behind the header.
    """
    with _opened(source.read_bytes()) as image:
        _check(image, max_pixels)
        size = image.width, image.height
        try:
            lies = image.getexif().get(ExifTags.Base.Orientation) in _LYING
        except Exception:  # noqa: BLE001  broken EXIF data says nothing about the picture
            lies = False
        return size[::-1] if lies else size


def write_jpeg(target: Path | BinaryIO, rgb: Plane, quality: int = 90) -> None:
    """Write RGB ``(h, w, 3)`` as a progressive JPEG."""
    Image.fromarray(rgb, "RGB").save(target, "JPEG", quality=quality, optimize=True, progressive=True)


def _check(image: ImageFile, max_pixels: float) -> None:
    """Judge the header."""
    if getattr(image, "is_animated", False):
        raise UnsupportedMedia(f"The picture is animated; {_ALLOWED} that stands still.")
    if image.width * image.height > max_pixels:
        size, limit = f"{image.width}x{image.height}", f"{max_pixels / 1e6:g}"
        raise TooLarge(f"The picture has {size} pixels; at most {limit} million are allowed.")


def _opened(data: bytes) -> ImageFile:
    if not data:
        raise InvalidInput(f"The picture is empty; {_ALLOWED}.")
    # Named decoders instead of Image.open: that one warns and raises at limits of its own, and takes the JPEGs of some
    # phones, which carry a preview behind the picture, for animations.
    if data.startswith(b"\xff\xd8\xff"):
        decoder: type[ImageFile] = JpegImageFile
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        decoder = PngImageFile
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        decoder = WebPImageFile
    else:
        raise UnsupportedMedia(f"This is no picture that can be read here; {_ALLOWED}.")
    try:
        return decoder(io.BytesIO(data))
    except Exception as error:
        raise InvalidInput(f"The picture is cut off or damaged; {_ALLOWED} that opens elsewhere.") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  broken EXIF data says nothing about the picture
        return image


def _planes(image: Image.Image) -> Picture:
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow itself would cut off everything above 255.
        return Picture(np.repeat((np.asarray(image) / 257).astype(np.uint8)[..., None], 3, axis=2))
    if not image.has_transparency_data:
        return Picture(np.array(image.convert("RGB")))
    rgba = np.array(image.convert("RGBA"))
    alpha = None if rgba[..., 3].min() == 255 else np.ascontiguousarray(rgba[..., 3])
    return Picture(np.ascontiguousarray(rgba[..., :3]), alpha)
