"""Opening whatever a stranger calls a picture."""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.picture import open_picture, picture_size, write_jpeg


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    """Red to the right, green downwards, blue 64: every corner tells which it is."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([x, y, np.full_like(x, 64)]).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    image.save(target := io.BytesIO(), kind, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"quality": 95}), ("JPEG", {"progressive": True, "quality": 95}), ("PNG", {}), ("WEBP", {"quality": 95})],
)
def test_formats(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = saved(gradient(), kind, **options)
    (tmp_path / "x.gif").write_bytes(data)  # the name does not matter
    for source in (data, tmp_path / "x.gif"):
        picture = open_picture(source)
        assert picture.rgb.shape == (48, 64, 3)
        assert picture.rgb.dtype == np.uint8
        assert picture.alpha is None
        assert np.abs(picture.rgb.astype(int) - np.asarray(gradient())).mean() < 4


def test_it_is_turned_upright() -> None:
    for orientation, corner in ((1, (0, 0)), (3, (255, 255)), (6, (0, 255)), (8, (255, 0))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = open_picture(saved(gradient(), "JPEG", quality=98, exif=exif))
        assert picture.rgb.shape == ((48, 64, 3) if orientation in (1, 3) else (64, 48, 3))
        assert np.abs(picture.rgb[0, 0, :2].astype(int) - corner).max() < 16


def test_colour_modes() -> None:
    grey = gradient().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for data in (saved(grey, "PNG"), saved(deep, "PNG"), saved(grey, "JPEG", quality=98)):
        picture = open_picture(data)
        assert np.abs(picture.rgb.astype(int) - np.asarray(grey)[..., None]).max() <= 8
    cmyk = open_picture(saved(gradient().convert("CMYK"), "JPEG", quality=98))
    assert np.abs(cmyk.rgb.astype(int) - np.asarray(gradient())).mean() < 10
    palette = open_picture(saved(gradient().quantize(256), "PNG"))
    assert np.abs(palette.rgb.astype(int) - np.asarray(gradient())).mean() < 10
    assert open_picture(saved(gradient().convert("1"), "PNG")).rgb.shape == (48, 64, 3)


def test_transparency() -> None:
    image = gradient().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    for data in (saved(image, "PNG"), saved(image, "WEBP", lossless=True)):
        picture = open_picture(data)
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, np.asarray(image)[..., 3])
    image.putalpha(255)
    assert open_picture(saved(image, "PNG")).alpha is None
    seen_through = gradient().quantize(16)
    assert open_picture(saved(seen_through, "PNG", transparency=0)).alpha is not None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [gradient(), gradient().rotate(90)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(UnsupportedMedia, match="JPEG, PNG or WebP"):
        open_picture(data)


@pytest.mark.parametrize("data", [saved(gradient(), k) for k in ("GIF", "BMP", "TIFF", "ICO", "PPM")])
def test_other_formats_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="JPEG, PNG or WebP"):
        open_picture(data)


def test_files_that_are_no_picture() -> None:
    for data in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"hello", b"\0" * 100, b"%PDF-1.7", b"RIFF0000WAVE"):
        with pytest.raises(UnsupportedMedia):
            open_picture(data)
    with pytest.raises(InvalidInput, match="empty"):
        open_picture(b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_is_cut_off_or_damaged(kind: str) -> None:
    data = saved(gradient(300, 200), kind)
    for end in (4, 12, 20, 40, len(data) // 2, len(data) - 40):
        with pytest.raises(InvalidInput):
            open_picture(data[:end])
    noise = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(data)
        for place in noise.integers(0, len(data), 8):
            broken[place] = noise.integers(0, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow may remark on it; what counts is which errors come out
            with suppress(InvalidInput):
                assert open_picture(bytes(broken)).rgb.ndim == 3


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (1, 60_000_000)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge, match="50 million"):
        open_picture(png_header(*size))


def test_the_limit_is_the_callers() -> None:
    data = saved(gradient(100, 100), "PNG")
    assert open_picture(data, max_pixels=10_000).rgb.shape == (100, 100, 3)
    with pytest.raises(TooLarge):
        open_picture(data, max_pixels=9_999)


def test_broken_exif_does_not_matter() -> None:
    data = saved(gradient(), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert open_picture(data).rgb.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_told_by_the_header(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (path := tmp_path / "picture").write_bytes(saved(gradient(), kind, exif=exif))
    assert picture_size(path) == open_picture(path).rgb.shape[1::-1]
    with pytest.raises(TooLarge, match="64x48 pixels"):
        picture_size(path, max_pixels=3000)


def test_a_file_without_a_header_has_no_size(tmp_path: Path) -> None:
    for data, error in ((b"", InvalidInput), (b"GIF89a", UnsupportedMedia), (b"\xff\xd8\xff\xe0", InvalidInput)):
        (path := tmp_path / "picture").write_bytes(data)
        with pytest.raises(error):
            picture_size(path)


def test_jpeg_that_we_write(tmp_path: Path) -> None:
    rgb = np.asarray(gradient())
    write_jpeg(tmp_path / "a.jpg", rgb)
    assert np.abs(open_picture(tmp_path / "a.jpg").rgb.astype(int) - rgb).mean() < 6
    write_jpeg(buffer := io.BytesIO(), rgb)
    assert buffer.getvalue() == (tmp_path / "a.jpg").read_bytes()
