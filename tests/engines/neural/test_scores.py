"""LPIPS and SyncNet: against straightforward references, with weights that the tests make."""

import math
from pathlib import Path

import numpy as np
import pytest

from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Audio

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from torch import nn  # noqa: E402

from scores import CHANNELS, alexnet, write_weights  # noqa: E402
from vivavoce.engines.neural.lpips import Lpips  # noqa: E402
from vivavoce.engines.neural.mfcc import mfcc  # noqa: E402
from vivavoce.engines.neural.syncnet import Networks, SyncNet, _judged  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("lpips")
    write_weights(folder)
    weights = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(CHANNELS)}
    torch.save(weights, folder / "alex.pth")
    return folder / "alexnet-owt-7be5be79.pth", folder / "alex.pth"


def pictures(count: int, seed: int) -> list[np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (70, 90, 3), dtype=np.uint8) for _ in range(count)]


def test_the_same_picture_is_not_different(files: tuple[Path, Path]) -> None:
    ours = pictures(2, 1)
    assert Lpips(*files).distance(ours, ours) == 0


def test_lpips_is_what_its_formula_says(files: tuple[Path, Path]) -> None:
    """Place by place and channel by channel, in loops."""
    (one,), (other,) = pictures(1, 1), pictures(1, 2)
    weights = torch.load(files[1], weights_only=True)
    features = []
    for picture in (one, other):
        x = torch.tensor(picture.astype(np.float32).transpose(2, 0, 1)[None] / 255 * 2 - 1)
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(
            1, 3, 1, 1
        )
        found = []
        for layer in alexnet():
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x[0].detach().numpy())
        features.append(found)
    expected = 0.0
    for depth, (a, b) in enumerate(zip(*features, strict=True)):
        weight = weights[f"lin{depth}.model.1.weight"].numpy().ravel()
        places = []
        for y in range(a.shape[1]):
            for x_ in range(a.shape[2]):
                u, v = a[:, y, x_], b[:, y, x_]
                difference = u / (math.sqrt(float(u @ u)) + 1e-10) - v / (math.sqrt(float(v @ v)) + 1e-10)
                places.append(float(weight @ difference**2))
        expected += sum(places) / len(places)
    assert Lpips(*files).distance([one], [other]) == pytest.approx(expected, rel=1e-4)


def test_other_files_are_no_lpips(files: tuple[Path, Path]) -> None:
    with pytest.raises(EngineUnavailable, match=r"features\.0\.weight is missing"):
        Lpips(files[1], files[1])
    with pytest.raises(EngineUnavailable, match="lin0"):
        Lpips(files[0], files[0])


def test_cepstra_are_those_of_the_package() -> None:
    reference = pytest.importorskip("python_speech_features")
    sound = np.random.default_rng(4).normal(0, 0.1, 16_123)
    whole = np.rint(np.clip(sound, -1, 1 - 1 / 32768) * 32768).astype(np.int16)
    assert np.abs(reference.mfcc(whole, 16_000) - mfcc(sound)).max() < 1e-4


def test_the_best_shift_is_found() -> None:
    """Lips that show what is heard three pictures later: the sound comes late."""
    rng = np.random.default_rng(5)
    told = torch.tensor(rng.normal(0, 1, (60, 1024)).astype(np.float32))
    sync = _judged(told[3:53], told[:50])
    assert sync.offset == -3
    assert sync.distance < 4 < sync.confidence + sync.distance


def test_syncnet_reads_its_file_and_judges_a_film(tmp_path: Path) -> None:
    torch.manual_seed(1)
    nets = Networks()
    path = tmp_path / "syncnet_v2.model"
    torch.save(nets.state_dict(), path)
    rng = np.random.default_rng(2)
    faces = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(8)]
    sound = Audio(rng.normal(0, 0.1, 8 * 640).astype(np.float32), 16_000)
    sync = SyncNet(path).judge(faces, sound)
    nets.eval()
    film = torch.tensor(np.stack(faces)[..., ::-1].astype(np.float32)).permute(3, 0, 1, 2)
    cepstra = torch.tensor(mfcc(sound.samples).T.copy())
    with torch.inference_mode():
        seen = torch.cat([nets.lips(film[None, :, i : i + 5]) for i in range(3)])
        heard = torch.cat([nets.sound(cepstra[None, None, :, 4 * i : 4 * i + 20]) for i in range(3)])
    assert sync == _judged(seen, heard)
    with pytest.raises(InvalidInput, match="6 pictures"):
        SyncNet(path).judge(faces[:5], sound)


def test_another_file_is_no_syncnet(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(EngineUnavailable, match="not SyncNet's"):
        SyncNet(path)


def test_patches_of_a_training_are_compared_alike_and_gradients_pass(files: tuple[Path, Path]) -> None:
    chance = np.random.default_rng(7)
    pictures = chance.integers(0, 256, (2, 64, 64, 3), np.uint8)
    one, other = (torch.from_numpy(p[None].copy()).permute(0, 3, 1, 2).float() / 255 for p in pictures)
    net = Lpips(*files)
    assert float(net.apart(one, other)) == pytest.approx(net.distance([pictures[0]], [pictures[1]]), rel=1e-5)
    small = one[:, :, :32, :32].clone().requires_grad_()
    apart = net.apart(small, other[:, :, :32, :32])
    apart.backward()
    way = small.grad / small.grad.norm()
    with torch.no_grad():
        after = net.apart(small - 1e-2 * way, other[:, :, :32, :32])
    blank = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)  # where every channel may be 0
    net.apart(blank, other[:, :, :32, :32]).backward()
    assert bool(blank.grad.isfinite().all())
    assert float(apart.detach() - after) == pytest.approx(1e-2 * float(small.grad.norm()), rel=0.2)
