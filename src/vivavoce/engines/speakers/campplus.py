"""``speaker.campplus``: CAM++ (Wang et al., 2023, arXiv:2303.00332) through sherpa-onnx, the model the operator's.

Any model of 3D-Speaker or WeSpeaker that was exported for sherpa-onnx will do. sherpa-onnx ends the whole process when
a model is not what it expects, so the file is looked at before it gets to see it.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.speakers.voiced import voiced
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, SpeakerTraits

__all__ = ["CampplusEncoder"]

_FRAMEWORKS = ("3d-speaker", "wespeaker")
_NORMALISED = ("", "global-mean")
_NUMBERS = ("output_dim", "sample_rate", "normalize_samples")
_BANDS = 80
_LOWEST, _HIGHEST = 8_000, 48_000  # Hz


class CampplusEncoder:
    """A speaker encoder in ``campplus.onnx`` in the operator's folder of models."""

    def __init__(
        self,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
        threads: int = 1,
        threshold: float = 0.39,
    ) -> None:
        """``threshold`` is that of 3D-Speaker's card for its 3D-Speaker model; its common one has 0.31.

        Raises ``EngineUnavailable`` when sherpa-onnx or the file is missing, or the file is of another kind.
        """
        sherpa = _sherpa()
        path = ModelStore(models_dir, models_cache, offline).path("speaker-campplus")
        size, rate = _checked(path)
        self._extractor = sherpa.SpeakerEmbeddingExtractor(
            sherpa.SpeakerEmbeddingExtractorConfig(model=str(path), num_threads=threads)
        )
        with path.open("rb") as file:
            version = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        licence = "of the model that you put there"
        self._traits = SpeakerTraits(size, threshold=threshold, rate=rate, least=1.0, version=version, licence=licence)

    @property
    def traits(self) -> SpeakerTraits:
        """As the model says; from 1 s of speech."""
        return self._traits

    def embed(self, audio: Audio) -> npt.NDArray[np.float32]:
        """The speaker's embedding, see ``ports.SpeakerEncoder``. The sound is not denoised."""
        speech = voiced(audio, self._traits)
        stream = self._extractor.create_stream()
        stream.accept_waveform(speech.rate, speech.samples)
        stream.input_finished()
        if not self._extractor.is_ready(stream):
            raise InvalidInput("The recording is too short for the speaker encoder; send a longer one.")
        raw = np.asarray(self._extractor.compute(stream), np.float32)
        length = float(np.linalg.norm(raw))
        if raw.shape != (self._traits.size,) or not np.isfinite(length) or not length:
            raise EngineUnavailable("The model campplus.onnx gives no embeddings; put another one in its place.")
        return np.asarray(raw / np.float32(length), np.float32)


def _sherpa() -> Any:
    try:
        import sherpa_onnx
    except ImportError as e:
        raise EngineUnavailable(
            "The speaker encoder campplus needs sherpa-onnx; install it with `pip install 'vivavoce[campplus]'`."
        ) from e
    return sherpa_onnx


def _checked(path: Path) -> tuple[int, int]:
    """Numbers of an embedding and Hz, as the model's metadata has them (csrc/speaker-embedding-extractor-model.cc)."""
    session = _opened(path)
    told = dict(session.get_modelmeta().custom_metadata_map)
    whole = all(told.get(name, "").isdecimal() for name in _NUMBERS) and told.get("language")
    known = told.get("framework") in _FRAMEWORKS and told.get("feature_normalize_type", "") in _NORMALISED
    if not whole or not known:
        raise EngineUnavailable(
            f"The model {path.name} was not exported for sherpa-onnx: its metadata must name a framework "
            f"({' or '.join(_FRAMEWORKS)}), {', '.join(_NUMBERS)} and language; take one of sherpa-onnx's own."
        )
    size, rate = int(told["output_dim"]), int(told["sample_rate"])
    if not _fits(session, size) or not _LOWEST <= rate <= _HIGHEST:
        raise EngineUnavailable(
            f"The model {path.name} is no speaker encoder: it must turn sound features (1, frames, {_BANDS}) into an "
            f"embedding (1, {size}); put another one in its place."
        )
    return size, rate


def _opened(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors have no class in common
        raise EngineUnavailable(f"The file {path.name} is no ONNX model that can be read; put another there.") from e


def _fits(session: Any, size: int) -> bool:
    """Whether it goes from features of any length to one embedding; an axis that is no number is of any length."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [i.type for i in inputs] != ["tensor(float)"] or not outputs or outputs[0].type != "tensor(float)":
        return False
    features, embedding = inputs[0].shape, outputs[0].shape
    right = len(features) == 3 and len(embedding) == 2
    return right and _may_be(features[2], _BANDS) and not isinstance(features[1], int) and _may_be(embedding[1], size)


def _may_be(axis: object, size: int) -> bool:
    return axis == size or not isinstance(axis, int)
