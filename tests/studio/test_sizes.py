"""Sizes as people write them."""

import pytest

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Canvas
from vivavoce.studio.sizes import canvas_of, shaped


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("512x512", (512, 512)),
        ("1080X1920", (1080, 1920)),
        (" 640 × 360 ", (640, 360)),
        ("720p", (1280, 720)),
        ("480P", (854, 480)),
        ("360p", (640, 360)),
        ("1080p", (1920, 1080)),
        ("128x1920", (128, 1920)),
    ],
)
def test_sizes_are_read(size: str, shape: tuple[int, int]) -> None:
    assert canvas_of(size, 30) == Canvas(*shape, 30)


@pytest.mark.parametrize("size", ["", "big", "512", "512x", "x512", "-2x512", "12.5x20", "512x512x3", "240p"])
def test_other_words_are_refused_with_the_right_ones(size: str) -> None:
    with pytest.raises(InvalidInput, match=r"720p|even"):
        canvas_of(size)


@pytest.mark.parametrize("size", ["127x512", "126x512", "511x512", "512x1922", "99999x99999"])
def test_sides_have_limits(size: str) -> None:
    with pytest.raises(InvalidInput, match="even, 128 to 1920"):
        canvas_of(size)


@pytest.mark.parametrize("fps", [-1, 0, 11, 61])
def test_frame_rates_have_limits(fps: int) -> None:
    with pytest.raises(InvalidInput, match="12 to 60"):
        canvas_of("512x512", fps)


@pytest.mark.parametrize(
    ("name", "picture", "size"),
    [
        ("720p", (1920, 1080), "1280x720"),
        ("480p", (1920, 1080), "854x480"),
        ("720p", (512, 512), "720x720"),
        ("360p", (900, 1200), "270x360"),
        ("720p", (1680, 1024), "1182x720"),
        ("720p", (5000, 400), "1280x720"),
        ("360p", (10, 4000), "202x360"),
    ],
)
def test_a_named_height_in_the_shape_of_a_picture(name: str, picture: tuple[int, int], size: str) -> None:
    assert shaped(name, *picture) == size
    assert canvas_of(size)
