"""Which speech sound it is, moment by moment, whoever speaks: what speech of two people can be matched by.

The acoustic model that lies in pocketsphinx's wheel has heard many people. Only its Gaussians are used: for each of 42
English phonemes a codebook, for each third of a phoneme weights, so that a frame of sound becomes 126 posterior
probabilities. Sounds that English lacks become a mixture of those that it has, and the same mixture for everybody.
Features and likelihoods are those of CMU Sphinx (phonetically tied mixtures, three streams).
"""

import importlib.util
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable

__all__ = ["CEPSTRA", "HOP", "RATE", "SIZE", "cepstra", "posteriors"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

RATE = 16_000
"""Hz."""
HOP = 80
"""Samples from frame to frame: 5 ms."""
_PHONES, _STATES = 42, 3
SIZE = _PHONES * _STATES
"""Numbers of a frame."""
_WINDOW, _FFT, _BANDS, _LIFTER = 410, 512, 25, 22
CEPSTRA = 13
"""Numbers of a cepstrum."""
_LOWEST, _HIGHEST = 130.0, 6800.0
"""Hz."""
_DENSITIES = 128
_WEIGHT = 1024 * np.log(1.0001)
"""Mixture weights are kept as whole negative logarithms of this step."""
_LEAST_VARIANCE = 1e-4
_STEP = 2
"""Frames of ours in one of the model's, which has 10 ms."""
_TEMPERATURE = 0.5
"""Likelihoods of overlapping windows are far too sure; this makes neighbours of the best sound count."""
_BLOCK = 512
"""Frames judged at once: 33 MB."""


def cepstra(samples: npt.NDArray[np.floating]) -> Doubles:
    """Sphinx' mel cepstra of sound at ``RATE``, shape ``(n,)``, to ``(n // HOP + 1, 13)``; not yet centred."""
    sound = np.asarray(samples, np.float64) * 32768
    sound = np.append(sound[:1], sound[1:] - 0.97 * sound[:-1])
    frames = len(sound) // HOP + 1
    padded = np.pad(sound, (_WINDOW // 2, _WINDOW + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][:frames]
    made = np.empty((frames, CEPSTRA))
    for i in range(0, frames, 4 * _BLOCK):
        part = np.abs(np.fft.rfft(windows[i : i + 4 * _BLOCK] * np.hamming(_WINDOW), _FFT)) ** 2
        made[i : i + len(part)] = np.log(np.maximum(part @ _filters(), 1e-5)) @ _cosines()
    return made


def posteriors(cepstra: Doubles, mean: Doubles) -> Floats:
    """How likely each third of each phoneme sounds, shape ``(n, 13)`` to ``(n, SIZE)``; a row's sum is 1.

    ``mean`` is the speaker's mean cepstrum, shape ``(13,)``. Raises ``EngineUnavailable`` without pocketsphinx.
    """
    model = _model()
    n = len(cepstra)
    centred = cepstra - mean

    def at(frames: int) -> Doubles:
        return centred[np.clip(np.arange(n) + frames * _STEP, 0, n - 1)]

    streams = centred, at(2) - at(-2), (at(3) - at(-1)) - (at(1) - at(-3))
    made = np.empty((n, SIZE), np.float32)
    for i in range(0, n, _BLOCK):
        score = sum(
            one.score(stream[i : i + _BLOCK].astype(np.float32)) for one, stream in zip(model, streams, strict=True)
        )
        scaled = _TEMPERATURE * np.asarray(score, np.float32)
        likely = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        made[i : i + _BLOCK] = likely / likely.sum(axis=1, keepdims=True)
    return made


@dataclass(frozen=True, slots=True)
class _Stream:
    """The Gaussians of one stream of features, as matrices that score all of them at once."""

    squares: Floats
    """``(13, 42 * 128)``."""
    products: Floats
    """``(13, 42 * 128)``."""
    constants: Floats
    """``(42 * 128,)``."""
    weights: Floats
    """``(42, 128, 3)``."""

    def score(self, features: Floats) -> Floats:
        """Logarithms of likelihoods, shape ``(n, 13)`` to ``(n, SIZE)``."""
        each = self.constants - features**2 @ self.squares + features @ self.products
        each = each.reshape(len(features), _PHONES, _DENSITIES)
        most = each.max(axis=2, keepdims=True)
        mixed = np.matmul(np.exp(each - most).transpose(1, 0, 2), self.weights).transpose(1, 0, 2)
        return np.asarray((np.log(np.maximum(mixed, 1e-30)) + most).reshape(len(features), SIZE), np.float32)


@lru_cache(maxsize=1)
def _model() -> tuple[_Stream, ...]:
    """The model's three streams, read once. The package is looked at, not imported."""
    spec = importlib.util.find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        raise EngineUnavailable("The cloner world is not installed; run `pip install 'vivavoce[clone]'`.")
    folder = Path(spec.origin).parent / "model" / "en-us" / "en-us"
    try:
        means, variances, weights = _gaussians(folder / "means"), _gaussians(folder / "variances"), _weights(folder)
    except (OSError, ValueError, struct.error) as error:
        raise EngineUnavailable(
            "The acoustic model of pocketsphinx is damaged; run `pip install --force-reinstall 'pocketsphinx>=5.1'`."
        ) from error
    return tuple(_stream(*parts) for parts in zip(means, variances, weights, strict=True))


def _stream(means: Floats, variances: Floats, weights: Floats) -> _Stream:
    inverse = 0.5 / np.maximum(variances.astype(np.float64), _LEAST_VARIANCE)
    constants = (0.5 * np.log(inverse / np.pi) - means**2 * inverse).sum(axis=2)
    flat = inverse.reshape(-1, CEPSTRA).T, (2 * means * inverse).reshape(-1, CEPSTRA).T
    return _Stream(*(np.ascontiguousarray(part, np.float32) for part in (*flat, constants.ravel(), weights)))


def _gaussians(path: Path) -> list[Floats]:
    """A file of means or variances: for each stream ``(42, 128, 13)``."""
    data = path.read_bytes()
    at = data.index(b"endhdr\n") + 7
    magic, books, streams, densities = struct.unpack_from("<4i", data, at)
    lengths = struct.unpack_from(f"<{streams}i", data, at + 16)
    if (magic, books, densities, *lengths) != (0x11223344, _PHONES, _DENSITIES, *[CEPSTRA] * 3):
        raise ValueError("another model")
    numbers = np.frombuffer(data, "<f4", _PHONES * _DENSITIES * sum(lengths), at + 20 + 4 * streams)
    parts = numbers.reshape(_PHONES, streams, _DENSITIES, CEPSTRA)
    return [parts[:, i] for i in range(streams)]


def _weights(folder: Path) -> list[Floats]:
    """Mixture weights of the phonemes' thirds: for each stream ``(42, 128, 3)``; triphones are left out."""
    data = (folder / "sendump").read_bytes()
    at = 0
    while length := struct.unpack_from("<i", data, at)[0]:
        at += 4 + length
    densities, senones = struct.unpack_from("<2i", data, at + 4)
    if densities != _DENSITIES or senones < SIZE:
        raise ValueError("another model")
    kept = np.frombuffer(data, np.uint8, 3 * densities * senones, at + 12).reshape(3, densities, senones)[:, :, :SIZE]
    weights = np.exp(-_WEIGHT * kept).reshape(3, densities, _PHONES, _STATES).transpose(0, 2, 1, 3)
    return list((weights / weights.sum(axis=2, keepdims=True)).astype(np.float32))


@lru_cache(maxsize=1)
def _filters() -> Doubles:
    """Triangles of area 1 between equal steps of mel, their edges on bins; shape ``(257, 25)``."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST, _HIGHEST))
    edges = 700 * (10 ** (np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    step = RATE / _FFT
    edges = np.round(edges / step) * step
    bins = np.arange(_FFT // 2 + 1)[:, None] * step
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None) * 2 / (right - left))


@lru_cache(maxsize=1)
def _cosines() -> Doubles:
    """The orthonormal cosine transform with Sphinx' lifter; shape ``(25, 13)``."""
    order = np.arange(CEPSTRA)
    matrix = np.cos(np.pi / _BANDS * (np.arange(_BANDS) + 0.5)[:, None] * order) * np.sqrt(2 / _BANDS)
    matrix[:, 0] /= np.sqrt(2)
    return np.asarray(matrix * (1 + _LIFTER / 2 * np.sin(order * np.pi / _LIFTER)))
