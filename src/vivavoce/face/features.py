"""What a mouth is read from when only its sound is known: cepstra that forget the speaker and the room."""

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio
from vivavoce.text.cepstrum import levels, log_mel, mfcc, silences

__all__ = ["CEPSTRA", "CONTEXT", "SIZE", "Matrix", "spoken", "stacked"]

Matrix = npt.NDArray[np.float32]

CEPSTRA = 14
"""Cepstral coefficients of a frame; more would describe the pitch, which says nothing of the mouth."""
CONTEXT = (-14, -10, -7, -5, -3, -2, -1, 0, 1, 2, 3, 5, 7, 10, 14)
"""Frames of 10 ms around each that a mouth's shape depends on."""
SIZE = (CEPSTRA + 1) * len(CONTEXT)
"""Numbers that describe a moment."""
_TRUST = 100.0
"""Frames of speech after which a recording's own mean counts as much as the usual one."""


def spoken(mel: Matrix) -> npt.NDArray[np.bool_]:
    """Which frames of log-mel energies lie outside pauses, shape ``(n,)``."""
    speech = np.ones(len(mel), bool)
    for a, b in silences(mel):
        speech[a:b] = False
    return speech


def stacked(audio: Audio, usual: tuple[Matrix, Matrix] | None = None) -> Matrix:
    """A row for each 10 ms of sound, shape ``(n, SIZE)``: cepstra and level of the frame and its neighbours.

    Each cepstrum is normalised over the speech of the recording, so that a microphone or a vocal tract does not
    matter; ``usual`` (mean and deviation, each of ``CEPSTRA``) steadies that for short recordings.
    """
    mel = log_mel(audio)
    cepstra = mfcc(mel, CEPSTRA)
    speech = cepstra[spoken(mel)]
    mean, deviation = (speech.mean(0), speech.std(0)) if len(speech) else (np.zeros(CEPSTRA), np.ones(CEPSTRA))
    if usual is not None:
        own = len(speech) / (len(speech) + _TRUST)
        mean = own * mean + (1 - own) * usual[0]
        deviation = own * deviation + (1 - own) * usual[1]
    level = np.clip(levels(mel), -50.0, 5.0)[:, None] / 12.0 + 1.0
    rows = np.concatenate([np.clip((cepstra - mean) / (deviation + 1e-3), -4, 4), level], axis=1)
    around = np.clip(np.arange(len(rows))[:, None] + np.array(CONTEXT), 0, len(rows) - 1)
    return np.asarray(rows[around].reshape(len(rows), SIZE), np.float32)
