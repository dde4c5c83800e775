"""Encoders of the wav2vec 2.0 family: HuBERT (Hsu et al. 2021), and a wav2vec 2.0 (Baevski et al. 2020) of Esperanto.

The nets are those of the library transformers. The weights are a folder of the operator's own: ``config.json``,
``preprocessor_config.json`` where there is one, and ``model.safetensors`` or ``pytorch_model.bin``, read as tensors.
A sound is cut up as it was when the published programs made the features that heads were trained on, for a piece is
normalised, and attended to, as a whole.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.field.networks import EARS, Ear
from vivavoce.engines.neural.checkpoint import tensors
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio

__all__ = ["Wav2VecEncoder"]

F32 = npt.NDArray[np.float32]

_RATE, _STEPS = 16_000, 50
"""Samples and rows a second."""
_STEP, _HEARD = 320, 400
"""Samples from one row to the next, and those that a row's convolutions span."""
_STRIDES = [5, 2, 2, 2, 2, 2, 2]
"""Of those convolutions."""
_PIECE = 1000 * _STEP
"""HuBERT hears so many samples together."""
_LEFT, _MIDDLE, _RIGHT = 10, 50, 10
"""Steps before those that count, those, and steps after them, which Esperanto is written down from."""
_EPSILON = 1e-7
"""Of the variance that a sound is divided by."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_UNUSED = {"masked_spec_embed"}
"""Tensors that only a training asks for."""


class Wav2VecEncoder:
    """Reads the folder; raises ``EngineUnavailable`` when it is damaged, or of another network."""

    def __init__(self, ear: Ear, folder: Path, device: str = "cpu") -> None:
        self._ear, self._device = ear, device
        self._normalised = bool(_read(folder / "preprocessor_config.json", {}).get("do_normalize", True))
        self._net = _net(ear, folder).eval().requires_grad_(False).to(device)

    def features(self, audio: Audio, n_frames: int, fps: float) -> F32:
        """``(n_frames, *EARS[ear])``: of HuBERT the rows in the time of a frame, of Esperanto those around it."""
        samples = resample(audio, _RATE).samples
        first = np.round(np.arange(n_frames) * _STEPS / fps).astype(np.intp)[:, None]
        ahead = np.arange(EARS[self._ear][1])
        if self._ear != "esperanto":
            rows = self._whole(samples)
            return np.asarray(rows[(first + ahead).clip(0, len(rows) - 1)].transpose(0, 2, 1), np.float32)
        rows, at = self._streamed(samples), first + ahead - len(ahead) // 2
        there = (at >= 0) & (at < len(rows))
        return np.asarray((rows[at.clip(0, len(rows) - 1)] * there[..., None]).transpose(0, 2, 1), np.float32)

    def _whole(self, samples: F32) -> F32:
        """Rows of a sound that is normalised as a whole and heard in pieces of 20 s, ``(steps, 1024)``."""
        samples = self._normal(np.pad(samples, (0, max(0, _HEARD - len(samples)))))
        pieces = [samples[at : at + _PIECE + _HEARD - _STEP] for at in range(0, len(samples), _PIECE)]
        rows = np.concatenate([self._heard(piece) for piece in pieces if len(piece) >= _HEARD])
        return rows[: (len(samples) - (_HEARD - _STEP)) // _STEP]

    def _streamed(self, samples: F32) -> F32:
        """Rows of a sound that is heard as it comes, a second at a time with a fifth before and after, ``(steps, 44)``.

        The first pass begins with silence; the last one keeps its end.
        """
        heard = np.concatenate([np.zeros(_LEFT * _STEP, np.float32), samples])
        steps = -(-len(heard) // _STEP)
        rows, at = [], 0
        while at + _LEFT + _MIDDLE + _RIGHT <= steps:
            passed = self._logits(heard[at * _STEP : (at + _LEFT + _MIDDLE + _RIGHT) * _STEP])
            rows.append(passed[_LEFT : len(passed) - _RIGHT + 1])
            at += _MIDDLE
        rows.append(self._logits(heard[at * _STEP :])[_LEFT:])
        made = np.concatenate(rows)
        return made if len(made) else np.zeros((1, made.shape[1]), np.float32)  # of a sound that is over at once

    def _logits(self, samples: F32) -> F32:
        return self._heard(self._normal(np.pad(samples, (0, max(0, _HEARD - len(samples))))))

    def _normal(self, samples: F32) -> F32:
        if not self._normalised:
            return samples
        return np.asarray((samples - samples.mean()) / np.sqrt(samples.var() + _EPSILON), np.float32)

    def _heard(self, samples: F32) -> F32:
        with torch.inference_mode():
            made = self._net(torch.from_numpy(np.ascontiguousarray(samples))[None].to(self._device))
            rows = made.logits if self._ear == "esperanto" else made.last_hidden_state
            return np.asarray(rows[0].float().cpu().numpy(), np.float32)


def _net(ear: Ear, folder: Path) -> Any:
    """The network that ``config.json`` describes, with the folder's tensors."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2ForCTC
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    kind, make, configured = (
        ("wav2vec2", Wav2Vec2ForCTC, Wav2Vec2Config) if ear == "esperanto" else ("hubert", HubertModel, HubertConfig)
    )
    told = _read(folder / "config.json")
    if told.get("model_type") != kind:
        raise EngineUnavailable(f"{folder.name}/config.json is of a {told.get('model_type')}, and not of a {kind}.")
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise EngineUnavailable(f"The folder {folder.name} has neither {' nor '.join(_WEIGHTS)}.")
    state = tensors(path, own=True)
    try:
        config = configured.from_dict(told)
        _check_rows(ear, folder, config)
        net, loaded = make.from_pretrained(None, config=config, state_dict=state, output_loading_info=True)
    except EngineUnavailable:
        raise
    except Exception as e:  # the library raises whatever it met in a configuration
        said = " ".join(str(e).split())[:160].rstrip(".") or type(e).__name__
        raise EngineUnavailable(f"The folder {folder.name} is no encoder that transformers knows ({said}).") from e
    wrong = sorted((set(loaded["missing_keys"]) - _UNUSED) | {str(one) for one in loaded["mismatched_keys"]})
    if wrong:
        raise EngineUnavailable(
            f"The file {path.name} of {folder.name} lacks {len(wrong)} tensors of its network, {wrong[0]} first; "
            "copy it again."
        )
    return net.float()


def _check_rows(ear: Ear, folder: Path, config: Any) -> None:
    width = config.vocab_size if ear == "esperanto" else config.hidden_size
    strides = [int(stride) for stride in config.conv_stride]
    if (width, strides) != (EARS[ear][0], _STRIDES):
        raise EngineUnavailable(
            f"The encoder {folder.name} makes {width} numbers by strides of {strides}; a head that hears {ear} takes "
            f"{EARS[ear][0]}, by {_STRIDES}."
        )


def _read(path: Path, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object of JSON; ``otherwise`` where there is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if otherwise is not None:
            return otherwise
        raise EngineUnavailable(f"The folder {path.parent.name} has no {path.name}.") from None
    except (OSError, ValueError) as e:
        raise EngineUnavailable(f"{path.parent.name}/{path.name} is damaged; copy it again.") from e
    if not isinstance(found, dict):
        raise EngineUnavailable(f"{path.parent.name}/{path.name} is damaged; copy it again.")
    return found
