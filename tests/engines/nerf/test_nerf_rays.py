"""Cells, rays, marching and compositing beside loops that go along one ray at a time."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from vivavoce.engines.nerf.field.composite import composite, over  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.field.occupancy import Occupancy, morton, pack, unpack  # noqa: E402
from vivavoce.engines.nerf.field.rays import (  # noqa: E402
    BOX,
    MOST,
    STEP,
    Camera,
    Samples,
    from_nerf,
    march,
    mark,
    pixels,
    span,
)

BOUNDS = torch.tensor(BOX)


def some(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Rays from around the cube to somewhere in it; a few along its axes."""
    chance = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=chance)
    origins = 2.5 * origins / origins.norm(dim=-1, keepdim=True)
    aims = 1.6 * torch.rand(count, 3, generator=chance) - 0.8
    d = aims - origins
    origins = torch.cat([origins, torch.tensor([[0.1, -3, 0.1], [0.1, 0.1, 3], [5, 5, 5.0]])])
    d = torch.cat([d, torch.tensor([[0, 1, 0], [0, 0, -1], [0, 0, 1.0]])])
    return origins, d / d.norm(dim=-1, keepdim=True)


def scattered(size: int = 16, share: float = 0.3) -> Occupancy:
    cells = Occupancy(size)
    cells.counts.copy_(torch.rand(cells.counts.shape, generator=torch.Generator().manual_seed(7)) < share)
    return cells


def test_morton_takes_bits_in_turn() -> None:
    cells = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [127, 127, 127], [5, 3, 6]])
    wanted = [sum(((int(c) >> b) & 1) << (3 * b + a) for b in range(7) for a, c in enumerate(cell)) for cell in cells]
    assert morton(cells).tolist() == wanted
    assert wanted[1:5] == [1, 2, 4, 128**3 - 1]


def test_bits_are_packed_from_the_lowest() -> None:
    counts = torch.rand(64, generator=torch.Generator().manual_seed(1)) < 0.5
    assert pack(torch.tensor([True] + [False] * 7 + [False] * 7 + [True])).tolist() == [1, 128]
    assert torch.equal(unpack(pack(counts)), counts)


def test_cells_go_to_a_checkpoint_and_come_back() -> None:
    cells = scattered(8)
    cells.density.copy_(torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(2)))
    held = cells.published()
    assert held["density_grid"].shape == (1, 512)
    assert held["density_bitfield"].shape == (64,)
    at = int(morton(torch.tensor([[5, 1, 3]])))
    assert held["density_grid"][0, at] == cells.density[5, 1, 3]
    assert bool(held["density_bitfield"][at // 8] >> (at % 8) & 1) == bool(cells.counts[5, 1, 3])
    other = Occupancy(8)
    other.take(held["density_grid"], held["density_bitfield"])
    assert torch.equal(other.density, cells.density)
    assert torch.equal(other.counts, cells.counts)


def test_cells_keep_the_greatest_density_around_them_and_forget() -> None:
    cells = Occupancy(16)
    cells.density[0, 7, 0] = -1
    cells.density[3, 7, 8] = 4.0

    def density(x: Any) -> Any:
        """All of it around one cell's middle."""
        return 8.0 * ((x - (2 * torch.tensor([8.0, 8, 8]) / 15 - 1) * (1 - 1 / 16)).norm(dim=-1) < 1e-4)

    cells.update(density, BOUNDS, decay=0.5)
    assert cells.density[8, 8, 8] == 8
    assert cells.density[9, 8, 8] == cells.density[8, 7, 8] == cells.density[8, 8, 9] == 8
    assert cells.density[9, 9, 8] == 0
    assert cells.density[3, 7, 8] == 2
    assert cells.density[0, 7, 0] == -1
    assert cells.counts.sum() == 8
    asked: list[Any] = []
    cells.update(lambda x: asked.append(x) or torch.zeros(len(x)), BOUNDS, chance=torch.Generator().manual_seed(0))  # type: ignore[func-returns-value]
    places = torch.cat(asked)
    assert len(places) == 16 * 8 * 16 - 1  # the box is half as deep as the cube, and one cell is never seen
    cell = ((places + 1) * 8).long()
    assert len({tuple(c) for c in cell.tolist()}) > 0.9 * len(places)


def test_a_camera_looks_along_its_axis() -> None:
    camera = Camera(100.0, (20.0, 15.0), 40, 30)
    pose = from_nerf(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]]))
    origins, d = camera.rays(pose)
    assert origins[0].tolist() == [0, 2, 0]  # in front of a face that looks along +y
    middle = d.reshape(30, 40, 3)[14:16, 19:21].mean((0, 1))
    assert middle.tolist() == pytest.approx([0, -1, 0], abs=1e-4)
    corner = d.reshape(30, 40, 3)[0, 0]  # left and above: the file's -x is our -z, and its +y our +x
    wanted = np.array([0.145, -1, -0.195])
    assert corner.tolist() == pytest.approx(list(wanted / np.linalg.norm(wanted)), abs=1e-6)
    few = camera.rays(pose, torch.tensor([0, 1199]))[1]
    assert torch.equal(few, d[[0, 1199]])
    turned = camera.rays(torch.stack([pose, pose]), torch.tensor([0, 1199]))[1]
    assert torch.allclose(turned, few)


def test_a_turned_camera_still_sees_the_point_that_it_is_aimed_at() -> None:
    """A file's pose, projected the file's way, and the ray of that pixel here."""
    a, b = 0.4, -0.2
    yaw = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = yaw @ pitch, [0.3, 0.1, 0.7]
    point = np.array([0.02, -0.05, 0.01])
    x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
    camera = Camera(60.0, (32.0, 32.0), 64, 64)
    column, row = 32 + 60 * x / -z, 32 - 60 * y / -z
    assert 0 < row < 64
    assert 0 < column < 64
    origins, d = camera.rays(from_nerf(torch.from_numpy(pose)), torch.tensor([int(row) * 64 + int(column)]))
    there = torch.from_numpy(4 * point[[1, 2, 0]]) - origins[0]
    assert float(d[0] @ there / there.norm()) > np.cos(1.0 / 60)


def test_pixels_of_a_torso_are_row_and_column() -> None:
    at = pixels(3, 2)
    assert at.tolist() == [[-1, -1], [-1, 0], [-1, 1], [1, -1], [1, 0], [1, 1]]


def naive_span(o: Any, d: Any) -> tuple[float, float] | None:
    near, far = -np.inf, np.inf
    for axis in range(3):
        if d[axis] == 0:
            if not BOX[axis] <= o[axis] <= BOX[axis + 3]:
                return None
            continue
        a, b = sorted((side - o[axis]) / d[axis] for side in (BOX[axis], BOX[axis + 3]))
        near, far = max(near, a), min(far, b)
    return (max(near, 0.05), far) if near <= far else None


def test_rays_meet_the_box_where_a_loop_meets_it() -> None:
    origins, d = some(300)
    near, far = span(origins, d, BOUNDS)
    hits = 0
    for i, (o, v) in enumerate(zip(origins.double().numpy(), d.double().numpy(), strict=True)):
        wanted = naive_span(o, v)
        if wanted is None or wanted[1] <= wanted[0]:
            assert near[i] >= far[i]
            continue
        hits += 1
        assert (float(near[i]), float(far[i])) == pytest.approx(wanted, abs=1e-4)
    assert 100 < hits < 302


def naive_march(o: Any, d: Any, cells: Any, size: int, shift: float) -> list[tuple[float, Any]]:
    """As published: a step where a cell counts, else steps until the ray has left the cell."""
    found: list[tuple[float, Any]] = []
    ends = naive_span(o, d)
    if ends is None:
        return found
    t = ends[0] + STEP * shift
    while t < ends[1] and len(found) < MOST:
        x = np.clip(o + t * d, -1, 1)
        cell = np.clip(((x + 1) * size / 2).astype(int), 0, size - 1)
        if cells[tuple(cell)]:
            found.append((t, x))
            t += STEP
            continue
        walls = [((c + (v > 0)) / size * 2 - 1 - p) / v if v else np.inf for c, v, p in zip(cell, d, x, strict=True)]
        leaves = t + max(0.0, min(walls))
        t += STEP
        while t < leaves:
            t += STEP
    return found


def test_marching_finds_the_places_that_a_loop_finds() -> None:
    """In 64 bits, where both agree about cells whose walls a place lies on."""
    cells = scattered()
    origins, d = (a.double() for a in some(200, seed=3))
    shift = torch.rand(len(d), generator=torch.Generator().manual_seed(4)).double()
    made = march(origins, d, cells, BOUNDS.double(), shift=shift)
    counts, full = torch.bincount(made.ray, minlength=len(d)), 0
    inside = cells.counts.numpy()
    for i in range(len(d)):
        wanted = naive_march(origins[i].numpy(), d[i].numpy(), inside, 16, float(shift[i]))
        own = made.ray == i
        assert int(counts[i]) == len(wanted)
        full += len(wanted) == MOST
        assert made.turn[own].tolist() == list(range(len(wanted)))
        if wanted:
            assert np.abs(made.far[own].numpy() - [t for t, _ in wanted]).max() < 1e-4
            assert np.abs(made.x[own].numpy() - [x for _, x in wanted]).max() < 1e-4
    assert full > 10
    assert pytest.approx(2 * sqrt(3) / 128) == STEP


def test_marching_in_parts_is_marching_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = scattered()
    origins, d = some(50)
    whole = march(origins, d, cells, BOUNDS)
    monkeypatch.setattr("vivavoce.engines.nerf.field.rays._AT_ONCE", 700)
    for a, b in zip(march(origins, d, cells, BOUNDS), whole, strict=True):
        assert torch.equal(a, b)
    assert len(march(origins[:0], d[:0], cells, BOUNDS).ray) == 0
    cells.counts.zero_()
    assert len(march(origins, d, cells, BOUNDS).ray) == 0


def lit(seed: int = 5, *, thick: float = 60.0) -> tuple[Any, Any, Samples, int]:
    """Densities and colours of places along rays, some of them opaque early."""
    origins, d = some(60, seed=6)
    samples = march(origins, d, scattered(), BOUNDS)
    chance = torch.Generator().manual_seed(seed)
    density = thick * torch.rand(len(samples.ray), generator=chance) ** 3
    density[::7] *= 20
    return density, torch.rand(len(density), 3, generator=chance), samples, len(d)


def test_compositing_is_the_loop_with_its_early_stop() -> None:
    density, colour, samples, rays = lit()
    made = composite(density, colour, samples, rays)
    stopped = 0
    for i in range(rays):
        left, sums, opacity, depth = 1.0, np.zeros(3), 0.0, 0.0
        places = (samples.ray == i).nonzero()[:, 0].tolist()
        for n, j in enumerate(places):
            alpha = 1 - np.exp(-float(density[j]) * STEP)
            sums += left * alpha * colour[j].numpy()
            opacity += left * alpha
            depth += left * alpha * (float(samples.far[j]) + STEP)
            left *= 1 - alpha
            if left < 1e-4:
                stopped += n + 1 < len(places)
                break
        assert np.abs(made.colour[i].numpy() - sums).max() <= 1e-4
        assert float(made.opacity[i]) == pytest.approx(opacity, abs=1e-4)
        assert float(made.depth[i]) == pytest.approx(depth, abs=5e-4)
    assert stopped > 10


def test_what_lies_behind_an_opaque_place_is_not_seen() -> None:
    density, colour, samples, rays = lit()
    first = samples.turn == 0
    made = composite(torch.where(first, 1e4, density), colour, samples, rays)
    assert not made.weights[~first].any()
    assert torch.allclose(made.colour[samples.ray[first]], colour[first])


def test_compositing_has_the_gradients_of_densities_and_colours() -> None:
    density, colour, samples, rays = lit(thick=4.0)
    held = samples.ray < 12
    few = Samples(*(a[held] for a in samples))

    def made(a: Any, b: Any) -> Any:
        return composite(a, b, few, rays)[:3]

    given = [a[held].double().requires_grad_() for a in (density.clamp(max=20), colour)]
    assert torch.autograd.gradcheck(made, given)


def test_layers_lie_over_each_other() -> None:
    density, colour, samples, rays = lit()
    head = composite(density, colour, samples, rays)
    chance = torch.Generator().manual_seed(8)
    opacity, torso, background = (torch.rand(rays, n, generator=chance) for n in (1, 3, 3))
    made = over(head, background, (opacity, torso))
    for i in range(rays):
        behind = torso[i] * opacity[i] + background[i] * (1 - opacity[i])
        wanted = head.colour[i] + (1 - head.opacity[i]) * behind
        assert (made[i] - wanted).abs().max() <= 1e-5
    assert torch.allclose(over(head, background)[-1], background[-1])  # the last ray meets nothing


def test_marks_are_taken_from_near_to_far() -> None:
    """Of rays that have more steps than one number has bits."""
    cells = scattered(32, share=0.05)
    origins, d = some(80, seed=9)
    near, far = span(origins, d, BOUNDS)
    marks = mark(origins, d, near, far, cells)
    assert len(marks.words) == 2
    steps = torch.stack([marks.take() for _ in range(130)], 1)
    assert not marks.left().any()
    assert (steps.max(1).values >= 60).any()
    for i in range(len(d)):
        at = near[i] + STEP * torch.arange(130)
        full = cells.at((origins[i] + at[:, None] * d[i]).clamp(-1, 1)) & (at < far[i])
        assert steps[i][steps[i] >= 0].tolist() == full.nonzero()[:, 0].tolist()


def test_nothing_is_missed_within_a_box_that_holds_all_cells_that_count() -> None:
    cells = scattered(32)
    middle = torch.zeros_like(cells.counts)
    middle[10:20, 13:17, 9:24] = True
    cells.counts &= middle
    box = torch.tensor([10, 13, 9, 20, 17, 24]) / 16 - 1
    origins, d = some(200, seed=9)
    near, far = span(origins, d, BOUNDS)
    whole, held = (mark(origins, d, near, far, cells, within) for within in (None, box))
    for _ in range(40):
        assert torch.equal(whole.take(), held.take())
    assert not held.left().any()


def test_a_camera_turned_is_its_directions_turned() -> None:
    camera = Camera(50.0, (16.0, 12.0), 32, 24)
    a = 0.7
    turned = torch.eye(4)
    turned[:2, :2] = torch.tensor([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    which = torch.arange(0, 768, 5)
    seen = camera.seen(which)
    assert torch.allclose(seen.norm(dim=1), torch.ones(len(which)))
    assert torch.allclose(camera.rays(turned, which)[1], seen @ turned[:3, :3].T, atol=1e-6)
