"""Films that clients send: small, and with a word to the toy trainer of ``serving`` in their comment."""

import io
from functools import cache

import av
import numpy as np

__all__ = ["footage"]


@cache
def footage(word: str = "", *, seconds: float = 2.0, side: tuple[int, int] = (128, 96)) -> bytes:
    """An MP4 file of a moving gradient, without sound.

    ``word`` is what the toy does with it: ``slow`` (30 ms an epoch), ``hang``, ``die``, ``bug`` (in the fourth epoch),
    ``faceless``; "" nothing.
    """
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        container.metadata["comment"] = f"toy:{word}"
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = side
        stream.pix_fmt = "yuv420p"
        ramp = np.linspace(0, 200, side[0], dtype=np.float32)
        for n in range(round(seconds * 25)):
            picture = np.repeat(np.roll(ramp, n)[None], side[1], 0)[..., None].repeat(3, 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return held.getvalue()
