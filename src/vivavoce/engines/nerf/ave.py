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

__all__ = ["Encoder"]

F32 = npt.NDArray[np.float32]

_PREFIX = "audio_encoder."
_AT_ONCE = 128
"""Windows that are heard together."""


class Encoder:
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

    def features(self, windows: F32) -> F32:
        """Windows of the mel spectrum ``(n, 80, 16)`` to ``(n, 512)``."""
        made = []
        with torch.inference_mode():
            for first in range(0, len(windows), _AT_ONCE):
                heard = torch.from_numpy(np.ascontiguousarray(windows[first : first + _AT_ONCE]))
                made.append(self._net(heard[:, None])[:, :, 0, 0].numpy())
        return np.concatenate(made) if made else np.zeros((0, 512), np.float32)
