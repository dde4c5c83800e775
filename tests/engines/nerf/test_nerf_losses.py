"""Losses, what a learning head is seen as, and cells and pixels that never count, beside loops and differences."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from vivavoce.engines.nerf.field.encodings import Grid, HashedPlane  # noqa: E402
from vivavoce.engines.nerf.field.gathered import GatheredPlane  # noqa: E402
from vivavoce.engines.nerf.field.networks import Field, Head, Shape, Torso  # noqa: E402
from vivavoce.engines.nerf.field.occupancy import Occupancy  # noqa: E402
from vivavoce.engines.nerf.field.picture import Moment, look  # noqa: E402
from vivavoce.engines.nerf.field.rays import BOX, Camera, from_nerf, pixels  # noqa: E402
from vivavoce.engines.nerf.training.cover import Cover  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.training.frustum import forget_unseen  # noqa: E402
from vivavoce.engines.nerf.training.losses import doubted, edges, entropy, moved, steady, summed  # noqa: E402
from vivavoce.engines.nerf.training.sight import sight  # noqa: E402


def chance(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def test_doubt_weighs_errors_and_learns_from_them() -> None:
    n, part = 40, 0.6
    apart = (torch.randn(n, 3, generator=chance()) / 3).double().requires_grad_()
    doubt = (2 * torch.rand(n, generator=chance(1))).double().requires_grad_()
    face = torch.rand(n, generator=chance(2)) < 0.5
    d, e, total = doubt.tolist(), apart.detach().numpy(), 0.0
    scale = sum(np.exp(d))
    weights = []
    for i in range(n):
        weights.append(0.2 + 0.8 * min(10.0, 1 - part + part * np.exp(d[i]) / scale * n))
        told = np.linalg.norm(e[i]) / (2 * (d[i] + 1) ** 2) + np.log(d[i] + 1) ** 2 / 2 if face[i] else 1e-3 * d[i]
        total += weights[i] * (e[i] ** 2).mean() + part * told
    loss = doubted(apart, doubt, face, part)
    assert float(loss.detach()) == pytest.approx(total / n, abs=1e-6)
    loss.backward()
    assert np.abs(apart.grad.numpy() - 2 * np.array(weights)[:, None] * e / (3 * n)).max() < 1e-9
    # doubt learns how large errors are, and not to make their weights small
    own = doubt.grad.numpy()
    for i in range(n):
        told = -np.linalg.norm(e[i]) / (d[i] + 1) ** 3 + np.log(d[i] + 1) / (d[i] + 1) if face[i] else 1e-3
        assert own[i] == pytest.approx(part * told / n, abs=1e-9)
    assert float(doubted(apart, doubt, face, 0.0).detach()) == pytest.approx((e**2).mean(), abs=1e-9)


def test_opacities_should_be_0_or_1() -> None:
    a = [0.0, 0.2, 0.5, 1.0]
    wanted = np.mean([-(x * np.log2(x) + (1 - x) * np.log2(1 - x)) if 0 < x < 1 else 0.0 for x in a])
    assert float(entropy(torch.tensor(a))) == pytest.approx(wanted, abs=2e-4)


def test_sound_moves_the_face_and_eyes_what_it_does_not() -> None:
    heard, eyes = torch.rand(2, 30, generator=chance()).unbind(0)
    face = torch.rand(30, generator=chance(1)) < 0.5
    wanted = np.mean([float(eyes[i] * heard[i]) if face[i] else float(heard[i]) for i in range(30)])
    loss = moved(heard.requires_grad_(), eyes, face)
    assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)
    loss.backward()
    assert torch.equal(heard.grad != 0, ~face)


def test_slopes_are_the_loop_and_blur_has_others() -> None:
    made, filmed = torch.rand(2, 2, 3, 5, 6, generator=chance()).double().unbind(0)
    apart, across, down = (made - filmed).numpy(), [], []
    for k, c, y, x in np.ndindex(*apart.shape):
        if x:
            across.append(abs(apart[k, c, y, x] - apart[k, c, y, x - 1]))
        if y:
            down.append(abs(apart[k, c, y, x] - apart[k, c, y - 1, x]))
    assert float(edges(made, filmed)) == pytest.approx(np.mean(across) + np.mean(down))
    assert float(edges(filmed + 0.3, filmed)) == pytest.approx(0, abs=1e-12)
    sharp = (torch.arange(8) > 3).double().expand(1, 3, 8, 8)
    soft = torch.linspace(0, 1, 8).double().expand(1, 3, 8, 8)
    assert edges(soft, sharp) > 0.1
    assert torch.autograd.gradcheck(lambda a: edges(a, filmed), (made.requires_grad_(),))


def test_what_is_beside_a_place_is_taught_and_the_place_is_not() -> None:
    one, other = (Field(*torch.rand(5, 20, generator=chance(i)).double().requires_grad_().unbind(0)) for i in (0, 1))
    told = steady(one, other)
    wanted = sum(((a - b) ** 2).mean() for a, b in zip(one[2:], other[2:], strict=True))
    assert float((told - wanted).detach()) == pytest.approx(0, abs=1e-12)
    grads = torch.autograd.grad(told, [*one[2:], *other[2:]], allow_unused=True)
    assert [g is None for g in grads] == [True] * 3 + [False] * 3


def head(*, dense: float = 200.0) -> Any:
    """A tiny one, of 64 bits, most of which is opaque unless it is less ``dense``."""
    torch.manual_seed(0)
    made = Head(Shape(codes=3, grid=Grid(levels=2, features=1, base=4, finest=8)), dense=True).double()
    with torch.no_grad():
        for plane in (made.encoder_xy, made.encoder_yz, made.encoder_xz):
            for level in plane.levels:
                level.uniform_(-1, 1)
        made.sigma_net.net[2].weight[0] = dense * torch.randn(64).abs() / 8
    return made


def rays(count: int) -> tuple[Any, Any, Any]:
    """From all around the cube to somewhere near its middle."""
    origins = torch.randn(count, 3, generator=chance(1)).double()
    origins = 2 * origins / origins.norm(dim=-1, keepdim=True)
    aims = torch.rand(count, 3, generator=chance(2)).double() * 0.8 - 0.4 - origins
    return origins, aims / aims.norm(dim=-1, keepdim=True), torch.rand(count, generator=chance(3)).double()


def scattered(share: float) -> Occupancy:
    cells = Occupancy(16)
    cells.counts.copy_(torch.rand(cells.counts.shape, generator=chance(4)) < share)
    return cells


def now(count: int) -> Moment:
    return Moment(
        torch.randn(count, 32, generator=chance(5)).double(), torch.rand(count, 1, generator=chance(6)).double()
    )


def test_leaving_out_what_is_hidden_changes_no_pixel_and_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.engines.nerf.training.sight._AT_ONCE", 50)
    net, cells, moment = head(), scattered(0.6), now(80)
    origins, directions, shift = rays(80)
    wanted = look(net, cells, (origins, directions), moment, shift)
    made = sight(net, cells, (origins, directions), moment, shift)
    assert len(made.samples.ray) < 0.9 * len(wanted.samples.ray)
    key = made.samples.ray * 16 + made.samples.turn
    assert torch.equal(key, key.sort().values)
    told = []
    for seen in (made, wanted):
        for a, b in zip(seen.pixels[:3], wanted.pixels[:3], strict=True):
            assert torch.allclose(a, b, atol=1e-9)
        loss = (seen.pixels.colour**2).sum() + summed(seen, seen.field.heard).sum() + entropy(seen.pixels.opacity)
        told.append(torch.autograd.grad(loss, list(net.parameters()), allow_unused=True))
    assert sum(g is not None for g in told[0]) > 10
    for a, b in zip(*told, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, atol=1e-9)


def test_values_are_summed_along_rays_as_far_as_they_are_seen() -> None:
    net, moment = head(), now(1)
    origins, directions, shift = rays(20)
    seen = sight(net, scattered(0.3), (origins, directions), moment, shift)
    total = summed(seen, seen.field.heard).detach().numpy()
    weights = seen.pixels.weights.detach().numpy()
    wanted = np.zeros(20)
    for ray, w, heard in zip(seen.samples.ray.tolist(), weights, seen.field.heard.tolist(), strict=True):
        wanted[ray] += w * heard
    assert np.abs(total - wanted).max() < 1e-9


def test_pixels_have_the_gradients_of_planes_nets_and_sound() -> None:
    """Marching, planes, nets and compositing in one, in 64 bits, beside differences."""
    net, cells = head(dense=2.5), scattered(0.4)
    origins, directions, shift = rays(5)
    names = ["encoder_xy.levels.0", "encoder_xz.levels.1", "sigma_net.net.2.weight", "color_net.net.0.weight"]
    names += ["aud_ch_att_net.net.1.weight", "eye_att_net.net.0.weight"]
    given = [p for name, p in net.named_parameters() if name in names]
    eyes = torch.full((1, 1), 0.4).double()

    def told(audio: Any, *_: Any) -> Any:
        seen = sight(net, cells, (origins, directions), Moment(audio, eyes), shift)
        return seen.pixels.colour, seen.pixels.opacity

    audio = torch.randn(1, 32, generator=chance(7)).double().requires_grad_()
    assert 0.2 < float(told(audio)[1].detach().mean()) < 0.98
    assert torch.autograd.gradcheck(told, (audio, *given), fast_mode=True)


def test_16_bit_nets_see_nearly_the_same() -> None:
    net, cells, moment = head().float(), scattered(0.4), Moment(now(1).audio.float())
    origins, directions, shift = (a.float() for a in rays(60))
    with torch.no_grad():
        usual, half = (
            sight(net, cells, (origins, directions), moment, shift, floats).pixels
            for floats in (torch.float32, torch.bfloat16)
        )
    assert half.colour.dtype == torch.float32
    assert 1e-6 < (usual.colour - half.colour).abs().mean() < 1e-2


def test_cells_that_no_camera_sees_never_count_again() -> None:
    """Beside a loop over cells and cameras."""
    size, cells = 16, Occupancy(16)
    cells.fill()
    camera = Camera(40.0, (10.0, 12.0), 20, 24)
    turned = torch.tensor([[0.8, 0, 0.6, 0.3], [0, 1, 0, 0.2], [-0.6, 0, 0.8, 0.5], [0, 0, 0, 1]])
    poses = torch.stack([from_nerf(turned), from_nerf(torch.diag(torch.tensor([1.0, 1, 1, 1]))).clone()])
    poses[1, :3, 3] = torch.tensor([0.2, 0.1, -0.3])  # within the cube: what is behind it is not seen
    forget_unseen(cells, poses, camera)
    hidden = 0
    for cell in np.ndindex(size, size, size):
        middle = (2 * np.array(cell) + 1) / size - 1
        seen = not -0.5 < middle[1] < 0.5  # outside the box nothing is looked at
        for pose in poses.double().numpy():
            x, y, z = (middle - pose[:3, 3]) @ pose[:3, :3]
            seen |= z > 0 and abs(x) < 10 / 40 * z + 2 / size and abs(y) < 12 / 40 * z + 2 / size
        hidden += not seen
        assert bool(cells.counts[cell]) == seen
        assert float(cells.density[cell]) == (0 if seen else -1)
    assert 500 < hidden < 1900
    cells.update(lambda x: torch.full((len(x),), 20.0), torch.tensor(BOX))
    assert int((cells.density == -1).sum()) == hidden
    assert not cells.counts[cells.density == -1].any()


def test_a_seventh_of_the_cells_tells_about_all_of_them() -> None:
    asked: list[Any] = []
    for part in range(7):
        cells = Occupancy(16)

        def density(x: Any) -> Any:
            asked.append(x)
            return torch.full((len(x),), 3.0)

        cells.update(density, torch.tensor(BOX), part=part)
        assert bool((cells.density[1:-1, 5:11, 1:-1] == 3).all())
        assert len(asked[-1]) < 16 * 8 * 16 / 6
    places = {tuple(x) for x in torch.cat(asked).tolist()}
    assert len(places) == sum(map(len, asked)) == 16 * 8 * 16


@pytest.mark.parametrize("kind", ["hash", "tiled"])
def test_a_plane_read_in_one_go_is_the_same_plane(kind: Any) -> None:
    grid = Grid(levels=5, features=2, base=4, finest=40, log2_rows=8, kind=kind)
    one, other = HashedPlane(grid).double(), GatheredPlane(grid).double()
    with torch.no_grad():
        one.embeddings.uniform_(-1, 1)
    other.load_state_dict(one.state_dict())
    x = (2.4 * torch.rand(300, 2, generator=chance()).double() - 1.2).requires_grad_()
    made = [torch.autograd.grad((p(x) ** 2).sum(), [x, p.embeddings]) for p in (one, other)]
    assert torch.equal(one(x), other(x))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*made, strict=True))


def test_a_torso_is_asked_about_pixels_that_it_is_ever_seen_in() -> None:
    class Moving(Torso):
        """A square that each pose shifts, of the opacity 0.5."""

        def forward(self, pixels: Any, pose: Any, _frame: int = 0) -> Any:
            inside = ((pixels - pose[:2, 3]).abs() < 0.1).all(-1, keepdim=True)
            return 0.5 * inside, pixels.new_zeros(len(pixels), 3), pixels * 0

    poses = torch.eye(4).repeat(2, 1, 1)
    poses[0, :2, 3], poses[1, :2, 3] = torch.tensor([-0.5, 0.2]), torch.tensor([0.4, 0.2])
    cover = Cover()
    at = pixels(100, 100)
    assert cover.at(at).all()
    cover.tell(Moving(1), poses)
    there = [((at - pose[:2, 3]).abs().amax(-1)) for pose in poses]
    near = torch.minimum(*there)
    assert cover.at(at[near < 0.1]).all()
    assert not cover.at(at[near > 0.1 + 4 / 64]).any()
    other = Cover()
    other.take(cover.opacity.T.reshape(-1))
    assert torch.equal(other.opacity, cover.opacity)
