"""What a head hears of a sound: features that an encoder reads off it, a row a frame.

A head knows one kind. Where nothing here makes that kind, it is refused with a sentence, and never replaced by another.
"""

from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.mel import RATE, mel, windows
from vivavoce.media.audio import resample
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from vivavoce.engines.nerf.field.networks import Ear

__all__ = ["ENCODED", "Hearing", "check_ear", "unheard"]

F32 = npt.NDArray[np.float32]

ENCODED: "dict[Ear, str]" = {
    "ave": "ave",
    "hubert": "hubert",
    "hubert_cn": "hubert-cn",
    "esperanto": "wav2vec2-esperanto",
}
"""Kinds that a net hears, and what that net is called in the catalogue of models."""
_BY_TRANSFORMERS = ("hubert", "hubert_cn", "esperanto")
_EXTRA = "pip install 'vivavoce[hubert]'"


def unheard(ear: "Ear", models: ModelStore) -> str | None:
    """Why no new sound can be turned into this kind of features here; None if it can."""
    if ear == "deepspeech":
        return "The kind of features deepspeech cannot be made here: DeepSpeech needs TensorFlow 2.8."
    if ear not in ENCODED:
        return None
    weight = models.weight(ENCODED[ear])
    if not models.own(weight.name):
        return (
            f"The kind of features {ear} is made with {weight.file}, which is not here; put it into the folder that "
            "VIVAVOCE_MODELS__DIR names."
        )
    if ear in _BY_TRANSFORMERS and not find_spec("transformers"):
        return (
            f"The kind of features {ear} is made with the library transformers, which is not installed; add it with "
            f"{_EXTRA}."
        )
    return None


def check_ear(ear: "Ear", models: ModelStore) -> None:
    """Raise ``EngineUnavailable`` where a new sound cannot be turned into this kind of features."""
    if (why := unheard(ear, models)) is not None:
        raise EngineUnavailable(why)


class _Encoder(Protocol):
    def features(self, audio: Audio, n_frames: int, fps: float) -> F32: ...


class Hearing:
    """Makes features of sounds; each encoder is read once, when it is first needed."""

    def __init__(self, models: ModelStore, device: str = "cpu") -> None:
        self._models, self._device = models, device
        self._encoders: dict[Ear, _Encoder] = {}
        self._lock = Lock()

    def unheard(self, ear: "Ear") -> str | None:
        """As the function of this name."""
        return unheard(ear, self._models)

    def features(self, ear: "Ear", audio: Audio, n_frames: int, fps: float) -> F32:
        """``(n_frames, *EARS[ear])`` of a sound, for the kinds that are read off the sound alone.

        Raises ``EngineUnavailable`` where there is no encoder, or where it is damaged.
        """
        check_ear(ear, self._models)
        if ear == "lips":
            raise InvalidInput("What is asked of the mouth is not read off the sound alone.")
        if ear == "mel":
            rows = mel(resample(audio, RATE).samples)
            return windows(rows, n_frames, fps, offset=-2)  # the window's middle lies in the picture's time
        with self._lock:  # two streams may begin at once
            if ear not in self._encoders:
                self._encoders[ear] = self._read(ear)
        return self._encoders[ear].features(audio, n_frames, fps)

    def _read(self, ear: "Ear") -> _Encoder:
        path = self._models.own(ENCODED[ear])[0]
        if ear == "ave":
            from vivavoce.engines.nerf.ave import AveEncoder

            return AveEncoder(path)
        from vivavoce.engines.nerf.wav2vec import Wav2VecEncoder

        return Wav2VecEncoder(ear, path, self._device)
