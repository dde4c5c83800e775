"""``speaker.ge2e``: three LSTM layers that tell speakers apart (Wan et al., 2018, arXiv:1710.10467), without torch.

The weights are Resemblyzer's, and so is the arithmetic: speech without its pauses, in windows of 1.6 s that overlap by
half, each to an embedding; their mean, of length 1, is the speaker's. Embeddings are never negative, so cosines lie
between 0 and 1. Three things differ, each to the better on our recordings. Silero finds the pauses, for WebRTC's
detector takes noise for speech. Loud speech is turned down as quiet speech is turned up, for the net sees energies and
takes loudness for a trait of the voice: 17 dB cost 0.15 of the cosine. Speech shorter than a window is repeated
instead of filled up with silence: with 1 s of it the equal error rate falls from 1.3 % to none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.speakers import graph
from vivavoce.engines.speakers.checkpoint import tensors
from vivavoce.engines.speakers.mel import BANDS, HOP, RATE, energies
from vivavoce.engines.speakers.voiced import voiced
from vivavoce.errors import EngineUnavailable
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, SpeakerTraits

__all__ = ["Ge2eEncoder", "Ge2eNet"]

Floats = npt.NDArray[np.float32]

_SIZE, _LAYERS = 256, 3
_WINDOW, _STEP = 160, 77
"""Frames of a window, and from one to the next: 1.3 windows a second."""
_COVERAGE = 0.75
"""A last window that sound fills less than this is left out."""
_BATCH = 32
"""Windows judged at once: 40 MB."""
_LOUDNESS = -30.0
"""dB of full scale (RMS): what Resemblyzer raises quieter speech to."""
_VERSION = "resemblyzer-0.1.4/1"
"""Of the weights, and of how sound is prepared here."""


class Ge2eEncoder:
    """Resemblyzer's encoder on onnxruntime: about 100x real time on one core."""

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        threads: int = 1,
    ) -> None:
        """Fetches the weights on first use; raises ``EngineUnavailable`` when they cannot be had."""
        path = ModelStore(models_dir, models_cache, offline).path("speaker-ge2e")
        self._net = Ge2eNet(tensors(path, "model_state"), threads)

    @property
    def traits(self) -> SpeakerTraits:
        """256 numbers; from 1 s of speech."""
        licence = "Apache-2.0 (Resemblyzer)"
        return SpeakerTraits(_SIZE, threshold=0.75, rate=RATE, least=1.0, version=_VERSION, licence=licence)

    def embed(self, audio: Audio) -> Floats:
        """The speaker's embedding, see ``ports.SpeakerEncoder``. The sound is not denoised: that costs identity."""
        return self._net.embed(_filled(_levelled(voiced(audio, self.traits).samples)))


class Ge2eNet:
    """The net alone: from speech to an embedding. Threads may share it."""

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]], threads: int = 1) -> None:
        """``weights`` by PyTorch's names; raises ``EngineUnavailable`` when one is missing or of another shape."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            written = _written(weights)
        except (KeyError, ValueError) as e:
            raise EngineUnavailable("The weights of speaker.ge2e are not those of its net; remove the file.") from e
        self._session = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])

    def embed(self, samples: Floats) -> Floats:
        """Speech without pauses at 16 kHz, shape ``(n,)``, to an embedding of length 1, shape ``(256,)``."""
        starts = _windows(len(samples))
        length = (starts[-1] + _WINDOW) * HOP
        mel = energies(np.pad(samples, (0, max(0, length - len(samples)))).astype(np.float32, copy=False))
        total = np.zeros(_SIZE, np.float64)
        for i in range(0, len(starts), _BATCH):
            batch = np.stack([mel[start : start + _WINDOW] for start in starts[i : i + _BATCH]], axis=1)
            (raw,) = self._session.run(None, {"mel": batch})
            total += (raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)).sum(axis=0)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


def _windows(n: int) -> list[int]:
    """First frames of the windows that cover ``n`` samples; at least one."""
    frames = n // HOP + 1
    starts = list(range(0, max(1, frames - _WINDOW + _STEP + 1), _STEP))
    covered = (n - starts[-1] * HOP) / (_WINDOW * HOP)
    return starts[:-1] if len(starts) > 1 and covered < _COVERAGE else starts


def _filled(samples: Floats) -> Floats:
    """Speech that fills a window: shorter speech is repeated."""
    return np.resize(samples, max(len(samples), _WINDOW * HOP))


def _levelled(samples: Floats) -> Floats:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return samples * np.float32(10 ** (_LOUDNESS / 20) / np.sqrt(max(power, 1e-12)))


def _written(weights: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The net as an ONNX model: ``mel`` of shape ``(160, windows, 40)`` to ``raw`` of shape ``(windows, 256)``."""
    # PyTorch keeps the gates in the order input, forget, cell, output; ONNX input, output, forget, cell.
    i, f, c, o = (np.arange(k * _SIZE, (k + 1) * _SIZE) for k in range(4))
    order = np.concatenate([i, o, f, c])
    kept: dict[str, npt.NDArray[Any]] = {"first": np.array([0]), "direction": np.array([1])}
    nodes: list[graph.Node] = []
    flow = "mel"
    for layer in range(_LAYERS):
        names = [f"{part}{layer}" for part in "wrb"]
        inputs = _part(weights, f"lstm.weight_ih_l{layer}", (4 * _SIZE, _SIZE if layer else BANDS))
        repeats = _part(weights, f"lstm.weight_hh_l{layer}", (4 * _SIZE, _SIZE))
        biases = [_part(weights, f"lstm.bias_{way}_l{layer}", (4 * _SIZE,))[order] for way in ("ih", "hh")]
        kept |= zip(names, (inputs[order][None], repeats[order][None], np.concatenate(biases)[None]), strict=True)
        last = layer == _LAYERS - 1
        nodes.append(("LSTM", [flow, *names], ["", "end"] if last else [f"all{layer}"], {"hidden_size": _SIZE}))
        flow = "state" if last else f"flow{layer}"
        nodes.append(("Squeeze", ["end", "first"] if last else [f"all{layer}", "direction"], [flow], {}))
    kept |= {name: _part(weights, f"linear.{name}", shape) for name, shape in _LINEAR.items()}
    nodes.append(("Gemm", ["state", *_LINEAR], ["linear"], {"transB": 1}))
    nodes.append(("Relu", ["linear"], ["raw"], {}))
    return graph.model(nodes, kept, ("mel", (_WINDOW, None, BANDS)), ("raw", (None, _SIZE)))


_LINEAR: Mapping[str, tuple[int, ...]] = {"weight": (_SIZE, _SIZE), "bias": (_SIZE,)}


def _part(weights: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if weights[name].shape != shape:
        raise ValueError(f"{name} has the shape {weights[name].shape}")
    return weights[name]
