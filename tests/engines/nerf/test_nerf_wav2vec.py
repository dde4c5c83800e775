"""HuBERT and wav2vec 2.0 hear for imported heads as the published programs had them hear: with small nets by chance."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="the library transformers is not installed")
pytestmark = pytest.mark.neural

import fields  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.engine import ErNerfFace  # noqa: E402
from vivavoce.engines.nerf.hearing import ENCODED, Hearing  # noqa: E402
from vivavoce.engines.nerf.talker import load  # noqa: E402
from vivavoce.engines.nerf.workspace.convert import convert  # noqa: E402
from vivavoce.errors import EngineUnavailable  # noqa: E402
from vivavoce.media import audio  # noqa: E402
from vivavoce.models import ModelStore  # noqa: E402
from vivavoce.nouns import Audio, Canvas, Speech  # noqa: E402
from workspaces import FRAMES, Layout, write  # noqa: E402

if TYPE_CHECKING:
    from vivavoce.engines.nerf.field.networks import Ear

F32 = npt.NDArray[np.float32]

SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
"""All but the width of the encoders that the programs used, which have 24 layers."""


def encoder(ear: "Ear", models: Path, *, old: bool = False, seed: int = 0, **other: Any) -> Any:
    """Write such a folder; the net. ``old``: a pickle of torch's, with the names that published files have."""
    folder = models / ModelStore().weight(ENCODED[ear]).file
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ear == "esperanto":
            told = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 44}
            net = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**SMALL | told | other))
        else:
            told = {"hidden_size": 1024, "num_attention_heads": 16}
            net = transformers.HubertForCTC(transformers.HubertConfig(**SMALL | told | other))
    net.eval().config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True, "sampling_rate": 16_000}))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    if old:
        weights = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for now, before in weights.items():
            state = {name.replace(now, before): value for name, value in state.items()}
        torch.save(state, folder / "pytorch_model.bin")
        config = json.loads((folder / "config.json").read_text())
        config |= {"layerdrop": 0, "gradient_checkpointing": True, "transformers_version": "4.10.0.dev0"}
        (folder / "config.json").write_text(json.dumps(config))
    else:
        from safetensors.torch import save_file

        save_file(state, folder / "model.safetensors")
    return net


def noise(seconds: float, seed: int = 1) -> Audio:
    chance = np.random.default_rng(seed)
    loud = np.repeat(chance.uniform(0.01, 0.4, round(seconds * 10) + 1), 1600)[: round(seconds * 16_000)]
    return Audio((loud * chance.standard_normal(len(loud))).astype(np.float32), 16_000)


def hidden(net: Any, samples: F32) -> F32:
    with torch.inference_mode():
        rows = net.hubert(torch.from_numpy(samples)[None]).last_hidden_state[0]
    return np.asarray(rows.numpy(), np.float32)


def normal(samples: F32) -> F32:
    return np.asarray((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7), np.float32)


@pytest.mark.parametrize("old", [False, True], ids=["safetensors", "bin"])
def test_hubert_hears_two_rows_a_frame(old: bool, tmp_path: Path) -> None:
    net = encoder("hubert", tmp_path, old=old)
    sound = noise(2.5)
    rows = hidden(net, normal(sound.samples))
    assert len(rows) == 124
    heard = Hearing(ModelStore(tmp_path)).features("hubert", sound, 63, 25)
    assert heard.shape == (63, 1024, 2)
    wanted = rows.reshape(62, 2, 1024).transpose(0, 2, 1)
    assert np.abs(heard[:62] - wanted).max() <= 1e-4
    assert np.array_equal(heard[62], np.stack([heard[61, :, 1]] * 2, axis=1))  # what comes after the end
    assert np.ptp(heard, axis=0).max() > 0.1


def test_hubert_hears_long_sounds_in_pieces_of_twenty_seconds(tmp_path: Path) -> None:
    net = encoder("hubert", tmp_path)
    sound = noise(41)
    samples = normal(sound.samples)
    pieces = [samples[:320_080], samples[320_000:640_080], samples[640_000:]]
    rows = np.concatenate([hidden(net, piece) for piece in pieces])
    assert len(rows) == 2049
    heard = Hearing(ModelStore(tmp_path)).features("hubert", sound, 1024, 25)
    assert np.abs(heard.transpose(0, 2, 1).reshape(-1, 1024) - rows[:2048]).max() <= 1e-4


@pytest.mark.parametrize("samples", [1, 399, 400, 320_030, 320_079, 320_400])
def test_sounds_of_any_length_are_heard(samples: int, tmp_path: Path) -> None:
    for ear in ("hubert", "esperanto"):
        encoder(ear, tmp_path)
        sound = noise(samples / 16_000)
        count = -(-samples // 640)
        heard = Hearing(ModelStore(tmp_path)).features(ear, sound, count, 25)
        assert len(heard) == count
        assert np.isfinite(heard).all()


def test_frames_of_another_rate_hear_what_is_said_in_their_time(tmp_path: Path) -> None:
    net = encoder("hubert", tmp_path)
    sound = noise(2)
    rows = hidden(net, normal(sound.samples))
    heard = Hearing(ModelStore(tmp_path)).features("hubert", sound, 60, 30)
    for frame in (0, 1, 17, 58):
        step = round(frame * 50 / 30)
        assert np.abs(heard[frame, :, 0] - rows[step]).max() <= 1e-4


def as_it_comes(net: Any, samples: F32) -> F32:
    """What the published program makes of a sound that comes in chunks of 20 ms: windows of sixteen, two a frame."""
    kept = [np.zeros(320, np.float32)] * 10
    made: list[Any] = []

    def heard() -> Any:
        with torch.inference_mode():
            return net(torch.from_numpy(normal(np.concatenate(kept)))[None]).logits[0]

    for at in range(0, len(samples), 320):
        kept.append(samples[at : at + 320])
        if len(kept) == 70:
            made.append(heard()[10:-9])
            kept = kept[-20:]
    made.append(heard()[10:])
    rows = torch.cat(made)
    unfolded = torch.nn.functional.unfold(rows.T[None, :, :, None], (16, 1), padding=(8, 0), stride=(2, 1))
    return np.asarray(unfolded.view(44, 16, -1).permute(2, 0, 1).numpy(), np.float32)


@pytest.mark.parametrize("seconds", [0.3, 1.2, 3.4, 4.33])
def test_esperanto_is_heard_as_it_comes(seconds: float, tmp_path: Path) -> None:
    net = encoder("esperanto", tmp_path, old=True)
    sound = noise(seconds)
    wanted = as_it_comes(net, sound.samples)
    heard = Hearing(ModelStore(tmp_path)).features("esperanto", sound, len(wanted), 25)
    assert heard.shape == (len(wanted), 44, 16)
    assert abs(len(wanted) - seconds * 25) <= 1
    assert np.abs(heard - wanted).max() <= 1e-4
    assert np.ptp(wanted) > 0.1


def test_a_folder_that_normalises_nothing_is_believed(tmp_path: Path) -> None:
    net = encoder("hubert", tmp_path)
    (tmp_path / "hubert-large-ls960-ft" / "preprocessor_config.json").write_text('{"do_normalize": false}')
    sound = noise(1)
    heard = Hearing(ModelStore(tmp_path)).features("hubert", sound, 24, 25)
    assert np.abs(heard[3].T - hidden(net, sound.samples)[6:8]).max() <= 1e-4


# -- what is refused


def _change(name: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda folder: (change(folder / name), None)[1]


def _without(tensor: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "model.safetensors")
        del state[tensor]
        save_file(state, folder / "model.safetensors")

    return spoil


def _config(**other: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(told | other))

    return spoil


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (_change("model.safetensors", Path.unlink), r"neither model\.safetensors nor pytorch_model\.bin"),
    "cut off": (_change("model.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-999])), "damaged|cut off"),
    "a web page": (_change("model.safetensors", lambda p: p.write_text("<html>")), "a web page"),
    "no JSON": (_change("config.json", lambda p: p.write_text("{")), r"config\.json is damaged"),
    "a list": (_change("config.json", lambda p: p.write_text("[]")), r"config\.json is damaged"),
    "preprocessor": (
        _change("preprocessor_config.json", lambda p: p.write_text("no")),
        r"preprocessor_config\.json is damaged",
    ),
    "a tensor": (
        _without("hubert.encoder.layers.1.attention.k_proj.weight"),
        r"lacks 1 tensors of its network, encoder\.layers\.1\.attention\.k_proj\.weight first",
    ),
    "another net": (_config(model_type="wavlm"), "of a wavlm, and not of a hubert"),
    "another shape": (_config(intermediate_size=64), "lacks .* tensors of its network|no encoder"),
    "another width": (_config(hidden_size=768), r"makes 768 numbers .* takes 1024"),
    "another pace": (_config(conv_stride=[5, 2, 2, 2, 2, 2, 4]), r"strides of \[5, 2, 2, 2, 2, 2, 4\]"),
    "nonsense": (_config(num_attention_heads="many"), "no encoder that transformers knows"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_with_what_is_wrong(damage: str, tmp_path: Path) -> None:
    encoder("hubert", tmp_path)
    spoil, word = DAMAGES[damage]
    spoil(tmp_path / "hubert-large-ls960-ft")
    with pytest.raises(EngineUnavailable, match=word):
        Hearing(ModelStore(tmp_path)).features("hubert", noise(0.5), 12, 25)


def test_no_code_of_a_folder_is_run(tmp_path: Path) -> None:
    encoder("hubert", tmp_path)
    folder = tmp_path / "hubert-large-ls960-ft"
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Own: pass\n")
    _config(auto_map={"AutoModel": "own.Own", "AutoConfig": "own.Own"})(folder)
    Hearing(ModelStore(tmp_path)).features("hubert", noise(0.5), 12, 25)
    (folder / "model.safetensors").unlink()

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"harm": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(EngineUnavailable, match="no tensors, so it is not opened"):
        Hearing(ModelStore(tmp_path)).features("hubert", noise(0.5), 12, 25)
    assert not (tmp_path / "ran").exists()


# -- the whole path


@pytest.mark.parametrize("ear", ["hubert", "hubert_cn", "esperanto"])
def test_an_imported_head_says_anything_where_its_encoder_is(ear: "Ear", tmp_path: Path) -> None:
    says = {"asr_model": ear}
    folder = write(tmp_path / "work", Layout(ear="hubert" if ear == "hubert_cn" else ear, features=False, says=says))
    encoder(ear, tmp_path / "models")
    into = tmp_path / "avatar"
    into.mkdir()
    made = convert(folder, into, ModelStore(tmp_path / "models"))
    told = {one.what: one for one in made.findings}
    assert "the encoder here" in told["features"].says
    assert "speech" not in told
    talker = load(into)
    sound = audio.decode(folder / "aud.wav", max_seconds=9)
    wanted = Hearing(ModelStore(tmp_path / "models")).features(ear, sound, FRAMES, 25)
    assert talker.heard is not None
    assert np.abs(talker.heard.numpy() - wanted).max() <= 1e-3 * np.abs(wanted).max()

    face = ErNerfFace(tmp_path / "models", offline=True, device="cpu")
    canvas = Canvas(128, 128, 25)
    films = []
    for seed in (1, 2, 1):
        speech = Speech("", "en", noise(0.4, seed))
        films.append(np.stack([frame.image for frame in face.animate(made.avatar, speech, canvas=canvas)]))
    assert films[0].shape == (10, 128, 128, 3)
    assert np.array_equal(films[0], films[2])
    assert np.abs(films[0].astype(int) - films[1]).max() > 3  # it is the sound that is heard
    face.close()

    others = ErNerfFace(tmp_path / "none", offline=True, device="cpu")
    with pytest.raises(EngineUnavailable, match=f"{ear} is made with .* So this head speaks the recording"):
        next(iter(others.animate(made.avatar, Speech("", "en", noise(0.4)), canvas=canvas)))


@pytest.mark.slow
def test_a_head_is_taught_by_what_hubert_hears_of_its_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder("hubert", tmp_path / "models")
    models = ModelStore(tmp_path / "models", offline=True)
    made = fields.avatar(tmp_path / "head", "ernerf", ear="hubert", sound=noise(6).samples, models=models)
    talker = load(made.path)
    assert talker.head.shape.ear == "hubert"
    face = ErNerfFace(tmp_path / "models", offline=True, device="cpu", threads=1)
    films = []
    for seed in (1, 2, 1):
        speech = Speech("", "en", noise(0.4, seed))
        films.append(np.stack([frame.image for frame in face.animate(made, speech, canvas=Canvas(128, 128, 25))]))
    assert np.array_equal(films[0], films[2])
    assert not np.array_equal(films[0], films[1])
    heard: list[tuple[float, float]] = []
    features = Hearing.features

    def hear(self: Hearing, ear: "Ear", sound: Audio, n_frames: int, fps: float) -> F32:
        heard.append((sound.seconds, float(np.abs(sound.samples).max())))
        return features(self, ear, sound, n_frames, fps)

    monkeypatch.setattr(Hearing, "features", hear)
    assert len(list(face.idle(made, canvas=Canvas(128, 128, 25), seconds=0.4))) == 10
    assert not heard  # it listens as it was filmed with its mouth shut
    assert talker.quiet is not None
    film = features(Hearing(models), "hubert", audio.decode(made.path / "source", max_seconds=9, rate=16_000), 150, 25)
    assert min(float(np.abs(row - talker.quiet.numpy()).max()) for row in film) <= 1e-3
    face.close()
