"""The mel spectrum that Wav2Lip, and nets that took over its audio encoder, were trained on: plain numpy.

16 kHz; pre-emphasis 0.97; magnitudes of 50 ms in a periodic Hann window every 12.5 ms, centred, the sound mirrored at
both ends; 80 of Slaney's bands from 55 to 7600 Hz; decibels less 20, from -100 to 0 mapped to -4 to 4 (``audio.py``
and ``hparams.py`` of Rudrabha/Wav2Lip, with librosa 0.7).
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.media.bands import slaney_bands

__all__ = ["BANDS", "HOP", "LOOKAHEAD", "RATE", "SECOND", "SILENCE", "WINDOW", "MelStream", "mel", "windows"]

F32 = npt.NDArray[np.float32]

RATE, HOP = 16_000, 200
"""Hz; samples from one row to the next."""
SECOND = RATE // HOP
"""Rows a second."""
BANDS = 80
WINDOW = 16
"""Rows that a net sees for one picture."""
LOOKAHEAD = WINDOW / SECOND
"""Seconds of sound that a picture wants to have heard ahead."""
SILENCE = -4.0
"""What digital silence becomes, in every band."""
_LENGTH = 800
"""Samples of the transform's window."""
_EMPHASIS = 0.97
_BLOCK = 2048
"""Rows transformed at once, so that a long recording needs little memory."""


def mel(samples: F32) -> F32:
    """Rows ``(1 + n // HOP, BANDS)``, -4 to 4, of ``n`` samples at ``RATE``; row ``i`` is centred at ``i * HOP``.

    Sound shorter than half a window is followed by silence before it is mirrored. Raises ``InvalidInput`` for samples
    that are no numbers.
    """
    stream = MelStream()
    return np.concatenate([stream.feed(samples), stream.finish()])


class MelStream:
    """The same rows as ``mel``, while the sound still comes: each 25 ms after its centre was heard."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)
        """Emphasised samples from the first one that a coming row needs; mirrored ones before the sound's start."""
        self._last = np.float32(0)
        self._started = False
        self._heard = 0
        self._made = 0

    def feed(self, samples: F32) -> F32:
        """Rows that can be told now, ``(k, BANDS)``. Raises ``InvalidInput`` for samples that are no numbers."""
        samples = np.asarray(samples, np.float32)
        if not np.isfinite(samples).all():
            raise InvalidInput("The sound holds values that are no numbers; save it again as WAV or FLAC.")
        before = np.concatenate([[self._last], samples[:-1]])
        if len(samples):
            self._last = samples[-1]
        self._heard += len(samples)
        self._held = np.concatenate([self._held, samples - np.float32(_EMPHASIS) * before])
        if not self._started:
            if len(self._held) <= _LENGTH // 2:
                return np.zeros((0, BANDS), np.float32)
            self._begin()
        return self._rows()

    def finish(self) -> F32:
        """The rows whose windows reach over the end of the sound, which is mirrored there."""
        if not self._started:
            self._held = np.pad(self._held, (0, _LENGTH // 2 + 1 - len(self._held)))
            self._begin()
        tail = self._held[-_LENGTH // 2 - 1 : -1][::-1]
        self._held = np.concatenate([self._held, tail])
        return self._rows(1 + self._heard // HOP)

    def _begin(self) -> None:
        self._held = np.concatenate([self._held[1 : _LENGTH // 2 + 1][::-1], self._held])
        self._started = True

    def _rows(self, most: int | None = None) -> F32:
        """What the held samples suffice for; up to row ``most`` of the whole sound."""
        count = max(0, (len(self._held) - _LENGTH) // HOP + 1)
        count = count if most is None else min(count, most - self._made)
        out = np.empty((count, BANDS), np.float32)
        if count:
            window, bank = _analysis()
            frames = np.lib.stride_tricks.sliding_window_view(self._held, _LENGTH)[::HOP][:count]
            for i in range(0, count, _BLOCK):
                spectrum = np.abs(np.fft.rfft(frames[i : i + _BLOCK] * window)).astype(np.float32)
                decibels = 20 * np.log10(np.maximum(1e-5, spectrum @ bank)) - 20
                out[i : i + _BLOCK] = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
            self._held = self._held[count * HOP :]
            self._made += count
        return out


def windows(rows: F32, n_frames: int, fps: float, *, offset: float = 0, hold: bool = False) -> F32:
    """What the net sees of the sound for each picture, ``(n_frames, BANDS, WINDOW)``.

    Picture ``i`` begins at row ``int((i + offset) * 80 / fps)``. Where rows are missing there is silence; with ``hold``
    the nearest whole window is repeated instead, as the published program does at the end.
    """
    starts = np.floor((np.arange(n_frames) + offset) * (SECOND / fps) + 1e-9).astype(np.intp)
    if hold:
        starts = np.clip(starts, 0, max(0, len(rows) - WINDOW))
    before = max(0, -int(starts.min()))
    after = max(0, int(starts.max()) + WINDOW - len(rows))
    padded = np.pad(rows, ((before, after), (0, 0)), constant_values=SILENCE)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)[starts + before])


@lru_cache(maxsize=1)
def _analysis() -> tuple[F32, F32]:
    """The window, and the bands as a matrix ``(_LENGTH // 2 + 1, BANDS)``."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_LENGTH) / _LENGTH)
    return window.astype(np.float32), slaney_bands(RATE, _LENGTH, BANDS, 55.0, 7600.0)
