"""``vivavoce avatars check``: the report before an avatar is made, for eyes and for programs."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import refused, run

from vivavoce.face.locate import FaceLocator
from vivavoce.media.picture import write_jpeg

pytestmark = pytest.mark.usefixtures("own_folders")


def test_a_photo_is_looked_at_first(shared: Path, tmp_path: Path, locator: FaceLocator) -> None:
    photo = shared / "media" / "portraits" / "woman_0033.jpg"
    shown = run("avatars", "check", photo)
    assert shown.exit_code == 0, shown.output
    assert "face-size" in shown.output
    assert "The face is well lit." in shown.output
    report = json.loads(run("avatars", "check", photo, "--json").stdout)
    assert report["level"] == "ok"
    write_jpeg(tmp_path / "wall.jpg", np.full((400, 400, 3), 120, np.uint8))
    empty = run("avatars", "check", "wall.jpg", "--json")
    assert empty.exit_code == 1
    assert json.loads(empty.stdout)["level"] == "refuse"
    refused(run("avatars", "check", "missing.jpg"), 2, "missing.jpg")
    (tmp_path / "text.mp4").write_text("neither a picture nor a film")
    refused(run("avatars", "check", "text.mp4"), 2, "MP4")


def test_what_was_found_is_kept_with_the_avatar(shared: Path, tmp_path: Path, locator: FaceLocator) -> None:
    photo = shared / "media" / "portraits" / "astronaut.png"
    made = run("avatars", "add", "eileen", photo, "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert told["report"]["level"] == "warn"
    assert any("mouth" in warning for warning in told["warnings"])
    (kept,) = (tmp_path / "data").rglob("avatar.json")
    assert json.loads(kept.read_text())["report"] == told["report"]
    assert (kept.parent / "source").read_bytes() == photo.read_bytes()
    again = run("avatars", "add", "collins", photo)
    assert "better otherwise" in again.output
