"""SyncTalk's audio-visual encoder (Peng et al. 2024): Wav2Lip's audio encoder, with weights of its own.

The file is the user's. It holds the layers' tensors bare, or behind ``audio_encoder.`` as a Wav2Lip checkpoint does.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.neural.checkpoint import tensors
from vivavoce.engines.wav2lip.net import audio_encoder
from vivavoce.errors import EngineUnavailable
from vivavoce.face.mel import RATE, mel, windows
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio

__all__ = ["AveEncoder"]

F32 = npt.NDArray[np.float32]

_PREFIX = "audio_encoder."
_BEFORE = 0.08
"""Seconds by which SyncTalk's features begin earlier than Wav2Lip's: it puts two copies of the first before them."""
_AT_ONCE = 128
"""Windows that are heard together."""


class AveEncoder:
    """Reads the file; raises ``EngineUnavailable`` when it is damaged, or not of this network."""

    def __init__(self, path: Path) -> None:
        found = tensors(path, own=True)
        named = {name.removeprefix(_PREFIX): value for name, value in found.items() if name.startswith(_PREFIX)}
        self._net = audio_encoder().eval().requires_grad_(False)
        try:
            self._net.load_state_dict(named or found)
        except RuntimeError as e:
            raise EngineUnavailable(
                f"The file {path.name} is no audio-visual encoder: it has other tensors than Wav2Lip's."
            ) from e

    def features(self, audio: Audio, n_frames: int, fps: float) -> F32:
        """``(n_frames, 512)`` of a sound, from windows of its mel spectrum."""
        spectrum = mel(resample(audio, RATE).samples)
        return self._heard(windows(spectrum, n_frames, fps, offset=-_BEFORE * fps, hold=True))

    def _heard(self, spectra: F32) -> F32:
        """``(n, 80, 16)`` to ``(n, 512)``."""
        made = []
        with torch.inference_mode():
            for first in range(0, len(spectra), _AT_ONCE):
                heard = torch.from_numpy(np.ascontiguousarray(spectra[first : first + _AT_ONCE]))
                made.append(self._net(heard[:, None])[:, :, 0, 0].numpy())
        return np.concatenate(made) if made else np.zeros((0, 512), np.float32)
