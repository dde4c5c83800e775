"""A real film becomes a library: what it holds, how well it speaks, and that it goes on where it was killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.bench import person as bench
from vivavoce.engines.person import store
from vivavoce.engines.person.evaluate import ROWS, Bench, held_out, paint_with
from vivavoce.engines.person.pose import gap_of
from vivavoce.engines.person.prepare import prepare
from vivavoce.errors import Cancelled
from vivavoce.face.locate import FaceLocator
from vivavoce.media import video
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore

pytest_plugins = ["filmed"]
pytestmark = pytest.mark.slow

Bytes = npt.NDArray[np.uint8]
FPS = 25
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def man(source: Path, locator: FaceLocator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared video, learnt."""
    into = tmp_path_factory.mktemp("heads") / "man"
    into.mkdir()
    prepare(source, into, ModelStore())
    return into


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    return (
        all(map(plain, value)) if isinstance(value, list) else value is None or type(value) in (str, int, float, bool)
    )


def test_the_library_of_a_person(man: Path) -> None:
    library = store.load(man)
    report = library.report
    assert plain(report)
    assert len(library) == len(library.footage.track.points) == 502
    assert library.seen.all()
    assert report["speech_seconds"] == pytest.approx(14.7, abs=2)
    assert 0.08 < report["blurred_share"] < 0.3
    assert report["closed_frames"] >= 40
    assert report["cuts"] == 0
    assert report["own_voice"] >= 0.42
    assert any("a minute" in sentence for sentence in report["advice"])
    assert all(last - first >= 4 * FPS for first, last in library.stretches)
    closed = library.opening < 0.01
    assert gap_of(library.head.shape)[closed & library.usable].mean() < 0.03
    assert np.corrcoef(library.opening, gap_of(library.head.shape))[0, 1] > 0.75
    size = sum((man / name).stat().st_size for name in ("person.npz", "person.jpegs"))
    assert size <= 1e6 + 0.6e6 * report["seconds"]
    with Reel(man / "idle.mp4") as reel:
        film = video.read_frames(man / "source")
        for number, frame in islice(enumerate(film), 0, 502, 50):
            luma = cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV_I420)[: frame.image.shape[0]]
            assert np.abs(reel[number][0].astype(int) - luma).mean() < 3, "reels that were joined are in step"


def test_it_speaks_with_its_own_sound(man: Path, locator: FaceLocator, tmp_path: Path) -> None:
    """The acceptance lines; see ``bench.person`` for all of them."""
    with Bench(man, store.load(man), locator) as judged:
        scores = held_out(judged, paint_with(judged), strip=tmp_path / "strip.png")
    nearest, _, _, true, own, other = (scores[name] for name in ROWS)
    assert own.psnr > nearest.psnr
    assert own.psnr - other.psnr >= 1.0
    assert 0.8 <= own.sharp <= 1.25
    assert own.opening >= 0.6
    assert abs(own.lag) <= 1
    assert own.flicker[0] <= 1.2
    assert true.psnr >= 25.5
    assert true.opening >= 0.95
    strip = cv2.imread(str(tmp_path / "strip.png"))
    assert strip is not None
    assert strip.shape == (300, 1500, 3)
    assert bench.table(scores).count("\n") == len(ROWS) + 1


def test_killed_it_goes_on_to_the_same_end(
    pictures: list[Bytes], write: Write, locator: FaceLocator, tmp_path: Path
) -> None:
    film = write(pictures)
    ends = []
    for name in ("whole", "killed"):
        work, into = tmp_path / f"work-{name}", tmp_path / name
        work.mkdir()
        into.mkdir()
        if name == "killed":
            _kill_at_the_first_block(film, into, work)
            made = sorted(work.rglob("block-*.npz"))
            assert made
            stamps = [path.stat().st_mtime_ns for path in made]
        prepare(film, into, ModelStore(), work=work)
        if name == "killed":
            assert [path.stat().st_mtime_ns for path in made] == stamps, "what was done is not done again"
        ends.append(store.load(into))
    whole, killed = ends
    assert killed.points == pytest.approx(whole.points, abs=1.0)
    assert np.abs(killed.points - whole.points).mean() < 0.02
    assert (killed.usable == whole.usable).mean() > 0.99
    assert killed.basis @ whole.basis.T == pytest.approx(np.eye(6), abs=0.05)


def _kill_at_the_first_block(film: Path, into: Path, work: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vivavoce.engines.person.prepare import prepare; "
        "from vivavoce.models import ModelStore; film, into, work = map(Path, sys.argv[1:]); "
        "prepare(film, into, ModelStore(), work=work, report=lambda x, stage: print(stage, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, film, into, work], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in process.stdout:
        if any(work.rglob("block-*.npz")):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "it was killed before its end"


def test_who_reports_may_cancel(pictures: list[Bytes], write: Write, locator: FaceLocator, tmp_path: Path) -> None:
    def report(fraction: float, stage: str) -> None:
        if stage == "track" and fraction > 0.2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        prepare(write(pictures), tmp_path, ModelStore(), report=report)
    assert not (tmp_path / "avatar.json").exists()


def test_the_report_is_told_to_the_user(man: Path) -> None:
    facts = json.loads((man / "avatar.json").read_text())
    assert facts["person"]["advice"][0] in facts["warnings"]
    assert {finding["check"] for finding in facts["report"]["findings"]} >= {"light", "sharpness", "face-size"}
