"""The five steps of CONTRIBUTING.md, done as they are written there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def blocks() -> dict[str, list[str]]:
    """The fenced blocks of the section, by language."""
    section = PAGE.read_text(encoding="utf-8").partition("## Add an engine in five steps")[2].partition("\n## ")[0]
    found: dict[str, list[str]] = {}
    for language, body in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL):
        found.setdefault(language, []).append(body)
    return found


@pytest.fixture
def installed(tmp_path: Path, blocks: dict[str, list[str]]) -> Path:
    """The package of steps 1 to 3 as an installer leaves it: the module and its dist-info."""
    site = tmp_path / "site"
    info = site / "barface-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "barface.py").write_text(blocks["python"][0], encoding="utf-8")
    entries = tomllib.loads(blocks["toml"][0])["project"]["entry-points"]["vivavoce.engines"]
    lines = "\n".join(f"{name} = {target}" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[vivavoce.engines]\n{lines}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: barface\nVersion: 1.0\n")
    picture = np.random.default_rng(5).integers(90, 255, (300, 200, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "portrait.jpg"), picture)
    return site


def run(site: Path, program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{program}"],
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_engine_of_the_five_steps_passes_the_contract(installed: Path, blocks: dict[str, list[str]]) -> None:
    done = run(installed, blocks["python"][1])
    assert done.returncode == 0, done.stderr


def test_listing_engines_imports_none(installed: Path) -> None:
    program = "from vivavoce.registry import Registry; print(Registry().names('face'), 'barface' in sys.modules)"
    said = run(installed, program).stdout
    assert "'bar'" in said
    assert said.strip().endswith("False")


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("image = picture.copy()", "image = picture", "belongs to the receiver"),
        ("range(canvas.frames(speech.audio.seconds))", "range(7)", "frames cover the speech"),
        ("canvas.size)", "(64, 64))", "shape"),
        ("k / canvas.fps", "0.0", "s apart"),
        ("open_by = canvas.height * 2 // 3, int(", "open_by = k, int(30 + 0 * ", "goes on"),
        ("image = picture.copy()", "self.n = getattr(self, 'n', 0) + 9; image = picture + self.n % 200", "same input"),
    ],
)
def test_the_contract_catches_what_it_is_for(
    installed: Path, blocks: dict[str, list[str]], right: str, wrong: str, says: str
) -> None:
    source = blocks["python"][0]
    assert source.count(right) == 1
    (installed / "barface.py").write_text(source.replace(right, wrong), encoding="utf-8")
    done = run(installed, blocks["python"][1])
    assert "ContractBroken" in done.stderr
    assert re.search(says, done.stderr.splitlines()[-1])
