"""The published nets: sizes, names, what the attention weighs, and that a checkpoint's tensors find their places."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from vivavoce.engines.nerf.field.encodings import DensePlane, Grid  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.field.networks import (  # noqa: E402
    EARS,
    AudioAttention,
    AudioNet,
    AveNet,
    Head,
    Shape,
    Torso,
    take,
    window,
)
from vivavoce.errors import InvalidInput  # noqa: E402

SMALL = Shape(codes=5, grid=Grid(levels=3, base=8, finest=32, log2_rows=8))


def size(net: Any) -> int:
    return sum(p.numel() for p in net.parameters())


def head(shape: Shape = SMALL, seed: int = 0) -> Any:
    """One whose planes say something."""
    torch.manual_seed(seed)
    made = Head(shape)
    with torch.no_grad():
        for plane in (made.encoder_xy, made.encoder_yz, made.encoder_xz):
            plane.embeddings.uniform_(-1, 1)
    return made


def test_the_heads_parameters_are_counted_as_published() -> None:
    made = Head()
    parts = dict(made.named_children())
    assert size(parts["audio_net"]) + size(parts["audio_att_net"]) == 32869
    assert sum(size(parts[f"encoder_{plane}"]) for plane in ("xy", "yz", "xz")) == 490752
    mlps = ("eye_att_net", "aud_ch_att_net", "sigma_net", "color_net", "unc_net")
    assert sum(size(parts[name]) for name in mlps) == 24368
    assert made.individual_codes.shape == (10000, 4)
    assert size(made) == 32869 + 490752 + 24368 + 40000


def test_synctalks_parts_have_their_sizes() -> None:
    made = Head(Shape.synctalk())
    assert [tuple(layer.weight.shape) for layer in made.eye_att_net.net] == [(64, 36), (7, 64)]
    assert made.sigma_net.net[0].weight.shape == (64, 36 + 32 + 7)
    assert size(AveNet()) == 512 * 256 + 256 + 256 * 128 + 128 + 128 * 32 + 32


def test_the_torsos_parameters_are_counted_as_published() -> None:
    made = Torso()
    assert made.anchor_points.shape == (3, 4)
    assert [tuple(layer.weight.shape) for layer in made.torso_deform_net.net] == [(32, 84), (32, 32), (2, 32)]
    assert [tuple(layer.weight.shape) for layer in made.torso_net.net] == [(32, 116), (32, 32), (4, 32)]
    assert made.individual_codes_torso.shape == (10000, 8)
    assert round(size(made.torso_encoder) / 1e6, 2) == 1.11


def test_names_are_those_of_a_checkpoint() -> None:
    names = set(Head().state_dict())
    assert {
        "audio_net.encoder_conv.6.bias",
        "audio_net.encoder_fc1.2.weight",
        "audio_att_net.attentionConvNet.8.weight",
        "audio_att_net.attentionNet.0.bias",
        "encoder_xy.embeddings",
        "encoder_yz.offsets",
        "aud_ch_att_net.net.1.weight",
        "eye_att_net.net.0.weight",
        "sigma_net.net.2.weight",
        "color_net.net.1.weight",
        "unc_net.net.1.weight",
        "individual_codes",
    } <= names
    assert len(names) == 12 + 12 + 6 + 2 + 2 + 3 + 2 + 2 + 1
    assert {"anchor_points", "torso_encoder.embeddings", "individual_codes_torso"} <= set(Torso().state_dict())


def test_a_part_of_a_checkpoint_fills_a_net_and_another_is_refused() -> None:
    first, second = head(seed=1), head(seed=2)
    state = {**first.state_dict(), **Torso(5).state_dict(), "density_grid": torch.zeros(1, 8)}
    take(second, state)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    del state["unc_net.net.0.weight"]
    with pytest.raises(InvalidInput, match=r"lacks 1 of 42 tensors \(unc_net\.net\.0\.weight\)"):
        take(second, state)
    with pytest.raises(InvalidInput, match=r"audio_net\.encoder_conv\.0\.weight \(32, 29, 3\), not \(32, 44, 3\)"):
        take(Head(Shape(ear="esperanto", codes=5, grid=SMALL.grid)), first.state_dict())


@pytest.mark.parametrize("ear", EARS)
def test_every_kind_of_audio_becomes_a_code(ear: Any) -> None:
    heard = torch.randn(3, 8, *EARS[ear], generator=torch.Generator().manual_seed(0))
    net = Head(Shape(ear=ear, codes=1, grid=SMALL.grid))
    assert net.listen(heard).shape == (3, 32)
    assert torch.allclose(net.listen(heard)[1], net.listen(heard[1:2])[0], atol=1e-6)


def test_the_attention_is_the_loop_that_it_stands_for() -> None:
    torch.manual_seed(3)
    net, codes = AudioAttention(), torch.randn(2, 8, 32)
    made = net(codes).detach().numpy()
    for i in range(2):
        x = codes[i].numpy().T  # (32, 8)
        for layer in net.attentionConvNet[::2]:
            w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            padded = np.pad(x, ((0, 0), (1, 1)))
            x = np.array(
                [[b[o] + (w[o] * padded[:, t : t + 3]).sum() for t in range(8)] for o in range(len(b))], np.float32
            )
            x = np.where(x > 0, x, 0.02 * x)
        layer = net.attentionNet[0]
        scores = layer.weight.detach().numpy() @ x[0] + layer.bias.detach().numpy()
        weights = np.exp(scores) / np.exp(scores).sum()
        assert np.abs(made[i] - weights @ codes[i].numpy()).max() < 1e-5


def test_a_window_reaches_from_four_before_to_three_after() -> None:
    features = torch.arange(1.0, 11)[:, None]
    assert window(features, 5)[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert window(features, 0)[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4]
    assert window(features, 9)[:, 0].tolist() == [6, 7, 8, 9, 10, 0, 0, 0]
    assert window(torch.ones(2, 3, 4), 0).shape == (8, 3, 4)


def places(count: int = 200) -> tuple[Any, Any]:
    chance = torch.Generator().manual_seed(4)
    x, d = 2 * torch.rand(count, 3, generator=chance) - 1, torch.randn(count, 3, generator=chance)
    return x, d / d.norm(dim=-1, keepdim=True)


def test_a_head_laid_out_says_the_same() -> None:
    net = head(Shape(codes=3))
    x, d = places(2000)
    audio, eyes = torch.randn(1, 32), torch.full((1, 1), 0.3)
    laid = net.laid_out()
    assert isinstance(laid.encoder_xy, DensePlane)
    with torch.no_grad():
        for made, wanted in zip(laid(x, d, audio, eyes=eyes), net(x, d, audio, eyes=eyes), strict=True):
            assert (made - wanted).abs().max() <= 1e-4


def test_sound_and_eyes_move_the_head_and_a_code_only_its_colour() -> None:
    net = head()
    x, d = places()
    torch.manual_seed(5)
    audio, eyes = torch.randn(1, 32), torch.tensor([[0.2]])
    code = torch.randn(1, 4)
    with torch.no_grad():
        usual = net(x, d, audio, code, eyes)
        assert (net(x, d, audio + 1, code, eyes).density - usual.density).abs().max() > 1e-3
        assert (net(x, d, audio, code, eyes + 0.5).density - usual.density).abs().max() > 1e-3
        other = net(x, d, audio, code + 1, eyes)
        each = net(x, d, audio.expand(len(x), -1), code.expand(len(x), -1), eyes.expand(len(x), -1))
    assert torch.equal(other.density, usual.density)
    assert (other.colour - usual.colour).abs().max() > 1e-4
    assert torch.allclose(each.colour, usual.colour, atol=1e-6)
    assert torch.allclose(net.density(x, audio, eyes), usual.density)


def test_a_head_has_the_gradients_of_its_weights() -> None:
    """The whole of it in 64 bits, beside differences; what doubts a colour does not teach the planes."""
    net = head().double()
    x, d = (a.double() for a in places(6))
    audio, eyes = torch.randn(1, 32, dtype=torch.float64), torch.full((1, 1), 0.3, dtype=torch.float64)
    names = ["aud_ch_att_net.net.0.weight", "sigma_net.net.1.weight", "color_net.net.0.weight", "encoder_yz.embeddings"]
    own = dict(net.named_parameters())

    def told(a: Any, *weights: Any) -> Any:
        made = torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (x, d, a, None, eyes))
        return torch.log(made.density), made.colour, made.heard

    given = (audio.requires_grad_(), *(own[name] for name in names))
    assert torch.autograd.gradcheck(told, given, fast_mode=True)
    net(x, d, audio, None, eyes).doubt.sum().backward()
    assert own["encoder_yz.embeddings"].grad is None
    assert own["unc_net.net.0.weight"].grad.abs().sum() > 0


def test_a_torso_follows_the_pose() -> None:
    torch.manual_seed(6)
    net = Torso(3)
    pixels = places()[0][:, :2]
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.0, 0.0, -2.0])
    with torch.no_grad():
        net.torso_encoder.embeddings.uniform_(-1, 1)
        opacity, colour, shift = net(pixels, pose)
        moved = pose.clone()
        moved[0, 3] = 0.3
        other = net(pixels, moved)
    assert opacity.shape == (200, 1)
    assert colour.shape == (200, 3)
    assert colour.min() >= -0.001
    assert opacity.max() <= 1.001
    assert (other[2] - shift).abs().max() > 1e-3
    seen = np.linalg.inv(pose.numpy()) @ net.anchor_points.detach().numpy()[1]
    assert seen[:2] / seen[2] == pytest.approx([-0.1 / 2.1, -0.1 / 2.1])


def test_audio_net_takes_hubert_in_two_steps_only_by_its_length() -> None:
    assert AudioNet(1024)(torch.zeros(1, 1024, 2)).shape == (1, 32)
