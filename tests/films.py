"""Films that clients send: small, and with a word to the toy trainer of ``serving`` in their comment."""

import io
from collections.abc import Iterator
from functools import cache

import av
import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.engines.photo import bundle
from vivavoce.studio.scene import builtin_avatars

__all__ = ["footage", "lasting", "portrayed"]


@cache
def footage(word: str = "", *, seconds: float = 2.0, side: tuple[int, int] = (128, 96)) -> bytes:
    """An MP4 file of a moving gradient, without sound.

    ``word`` is what the toy does with it: ``slow`` (30 ms an epoch), ``hang``, ``die``, ``bug`` (in the fourth epoch),
    ``faceless``; "" nothing.
    """
    ramp = np.linspace(0, 200, side[0], dtype=np.float32)
    rolled = (np.repeat(np.roll(ramp, n)[None], side[1], 0)[..., None].repeat(3, 2) for n in range(round(seconds * 25)))
    return _film(word, (picture.astype(np.uint8) for picture in rolled))


@cache
def portrayed(word: str = "", *, seconds: float = 2.0) -> bytes:
    """The same of a face that stands still: what is looked at before a training finds somebody."""
    face = cv2.resize(bundle.load(builtin_avatars() / "anna").rgb, (640, 640), interpolation=cv2.INTER_AREA)
    return _film(word, (np.asarray(face, np.uint8) for _ in range(round(seconds * 25))))


def lasting(seconds: int) -> bytes:
    """A film of three pictures that lasts so long."""
    return _film("", (np.full((96, 128, 3), 50 * n, np.uint8) for n in range(3)), apart=seconds * 25 // 2)


def _film(word: str, pictures: Iterator[npt.NDArray[np.uint8]], *, apart: int = 1) -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        container.metadata["comment"] = f"toy:{word}"
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        for n, picture in enumerate(pictures):
            if not n:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n * apart
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return held.getvalue()
