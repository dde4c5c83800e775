"""Encodings of the radiance field beside loops that compute one number at a time."""

from math import ceil, cos, floor, sin
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from vivavoce.engines.nerf.field.encodings import (  # noqa: E402  torch first, or the file is skipped
    DensePlane,
    Grid,
    HashedPlane,
    frequencies,
    harmonics,
)

SMALL = Grid(levels=3, features=2, base=4, finest=32, log2_rows=7)
GRIDS = {
    "hash": SMALL,
    "tiled": Grid(levels=3, features=2, base=4, finest=32, log2_rows=7, kind="tiled"),
    "one level": Grid(levels=1, features=1, base=5, finest=5),
}


def filled(grid: Grid, seed: int = 0) -> Any:
    """A plane whose features lie between -1 and 1."""
    plane = HashedPlane(grid)
    with torch.no_grad():
        chance = torch.Generator().manual_seed(seed)
        plane.embeddings.copy_(2 * torch.rand(plane.embeddings.shape, generator=chance) - 1)
    return plane


def places(count: int, seed: int = 1) -> Any:
    return 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) - 1


def naive(grid: Grid, table: Any, x: float, y: float) -> list[float]:
    """The published lookup of one position, in unsigned 32-bit integers."""
    told: list[float] = []
    growth = 2 ** (np.log2(grid.finest / grid.base) / max(1, grid.levels - 1))
    first = 0
    for level in range(grid.levels):
        rows = ceil(min(2**grid.log2_rows, (ceil(grid.base * growth**level) + 1) ** 2) / 8) * 8
        scale = 2 ** (level * np.log2(growth)) * grid.base - 1
        resolution = ceil(scale) + 1
        at = [(v + 1) / 2 * scale + 0.5 for v in (x, y)]
        sums = [0.0] * grid.features
        for corner in range(4):
            right, down = corner % 2, corner // 2
            px, py = floor(at[0]) + right, floor(at[1]) + down
            fx, fy = at[0] - floor(at[0]), at[1] - floor(at[1])
            weight = (fx if right else 1 - fx) * (fy if down else 1 - fy)
            index = px + py * (resolution + 1)
            if (resolution + 1) ** 2 > rows and grid.kind == "hash":
                index = px ^ (py * 2654435761 % 2**32)
            for feature in range(grid.features):
                sums[feature] += weight * float(table[first + index % rows, feature])
        told += sums
        first += rows
    return told


@pytest.mark.parametrize("name", GRIDS)
def test_a_hashed_plane_is_read_as_a_loop_reads_it(name: str) -> None:
    plane = filled(GRIDS[name])
    x = torch.cat([places(40), torch.tensor([[-1.0, -1], [1, 1], [-1, 1], [0, 0]])])
    wanted = [naive(plane.grid, plane.embeddings.detach().numpy(), *p) for p in x.tolist()]
    assert np.abs(plane(x).detach().numpy() - wanted).max() < 1e-5
    assert plane.grid.width == len(wanted[0])


def test_positions_outside_have_no_features() -> None:
    plane = filled(SMALL)
    for net in (plane, DensePlane.of(plane)):
        assert not net(torch.tensor([[1.01, 0], [0, -1.01], [7, 7]])).any()
        assert net(torch.tensor([[0.99, 0]])).any()


def test_the_published_planes_have_their_sizes() -> None:
    """Three of 12 levels, 490,752 in all (facts from ER-NeRF's checkpoints); some levels are hashed, some are not."""
    plane = HashedPlane(Grid())
    assert 3 * plane.embeddings.numel() == 490752
    assert plane.offsets.tolist()[:2] == [0, 4232]
    assert [level.hashed for level in plane.table] == [False] * 4 + [True] * 8
    assert (plane.table[0].resolution, plane.table[-1].resolution) == (64, 512)
    torso = HashedPlane(Grid(levels=16, features=2, base=16, finest=2048, log2_rows=16, kind="tiled"))
    assert torso.table[-1].resolution == 2048
    assert 1.05e6 < torso.embeddings.numel() < 1.15e6


def test_hashed_and_dense_agree_on_twenty_thousand_places() -> None:
    """Must show 1 of issue 8; features as large as 1, so that the difference is one of positions alone."""
    plane = filled(Grid())
    x = places(20000)
    with torch.no_grad():
        assert (plane(x) - DensePlane.of(plane)(x)).abs().max() <= 1e-4


def test_a_torsos_tiled_plane_agrees_with_its_dense_one() -> None:
    """Its finest level has 2048 points a side: in 32 bits a position there is known to 1e-4 of a point."""
    plane = filled(Grid(levels=16, features=2, base=16, finest=2048, log2_rows=16, kind="tiled"))
    x, dense = places(2000), DensePlane.of(plane)
    with torch.no_grad():
        assert (plane(x) - dense(x)).abs().max() <= 5e-4
        assert (plane.double()(x.double()) - dense.double()(x.double())).abs().max() <= 1e-9


def test_planes_have_the_gradients_of_their_features_and_positions() -> None:
    plane = filled(SMALL).double()
    x = places(12).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t, p: torch.func.functional_call(plane, {"embeddings": t}, (p,)),
        (plane.embeddings, x),
        fast_mode=True,
    )
    dense = DensePlane.of(plane)
    names = [name for name, _ in dense.named_parameters()]

    def read(p: Any, *levels: Any) -> Any:
        return torch.func.functional_call(dense, dict(zip(names, levels, strict=True)), (p,))

    assert torch.autograd.gradcheck(read, (x, *dense.parameters()), fast_mode=True)


def test_frequencies_are_sines_and_cosines_of_doubled_positions() -> None:
    x = places(5)
    made = frequencies(x, 3)
    for row, (a, b) in zip(made.tolist(), x.tolist(), strict=True):
        wanted = [a, b]
        for octave in range(3):
            wanted += [sin(2**octave * a), sin(2**octave * b), cos(2**octave * a), cos(2**octave * b)]
        assert row == pytest.approx(wanted, abs=1e-6)
    assert torch.autograd.gradcheck(lambda p: frequencies(p, 4), (x.double().requires_grad_(),))


def test_harmonics_are_orthonormal_on_the_sphere() -> None:
    """Gauss-Legendre across, even steps around: exact for products of degree 6. Signs and order: the first of each."""
    z, weights = np.polynomial.legendre.leggauss(8)
    turn = np.arange(16) * (2 * np.pi / 16)
    flat = np.sqrt(1 - z**2)[:, None]
    around = np.stack([flat * np.cos(turn), flat * np.sin(turn), np.broadcast_to(z[:, None], (8, 16))], -1)
    made = harmonics(torch.from_numpy(around.reshape(-1, 3)))
    area = torch.from_numpy(np.repeat(weights, 16) * 2 * np.pi / 16)
    assert (made.T @ (area[:, None] * made) - torch.eye(16)).abs().max() < 1e-6
    along = harmonics(torch.eye(3, dtype=torch.float64))
    assert along[0, 3] < 0
    assert along[1, 1] < 0
    assert along[2, 2] > 0
    assert along[2, 12] == pytest.approx(np.sqrt(7 / (4 * np.pi)))
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(harmonics, (x,))
