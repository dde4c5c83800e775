"""Wav2Lip without torch: what its checkpoint must hold, what is painted where, what is said when it is missing."""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from vivavoce.cli import app
from vivavoce.engines.neural import device
from vivavoce.engines.photo import bundle
from vivavoce.engines.wav2lip import weights
from vivavoce.engines.wav2lip.architecture import check, folded, layers, shapes
from vivavoce.engines.wav2lip.bases import Shot, open_base
from vivavoce.engines.wav2lip.boxes import differing, face_box, published, whole
from vivavoce.engines.wav2lip.engine import Wav2LipFace
from vivavoce.engines.wav2lip.paint import lower_face, seen
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.drive import drive
from vivavoce.models import CATALOGUE, ModelStore
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Mark, Speech
from vivavoce.studio.scene import builtin_avatars
from vivavoce.testing import check_animator

F32 = npt.NDArray[np.float32]
SMALL = Canvas(256, 256)
RATE = 16_000
DAVID = Avatar("david", builtin_avatars() / "david", "wav2lip")
Painter = Callable[[F32], F32]


class Known:
    """A network whose answer is known: what ``paints`` makes of the whole face, BGR 0-1."""

    name, largest = "known", 8

    def __init__(self, paints: Painter) -> None:
        self.paints = paints
        self.asked = 0

    def __call__(self, mel: F32, face: F32) -> F32:
        assert mel.shape[1:] == (80, 16)
        assert face.shape[1:] == (96, 96, 6)
        assert (face[:, 48:, :, :3] == 0).all()
        assert np.array_equal(face[:, :48, :, :3], face[:, :48, :, 3:])
        self.asked += len(face)
        return np.stack([self.paints(seen[..., 3:]) for seen in face])


def noise(face: F32) -> F32:
    return np.random.default_rng(5).uniform(0, 1, face.shape).astype(np.float32)


def engine(folder: Path, paints: Painter, *, exact: bool = False, sync_offset: int = 0) -> tuple[Wav2LipFace, Known]:
    """The engine with a known network in the checkpoint's place."""
    (folder / "wav2lip.onnx").touch()  # nothing is read before it is used
    made = Wav2LipFace(folder, exact=exact, sync_offset=sync_offset)
    net = Known(paints)
    made.use(net)
    return made, net


def spoken(seconds: float = 1.2, pause: tuple[float, float] = (0.6, 0.6)) -> Speech:
    """A vowel from 0.2 s to the end but 0.2 s, with a pause in it."""
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    says = (t > 0.2) & (t < seconds - 0.2) & ~((t > pause[0]) & (t < pause[1]))
    sound = (0.3 * says * np.sign(np.sin(2 * np.pi * 130 * t))).astype(np.float32)
    marks = [Mark("phoneme", "a", 0.2, pause[0]), Mark("phoneme", "a", pause[1], seconds - 0.2)]
    if pause[1] > pause[0]:
        marks.insert(1, Mark("phoneme", "", *pause))
    return Speech("a", "en", Audio(sound, RATE), tuple(marks))


def silence(seconds: float) -> Speech:
    return Speech("", "en", Audio(np.zeros(round(seconds * RATE), np.float32), RATE))


def film(made: Wav2LipFace, speech: Speech, canvas: Canvas = SMALL, avatar: Avatar = DAVID, **more: int) -> list[Frame]:
    return list(made.animate(avatar, speech, canvas=canvas, **more))


def shots(n: int, canvas: Canvas = SMALL, avatar: Avatar = DAVID, *, exact: bool = False, start: int = 0) -> list[Shot]:
    """The pictures that are painted on."""
    base = open_base(avatar.path, avatar.name, canvas, exact=exact)
    return list(base.shots(n, start, np.zeros(n, np.float32), np.zeros(n, np.float32)))


# -- the network as a table


def test_the_table_counts_what_the_published_network_counts() -> None:
    known = shapes()
    assert len(known) == 352
    learnt = {n: s for n, s in known.items() if not n.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert sum(int(np.prod(shape)) for shape in learnt.values()) == 36_298_035

    def of(part: str) -> int:
        return sum(int(np.prod(shape)) for name, shape in learnt.items() if name.startswith(part))

    assert round(of("audio_encoder") / 1e6, 2) == 2.81
    assert round(of("face_encoder") / 1e6, 2) == 8.17
    assert round(of("face_decoder") / 1e6, 1) == 25.3


def test_a_folded_norm_computes_the_same() -> None:
    rng = np.random.default_rng(1)
    held = {name: rng.random(shape, np.float32) + 0.5 for name, shape in shapes().items() if shape}
    layer = next(layer for layer in layers() if layer.name == "audio_encoder.0")
    made = folded(held)[layer.name]
    block = "audio_encoder.0.conv_block"
    x = rng.normal(size=(1, 3, 3))
    for c in range(layer.outputs):
        raw = (x * held[f"{block}.0.weight"][c]).sum() + held[f"{block}.0.bias"][c]
        mean, variance = held[f"{block}.1.running_mean"][c], held[f"{block}.1.running_var"][c]
        wanted = (raw - mean) / np.sqrt(variance + 1e-5) * held[f"{block}.1.weight"][c] + held[f"{block}.1.bias"][c]
        assert abs((x * made.weight[c]).sum() + made.bias[c] - wanted) < 1e-4
    held["output_block.0.conv_block.1.running_var"][3] = -1
    with pytest.raises(EngineUnavailable, match="damaged: output_block"):
        folded(held)


def larger() -> dict[str, tuple[int, ...]]:
    """As the networks for 288 pixels have it: nine blocks where ours has seven."""
    more = {
        name.replace(".6.", f".{i}."): shape
        for i in (7, 8)
        for name, shape in shapes().items()
        if "encoder_blocks.6." in name
    }
    return shapes() | more


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (larger(), "for larger pictures .*9 blocks"),
        (shapes() | {"sam.sa.conv1.weight": (1, 2, 7, 7), "output_block.1.bias": (4,)}, "for larger pictures"),
        ({"face_encoder.conv1.weight": (1,), "face_decoder.conv.weight": (1,)}, "another make"),
        ({"face_encoder.0.conv_block.0.weight": (32, 15, 7, 7)}, "SyncNet"),
        ({"conv3_3_norm.weight": (256,)}, "S3FD"),
        ({"encoder.weight": (3, 3)}, "1 tensors of another net, such as encoder.weight"),
        ({n: s for n, s in shapes().items() if not n.startswith("audio")}, "78 of its 352 tensors are missing"),
    ],
)
def test_other_networks_are_refused_by_name(found: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(EngineUnavailable, match=said):
        check(found, "mine.pth")


def test_what_it_does_not_need_is_passed_over() -> None:
    check(shapes() | {"extra.weight": (1,)}, "mine.pth")
    check({n: s for n, s in shapes().items() if not n.endswith("num_batches_tracked")}, "mine.safetensors")


# -- files


def test_without_a_checkpoint_it_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"VIVAVOCE_MODELS__DIR.*wav2lip_gan\.pth") as refused:
        Wav2LipFace(tmp_path)
    assert "research only; trained on LRS2" in str(refused.value)


def test_making_it_does_not_import_torch(tmp_path: Path) -> None:
    before = "torch" in sys.modules
    made, _ = engine(tmp_path, noise)
    assert made.traits.lookahead == 0.2
    assert "research only" in made.traits.licence
    assert ("torch" in sys.modules) == before


def test_which_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path)
    for name in ("wav2lip.onnx", "Wav2Lip-SD-GAN.pt", "mine.pth"):
        (tmp_path / name).touch()
    monkeypatch.setattr(weights, "has_torch", lambda: True)
    assert weights.find(store).path.name == "Wav2Lip-SD-GAN.pt", "torch is faster where it is"
    assert weights.find(store, "onnx").path.name == "wav2lip.onnx"
    assert weights.find(store, checkpoint="mine.pth").path == tmp_path / "mine.pth"
    assert weights.find(ModelStore(), checkpoint=str(tmp_path / "mine.pth")).runtime == "torch"
    monkeypatch.setattr(weights, "has_torch", lambda: False)
    assert weights.find(store).runtime == "onnx", "without torch the exported network runs"
    (tmp_path / "wav2lip.onnx").unlink()
    with pytest.raises(EngineUnavailable, match=r"vivavoce\[neural\].*models export"):
        weights.find(store)
    for wrong in ("absent.pth", "../mine.pth", "sub/mine.pth"):
        with pytest.raises(EngineUnavailable, match="checkpoint"):
            weights.find(store, checkpoint=wrong)


def test_the_store_knows_every_usual_name(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    for name in reversed(CATALOGUE["wav2lip"].names):
        (tmp_path / name).touch()
        assert store.own("wav2lip")[0].name == name, "the preferred ones come first"
    held = next(held for held in store.entries() if held.weight.name == "wav2lip")
    assert held.place == "folder"
    assert held.weight.licence == "research only; trained on LRS2"


def test_the_list_of_models_shows_the_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    told = CliRunner().invoke(app, ["models", "list"]).output
    assert "research only; trained on LRS2" in next(line for line in told.splitlines() if "wav2lip" in line)


@pytest.mark.parametrize("asked", ["cpu", "cuda"])
def test_a_device_that_is_named_is_the_likely_one(asked: str) -> None:
    assert device.likely(asked) == asked


# -- boxes


def naive_published(boxes: list[list[int]]) -> list[list[int]]:
    held = np.array(boxes)
    for i in range(len(held)):
        held[i] = held[len(held) - 5 :].mean(axis=0) if i + 5 > len(held) else held[i : i + 5].mean(axis=0)
    return [[int(v) for v in box] for box in held]


def test_boxes_are_padded_clipped_and_smoothed_as_published() -> None:
    rng = np.random.default_rng(2)
    boxes = np.array([60.0, 40, 200, 220]) + rng.uniform(0, 9, (12, 4))
    boxes[3] += 90  # leaves the picture
    plain = [[max(int(a), 0), max(int(b), 0), min(int(c), 256), min(int(d) + 10, 256)] for a, b, c, d in boxes]
    assert [list(box or ()) for box in published(boxes, (256, 256))] == naive_published(plain)


def test_a_box_holds_the_outline_and_carries_what_the_detector_found() -> None:
    points = bundle.load(DAVID.path).mesh.points
    outline = face_box(points)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    assert np.allclose(outline, [*low, *high], atol=0.02 * float((high - low).max()))
    found = outline + np.array([5, -20, 3, 14])
    assert np.allclose(face_box(points * 2, differing(found.tolist(), outline)), found * 2, atol=1e-3)
    assert whole(np.array([-500.0, 0, -300, 200]), (256, 256)) is None
    assert whole(np.array([-5.4, 10, 100, 110]), (256, 256)) == (0, 10, 100, 114)


# -- what is painted


def test_noise_stays_inside_the_mask_to_the_pixel(tmp_path: Path) -> None:
    speech = spoken()
    frames = film(engine(tmp_path, noise)[0], speech)
    driven = drive(speech, SMALL)
    base = open_base(DAVID.path, DAVID.name, SMALL, exact=False)
    painted = 0
    for frame, shot in zip(frames, base.shots(len(frames), 0, driven.stress, driven.energy), strict=True):
        mask = mask_of(shot)
        changed = (frame.image != shot.image).any(axis=2)
        assert not changed[mask == 0].any()
        painted += int(changed[mask > 0.9].mean() > 0.95)
    assert painted > 12


def test_outside_the_mask_nothing_changes(tmp_path: Path) -> None:
    """On the very same pictures: what the engine paints on, against what it gives."""
    made, _ = engine(tmp_path, noise)
    for shot in shots(3):
        assert shot.box is not None
        before = shot.image.copy()
        looked = looked_at(shot)
        made._paint(shot, looked, noise(looked[..., 3:]), 1.0)
        mask = mask_of(shot)
        changed = (shot.image != before).any(axis=2)
        assert not changed[mask == 0].any()
        assert changed[mask > 0.9].mean() > 0.95
        inside = shot.image[mask > 0.99].astype(float)
        assert inside.std() > 40, "noise"
        mouth = shot.points[[13, 14, 61, 291, 17, 0, 152]]
        at = tuple(np.round(mouth).astype(int).T[::-1])
        assert (mask[at] > 0.4).all(), "the lips and the chin lie inside"
        eyes = shot.points[[33, 133, 263, 362, 168, 6, 10]]
        assert (mask[tuple(np.round(eyes).astype(int).T[::-1])] == 0).all()


def mask_of(shot: Shot) -> F32:
    """On the whole picture."""
    assert shot.box is not None
    x0, y0, x1, y1 = shot.box
    mask = np.zeros(shot.image.shape[:2], np.float32)
    mask[y0:y1, x0:x1] = lower_face(shot.points, shot.box)
    return mask


def looked_at(shot: Shot) -> F32:
    assert shot.box is not None
    return seen(shot.image, shot.box)


def test_a_face_that_comes_back_as_it_was_leaves_no_trace(tmp_path: Path) -> None:
    """Nor does one in another light: the picture keeps its detail and its colours, at every edge."""
    made, _ = engine(tmp_path, lambda face: face)
    for change, most in ((np.zeros(3), 0), (np.array([0.04, 0.0, -0.04]), 3), (np.array([0.05, 0.05, 0.05]), 3)):
        for shot in shots(2):
            before = shot.image.copy()
            looked = looked_at(shot)
            made._paint(shot, looked, (looked[..., 3:] + change).astype(np.float32), 1.0)
            assert np.abs(shot.image.astype(int) - before).max() <= most


def test_a_mouth_that_moves_is_the_networks(tmp_path: Path) -> None:
    def dark(face: F32) -> F32:
        out = face.copy()
        out[66:76, 38:58] = (0.2, 0.1, 0.1)
        return out

    made, _ = engine(tmp_path, dark)
    (shot,) = shots(1, Canvas(512, 512))
    assert shot.box is not None
    looked = looked_at(shot)
    made._paint(shot, looked, dark(looked[..., 3:]), 1.0)
    x0, y0, x1, y1 = shot.box
    centre = y0 + (y1 - y0) * 71 // 96, x0 + (x1 - x0) // 2
    assert np.abs(shot.image[centre].astype(int) - (25, 25, 51)).max() < 12


def test_as_published_the_whole_box_is_pasted(tmp_path: Path) -> None:
    made, net = engine(tmp_path, noise, exact=True)
    frames = film(made, spoken())
    assert net.asked == len(frames), "every picture, in silence too"
    (shot,) = shots(1, exact=True)
    assert shot.box is not None
    x0, y0, x1, y1 = shot.box
    wanted = shot.image.copy()
    patch = (noise(np.empty((96, 96, 3), np.float32)) * 255.0).astype(np.uint8)
    wanted[y0:y1, x0:x1] = cv2.resize(patch, (x1 - x0, y1 - y0))[..., ::-1]
    assert all(np.array_equal(frame.image, wanted) for frame in frames)


# -- when it is painted


def test_in_silence_the_mouth_rests_and_the_network_is_not_asked(tmp_path: Path) -> None:
    made, net = engine(tmp_path, noise)
    frames = film(made, silence(1.0))
    assert net.asked == 0
    assert all(np.array_equal(f.image, s.image) for f, s in zip(frames, shots(25), strict=True))
    pausing = spoken(2.0, (0.7, 1.3))
    talking, still = film(made, pausing), film(made, silence(2.0))

    def differs(i: int) -> float:
        return float(np.abs(talking[i].image.astype(int) - still[i].image)[150:200, 90:170].mean())

    assert differs(0) < 3
    assert differs(25) < 3, "in the pause"
    assert differs(49) < 3
    assert differs(12) > 12
    assert differs(38) > 12


def test_films_join(tmp_path: Path) -> None:
    made, _ = engine(tmp_path, noise)
    whole_film = film(made, silence(2.0))
    later = film(made, silence(1.0), start_frame=25)
    apart = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in zip(whole_film[25:], later, strict=True)]
    assert max(apart) < 1


@pytest.mark.parametrize("skip", [2, 4])
def test_fewer_pictures_are_asked_for_and_the_others_lie_between(tmp_path: Path, skip: int) -> None:
    made, net = engine(tmp_path, lambda face: face * np.float32(0.5))
    full = film(made, spoken(2.4))
    asked = net.asked
    net.asked = 0
    sparse = film(made, spoken(2.4), frame_skip=skip)
    assert len(sparse) == len(full)
    assert net.asked < asked / skip * 1.7
    apart = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in zip(full, sparse, strict=True)]
    assert max(apart) < 2


def test_the_offset_moves_what_is_heard(tmp_path: Path) -> None:
    heard: list[F32] = []

    class Listening(Known):
        def __call__(self, mel: F32, face: F32) -> F32:
            heard.append(mel)
            return super().__call__(mel, face)

    rows = []
    for offset in (0, -1, 3):
        made, _ = engine(tmp_path, lambda face: face, exact=True, sync_offset=offset)
        net = Listening(lambda face: face)
        made.use(net)
        heard.clear()
        film(made, spoken(), Canvas(128, 128))
        rows.append(np.concatenate(heard))
    assert np.array_equal(rows[0][9], rows[1][10]), "a frame earlier"
    assert np.array_equal(rows[0][13], rows[2][10])
    with pytest.raises(InvalidInput, match="sync_offset"):
        engine(tmp_path, noise, sync_offset=11)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    made, _ = engine(tmp_path, noise)
    for canvas, skip in ((Canvas(127, 256), 1), (Canvas(256, 3000), 1), (SMALL, 5), (SMALL, 0)):
        with pytest.raises(InvalidInput):
            made.animate(DAVID, silence(1), canvas=canvas, frame_skip=skip)


def test_it_listens_in_a_loop(tmp_path: Path) -> None:
    made, net = engine(tmp_path, noise)
    frames = [f.image for f in made.idle(DAVID, canvas=SMALL, seconds=2)]
    assert len(frames) == 50
    assert net.asked == 0
    assert float(np.abs(frames[0].astype(int) - frames[-1]).mean()) < 1


@pytest.mark.slow
def test_it_keeps_the_promises_of_a_face(tmp_path: Path) -> None:
    check_animator(engine(tmp_path, noise)[0], DAVID, Canvas(256, 256, 25))
