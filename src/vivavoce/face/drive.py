"""From speech to what a face does in each frame: articulation, emphasis, loudness."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.face.sound import articulation_from_sound
from vivavoce.nouns import Audio, Canvas, Speech
from vivavoce.text.articulation import articulate, sample, stress

__all__ = ["LEAD", "Drive", "drive"]

LEAD = 0.05
"""Seconds by which the mouth is ahead of the sound: speakers shape a sound before they make it."""
_RATE = 100


@dataclass(frozen=True, slots=True)
class Drive:
    """One row a frame."""

    articulation: npt.NDArray[np.float32]
    """``(n_frames, 8)``: ``text.articulation.PARAMETERS``."""
    stress: npt.NDArray[np.float32]
    """``(n_frames,)`` 0–1: emphasised syllables."""
    energy: npt.NDArray[np.float32]
    """``(n_frames,)`` 0–1: loudness relative to the loudest stretches."""


def loudness(audio: Audio, n_frames: int, fps: int) -> npt.NDArray[np.float32]:
    """Root mean square of each frame's sound over its 95th percentile, ``(n_frames,)``, clipped to 0–1."""
    edges = np.round(np.arange(n_frames + 1) * audio.rate / fps).astype(int).clip(0, len(audio.samples))
    squares = np.concatenate([[0.0], np.cumsum(audio.samples.astype(np.float64) ** 2)])
    power = (squares[edges[1:]] - squares[edges[:-1]]) / np.maximum(np.diff(edges), 1)
    level = np.sqrt(power)
    return np.asarray(np.clip(level / max(float(np.percentile(level, 95)), 1e-3), 0, 1), np.float32)


def drive(speech: Speech, canvas: Canvas) -> Drive:
    """Curves for ``canvas.frames(seconds)`` frames, from phoneme marks where there are any, else from the sound."""
    seconds = speech.audio.seconds
    n_frames = canvas.frames(seconds)
    phonemes = speech.of("phoneme")
    if phonemes:
        curves = articulate(phonemes, seconds, _RATE)
        emphasis = stress(phonemes, seconds, _RATE)
    else:
        curves = articulation_from_sound(speech.audio, _RATE)
        emphasis = np.zeros(len(curves), np.float32)
    at = np.clip((np.arange(n_frames) / canvas.fps * _RATE).astype(int), 0, max(len(emphasis) - 1, 0))
    return Drive(
        articulation=sample(curves, _RATE, n_frames, canvas.fps, lead=LEAD),
        stress=emphasis[at].astype(np.float32),
        energy=loudness(speech.audio, n_frames, canvas.fps),
    )
