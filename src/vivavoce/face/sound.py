"""Reads the movements of a mouth off sound alone, for recordings whose words nobody wrote down.

A small network, trained by ``scripts/train_sound.py`` on espeak-ng's speech with our own curves as labels, sees 290 ms
around each moment. It never heard a person, so rules that hold for people stand beside it: the jaw follows loudness,
a short dip of the level speaks for a closure, and silence shuts the mouth.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from vivavoce.face.features import Matrix, stacked
from vivavoce.nouns import Audio
from vivavoce.text.articulation import JAW, PARAMETERS, PRESS, ROUND, close
from vivavoce.text.cepstrum import HOP, levels, log_mel, silences

__all__ = ["articulation_from_sound"]

Curve = npt.NDArray[np.float64]

_SIGMA = np.array([2.5, 4.0, 4.0, 1.2, 3.0, 1.5, 3.5, 2.5])
"""Frames by which each parameter is smoothed."""
_PRESSED = 0.8
"""What the network must make of a closure at its peak for the lips to close."""
_DIP, _DEEP = 3.0, 10.0
"""Decibels by which the level falls and rises again around a closure, at least, and around a stop."""
_REACH = 10
"""Frames to each side in which it does."""
_RAMP = 0.05
"""Seconds in which lips come to a closure and leave it."""
_SHUT_PAUSE, _SHUT_TIME = 0.16, 0.08
"""Seconds: pauses in which the mouth shuts, and how long that takes."""


@dataclass(frozen=True, slots=True)
class _Network:
    usual: tuple[Matrix, Matrix]
    """Mean and deviation of the cepstra in the training material."""
    said: Matrix
    meant: Matrix
    """Quantiles of the network's output and of its labels, each of shape ``(q, 8)``."""
    layers: tuple[Matrix, ...]
    """Weights and biases in turn."""


@cache
def _network() -> _Network:
    with files("vivavoce.face").joinpath("sound.npz").open("rb") as source, np.load(source) as stored:
        layers = tuple(stored[f"layer{i}"].astype(np.float32) for i in range(len(stored.files) - 4))
        return _Network((stored["mean"], stored["deviation"]), stored["said"], stored["meant"], layers)


def articulation_from_sound(audio: Audio, rate: int = 100) -> npt.NDArray[np.float32]:
    """The curves of a mouth that makes this sound, without knowing what it says.

    Shape ``(n, 8)`` in the order of ``text.articulation.PARAMETERS``, 0–1, ``n = ceil(seconds * rate) + 1``, as
    ``articulate`` gives them: in time with the sound, at rest at both ends, shut in pauses of 200 ms and more.
    """
    n = int(np.ceil(audio.seconds * rate - 1e-9)) + 1
    if audio.seconds < 0.1 or np.abs(audio.samples).max(initial=0.0) < 1e-3:
        return np.zeros((n, len(PARAMETERS)), np.float32)
    mel = log_mel(audio)
    level = levels(mel).astype(np.float64)
    curves = _predicted(audio)
    # The network does not know this voice; its loudness is a witness of the jaw that no voice can argue with.
    loudness = _gaussian(np.clip((level + 24) / 24, 0, 1)[:, None], np.array([3.0]))[:, 0]
    curves[:, JAW] = 0.65 * curves[:, JAW] + 0.35 * loudness * (1 - 0.7 * curves[:, ROUND])
    openness = _openness(mel)
    curves[:, PRESS] = _closures(curves[:, PRESS], level)
    curves = close(curves * openness[:, None])
    time = np.arange(n) / rate
    moved = np.stack([np.interp(time / HOP, np.arange(len(curves)), c) for c in curves.T], axis=1)
    ends = _rise(np.minimum(time, audio.seconds - time) / _SHUT_TIME)
    return (moved * ends[:, None]).astype(np.float32)


def _predicted(audio: Audio) -> Curve:
    """What the network makes of the sound, smoothed and stretched to the range of its labels: ``(n, 8)`` at 100 Hz."""
    network = _network()
    hidden = stacked(audio, network.usual)
    for i in range(0, len(network.layers), 2):
        hidden = hidden @ network.layers[i] + network.layers[i + 1]
        if i + 2 < len(network.layers):
            hidden = np.maximum(hidden, 0)
    smooth = _gaussian(hidden.astype(np.float64), _SIGMA)
    curves = [
        np.interp(c, *_increasing(said, meant))
        for c, said, meant in zip(smooth.T, network.said.T, network.meant.T, strict=True)
    ]
    return np.asarray(np.clip(np.stack(curves, axis=1), 0.0, 1.0))


def _increasing(said: Matrix, meant: Matrix) -> tuple[Curve, Curve]:
    """Knots of the map from one row of quantiles to another, strictly increasing as interpolation needs."""
    steps = np.arange(len(said)) * 1e-6
    return said + steps, meant.astype(np.float64)


def _gaussian(curves: Curve, sigmas: Curve) -> Curve:
    """Each column smoothed by a Gaussian of its own width in frames."""
    columns = []
    for column, sigma in zip(curves.T, sigmas, strict=True):
        reach = int(np.ceil(3 * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        columns.append(np.convolve(np.pad(column, reach, mode="edge"), kernel / kernel.sum(), "valid"))
    return np.stack(columns, axis=1)


def _closures(press: Curve, level: Curve) -> Curve:
    """Complete closures where the network sees one: half-closed lips look like neither.

    At a closure the level falls and rises again: a peak without a dip is none, and a deep dip makes up for a low peak.
    """
    curve = np.zeros(len(press))
    frames = np.arange(len(press))
    for at in np.flatnonzero((press[1:-1] >= press[:-2]) & (press[1:-1] > press[2:])) + 1:
        around = level[max(0, at - _REACH) : at + 1], level[at : at + _REACH + 1]
        dip = min(float(side.max()) for side in around) - float(level[max(0, at - 1) : at + 2].min())
        if dip > _DIP and press[at] >= (_PRESSED if dip < _DEEP else _PRESSED / 2):
            away = (np.abs(frames - at) - 2) * HOP  # 50 ms shut, as a /p/ is
            curve = np.maximum(curve, _rise(1 - away / _RAMP))
    return curve


def _openness(mel: Matrix) -> Curve:
    """1 where there is speech, 0 in pauses, with a short way between: shape ``(n,)``."""
    frames = np.arange(len(mel))
    openness = np.ones(len(mel))
    for a, b in silences(mel, _SHUT_PAUSE):
        away = np.minimum(frames - a, b - frames) * HOP
        openness = np.minimum(openness, np.where(away >= 0, _rise(1 - away / _SHUT_TIME), 1.0))
    return openness


def _rise(x: Curve) -> Curve:
    """A smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))
