"""``vivavoce models import``: a workspace of somebody's becomes an avatar, and the command says what was in it."""

import json
from pathlib import Path

import pytest
from commands import refused, run

pytest.importorskip("torch")

from workspaces import Layout, write

pytestmark = [pytest.mark.neural, pytest.mark.usefixtures("own_folders")]


def test_a_workspace_becomes_an_avatar_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / "Trial May", Layout(torso=True), tmp_path / "may")
    made = run("models", "import", "Trial May", "--data", "may")
    assert made.exit_code == 0, made.output
    assert "ER-NeRF, checkpoints/ngp_ep0012.pth; it hears deepspeech." in made.stdout
    assert "DeepSpeech needs TensorFlow" in made.stdout
    assert 'vivavoce speak "…" --avatar trial-may' in made.stdout
    (kept,) = (tmp_path / "data").rglob("avatar.json")
    assert json.loads(kept.read_text())["name"] == kept.parent.name == "trial-may"
    listed = run("avatars", "list")
    assert "trial-may" in listed.stdout
    assert "ernerf" in listed.stdout
    refused(run("models", "import", "Trial May", "--data", "may"), 2, "There is an avatar 'trial-may' already")


def test_programs_are_told_the_findings(tmp_path: Path) -> None:
    write(tmp_path / "work", Layout("synctalk", "ave", features=False))
    made = run("models", "import", "work", "--name", "kim", "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["name"], told["engine"]) == ("kim", "synctalk")
    assert {"what": "eyes", "level": "found", "says": "bs.npy, 7 numbers a frame."} in told["findings"]
    assert [one["level"] for one in told["findings"] if one["what"] == "features"] == ["missing"]


def test_a_damaged_one_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout())
    path = folder / "checkpoints" / "ngp_ep0012.pth"
    path.write_bytes(path.read_bytes()[:5000])
    refused(run("models", "import", "work"), 3, "ngp_ep0012.pth is cut off")
    refused(run("models", "import", "nowhere"), 2, "There is no folder nowhere")
    refused(run("models", "import", "work", "--name", "../work"), 2, "An avatar's name has")
    assert not list((tmp_path / "data").rglob("nerf.*"))
    path.unlink()
    refused(run("models", "import", "work"), 2, "There is no checkpoint in work")
