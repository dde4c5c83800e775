"""What the person's own sound says of the mouth: kernel ridge regression, fitted in a second, and how far to trust it.

A Gaussian kernel over windows of log-mel energies (Saunders, Gammerman and Vovk 1998, the dual form of ridge
regression). It memorises this very voice, so it is asked about no other.
"""

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.curves import correlation, gaussian
from vivavoce.engines.person.library import Voice
from vivavoce.nouns import Audio
from vivavoce.text.cepstrum import BANDS, HOP, log_mel

__all__ = ["FOLDS", "GUARD", "REACH", "fitted", "folds", "predicted", "windows_of"]

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

REACH = 0.16
"""Seconds of sound to each side of a picture."""
_STEP, _SMOOTH = 4, 1.5
"""Frames of 10 ms from one row of a window to the next, and sigma of their smoothing."""
_RIDGE = 0.5
FOLDS, GUARD = 11, 8
"""Parts of the film of which each is predicted from the others, and pictures beside it that are left out."""
_MOST = 2000
"""Pictures that are learnt from; more would only take longer."""


def windows_of(audio: Audio, times: npt.NDArray[np.floating]) -> F32:
    """``(n, 180)``: 20 log-mel energies at nine moments around each of ``times`` in seconds."""
    mel = log_mel(audio)
    pairs = np.logaddexp(mel[:, 0:BANDS:2], mel[:, 1:BANDS:2])
    smooth = gaussian(pairs, _SMOOTH)
    around = np.arange(-round(REACH / HOP), round(REACH / HOP) + 1, _STEP)
    at = np.clip(np.round(np.asarray(times) / HOP).astype(int)[:, None] + around, 0, len(smooth) - 1)
    return smooth[at].reshape(len(times), -1)


def folds(count: int) -> list[Ints]:
    """Numbers of the pictures in each fold of a film."""
    return [np.arange(k * count // FOLDS, (k + 1) * count // FOLDS) for k in range(FOLDS)]


def _kernel(a: Floats, b: Floats) -> Floats:
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.asarray(np.exp(-np.maximum(squares, 0) / a.shape[1]))


def _normal(voice: Voice, windows: F32) -> Floats:
    return (windows.astype(np.float64) - voice.mean) / voice.spread


def predicted(voice: Voice, windows: F32) -> F32:
    """``(n, 6)`` weights of the components for ``windows`` ``(n, 180)`` of sound."""
    known = _normal(voice, voice.windows[voice.fitted])
    return np.asarray(_kernel(_normal(voice, windows), known) @ voice.alpha, np.float32)


def fitted(windows: F32, weights: F32, seen: npt.NDArray[np.bool_], opens: F32, truth: F32) -> Voice | None:
    """Learn ``weights`` ``(n, 6)`` of the pictures ``seen`` from their sound; None where they are too few.

    Blurred pictures teach as well as sharp ones: their lips are where they are.
    ``opens`` ``(6,)`` is how far each component opens the lips, ``truth`` ``(n,)`` how far they were open.
    """
    known = np.flatnonzero(seen)
    known = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _MOST)).round().astype(int))]
    if len(known) < 3 * FOLDS:
        return None
    mean, spread = windows[known].mean(0), windows[known].std(0) + 1e-3
    normal = (windows[known].astype(np.float64) - mean) / spread
    kernel = _kernel(normal, normal)
    inverse = np.linalg.inv(kernel + _RIDGE * np.eye(len(known)))
    alpha = inverse @ weights[known]
    guess = np.zeros(len(known))
    for fold in folds(len(known)):
        # A part that is left out needs no fit of its own: its errors follow from the whole fit (Allen 1974, in blocks).
        out = np.flatnonzero((known >= known[fold[0]] - GUARD) & (known <= known[fold[-1]] + GUARD))
        errors = np.linalg.solve(inverse[np.ix_(out, out)], alpha[out])
        guess[fold] = (weights[known[out]] - errors)[np.searchsorted(out, fold)] @ opens
    sure = correlation(guess, truth[known])
    return Voice(windows, mean, spread.astype(np.float32), alpha.astype(np.float32), known, sure)
