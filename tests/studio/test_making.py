"""Making avatars as a worker does it: once, however often its job is begun, and with what each engine takes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vivavoce.engines.photo import bundle
from vivavoce.errors import InvalidInput
from vivavoce.face.given import NAMED
from vivavoce.face.locate import FaceLocator
from vivavoce.nouns import Avatar
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.inspection import inspect
from vivavoce.studio.making import completed, noted
from vivavoce.studio.perform import Stage
from vivavoce.studio.scene import builtin_avatars
from vivavoce.work.events import Done, Task


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    """A portrait and points on it, so that no net is needed."""
    portrait = bundle.load(builtin_avatars() / "anna")
    source = tmp_path / "upload.source"
    Image.fromarray(portrait.rgb).save(source, "PNG")
    points = {name: portrait.mesh.points[i, :2].tolist() for name, i in NAMED.items()}
    return {"source": str(source), "name": "mary", "face_engine": "photo", "landmarks": json.dumps(points)}


def play(stage: Stage, params: dict[str, Any]) -> dict[str, Any]:
    *_, last = stage(Task("task", "prepare", params))
    assert isinstance(last, Done)
    return dict(last.result)


def test_a_job_that_is_begun_again_finds_the_avatar_that_it_made(tmp_path: Path, order: dict[str, Any]) -> None:
    stage = Stage(StudioConfig(tmp_path))
    first = play(stage, order | {"job": "one"})
    made = (tmp_path / "avatars" / "mary" / "avatar.json").stat().st_mtime_ns
    again = play(stage, order | {"job": "one"})
    assert again == first
    assert (tmp_path / "avatars" / "mary" / "avatar.json").stat().st_mtime_ns == made
    with pytest.raises(InvalidInput, match="already"):
        play(stage, order | {"job": "two"})
    stage.close()


def test_notes_stand_beside_what_the_engine_wrote(tmp_path: Path) -> None:
    avatar = Avatar("mary", tmp_path, "photo")
    noted(avatar, {"job": "one"})
    noted(avatar, {"created": "today"})
    assert json.loads((tmp_path / "avatar.json").read_text()) == {"job": "one", "created": "today"}


def test_points_that_are_not_given_follow_the_face_that_is_found(
    order: dict[str, Any], locator: FaceLocator, tmp_path: Path
) -> None:
    source = Path(order["source"])
    with Image.open(source) as image:
        rgb = np.asarray(image.convert("RGB"))
    found = locator.all(rgb)[0]
    points = {name: found.points[i, :2].tolist() for name, i in NAMED.items()}
    same = np.array(json.loads(completed(json.dumps(points), source, locator, 50e6)))
    assert np.abs(same[:, :2] - found.points[:, :2]).max() < 1
    points["chin"][1] += 15
    lower = np.array(json.loads(completed(json.dumps(points), source, locator, 50e6)))
    moved = lower[:, 1] - found.points[:, 1]
    assert moved[152] == pytest.approx(15, abs=0.5)
    assert moved[148] > 8, "its neighbour goes along"
    assert abs(moved[70]) < 2, "a brow does not"
    elsewhere = json.dumps({name: [x - 250, y - 200] for name, (x, y) in points.items()})
    mean = np.array(json.loads(completed(elsewhere, source, locator, 50e6)))
    assert mean[152, 0] == pytest.approx(points["chin"][0] - 250, abs=1), "points somewhere else are believed"
    blank = tmp_path / "blank.png"
    Image.new("RGB", rgb.shape[1::-1]).save(blank)
    assert completed(elsewhere, blank, locator, 50e6) == elsewhere


def test_what_is_shown_is_small_and_opaque(tmp_path: Path, locator: FaceLocator) -> None:
    portrait = bundle.load(builtin_avatars() / "david")
    big = np.asarray(Image.fromarray(portrait.rgb).resize((1800, 1800)))
    alpha = np.full((1800, 1800, 1), 255, np.uint8)
    alpha[:200] = 0
    source = tmp_path / "clear.png"
    Image.fromarray(np.dstack([big, alpha])).save(source, compress_level=1)
    seen = inspect(source, locator, max_pixels=50e6)
    shown = np.asarray(Image.open(io.BytesIO(seen["preview"])))
    assert shown.shape == (1200, 1200, 3)
    assert np.ptp(shown[20:100, 20:-20]) < 12, "nothing is seen behind what is transparent"
    assert seen["landmarks"]["chin"][1] > seen["landmarks"]["lower_lip_bottom"][1] > 900
