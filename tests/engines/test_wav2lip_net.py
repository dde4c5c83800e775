"""The network in torch and in onnxruntime, beside the published one written down plainly: same random weights."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from checkpoints import FORMATS, random_state, save
from published import crops, film, network
from vivavoce.cli import app
from vivavoce.engines.neural.device import Place, place
from vivavoce.engines.wav2lip.architecture import SIDE, shapes
from vivavoce.engines.wav2lip.bases import open_base
from vivavoce.engines.wav2lip.engine import Wav2LipFace
from vivavoce.engines.wav2lip.weights import Found, Net, export, find, folded_file, load
from vivavoce.errors import EngineUnavailable
from vivavoce.face.mel import RATE, mel
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Avatar, Canvas, Speech
from vivavoce.studio.scene import builtin_avatars
from vivavoce.testing import check_animator, check_prepare

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.neural, pytest.mark.slow]

F32 = npt.NDArray[np.float32]
DAVID = Avatar("david", builtin_avatars() / "david", "wav2lip")


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return random_state()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> Path:
    """The operator's, with a checkpoint as most users have it, and the network exported beside it."""
    made = tmp_path_factory.mktemp("models")
    path = save(state, made / "wav2lip_gan.pth", "pth")
    export(path, made / "wav2lip.onnx")
    return made


@pytest.fixture(scope="module")
def examples(state: dict[str, Any]) -> tuple[F32, F32, F32]:
    """Sound, faces, and what the published network makes of them."""
    rng = np.random.default_rng(4)
    heard = rng.uniform(-4, 4, (5, 80, 16)).astype(np.float32)
    faces = rng.uniform(0, 1, (5, SIDE, SIDE, 6)).astype(np.float32)
    faces[:, 48:, :, :3] = 0
    made = network(state, heard, faces)
    assert 0.1 < made.std() < 0.4, "greys of all kinds"
    assert np.abs(made[0] - made[1]).max() > 0.05, "it depends on what it sees and hears"
    return heard, faces, made


def test_the_network_has_the_published_tensors(state: dict[str, Any]) -> None:
    from vivavoce.engines.wav2lip.net import Published

    net = Published()
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == shapes()
    assert len(net.state_dict()) == 352
    assert sum(p.numel() for p in net.parameters()) == 36_298_035
    net.load_state_dict(state)


@pytest.mark.parametrize(("precision", "off"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_it_computes_what_was_published(
    precision: Any, off: float, folder: Path, examples: tuple[F32, F32, F32]
) -> None:
    heard, faces, wanted = examples
    net = load(Found(folder / "wav2lip_gan.pth", "torch"), device="cpu", precision=precision)
    made = net(heard, faces)
    assert made.shape == wanted.shape
    error = np.abs(made - wanted)
    assert error.max() <= off
    alone = np.concatenate([net(heard[i : i + 1], faces[i : i + 1]) for i in range(len(heard))])
    assert np.abs(alone - made).max() <= off / 2, "whatever else is in the batch"
    order = [3, 0, 4, 2, 1]
    assert np.abs(net(heard[order], faces[order]) - made[order]).max() <= off / 2


def test_onnxruntime_computes_the_same_without_torch(folder: Path, examples: tuple[F32, F32, F32]) -> None:
    heard, faces, wanted = examples
    net = load(find(ModelStore(folder), "onnx"))
    assert np.abs(net(heard, faces) - wanted).max() <= 1e-3
    assert np.abs(net(heard[:1], faces[:1]) - wanted[:1]).max() <= 1e-3
    assert "onnxruntime" in net.name


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_pictures(
    form: str, state: dict[str, Any], tmp_path: Path, examples: tuple[F32, F32, F32]
) -> None:
    heard, faces, wanted = examples
    net: Net = load(Found(save(state, tmp_path / f"{form}.pt", form), "torch"), device="cpu", precision="fp32")
    assert np.abs(net(heard, faces) - wanted).max() <= 1e-3


def test_other_files_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    fewer = {name: value for name, value in state.items() if not name.startswith("output")}
    with pytest.raises(EngineUnavailable, match=r"less\.pth is not the Wav2Lip of 96 pixels: 8 of its 352"):
        folded_file(save(fewer, tmp_path / "less.pth", "pth"))
    broken = state | {"output_block.1.weight": state["output_block.1.weight"] * float("nan")}
    with pytest.raises(EngineUnavailable, match="damaged"):
        folded_file(save(broken, tmp_path / "nan.pth", "bare"))
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x08no model")
    with pytest.raises(EngineUnavailable, match="models export wav2lip"):
        load(Found(tmp_path / "cut.onnx", "onnx"))


def test_another_onnx_model_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save_model

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    save_model(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), str(tmp_path / "x.onnx")
    )
    with pytest.raises(EngineUnavailable, match="another than Wav2Lip's"):
        load(Found(tmp_path / "x.onnx", "onnx"))


# -- films


def babble(seconds: float) -> Speech:
    t = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sign(np.sin(2 * np.pi * 140 * t)) * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1)
    return Speech("", "en", Audio(sound.astype(np.float32), RATE))


@pytest.fixture(params=["torch", "onnx"])
def exact(request: pytest.FixtureRequest, folder: Path) -> Iterator[Wav2LipFace]:
    made = Wav2LipFace(folder, runtime=request.param, device="cpu", precision="fp32", exact=True)
    yield made
    made.close()


def test_exact_films_are_those_of_the_published_program(exact: Wav2LipFace, state: dict[str, Any]) -> None:
    canvas, speech = Canvas(256, 256), babble(0.8)
    frames = [f.image for f in exact.animate(DAVID, speech, canvas=canvas)]
    none = np.zeros(len(frames), np.float32)
    shots = list(open_base(DAVID.path, "david", canvas, exact=True).shots(len(frames), 0, none, none))
    boxes = [shot.box for shot in shots if shot.box is not None]
    wanted = film(state, [shot.image for shot in shots], boxes, mel(speech.audio.samples), 25.0)
    for ours, theirs in zip(frames, wanted, strict=True):
        apart = np.abs(ours.astype(int) - theirs)
        assert apart.max() <= 1, "a grey level is cut to the one below or above"
        assert (apart > 0).mean() < 1e-3
    assert np.abs(frames[5].astype(int) - frames[15]).max() > 5


def test_what_the_network_sees_is_what_the_published_program_shows_it() -> None:
    from vivavoce.engines.wav2lip.paint import seen

    image = np.random.default_rng(0).integers(0, 256, (200, 180, 3), dtype=np.uint8)
    box = (11, 20, 150, 190)
    assert np.array_equal(seen(image, box), crops(np.ascontiguousarray(image[..., ::-1]), box))


def test_it_keeps_the_promises_of_a_face(folder: Path, tmp_path: Path) -> None:
    engine = Wav2LipFace(folder, device="cpu")
    try:
        picture = builtin_avatars() / "anna" / "poster.jpg"
        try:
            avatar = check_prepare(engine, picture, tmp_path / "prepared")
        except EngineUnavailable as e:
            pytest.skip(f"the face nets cannot be had here: {e}")
        assert avatar.engine == "wav2lip"
        check_animator(engine, avatar)
    finally:
        engine.close()


def test_where_it_computes() -> None:
    assert place("cpu", "fp32") == Place(torch.device("cpu"), torch.float32)
    assert place("cpu").dtype in (torch.float32, torch.bfloat16)
    assert os.environ["OMP_WAIT_POLICY"], "threads that wait leave the processor to others"
    with pytest.raises(EngineUnavailable, match="fp32 or bf16"):
        place("cpu", "fp16")
    if not torch.cuda.is_available():
        with pytest.raises(EngineUnavailable, match="no CUDA"):
            place("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA graphics card")
def test_a_graphics_card_computes_the_same(folder: Path, examples: tuple[F32, F32, F32]) -> None:
    heard, faces, wanted = examples
    net = load(Found(folder / "wav2lip_gan.pth", "torch"), device="cuda")
    assert np.abs(net(heard, faces) - wanted).max() <= 2e-2


def test_the_command_exports_what_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: tuple[F32, F32, F32]
) -> None:
    monkeypatch.setenv("VIVAVOCE_MODELS__DIR", str(folder))
    target = tmp_path / "mine.onnx"
    run = CliRunner().invoke(app, ["models", "export", "--to", str(target)])
    assert run.exit_code == 0, run.output
    assert "research only" in run.output
    heard, faces, wanted = examples
    assert np.abs(load(Found(target, "onnx"))(heard, faces) - wanted).max() <= 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"], "nothing half-written is left"
