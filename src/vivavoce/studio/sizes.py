"""The shape of a film as people write it: 512x512, 720p, 25 frames a second."""

import re

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Canvas

__all__ = ["MAX_FPS", "MAX_SIDE", "MIN_FPS", "MIN_SIDE", "NAMED", "canvas_of", "shaped"]

MIN_SIDE, MAX_SIDE = 128, 1920
MIN_FPS, MAX_FPS = 12, 60
NAMED = {"1080p": (1920, 1080), "720p": (1280, 720), "480p": (854, 480), "360p": (640, 360)}
_SIZE = re.compile(r"(\d{1,5})\s*[x×х*]\s*(\d{1,5})", re.IGNORECASE)  # the second х is the Cyrillic letter


def canvas_of(size: str, fps: int = 25) -> Canvas:
    """Read ``720p``, ``480p``, ``360p``, ``1080p`` or ``WIDTHxHEIGHT`` in pixels.

    Raises ``InvalidInput`` for another form, for a side that is odd or outside 128–1920, and for a frame rate
    outside 12–60.
    """
    name = size.strip().lower()
    if name in NAMED:
        width, height = NAMED[name]
    elif match := _SIZE.fullmatch(name):
        width, height = int(match[1]), int(match[2])
    else:
        raise InvalidInput(
            f"The size {size[:40]!r} is not known; write WIDTHxHEIGHT such as 512x512, or one of {', '.join(NAMED)}."
        )
    for side in (width, height):
        if side % 2 or not MIN_SIDE <= side <= MAX_SIDE:
            raise InvalidInput(
                f"A film of {width}x{height} cannot be made; each side must be even, {MIN_SIDE} to {MAX_SIDE} pixels."
            )
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InvalidInput(f"{fps} frames a second cannot be made; allowed is {MIN_FPS} to {MAX_FPS}.")
    return Canvas(width, height, fps)


def shaped(name: str, width: float, height: float) -> str:
    """The size that has the height of ``name`` (``720p``) and the shape of a picture, upright or lying.

    ``width`` and ``height`` are the picture's; what is wider than 16:9 or taller than 9:16 is taken as that.
    """
    widest, lines = NAMED[name]
    shape = min(max(width / height, lines / widest), widest / lines)
    return f"{2 * round(lines * shape / 2)}x{lines}"
