"""Decoded pictures as they are to be seen: without the combs of interlacing, in SDR, upright.

HDR is toned down as ITU-R BT.2390 says: unchanged up to where a face is lit, softly bent above it. The way there, from
PQ or HLG to BT.709, is one table of colours, so it costs the same whatever it does.
"""

import functools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.filter import Graph

__all__ = ["HDR", "Printer", "toned", "woven"]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_PQ, _HLG = 16, 18
HDR = (_PQ, _HLG)
"""SMPTE ST 2084 and ARIB STD-B67, as ITU-T H.273 numbers transfer functions."""
_WHITE, _PEAK = 203.0, 1000.0
"""Candelas a square metre of white paper (BT.2408) and of the brightest light that is told from white."""
_TABLE = 33
"""Colours along each side of the table."""
_FROM_2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear light of BT.2020 as that of BT.709 (BT.2087)."""
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073


def _pq(light: Floats) -> Floats:
    """Light as the signal of SMPTE ST 2084."""
    y = (light / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * y) / (1 + _C3 * y)) ** _M2)


def _light_of_pq(signal: Floats) -> Floats:
    root = np.maximum(signal, 0) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1))


def _light_of_hlg(signal: Floats) -> Floats:
    """Light of BT.2100's HLG on a screen of ``_PEAK``, whose system gamma is 1.2."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    return np.asarray(_PEAK * scene * np.maximum(scene @ _LUMA_2020, 1e-9)[..., None] ** 0.2)


def _bent(light: Floats) -> Floats:
    """Light up to ``_PEAK`` brought below ``_WHITE``: the curve of BT.2390, a spline above its knee."""
    top = _pq(np.array(_PEAK))
    e, most = np.minimum(_pq(light) / top, 1), _pq(np.array(_WHITE)) / top
    knee = 1.5 * most - 0.5
    t = np.clip((e - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return _light_of_pq(np.where(e < knee, e, spline) * top)


def toned(signal: npt.NDArray[np.floating], transfer: int) -> Floats:
    """Colours ``(…, 3)`` of BT.2020, 0-1, in the transfer function ``transfer`` of ``HDR``, as those of BT.709, 0-1."""
    given = np.asarray(signal, np.float64)
    light = _light_of_pq(given) if transfer == _PQ else _light_of_hlg(given)
    most = light.max(axis=-1, keepdims=True)  # all three bent alike, a colour keeps its hue
    even = light * _bent(most) / np.maximum(most, 1e-9) / _WHITE
    return np.asarray(np.clip(even @ _FROM_2020.T, 0, 1) ** (1 / 2.4))


@functools.cache
def _cube(transfer: int) -> bytes:
    """The table in Adobe's ``.cube`` format, red varying fastest."""
    steps = np.linspace(0, 1, _TABLE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    rows = toned(np.stack([red, green, blue], axis=-1), transfer).reshape(-1, 3)
    lines = [f"LUT_3D_SIZE {_TABLE}", *(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in rows.tolist())]
    return "\n".join(lines).encode()


def _chain(frame: av.VideoFrame, *steps: tuple[str, dict[str, str]]) -> Graph:
    """A graph of filters, one after another, for pictures like ``frame``."""
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)]
    nodes += [graph.add(name, **options) for name, options in steps]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def _kind(frame: av.VideoFrame) -> tuple[int, int, str, int]:
    return frame.width, frame.height, frame.format.name, int(frame.color_trc)


def woven(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The pictures of a film; from its first interlaced one on, such pictures have their combs taken out (BWDIF).

    There are as many as before, at their times.
    """
    graph, kind = None, None
    for frame in frames:
        if graph is not None and _kind(frame) != kind:
            yield from _drained(graph)
            graph = None
        if graph is None and frame.interlaced_frame:
            graph, kind = _chain(frame, ("bwdif", {"mode": "send_frame", "deint": "interlaced"})), _kind(frame)
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from _ready(graph)
    if graph is not None:
        yield from _drained(graph)


def _ready(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield frame


def _drained(graph: Graph) -> Iterator[av.VideoFrame]:
    graph.push(None)
    yield from _ready(graph)


class Printer:
    """Makes RGB of the pictures of one film. Not shared between threads."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._for: tuple[object, ...] = ()

    def print(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> Bytes:
        """RGB ``(height, width, 3)``, upright. One that is larger than ``size`` (width, height, upright) is shrunk."""
        turns = round(frame.rotation / 90) % 4
        if size and turns % 2:
            size = size[1], size[0]
        small = size is not None and frame.width > size[0] and frame.height > size[1]
        wanted = size if small and size else (frame.width, frame.height)
        rgb = self._toned(frame, wanted) if frame.color_trc in HDR else _plain(frame, wanted)
        return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb

    def _toned(self, frame: av.VideoFrame, size: tuple[int, int]) -> Bytes:
        kind = (*_kind(frame), size)
        if self._graph is None or kind != self._for:
            self._graph, self._for = _toning(frame, size), kind
        self._graph.push(frame)
        printed = self._graph.pull()
        assert isinstance(printed, av.VideoFrame)
        return np.asarray(printed.to_ndarray(), np.uint8)


def _plain(frame: av.VideoFrame, size: tuple[int, int]) -> Bytes:
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return (
        rgb
        if size == (frame.width, frame.height)
        else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    )


def _toning(frame: av.VideoFrame, size: tuple[int, int]) -> Graph:
    with tempfile.TemporaryDirectory(prefix="vivavoce-") as folder:  # the filter reads its table from a file alone
        cube = Path(folder) / "tones.cube"
        cube.write_bytes(_cube(int(frame.color_trc)))
        return _chain(
            frame,
            ("scale", {"w": str(size[0]), "h": str(size[1]), "flags": "area", "in_color_matrix": "bt2020"}),
            ("format", {"pix_fmts": "gbrp16le"}),
            ("lut3d", {"file": str(cube), "interp": "tetrahedral"}),
            ("format", {"pix_fmts": "rgb24"}),
        )
