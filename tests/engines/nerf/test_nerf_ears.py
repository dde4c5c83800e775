"""What heads hear: of a person who does not exist, and of sounds."""

from pathlib import Path

import numpy as np
import pytest

import heads
from vivavoce.engines.nerf.ears import check_ear, features_of_sound, filmed_lips, resting_lips, spoken_lips
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.mel import SILENCE
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Canvas, Mark, Speech

FPS = 25


def said(*phonemes: str) -> Speech:
    """Each lasts 0.2 s, after and before 0.4 s of silence."""
    marks = tuple(Mark("phoneme", p, 0.4 + 0.2 * i, 0.6 + 0.2 * i) for i, p in enumerate(phonemes))
    n = int(16_000 * (0.8 + 0.2 * len(phonemes)))
    sound = (0.1 * np.sin(np.arange(n) * 0.05)).astype(np.float32)
    return Speech("", "en", Audio(sound, 16_000), marks)


def test_the_mouth_is_asked_for_what_the_film_shows_and_rests_at_both_ends() -> None:
    library = heads.library()
    speech, canvas = said("a", "m", "a", "a"), Canvas(64, 64, FPS)
    count = canvas.frames(speech.audio.seconds)
    bases = np.arange(count) % len(library)
    asked = spoken_lips(library, speech, canvas, bases)
    assert asked.shape == (count, 8)
    filmed = filmed_lips(library)
    assert (asked[:, :6] >= filmed[:, :6].min(axis=0) - 1e-6).all()
    assert (asked[:, :6] <= filmed[:, :6].max(axis=0) + 1e-6).all()
    rest = resting_lips(library, bases)
    assert np.allclose(asked[[0, -1]], rest[[0, -1]], atol=0.02)
    gap = asked[:, 0]
    vowels, closed = gap[round(0.5 * FPS)], gap[round(0.7 * FPS)]
    assert vowels > 0.5 * filmed[:, 0].max()
    assert closed < 0.15 * filmed[:, 0].max()
    # the expression is that of the pictures that are replayed
    assert np.array_equal(asked[:, 6:], filmed[bases, 6:])


def test_a_mel_ear_hears_around_each_picture() -> None:
    rate, at = 16_000, 1.0
    samples = np.zeros(2 * rate, np.float32)
    samples[int(at * rate) : int(at * rate) + 160] = 0.8
    heard = features_of_sound("mel", Audio(samples, rate), 50, FPS, ModelStore(offline=True))
    assert heard.shape == (50, 80, 16)
    loud = heard.max(axis=(1, 2)) > SILENCE + 2
    frames = np.flatnonzero(loud)
    assert frames.tolist() == list(range(int(frames[0]), int(frames[-1]) + 1))
    assert abs((frames[0] + frames[-1]) / 2 - at * FPS) <= 1  # as long before as after
    assert 5 <= len(frames) <= 8


@pytest.mark.parametrize("ear", ["deepspeech", "esperanto", "hubert"])
def test_an_ear_without_an_encoder_is_refused(ear: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"hears features of the kind {ear}.*speak the recording"):
        check_ear(ear, ModelStore(offline=True))  # type: ignore[arg-type]  # the kinds are nobody's type here


def test_synctalks_ear_needs_its_encoder(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"audio_visual_encoder\.pth"):
        features_of_sound("ave", Audio(np.zeros(1600, np.float32), 16_000), 2, FPS, ModelStore(tmp_path, offline=True))


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
        made.append(features_of_sound("ave", sound, 25, FPS, ModelStore(folder, offline=True)))
    assert made[0].shape == (25, 512)
    assert np.array_equal(made[0], made[1])
    assert np.ptp(made[0], axis=0).max() > 1e-3
    own.pop("0.conv_block.0.weight")
    torch.save(own, tmp_path / "0" / "audio_visual_encoder.pth")
    with pytest.raises(EngineUnavailable, match="no audio-visual encoder"):
        features_of_sound("ave", sound, 5, FPS, ModelStore(tmp_path / "0", offline=True))


@pytest.mark.neural
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ear": "ave"}, r"audio_visual_encoder\.pth"),
        ({"ear": "hubert"}, "lips, mel, ave"),
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
