"""What heads hear of sounds: by the encoders that are here, and refused where there are none."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vivavoce.engines.nerf.hearing import Hearing, check_ear
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.mel import SILENCE
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from vivavoce.engines.nerf.field.networks import Ear

FPS = 25


def test_a_mel_ear_hears_around_each_picture() -> None:
    rate, at = 16_000, 1.0
    samples = np.zeros(2 * rate, np.float32)
    samples[int(at * rate) : int(at * rate) + 160] = 0.8
    heard = Hearing(ModelStore(offline=True)).features("mel", Audio(samples, rate), 50, FPS)
    assert heard.shape == (50, 80, 16)
    loud = heard.max(axis=(1, 2)) > SILENCE + 2
    frames = np.flatnonzero(loud)
    assert frames.tolist() == list(range(int(frames[0]), int(frames[-1]) + 1))
    assert abs((frames[0] + frames[-1]) / 2 - at * FPS) <= 1  # as long before as after
    assert 5 <= len(frames) <= 8


@pytest.mark.parametrize(
    ("ear", "word"),
    [
        ("deepspeech", "TensorFlow"),
        ("esperanto", "made with wav2vec2-large-xlsr-53-esperanto, which is not here; put it"),
        ("hubert", "made with hubert-large-ls960-ft,"),
        ("hubert_cn", "made with exp_w2v2t_zh-cn_hubert_s449,"),
    ],
)
def test_an_ear_without_an_encoder_is_refused(ear: "Ear", word: str, tmp_path: Path) -> None:
    others = {"hubert": "exp_w2v2t_zh-cn_hubert_s449", "hubert_cn": "hubert-large-ls960-ft"}
    (tmp_path / others.get(ear, "none")).mkdir()
    (tmp_path / others.get(ear, "none") / "config.json").write_text("{}")  # another kind's does not stand in for it
    with pytest.raises(EngineUnavailable, match=rf"kind of features {ear}\b.*{word}"):
        check_ear(ear, ModelStore(tmp_path, offline=True))


def test_the_library_is_asked_for_where_only_the_folder_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hubert-large-ls960-ft").mkdir()
    (tmp_path / "hubert-large-ls960-ft" / "config.json").write_text("{}")
    monkeypatch.setattr("vivavoce.engines.nerf.hearing.find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"transformers, which .* add it with pip install 'vivavoce\[hubert\]'"):
        check_ear("hubert", ModelStore(tmp_path, offline=True))


def test_synctalks_ear_needs_its_encoder(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"audio_visual_encoder\.pth"):
        Hearing(ModelStore(tmp_path, offline=True)).features("ave", Audio(np.zeros(1600, np.float32), 16_000), 2, FPS)


@pytest.mark.neural
def test_synctalks_ear_is_wav2lips_with_weights_of_its_own(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from vivavoce.engines.wav2lip.net import Published

    torch.manual_seed(2)
    whole = Published().eval()
    for norm in whole.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.05)
            norm.running_var.uniform_(0.8, 1.2)
    own = {name.removeprefix("audio_encoder."): v for name, v in whole.state_dict().items() if "audio_encoder" in name}
    chance = np.random.default_rng(1)
    sound = Audio((0.2 * chance.standard_normal(16_000)).astype(np.float32), 16_000)
    made = []
    for number, state in enumerate((own, {f"audio_encoder.{name}": v for name, v in own.items()}, own)):
        folder = tmp_path / str(number)
        folder.mkdir()
        torch.save(state, folder / "audio_visual_encoder.pth")
        made.append(Hearing(ModelStore(folder, offline=True)).features("ave", sound, 25, FPS))
    assert made[0].shape == (25, 512)
    assert np.array_equal(made[0], made[1])
    assert np.ptp(made[0], axis=0).max() > 1e-3
    own.pop("0.conv_block.0.weight")
    torch.save(own, tmp_path / "0" / "audio_visual_encoder.pth")
    with pytest.raises(EngineUnavailable, match="no audio-visual encoder"):
        Hearing(ModelStore(tmp_path / "0", offline=True)).features("ave", sound, 5, FPS)


@pytest.mark.neural
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ear": "ave"}, r"audio_visual_encoder\.pth"),
        ({"ear": "hubert"}, "hubert-large-ls960-ft"),
        ({"ear": "deepspeech"}, "lips, mel, ave, hubert, hubert_cn"),
        ({"size": 32}, "64 to 512"),
    ],
)
def test_what_cannot_be_learnt_is_said_before_the_film_is_watched(
    options: dict[str, float | str], word: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from vivavoce.engines.nerf.engine import SyncTalkFace

    face = SyncTalkFace(tmp_path, offline=True, device="cpu")
    with pytest.raises((EngineUnavailable, InvalidInput), match=word):
        face.train(
            tmp_path / "none.mp4", tmp_path, work=tmp_path / "work", epochs=1, options=options, tell=lambda _: None
        )
    assert not (tmp_path / "work").exists()
