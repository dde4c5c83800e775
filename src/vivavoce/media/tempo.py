"""Speech spoken faster or slower at the same pitch."""

from fractions import Fraction

import av
import av.filter
import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio

__all__ = ["FASTEST", "SLOWEST", "at_speed"]

SLOWEST, FASTEST = 0.25, 4.0
_LEAST = 0.5
"""What libav's ``atempo`` (overlap and add of similar waves) does at once."""
_BLOCK = 4096


def at_speed(audio: Audio, speed: float) -> Audio:
    """The same speech, ``speed`` times as fast (``SLOWEST`` to ``FASTEST``)."""
    if speed == 1 or not len(audio.samples):
        return audio
    graph = av.filter.Graph()
    base = Fraction(1, audio.rate)
    steps = [graph.add_abuffer(sample_rate=audio.rate, format="flt", layout="mono", time_base=base)]
    while speed < _LEAST:
        steps.append(graph.add("atempo", str(_LEAST)))
        speed /= _LEAST
    steps += [graph.add("atempo", f"{speed:.6f}"), graph.add("abuffersink")]
    graph.link_nodes(*steps).configure()
    made = []
    for at in range(0, len(audio.samples), _BLOCK):
        frame = av.AudioFrame.from_ndarray(audio.samples[None, at : at + _BLOCK], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = audio.rate, at, base
        steps[0].push(frame)
        made += _pulled(steps[-1])
    steps[0].push(None)
    made += _pulled(steps[-1])
    return Audio(np.concatenate(made or [audio.samples[:0]]), audio.rate)


def _pulled(sink: av.filter.context.FilterContext) -> list[npt.NDArray[np.float32]]:
    found: list[npt.NDArray[np.float32]] = []
    while True:
        try:
            frame = sink.pull()
        except (av.BlockingIOError, av.EOFError):
            return found
        assert isinstance(frame, av.AudioFrame)
        found.append(frame.to_ndarray()[0].astype(np.float32))
