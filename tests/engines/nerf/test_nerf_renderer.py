"""Fast pictures beside the plain ones, whose nets are asked about every place; and what they are made of."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
import sphere_head

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from vivavoce.engines.nerf.field.encodings import DensePlane, Grid, Stack, harmonics  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.field.folded import Folded  # noqa: E402
from vivavoce.engines.nerf.field.networks import Head, Shape, Torso  # noqa: E402
from vivavoce.engines.nerf.field.occupancy import Occupancy  # noqa: E402
from vivavoce.engines.nerf.field.picture import Moment, look, picture  # noqa: E402
from vivavoce.engines.nerf.field.rays import Camera, from_nerf  # noqa: E402
from vivavoce.engines.nerf.field.renderer import Renderer, _Crew  # noqa: E402

GRID = Grid(levels=6, features=2, base=16, finest=128, log2_rows=10)
SHAPES = {
    "er-nerf": Shape(codes=3, grid=GRID),
    "synctalk": replace(Shape.synctalk(), codes=3, grid=GRID),
    "no eyes, no looks": Shape(eyes=0, code=0, grid=GRID),
}
SIDE = 48
CAMERA = Camera(2.0 * SIDE, (SIDE / 2, SIDE / 2 + 1), SIDE, SIDE)
EXACT, HALF = 1e-3, 2e-2


def posed(yaw: float = 0.3, pitch: float = -0.1) -> Any:
    return from_nerf(torch.from_numpy(sphere_head.pose(yaw, pitch)).float(), scale=1.0)


def ball(size: int = 64) -> Occupancy:
    """Cells around a ball, and two that stray at the box's ends."""
    cells = Occupancy(size)
    side = (torch.arange(size) + 0.5) * 2 / size - 1
    x, y, z = torch.meshgrid(side, side, side, indexing="ij")
    cells.counts.copy_(x**2 + y**2 + z**2 < 0.42**2)
    cells.counts[0, size // 2, size // 2] = cells.counts[-1, size // 2, 3] = True
    return cells


def head(shape: Shape, *, dense: bool = True, thick: float = 8.0) -> Any:
    """One of which much can be seen through, and much cannot."""
    torch.manual_seed(0)
    made = Head(shape, dense=dense)
    with torch.no_grad():
        for plane in (made.encoder_xy, made.encoder_yz, made.encoder_xz):
            for told in plane.parameters():
                told.uniform_(-1, 1)
        made.sigma_net.net[-1].weight[0].mul_(60).add_(thick / 8)
    return made.requires_grad_(False)


def moment(shape: Shape) -> Moment:
    torch.manual_seed(1)
    return Moment(
        torch.randn(1, 32),
        torch.rand(1, shape.eyes) if shape.eyes else None,
        torch.randn(1, shape.code) if shape.code else None,
    )


def background() -> Any:
    return torch.from_numpy(sphere_head.background(SIDE))


@pytest.fixture(params=[1, 2], ids=["alone", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_picture_is_the_plain_one(name: str, precision: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.engines.nerf.field.renderer._AT_ONCE", 1000)  # so that there is something to share
    shape, cells = SHAPES[name], ball()
    net, now = head(shape), moment(shape)
    made = Renderer(net, cells, CAMERA, device="cpu", precision=precision)
    for pose in (posed(), posed(-0.5, 0.2)):
        wanted = picture(net, cells, CAMERA, pose, now, background())
        limit = EXACT if precision == "fp32" else HALF
        assert (made.frame(pose, now, background()) - wanted).abs().max() <= limit
        seen = look(net, cells, CAMERA.rays(pose), now).pixels
        colour, opacity = made.layers(pose, now)
        assert (colour.view(-1, 3) - seen.colour).abs().max() <= limit
        assert (opacity.view(-1) - seen.opacity).abs().max() <= limit
    assert seen.opacity.max() > 0.98
    assert ((seen.opacity > 0.2) & (seen.opacity < 0.8)).sum() > 10, "something is seen through"
    assert torch.get_num_threads() == threads
    made.close()


def test_without_eyes_and_looks_the_plain_ones_are_meant() -> None:
    shape, cells = SHAPES["er-nerf"], ball()
    net, now = head(shape, dense=False), Moment(torch.randn(1, 32))
    wanted = picture(net.laid_out(), cells, CAMERA, posed(), now, background())
    made = Renderer(net, cells, CAMERA, device="cpu", precision="fp32").frame(posed(), now, background())
    assert (made - wanted).abs().max() <= EXACT


def test_a_torso_lies_between_the_head_and_the_background(threads: int) -> None:
    shape, cells = SHAPES["no eyes, no looks"], ball()
    net, now = head(shape), moment(shape)
    torch.manual_seed(2)
    torso = Torso(2).requires_grad_(False)
    torso.torso_encoder.embeddings.uniform_(-1, 1)
    made = Renderer(net, cells, CAMERA, torso, device="cpu", precision="fp32")
    for pose in (posed(), posed(-0.5, 0.2)):
        wanted = picture(net, cells, CAMERA, pose, now, background(), torso)
        given = background()
        assert (made.frame(pose, now, given) - wanted).abs().max() <= EXACT
        assert torch.equal(given, background()), "what was given stays"
        assert (wanted - picture(net, cells, CAMERA, pose, now, background())).abs().max() > 0.05


def test_where_nothing_counts_there_is_the_background() -> None:
    shape, cells = SHAPES["er-nerf"], Occupancy(16)
    made = Renderer(head(shape), cells, CAMERA, device="cpu", precision="fp32")
    assert torch.equal(made.frame(posed(), moment(shape), background()), background())
    colour, opacity = made.layers(posed(), moment(shape))
    assert colour.shape == (SIDE, SIDE, 3)
    assert not opacity.any()


def test_where_everything_counts_it_is_the_same_picture_too() -> None:
    """What a field begins with: rays have more steps than a whole number has bits."""
    shape, cells = SHAPES["er-nerf"], Occupancy(16)
    cells.fill()
    net, now = head(shape, thick=0.0), moment(shape)
    near = Camera(0.6 * SIDE, (SIDE / 2, SIDE / 2), SIDE, SIDE)
    wanted = picture(net, cells, near, posed(), now, background())
    made = Renderer(net, cells, near, device="cpu", precision="fp32").frame(posed(), now, background())
    assert (made - wanted).abs().max() <= EXACT


def test_threads_compute_alone_and_leave_others_as_they_were(threads: int) -> None:
    crew, others = _Crew(2), []
    heavy = torch.rand(1 << 16)

    def count(_: int) -> tuple[Any]:
        heavy.exp()
        return (torch.tensor([torch.get_num_threads()]),)

    assert crew.each(count, range(6))[0].tolist() == [1] * 6
    other = Thread(target=lambda: others.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert others == [threads]
    crew.close()


def test_a_stack_is_read_as_its_planes_are() -> None:
    torch.manual_seed(3)
    planes = [DensePlane(GRID).requires_grad_(False) for _ in range(3)]
    for plane in planes:
        for level in plane.levels:
            level.uniform_(-1, 1)
    axes = [(0, 1), (1, 2), (0, 2)]
    stack = Stack(planes, axes)
    ends = torch.tensor([[-1.0, -1, -1], [1, 1, 1], [-1, 1, -1], [0, 0, 0]])
    x = torch.cat([2 * torch.rand(500, 3) - 1, ends])
    told = torch.cat([plane(x[:, list(a)]) for plane, a in zip(planes, axes, strict=True)], 1)
    assert (stack.read(x.T.contiguous()).T - told[:, stack.order]).abs().max() <= 5e-5
    assert sorted(stack.order) == list(range(3 * GRID.width))


@pytest.mark.parametrize("name", SHAPES)
def test_folded_nets_say_what_the_nets_say(name: str) -> None:
    shape = SHAPES[name]
    net, now = head(shape), moment(shape)
    torch.manual_seed(4)
    x, d = 2 * torch.rand(300, 3) - 1, torch.randn(300, 3)
    d = d / d.norm(dim=1, keepdim=True)
    wanted = net(x, d, now.audio, now.code, now.eyes)
    folded = Folded(net)
    ready = folded.now(now)
    density, known = folded.dense(x.T.contiguous(), ready)
    assert torch.allclose(density.log(), wanted.density.log(), atol=1e-4)
    assert (folded.colours(known, harmonics(d), ready) - wanted.colour).abs().max() <= 1e-5


def test_layers_over_a_picture_are_the_frame() -> None:
    """What SyncTalk blends: the head's colour, and what is behind it as far as it is transparent."""
    shape, cells = SHAPES["synctalk"], ball()
    made = Renderer(head(shape), cells, CAMERA, device="cpu", precision="fp32")
    colour, opacity = made.layers(posed(), moment(shape))
    wanted = made.frame(posed(), moment(shape), background())
    assert (colour + (1 - opacity)[..., None] * background() - wanted).abs().max() <= 1e-5
