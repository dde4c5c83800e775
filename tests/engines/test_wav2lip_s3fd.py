"""S3FD: the vectorised decoding is the plain one; the net is the published one."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from published import s3fd as plainly
from vivavoce.engines.wav2lip.s3fd import S3FD, decode, kept, shapes
from vivavoce.errors import EngineUnavailable

F32 = npt.NDArray[np.float32]


def random_heads(seed: int, size: tuple[int, int] = (120, 90)) -> list[tuple[F32, F32]]:
    """Scores and places as six heads give them: few are sure, neighbours agree."""
    rng = np.random.default_rng(seed)
    heads = []
    for i in range(6):
        rows, columns = (max(1, side >> i) for side in size)
        scores = rng.uniform(0, 1, (rows, columns)).astype(np.float32) ** 12
        heads.append((scores, rng.normal(0, 0.8, (4, rows, columns)).astype(np.float32)))
    return heads


def found(heads: list[tuple[F32, F32]]) -> F32:
    boxes = kept(np.concatenate([decode(scores, places, 4 << i) for i, (scores, places) in enumerate(heads)]))
    return boxes[boxes[:, 4] > 0.5]


@pytest.mark.parametrize("seed", range(3))
def test_decoding_at_once_is_decoding_one_by_one(seed: int) -> None:
    heads = random_heads(seed, (60, 45))
    wanted = np.array(plainly(heads), np.float32)
    made = found(heads)
    assert len(wanted) > 10
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() < 1e-2


def test_nothing_is_found_in_nothing() -> None:
    assert found([(np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.float32))]).shape == (0, 5)


def test_the_table_counts_what_the_published_net_counts() -> None:
    assert len(shapes()) == 65
    assert sum(int(np.prod(shape)) for shape in shapes().values()) == 22_459_110


def random_state() -> dict[str, Any]:
    import torch

    rng = np.random.default_rng(6)
    state = {}
    for name, shape in shapes().items():
        numbers = rng.standard_normal(shape, np.float32)
        if name.endswith("norm.weight"):
            numbers = 10 + numbers
        elif len(shape) == 4:
            numbers *= np.float32(np.sqrt(2 / np.prod(shape[1:])) * (0.05 if "_loc" in name else 1))
        else:
            numbers *= np.float32(0.05)
        state[name] = torch.from_numpy(numbers)
    return state


def heads_of(state: dict[str, Any], rgb: npt.NDArray[np.uint8]) -> list[tuple[F32, F32]]:
    """The published net, line by line."""
    import torch
    from torch.nn import functional as f

    def conv(name: str, x: Any, stride: int = 1, padding: int = 1) -> Any:
        return f.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)

    def norm(name: str, x: Any) -> Any:
        return x / (x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10) * state[f"{name}.weight"].view(1, -1, 1, 1)

    with torch.no_grad():
        x = torch.from_numpy(rgb.astype(np.float32) - np.array([104, 117, 123], np.float32)).permute(2, 0, 1)[None]
        seen = {}
        for stage, count in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)):
            for i in range(1, count + 1):
                x = f.relu(conv(f"conv{stage}_{i}", x))
            seen[f"conv{stage}_3_norm"] = x
            x = f.max_pool2d(x, 2, 2)
        x = f.relu(conv("fc6", x, 1, 3))
        seen["fc7"] = x = f.relu(conv("fc7", x, 1, 0))
        x = f.relu(conv("conv6_1", x, 1, 0))
        seen["conv6_2"] = x = f.relu(conv("conv6_2", x, 2))
        x = f.relu(conv("conv7_1", x, 1, 0))
        seen["conv7_2"] = f.relu(conv("conv7_2", x, 2))
        out = []
        for name in ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2"):
            features = norm(name, seen[name]) if name.endswith("norm") else seen[name]
            scores = conv(f"{name}_mbox_conf", features)
            if scores.shape[1] == 4:
                scores = torch.cat([scores[:, :3].max(dim=1, keepdim=True)[0], scores[:, 3:]], 1)
            out.append((f.softmax(scores, dim=1)[0, 1].numpy(), conv(f"{name}_mbox_loc", features)[0].numpy()))
        return out


@pytest.mark.neural
@pytest.mark.slow
def test_the_net_is_the_published_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = random_state()
    torch.save(state, tmp_path / "s3fd.pth")
    net = S3FD(tmp_path / "s3fd.pth", "cpu")
    rgb = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    wanted = heads_of(state, rgb)
    for ours, theirs in zip(net._asked(rgb), wanted, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max() < 1e-3
    boxes = np.array(plainly(wanted), np.float32)
    made = net.boxes(rgb)
    assert len(boxes) > 10
    for box in boxes[:10]:  # equally sure ones may change places
        assert np.abs(made - box).max(axis=1).min() < 0.1
    large = np.asarray(np.kron(rgb, np.ones((6, 6, 1))), np.uint8)
    again = net.boxes(large)
    assert again[:, 2:4].max() > 480, "in pixels of the picture, though it looked at 480 of them"


@pytest.mark.neural
def test_another_file_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(1)}, tmp_path / "s3fd.pth")
    with pytest.raises(EngineUnavailable, match=r"not S3FD but a Wav2Lip: 65 of its 65"):
        S3FD(tmp_path / "s3fd.pth", "cpu")
