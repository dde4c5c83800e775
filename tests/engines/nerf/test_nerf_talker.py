"""A radiance field on disk: what is read is what was written, and what is damaged, mixed up or too large is refused."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from safetensors.torch import load_file, save_file  # noqa: E402  torch first, or the file is skipped

from vivavoce.engines.nerf.field.encodings import DensePlane, Grid  # noqa: E402
from vivavoce.engines.nerf.field.networks import EARS, Head, Shape, Torso, window  # noqa: E402
from vivavoce.engines.nerf.field.occupancy import Occupancy  # noqa: E402
from vivavoce.engines.nerf.field.picture import Moment, picture  # noqa: E402
from vivavoce.engines.nerf.field.rays import Camera  # noqa: E402
from vivavoce.engines.nerf.talker import Talker, about, load, save  # noqa: E402
from vivavoce.errors import InvalidInput, NotFound  # noqa: E402

N, WIDTH, HEIGHT = 6, 20, 16
GRID = Grid(levels=3, base=8, finest=32, log2_rows=8)


def talker(*, dense: bool = True, **given: Any) -> Talker:
    torch.manual_seed(0)
    ear = given.pop("ear", "deepspeech")
    head = Head(Shape(ear=ear, codes=N, grid=GRID), dense=dense)
    with torch.no_grad():
        for plane in (head.encoder_xy, head.encoder_yz, head.encoder_xz):
            for p in plane.parameters():
                p.uniform_(-1, 1)
        head.sigma_net.net[2].weight[0] = 30 * head.sigma_net.net[2].weight[0].abs()
    cells = Occupancy(32)
    cells.density[10:22, 10:22, 10:22] = 50.0
    cells.density[0, 0, 0] = 3e6  # beyond a half float
    cells.recount()
    poses = torch.eye(4).repeat(N, 1, 1)
    poses[:, 2, 3] = torch.linspace(-2.2, -2.0, N)
    parts: dict[str, Any] = {
        "eyes": torch.rand(N, 1),
        "heard": torch.randn(N + 3, *EARS[ear]),
        "masks": torch.randint(0, 255, (N, 5, 6), dtype=torch.uint8),
        "torso": None,
    }
    return Talker(
        engine="ernerf",
        head=head,
        cells=cells,
        camera=Camera(40.0, (10.5, 8.0), WIDTH, HEIGHT),
        poses=poses,
        background=torch.randint(0, 255, (HEIGHT, WIDTH, 3), dtype=torch.uint8),
        origin="a test",
        **parts | given,
    )


def seen(made: Talker, frame: int = 2) -> Any:
    with torch.no_grad():
        moment = Moment(made.head.listen(window(made.heard, frame)[None]), made.eyes[frame][None])  # type: ignore[index]
        behind = made.background.float() / 255
        return picture(made.head, made.cells, made.camera, made.poses[frame], moment, behind, made.torso)


@pytest.mark.parametrize("dense", [True, False])
def test_what_is_read_is_what_was_written(dense: bool, tmp_path: Path) -> None:
    made = talker(
        dense=dense,
        torso=Torso(N),
        mean=torch.zeros(29),
        spread=torch.ones(29),
        quiet=torch.randn(29, 16),
        square=(100, 40, 300),
        fps=Fraction(30000, 1001),
    )
    save(made, tmp_path)
    read = load(tmp_path)
    for name in ("engine", "camera", "square", "fps", "origin"):
        assert getattr(read, name) == getattr(made, name)
    for name in ("poses", "eyes", "masks", "background", "mean", "spread", "quiet"):
        assert torch.equal(getattr(read, name), getattr(made, name))
    assert torch.equal(read.cells.counts, made.cells.counts)
    assert isinstance(read.head.encoder_xy, DensePlane)
    assert read.head.shape == made.head.shape
    assert not any(p.requires_grad for p in read.head.parameters())
    assert (seen(read) - seen(made)).abs().max() <= 1e-4
    assert (seen(read) - seen(made, 3)).abs().max() > 1e-3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nerf.json", "nerf.safetensors"]
    facts = about(tmp_path)
    assert facts["frames"] == N
    assert facts["dense"] is dense
    save(replace(made, engine="synctalk"), tmp_path)
    assert load(tmp_path).engine == "synctalk"


def test_what_a_head_may_lack_is_none(tmp_path: Path) -> None:
    head = Head(Shape(ear="ave", eyes=0, code=0, grid=GRID), dense=True)
    save(replace(talker(), head=head, eyes=None, heard=None, masks=None), tmp_path)
    read = load(tmp_path)
    assert (read.eyes, read.heard, read.masks, read.torso, read.mean, read.quiet, read.square) == (None,) * 7
    assert read.head.listen(torch.zeros(1, 8, 512)).shape == (1, 32)


def test_features_beyond_half_floats_are_kept(tmp_path: Path) -> None:
    heard = torch.randn(4, 29, 16)
    heard[2, 3, 4] = 1e6
    save(talker(heard=heard), tmp_path)
    assert torch.equal(load(tmp_path).heard, heard)


@pytest.mark.parametrize("ear", EARS)
def test_every_ear_is_kept(ear: Any, tmp_path: Path) -> None:
    made = talker(ear=ear)
    save(made, tmp_path)
    assert (seen(load(tmp_path)) - seen(made)).abs().max() <= 1e-4


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "no poses": ({"poses": torch.zeros(0, 4, 4)}, r"poses are of the shape \(0, 4, 4\)"),
    "poses": ({"poses": torch.zeros(N, 3, 4)}, r"poses are of the shape"),
    "endless poses": ({"poses": torch.full((N, 4, 4), float("inf"))}, r"poses holds numbers that are not finite"),
    "background": (
        {"background": torch.zeros(4, 4, 3, dtype=torch.uint8)},
        r"the background is .*, not 20x16 in bytes",
    ),
    "camera": ({"camera": Camera(40, (8, 8), 4000, 16)}, r"the camera's picture has 4000x16 pixels"),
    "eyes": ({"eyes": torch.zeros(N, 7)}, r"the head needs 1 numbers for its eyes"),
    "no eyes": ({"eyes": None}, r"the head needs 1 numbers for its eyes"),
    "fewer eyes": ({"eyes": torch.zeros(N - 1, 1)}, r"there are 5 eyes for 6 poses"),
    "fewer masks": ({"masks": torch.zeros(3, 4, 4, dtype=torch.uint8)}, r"there are 3 masks for 6 poses"),
    "quiet": ({"quiet": torch.zeros(29)}, r"silence of the shape \(29,\) is not what the ear deepspeech hears"),
    "heard": (
        {"heard": torch.zeros(9, 44, 16)},
        r"features of the shape \(9, 44, 16\) are not what the ear deepspeech",
    ),
    "mean alone": ({"mean": torch.zeros(29)}, r"a mean and a spread, or neither"),
    "no spread": ({"mean": torch.zeros(29), "spread": torch.zeros(29)}, r"the spread of the features is .*not above 0"),
    "endless centre": ({"camera": Camera(40, (float("nan"), 8), WIDTH, HEIGHT)}, r"the camera's picture has"),
    "no rate": ({"fps": Fraction(0)}, r"there are 0 frames a second"),
    "square": ({"square": (-1, 0, 10)}, r"the square \(-1, 0, 10\)"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_are_never_written(name: str) -> None:
    other, sentence = MISFITS[name]
    with pytest.raises(InvalidInput, match=sentence):
        replace(talker(), **other)


def facts(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        told = json.loads((folder / "nerf.json").read_text())
        change(told)
        (folder / "nerf.json").write_text(json.dumps(told))

    return damage


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        held = load_file(folder / "nerf.safetensors")
        change(held)
        save_file(held, folder / "nerf.safetensors")

    return damage


def cut(folder: Path) -> None:
    data = (folder / "nerf.safetensors").read_bytes()
    (folder / "nerf.safetensors").write_bytes(data[: len(data) // 2])


def claims(folder: Path) -> None:
    """A header that speaks of a terabyte."""
    header = json.dumps({"poses": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}).encode()
    (folder / "nerf.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no facts": lambda folder: (folder / "nerf.json").unlink(),
    "no tensors": lambda folder: (folder / "nerf.safetensors").unlink(),
    "cut facts": lambda folder: (folder / "nerf.json").write_text('{"version": 1'),
    "a list": lambda folder: (folder / "nerf.json").write_text("[1]"),
    "long facts": lambda folder: (folder / "nerf.json").write_text(" " * (2 << 20)),
    "cut tensors": cut,
    "no tensors in it": lambda folder: (folder / "nerf.safetensors").write_bytes(b"\x80\x04pickle"),
    "claims": claims,
    "no shape": facts(lambda f: f.pop("shape")),
    "other grid": facts(lambda f: f["shape"]["grid"].update(levels=4)),
    "endless grid": facts(lambda f: f["shape"]["grid"].update(levels=10**9)),
    "no finest": facts(lambda f: f["shape"]["grid"].update(finest=0)),
    "huge grid": facts(lambda f: f["shape"]["grid"].update(finest=10**6)),
    "many codes": facts(lambda f: f["shape"].update(codes=10**12)),
    "other planes": facts(lambda f: f.update(dense=False)),
    "other ear": facts(lambda f: f["shape"].update(ear="ave")),
    "no ear": facts(lambda f: f["shape"].update(ear="trumpet")),
    "other size": facts(lambda f: f["camera"].update(width=21)),
    "no rate": facts(lambda f: f.update(fps=[25, 0])),
    "words": facts(lambda f: f["camera"].update(focal="long")),
    "a tensor less": tensors(lambda t: t.pop("head.sigma_net.net.1.weight")),
    "another shape": tensors(lambda t: t.update({"head.unc_net.net.0.weight": torch.zeros(3, 3)})),
    "no poses": tensors(lambda t: t.pop("poses")),
    "nan": tensors(lambda t: t["head.color_net.net.1.weight"].fill_(float("nan"))),
    "flat cells": tensors(lambda t: t.update({"cells.counts": torch.zeros(32, 32, dtype=torch.bool)})),
    "many cells": tensors(
        lambda t: t.update({n: torch.zeros(1, 1, 1).expand(300, 1, 1).clone() for n in ("cells.density",)})
    ),
    "fewer eyes": tensors(lambda t: t.update(eyes=torch.zeros(2, 1))),
    "half a torso": tensors(lambda t: t.update({"torso.individual_codes_torso": torch.zeros(4, 8)})),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_not_there(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "kim"
    folder.mkdir()
    save(talker(), folder)
    DAMAGES[name](folder)
    with pytest.raises(NotFound, match=r"The avatar 'kim' is missing or damaged; import or train it again\."):
        load(folder)


@pytest.mark.parametrize(("version", "says"), [(0, "older"), (99, "newer")])
def test_another_version_says_so(version: int, says: str, tmp_path: Path) -> None:
    save(talker(), tmp_path)
    facts(lambda f: f.update(version=version))(tmp_path)
    with pytest.raises(NotFound, match=f"made by an? {says} version"):
        load(tmp_path)
