"""Speaker encoders tell voices apart, without torch, and refuse models that are none."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.bench.speakers import HEADER, equal_error, measure, row
from vivavoce.engines.speakers import graph
from vivavoce.engines.speakers.campplus import CampplusEncoder
from vivavoce.engines.speakers.checkpoint import tensors
from vivavoce.engines.speakers.ge2e import Ge2eEncoder, Ge2eNet
from vivavoce.engines.speakers.mel import energies
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import decode
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, SpeakerTraits
from vivavoce.testing import ContractBroken, check_encoder

Floats = npt.NDArray[np.float32]

RESEMBLYZER = (
    "02_?}76y!300000000>d8BG8H2^#<a000002mk>!03J&sVgLdF001xmYygM=MgRZ+00000001Wd0ACFN4FLb+000C|06hQz03rtw00seG00007"
    "08A|l002M$00000Cjb>Q6@nZH0BitL00}(+0}KEF1rmM$GIvA=&j0`b2rH5RHvmID000?g7ywiNDIG8X1z;jE01HGx5&%<<bT4)q5C;GN015yB"
    "HyMl+00{s9Y5)KL00DSi00{sF3j!H+08*<m0000fFaQ7me}@1703`?jcPsz^03|a=000000001b7dl)nS`Yvw00961O#lEV000C4"
)
"""What Resemblyzer 0.1.4 says of ``glide()`` (``embed_utterance`` with torch 2.13), in steps of 1/255."""


def glide(rate: int = 16_000, seconds: float = 3.7) -> Floats:
    """A buzz whose pitch glides up through two resonances that move."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 110 + 70 * time / seconds
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    first, second = 500 + 200 * np.sin(2 * np.pi * 1.5 * time), 1500 + 400 * np.cos(2 * np.pi * time)
    out = np.zeros_like(time)
    for k in range(1, 40):
        hertz = k * pitch
        gain = np.exp(-(((hertz - first) / 150) ** 2)) + 0.5 * np.exp(-(((hertz - second) / 200) ** 2)) + 0.02
        out += gain * np.sin(k * phase)
    return (0.1 * out).astype(np.float32)


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return ModelStore().path("speaker-ge2e")
    except EngineUnavailable as e:
        pytest.skip(f"the weights cannot be had here: {e}")


@pytest.fixture(scope="module")
def ge2e(weights: Path) -> Ge2eEncoder:
    return Ge2eEncoder(models_cache=weights.parent, offline=True)


# ---- GE2E


def test_the_net_says_what_resemblyzer_says(weights: Path) -> None:
    expected = np.frombuffer(base64.b85decode(RESEMBLYZER), np.uint8).astype(np.float64)
    found = Ge2eNet(tensors(weights, "model_state")).embed(glide())
    assert found @ expected / np.linalg.norm(expected) > 0.9999


def test_any_weights_are_computed_as_the_formulas_say() -> None:
    """Against a plain LSTM with PyTorch's gates, on the windows of Resemblyzer, with weights of no meaning."""
    rng = np.random.default_rng(5)
    random: dict[str, Floats] = {}
    for layer, width in enumerate((40, 256, 256)):
        for name, shape in (("weight_ih", (1024, width)), ("weight_hh", (1024, 256)), ("bias_ih", (1024,))):
            random[f"lstm.{name}_l{layer}"] = rng.normal(0, 0.1, shape).astype(np.float32)
        random[f"lstm.bias_hh_l{layer}"] = rng.normal(0, 0.1, 1024).astype(np.float32)
    random["linear.weight"] = rng.normal(size=(256, 256)).astype(np.float32)
    random["linear.bias"] = rng.normal(size=256).astype(np.float32)
    sound = rng.normal(0, 0.05, 16_000 * 4).astype(np.float32)
    mel = energies(sound)  # 401 frames; windows begin every 77, and the one at 308 would hold too little
    embedded = [plain(random, mel[start : start + 160]) for start in (0, 77, 154, 231)]
    mean = np.mean(embedded, axis=0)
    assert Ge2eNet(random).embed(sound) @ mean / np.linalg.norm(mean) == pytest.approx(1, abs=1e-5)


def plain(weights: dict[str, Floats], x: Floats) -> npt.NDArray[np.float64]:
    def sigmoid(v: Any) -> Any:
        return 1 / (1 + np.exp(-v))

    for layer in range(3):
        h, c, out = np.zeros(256), np.zeros(256), []
        for frame in x:
            gates = weights[f"lstm.weight_ih_l{layer}"] @ frame + weights[f"lstm.bias_ih_l{layer}"]
            gates = gates + weights[f"lstm.weight_hh_l{layer}"] @ h + weights[f"lstm.bias_hh_l{layer}"]
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        x = np.array(out)
    raw = np.maximum(0, weights["linear.weight"] @ x[-1] + weights["linear.bias"])
    return np.asarray(raw / np.linalg.norm(raw))


def test_mel_energies_are_those_of_a_tone() -> None:
    time = np.arange(16_000) / 16_000
    for hertz, band in ((368, 4), (3000, 27), (6000, 36)):  # the scale puts a band's centre near each
        mel = energies(np.sin(2 * np.pi * hertz * time).astype(np.float32))
        assert mel.shape == (101, 40)
        assert int(mel[50].argmax()) == band
    assert energies(np.zeros(0, np.float32)).shape == (1, 40)


def test_loudness_pauses_and_rate_do_not_change_a_voice(ge2e: Ge2eEncoder, shared: Path) -> None:
    sound = decode(shared / "media/speech/jfk_m_en.wav", max_seconds=20, rate=16_000)
    voice = ge2e.embed(sound)
    quiet = Audio(sound.samples * np.float32(0.02), 16_000)
    paused = Audio(np.concatenate([np.zeros(48_000, np.float32), sound.samples, np.zeros(80_000, np.float32)]), 16_000)
    fine = decode(shared / "media/speech/jfk_m_en.wav", max_seconds=20, rate=44_100)
    for other in (quiet, paused, fine):
        assert ge2e.embed(other) @ voice > 0.97


def test_too_little_speech_is_refused_with_the_numbers(ge2e: Ge2eEncoder, shared: Path) -> None:
    sound = decode(shared / "media/speech/jfk_m_en.wav", max_seconds=20, rate=16_000).samples
    short = Audio(np.concatenate([sound[: 16_000 * 6 // 5], np.zeros(32_000, np.float32)]), 16_000)
    with pytest.raises(InvalidInput, match=r"There are 0\.\d s of speech in 3\.2 s of sound; at least 1 s"):
        ge2e.embed(short)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="vivavoce models pull speaker-ge2e"):
        Ge2eEncoder(models_cache=tmp_path, offline=True)


def test_torch_is_never_imported(weights: Path, shared: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vivavoce.engines.speakers.ge2e import Ge2eEncoder\n"
        "from vivavoce.media.audio import decode\n"
        "sound = decode(Path(sys.argv[2]), max_seconds=60, rate=16000)\n"
        "print(len(Ge2eEncoder(models_cache=Path(sys.argv[1]), offline=True).embed(sound)), 'torch' in sys.modules)"
    )
    arguments = [str(weights.parent), str(shared / "media/speech/jfk_m_en.wav")]
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["256", "False"]


@pytest.mark.slow
def test_five_speakers_are_told_apart(ge2e: Ge2eEncoder, shared: Path) -> None:
    found = measure(shared / "media/speech/speakers", ge2e)
    assert (found["same"], found["different"]) == (50, 250)
    assert found["eer"] <= 0.02
    assert found["realtime"] >= 20
    assert found["refused"] <= 0.02
    assert found["accepted"] <= 0.02
    assert row("ge2e", found).count("|") == HEADER.splitlines()[0].count("|")


# ---- CAM++


TOLD = {
    "framework": "3d-speaker",
    "output_dim": "12",
    "sample_rate": "16000",
    "normalize_samples": "1",
    "feature_normalize_type": "global-mean",
    "language": "English",
}


def tiny(folder: Path, bands: int = 80, **told: str | None) -> Path:
    """A model of the interface that sherpa-onnx expects: how much each feature varies, times a matrix."""
    size = 12
    matrix = np.random.default_rng(3).normal(size=(bands, size)).astype(np.float32)
    nodes: list[graph.Node] = [
        ("Mul", ["x", "x"], ["squares"], {}),
        ("ReduceSum", ["squares", "time"], ["power"], {"keepdims": 0}),
        ("Sqrt", ["power"], ["spread"], {}),
        ("MatMul", ["spread", "matrix"], ["y"], {}),
    ]
    weights = {"matrix": matrix, "time": np.array([1])}
    model = graph.model(nodes, weights, ("x", (None, None, bands)), ("y", (None, size)))
    for key, value in (TOLD | told).items():  # fields of a message may come in any order: the metadata come last
        if value is not None:
            model += graph._message(14, graph._text(1, key) + graph._text(2, value))
    folder.mkdir(exist_ok=True)
    (folder / "campplus.onnx").write_bytes(model)
    return folder


def campplus(folder: Path) -> CampplusEncoder:
    pytest.importorskip("sherpa_onnx", reason="the extra campplus is not installed")
    return CampplusEncoder(models_dir=folder, models_cache=folder / "cache")


def test_an_operators_model_embeds_speech(tmp_path: Path, shared: Path) -> None:
    encoder = campplus(tiny(tmp_path / "models"))
    assert encoder.traits.size == 12
    sounds = [decode(p, max_seconds=60, rate=16_000) for p in sorted((shared / "media/speech").glob("libri_*.wav"))]
    one, other = (encoder.embed(sound) for sound in sounds[:2])
    assert one.shape == (12,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(one, encoder.embed(sounds[0]))
    assert one @ other < 0.99999
    with pytest.raises(InvalidInput, match="at least 1 s"):
        encoder.embed(Audio(np.zeros(64_000, np.float32), 16_000))


def test_another_model_is_another_version(tmp_path: Path) -> None:
    one, other = campplus(tiny(tmp_path / "a")), campplus(tiny(tmp_path / "b", language="Chinese"))
    assert one.traits.version != other.traits.version


@pytest.mark.parametrize(
    "told",
    [
        {"framework": None},
        {"framework": "nemo"},
        {"output_dim": None},
        {"sample_rate": "fast"},
        {"language": None},
        {"normalize_samples": None},
        {"feature_normalize_type": "other"},
    ],
    ids=str,
)
def test_a_model_of_another_export_is_refused(tmp_path: Path, told: dict[str, str | None]) -> None:
    """sherpa-onnx would end the process."""
    with pytest.raises(EngineUnavailable, match="not exported for sherpa-onnx"):
        campplus(tiny(tmp_path / "models", 80, **told))


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    for folder in (tiny(tmp_path / "bands", 40), tiny(tmp_path / "size", output_dim="512")):
        with pytest.raises(EngineUnavailable, match="no speaker encoder"):
            campplus(folder)
    (folder / "campplus.onnx").write_bytes(b"no model at all")
    with pytest.raises(EngineUnavailable, match="no ONNX model"):
        campplus(folder)


@pytest.mark.parametrize("offline", [False, True])
def test_without_a_model_it_says_where_to_put_one(tmp_path: Path, offline: bool) -> None:
    pytest.importorskip("sherpa_onnx", reason="the extra campplus is not installed")
    with pytest.raises(EngineUnavailable, match=r"campplus\.onnx.*VIVAVOCE_MODELS__DIR"):
        CampplusEncoder(models_cache=tmp_path, offline=offline)


def test_without_sherpa_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(EngineUnavailable, match=r"vivavoce\[campplus\]"):
        CampplusEncoder(models_dir=tiny(tmp_path / "models"))


# ---- what measures and checks them


def test_equal_error_rates_of_known_scores() -> None:
    rate, threshold = equal_error([0.9, 0.8, 0.7], [0.3, 0.2])
    assert rate == 0
    assert threshold == pytest.approx(0.5)
    rate, threshold = equal_error([0.9, 0.8, 0.7, 0.2], [0.75, 0.3, 0.2, 0.1])
    assert rate == 0.25
    assert 0.3 < threshold < 0.7
    assert equal_error([0.1], [0.9])[0] == 1.0


class Careless:
    """An encoder that breaks one promise."""

    def __init__(self, flaw: str) -> None:
        self._flaw = flaw

    @property
    def traits(self) -> SpeakerTraits:
        return SpeakerTraits(size=2, threshold=0.5)

    def embed(self, audio: Audio) -> Floats:
        if self._flaw != "takes anything" and (audio.seconds < 1 or not audio.samples.any()):
            raise InvalidInput("too little")
        if self._flaw == "long":
            return np.ones(2, np.float32)
        if self._flaw == "deaf":
            return np.array([1, 0], np.float32)
        angle = float(audio.samples.mean()) if len(audio.samples) else 0.0
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


@pytest.mark.parametrize("flaw", ["", "takes anything", "long", "deaf"])
def test_the_contract_finds_what_is_broken(flaw: str) -> None:
    one, again, other = (Audio(np.full(48_000, level, np.float32), 16_000) for level in (0.1, 0.2, 0.9))
    if not flaw:
        check_encoder(Careless(flaw), one, again, other)
        return
    with pytest.raises(ContractBroken):
        check_encoder(Careless(flaw), one, again, other)


def test_a_folder_of_one_speaker_measures_nothing(tmp_path: Path, ge2e: Ge2eEncoder, shared: Path) -> None:
    (tmp_path / "1688").symlink_to(shared / "media/speech/speakers/1688")
    with pytest.raises(InvalidInput, match="at least two speakers"):
        measure(tmp_path, ge2e)
