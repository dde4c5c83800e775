"""What a face does besides talking: head, breath, blinks, brows, gaze.

Everything idle is a function of the global time of the film, so that chunk after chunk goes on without a jump; what
follows the speech fades in and out inside its chunk.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BLINK_SECONDS", "Motion", "motion"]

Curve = npt.NDArray[np.float32]

BLINK_SECONDS = 0.30
# Closing is quicker than opening; the lid rests shut for about 40 ms.
_BLINK_TIMES = (0.0, 0.08, 0.12, 0.20, BLINK_SECONDS)
_BLINK_LEVELS = (0.0, 1.0, 1.0, 0.35, 0.0)
# Amplitude of each movement (radians; shifts and scale in eye distances) and its slowest frequency in Hz.
_SWAY = {
    "yaw": (0.040, 0.11),
    "pitch": (0.020, 0.13),
    "roll": (0.011, 0.09),
    "tx": (0.010, 0.07),
    "ty": (0.006, 0.10),
    "scale": (0.004, 0.06),
}
_FADE_SECONDS = 0.24


@dataclass(frozen=True, slots=True)
class Motion:
    """Curves of shape ``(n_frames,)``: angles in radians, shifts in eye distances, the rest 0–1."""

    yaw: Curve
    pitch: Curve
    roll: Curve
    tx: Curve
    ty: Curve
    scale: Curve
    breath: Curve
    blink: Curve
    brow: Curve
    smile: Curve


def _sway(
    t: npt.NDArray[np.float64], amplitude: float, hertz: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Three sines at incommensurable frequencies: never repeats to the eye."""
    phases = rng.uniform(0, 2 * np.pi, 3)
    terms = [np.sin(2 * np.pi * hertz * k * t + p) / k for k, p in zip((1.0, 1.7, 2.9), phases, strict=True)]
    return np.asarray(amplitude * np.sum(terms, axis=0))


def _blinks(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Lids by time: every 2.2–5.7 s, now and then twice. Drawn from time zero, so any stretch of it is the same."""
    level = np.zeros_like(t)
    at = 1.0 + rng.uniform()
    while at < t.max(initial=0) + BLINK_SECONDS:
        np.maximum(level, np.interp(t - at, _BLINK_TIMES, _BLINK_LEVELS, left=0, right=0), out=level)
        at += 0.4 if rng.uniform() < 0.12 else rng.uniform(2.2, 5.7)
    return level


def smooth(x: npt.NDArray[np.floating], sigma: float) -> npt.NDArray[np.float64]:
    """Gaussian smoothing over frames, zero outside: what follows speech starts and ends at rest."""
    if sigma <= 0 or not len(x):
        return np.asarray(x, np.float64)
    radius = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.convolve(np.pad(np.asarray(x, np.float64), radius), kernel / kernel.sum(), mode="valid")


def motion(
    n_frames: int,
    fps: int,
    *,
    start_frame: int = 0,
    seed: int = 0,
    stress: Curve | None = None,
    energy: Curve | None = None,
    loop: bool = False,
) -> Motion:
    """The motion of ``n_frames`` frames from the global frame ``start_frame`` on.

    ``stress`` (emphasised syllables) and ``energy`` (loudness), both 0–1 of shape ``(n_frames,)``, add nods and brow
    lifts; without them the face idles. With ``loop`` time swings forth and back once, softly, so that the last frame
    leads to the first.
    """
    t = (start_frame + np.arange(n_frames)) / fps
    if loop:
        t = n_frames / fps / 4 * (1 - np.cos(2 * np.pi * np.arange(n_frames) / n_frames))
    rng = np.random.default_rng(seed)
    sway = {name: _sway(t, amplitude, hertz, rng) for name, (amplitude, hertz) in _SWAY.items()}
    breath = 0.5 * (1 + np.sin(2 * np.pi * 0.27 * t + rng.uniform(0, 2 * np.pi)))
    smile = 0.10 + 0.06 * np.sin(2 * np.pi * 0.05 * t + rng.uniform(0, 2 * np.pi))
    blink = _blinks(t, rng)
    fade = np.clip(np.minimum(np.arange(n_frames), n_frames - 1 - np.arange(n_frames)) / (fps * _FADE_SECONDS), 0, 1)
    zero = np.zeros(n_frames)
    loud = smooth(energy, fps * 0.12) if energy is not None else zero
    phrase = smooth(energy, fps * 0.6) if energy is not None else zero
    accent = smooth(stress, fps * 0.09) if stress is not None else zero
    nod = fade * (0.050 * accent + 0.035 * (loud - phrase))
    brow = fade * np.clip(0.55 * smooth(stress, fps * 0.22) if stress is not None else zero, 0, 0.6)
    return Motion(
        yaw=(sway["yaw"] * (1 + 0.5 * fade * phrase)).astype(np.float32),
        pitch=(sway["pitch"] + nod).astype(np.float32),
        roll=sway["roll"].astype(np.float32),
        tx=sway["tx"].astype(np.float32),
        ty=(sway["ty"] + 0.10 * nod).astype(np.float32),
        scale=sway["scale"].astype(np.float32),
        breath=breath.astype(np.float32),
        blink=blink.astype(np.float32),
        brow=brow.astype(np.float32),
        smile=smile.astype(np.float32),
    )
