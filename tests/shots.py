"""Films for tests, written picture by picture: plain ones, HDR ones, ones that are odd in some way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

__all__ = ["Form", "Lazy", "Pictures", "hdr_frame", "write_film"]

Bytes = npt.NDArray[np.uint8]


class Pictures(Protocol):
    """A list of them, or what makes them when they are wanted."""

    def __iter__(self) -> Iterator[Bytes]: ...

    def __getitem__(self, number: int, /) -> Bytes: ...

    def __len__(self) -> int: ...


def plain_frame(rgb: Bytes) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(rgb, format="rgb24")


def hdr_frame(rgb: Bytes) -> av.VideoFrame:
    """What a screen shows of ``rgb``, in the colours of BT.2020 and the signal of SMPTE ST 2084, 10 bits."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    y = (203 * (rgb / 255) ** 2.4 @ to_2020.T / 10_000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    luma = signal @ [0.2627, 0.6780, 0.0593]
    blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv420p10le")
    values = 64 + 876 * luma, 512 + 896 * blue[::2, ::2], 512 + 896 * red[::2, ::2]
    for plane, rows in zip(frame.planes, values, strict=True):
        padded = np.zeros((plane.height, plane.line_size // 2), "<u2")
        padded[:, : rows.shape[1]] = np.round(rows)
        plane.update(padded.tobytes())
    frame.color_trc = 16
    return frame


@dataclass(frozen=True)
class Form:
    """How a film is written."""

    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    transfer: int = 1
    frame: Callable[[Bytes], av.VideoFrame] = plain_frame


def write_film(
    path: Path,
    shown: Pictures,
    fps: int,
    *,
    sound: npt.NDArray[np.float32] | None,
    times: list[int] | None = None,
    form: Form | None = None,
) -> None:
    """Write pictures of one size, with 16 kHz of sound or none; ``times`` are theirs in pictures."""
    with av.open(str(path), "w") as film:
        form = form or Form()
        stream = film.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "ultrafast"} | form.options)
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = form.pixels
        stream.codec_context.color_trc = form.transfer
        speech = film.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
        for number, rgb in enumerate(shown):
            frame = form.frame(rgb)
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, fps)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if speech is not None and sound is not None:
            length = round(len(shown) / fps * 16_000) // 1024 * 1024
            for at in range(0, length, 1024):
                piece = np.zeros(1024, np.float32)
                part = sound[at : at + 1024]
                piece[: len(part)] = part
                block = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
                block.sample_rate, block.pts = 16_000, at
                film.mux(speech.encode(block))
            film.mux(speech.encode(None))


class Lazy:
    """Pictures that are made when they are wanted: 5 GB would not fit."""

    def __init__(self, make: Callable[[], Iterator[Bytes]], count: int) -> None:
        self._make, self._count = make, count

    def __iter__(self) -> Iterator[Bytes]:
        return self._make()

    def __getitem__(self, number: int) -> Bytes:
        return next(islice(self._make(), number, None))

    def __len__(self) -> int:
        return self._count
