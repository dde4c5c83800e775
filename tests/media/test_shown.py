"""HDR looks as it does on a screen, interlaced films have no combs, and what is neither is left alone."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.media.samples import samples
from vivavoce.media.shown import HDR, toned
from vivavoce.media.video import oddities, read_frames

Bytes = npt.NDArray[np.uint8]
PQ, HLG = HDR
WIDTH, HEIGHT = 64, 48


def pq(nits: float) -> float:
    """SMPTE ST 2084, as the standard writes it."""
    y = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def test_light_that_a_screen_can_show_stays_and_brighter_light_is_bent_softly() -> None:
    nits = np.array([0.5, 5, 20, 50, 85])
    shown = toned(np.array([[pq(n)] * 3 for n in nits]), PQ)
    assert shown == pytest.approx(np.repeat((nits / 203) ** (1 / 2.4), 3).reshape(-1, 3), abs=0.003)
    bright = toned(np.array([[pq(n)] * 3 for n in (100, 203, 400, 700, 1000)]), PQ)[:, 0]
    assert (np.diff(bright) > 0.001).all(), "no two of them look the same"
    assert bright[-1] == pytest.approx(1, abs=0.002)


def test_both_kinds_of_hdr_agree() -> None:
    """BT.2408: white paper is 203 nits, in HLG three quarters of the signal."""
    one, other = toned(np.full((1, 3), pq(203)), PQ), toned(np.full((1, 3), 0.75), HLG)
    assert one == pytest.approx(other, abs=0.01)
    assert toned(np.ones((1, 3)), HLG) == pytest.approx(np.ones((1, 3)), abs=0.002)


def test_a_face_keeps_its_hue() -> None:
    nits = np.array([200.0, 150, 125])
    red, green, blue = toned(np.array([pq(n) for n in nits]), PQ) ** 2.4
    plain = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]) @ nits
    assert [red / green, red / blue] == pytest.approx([plain[0] / plain[1], plain[0] / plain[2]], rel=0.02)


def film(path: Path, planes: Iterable[list[npt.NDArray[np.integer]]], kind: str, **marks: int) -> Path:
    """A film that loses nothing, of planes as they are."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, kind
        for name, value in marks.items():
            setattr(stream.codec_context, name, value)
        for number, rows in enumerate(planes):
            frame = av.VideoFrame(WIDTH, HEIGHT, kind)
            for plane, values in zip(frame.planes, rows, strict=True):
                padded = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
                padded[:, : values.shape[1]] = values
                plane.update(padded.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for name, value in marks.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def ten_bits(signal: npt.NDArray[np.floating]) -> list[npt.NDArray[np.integer]]:
    """Colours of BT.2020 ``(height, width, 3)`` as its Y'CbCr 4:4:4 in limited range."""
    y = signal @ [0.2627, 0.6780, 0.0593]
    blue, red = (signal[..., 2] - y) / 1.8814, (signal[..., 0] - y) / 1.4746
    return [np.round(v).astype("<u2") for v in (64 + 876 * y, 512 + 896 * blue, 512 + 896 * red)]


@pytest.mark.parametrize("transfer", HDR)
def test_an_hdr_film_comes_out_in_sdr(transfer: int, tmp_path: Path) -> None:
    across, down = np.meshgrid(np.linspace(0.05, 0.7, WIDTH), np.linspace(0.9, 1, HEIGHT))
    signal = np.stack([across, across * down, across * down**2], axis=-1)
    marks = {"color_trc": transfer, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    path = film(tmp_path / "hdr.mkv", [ten_bits(signal)] * 3, "yuv444p10le", **marks)
    assert oddities(path) == {"hdr"}
    shown = [frame.image for frame in read_frames(path)]
    assert len(shown) == 3
    wanted = 255 * toned(signal, transfer)
    assert np.abs(shown[0] - wanted).max() < 7
    assert np.abs(shown[0] - wanted).mean() < 0.8
    half = next(iter(read_frames(path, size=(WIDTH // 2, HEIGHT // 2)))).image
    assert np.abs(half - wanted.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3))).max() < 8
    assert np.abs(next(iter(samples(path, [0.0], max_side=WIDTH))).rgb - wanted).max() < 7


def moment(time: float) -> Bytes:
    """A bright bar that moves over fine horizontal lines, ``(height, width)``."""
    luma = np.full((HEIGHT, WIDTH), 60, np.uint8)
    luma[::4] = 90
    at = 4 + round(time * 200)
    luma[8:40, at : at + 10] = 220
    return luma


@pytest.mark.parametrize("interlaced", [True, False])
def test_an_interlaced_film_has_no_combs(interlaced: bool, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        options = {"crf": "1", "x264-params": "tff=1"} if interlaced else {"crf": "1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(6):
            luma = moment(number / 25)
            luma[1::2] = moment((number + 0.5) / 25)[1::2]
            frame = av.VideoFrame.from_ndarray(np.repeat(luma[..., None], 3, axis=-1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert oddities(path) == ({"interlaced"} if interlaced else set())
    shown = list(read_frames(path))
    assert [frame.time for frame in shown] == pytest.approx([n / 25 for n in range(6)], abs=0.002)
    lumas = [frame.image[..., 1].astype(float) for frame in shown]
    combs = np.mean([np.abs(y[11:37:2] - (y[10:36:2] + y[12:38:2]) / 2)[:, 4:52].mean() for y in lumas[1:]])
    assert (combs < 8) == interlaced, f"{combs:.1f}"
    assert lumas[3][:6] == pytest.approx(moment(0).astype(float)[:6], abs=8), "what stands still stays fine"
