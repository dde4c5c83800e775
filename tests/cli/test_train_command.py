"""``vivavoce train``, as a user runs it: to its end, interrupted, and taken up again."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from commands import refused
from commands import run as typed

from carried import picture
from films import footage
from lessons import hide_torch, weight
from people import SENTENCE, recording
from shots import write_film
from vivavoce.cli.console import heeded
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media import audio, video


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> "Run":
    return Run(toy, tmp_path)


class Run:
    def __init__(self, toy: Path, folder: Path) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("VIVAVOCE_")}
        path = os.pathsep.join([str(toy), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._environment |= {"VIVAVOCE_DATA_DIR": str(self.data), "COLUMNS": "300", "PYTHONPATH": path}

    def begin(self, film: bytes, *options: str) -> "subprocess.Popen[str]":
        source = self._folder / "me.mp4"
        if not source.exists():
            source.write_bytes(film)
        command = [
            sys.executable,
            "-m",
            "vivavoce",
            "train",
            str(source),
            "--name",
            "mary",
            "--engine",
            "toy",
            *options,
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=pipe, stderr=pipe, text=True)

    def learnt(self) -> dict[str, object]:
        head: dict[str, object] = json.loads((self.data / "avatars" / "mary" / "head.json").read_text())
        return head

    def epochs(self) -> int:
        """How many epochs the checkpoint of the training holds."""
        for path in (self.data / "training").glob("*/*/checkpoint.json") if self.data.exists() else ():
            return int(json.loads(path.read_text())[0])
        return 0


def test_a_person_is_learnt(run: Run) -> None:
    process = run.begin(footage(), "--epochs", "7", "--param", "lr=0.01", "--consent", "--consent-by", "Mary", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["name"], told["trained"]["epochs"], told["consent"]["by"]) == ("mary", 7, "Mary")
    assert run.learnt() == {"epochs": 7, "weight": weight(footage(), 7), "options": {"lr": 0.01}}
    assert list((run.data / "training").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("interruptible")  # a process inherits what is ignored
def test_the_same_command_goes_on(run: Run, how: signal.Signals) -> None:
    options = ("--epochs", "150")
    process = run.begin(footage("slow"), *options)
    until = monotonic() + 90
    while run.epochs() < 20 and monotonic() < until:
        threading.Event().wait(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    reached = run.epochs()
    assert 20 <= reached < 150
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on" in err
    assert not (run.data / "avatars" / "mary").exists()
    again = run.begin(footage("slow"), *options)
    out, err = again.communicate(timeout=100)
    assert again.returncode == 0, err
    assert "The avatar mary is ready" in out
    assert run.learnt()["weight"] == weight(footage("slow"), 150)
    assert list((run.data / "training").iterdir()) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Also where the tests run in the background, whose processes ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeded() as heed:
            os.kill(os.getpid(), signal.SIGINT)
            heed()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_comes_in_a_destructor_is_not_lost() -> None:
    class Last:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)  # without care, Python would only say that it ignored it

    before = signal.getsignal(signal.SIGINT)
    with heeded() as heed:
        heed()
        last = Last()
        del last
        with pytest.raises(KeyboardInterrupt):
            heed()
        with pytest.raises(KeyboardInterrupt):  # the second one waits for nobody
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--param", "speed=1"), "quality, lr"), (("--param", "lr=x"), "lr is a number"), (("--name", "anna"), "anna")],
)
def test_what_cannot_be_trained(run: Run, options: tuple[str, ...], word: str) -> None:
    process = run.begin(footage(), *options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert word in err


def test_without_torch_a_radiance_field_is_refused(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_torch(monkeypatch, tmp_path)
    run = Run(toy, tmp_path)
    process = run.begin(footage(), "--engine", "synctalk")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "vivavoce[neural]" in err


@pytest.mark.neural
@pytest.mark.slow
@pytest.mark.usefixtures("own_folders", "locator")
def test_a_radiance_field_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voice: EspeakVoice) -> None:
    pytest.importorskip("torch", reason="the dependency group neural is not installed")
    monkeypatch.setenv("VIVAVOCE_NERF__DEVICE", "cpu")
    monkeypatch.setenv("VIVAVOCE_NERF__THREADS", "1")
    film = tmp_path / "me.mp4"
    said = audio.decode(recording(voice, " ".join([SENTENCE] * 3)), max_seconds=60, rate=16_000)
    write_film(film, [picture(min(i % 260, 260 - i % 260)) for i in range(210)], 25, sound=said.samples[: 210 * 640])
    small = ("--param", "size=64", "--param", "batch=64", "--param", "lr=0.002")
    made = typed("train", film, "--name", "me", "--engine", "ernerf", "--epochs", "6", *small, "--json")
    assert made.exit_code == 0, made.output
    assert "ER-NeRF takes about 1 minute on this processor" in made.stderr
    told = json.loads(made.stdout)
    assert (told["engine"], told["quality"]["steps"], told["quality"]["ear"]) == ("ernerf", 20, "lips")
    assert (told["trained"]["epochs"], told["trained"]["learnt"]) == (6, True)
    spoken = typed("speak", "Hello.", "--avatar", "me", "--size", "128x128", "-o", tmp_path / "said.mp4")
    assert spoken.exit_code == 0, spoken.output
    assert video.probe(tmp_path / "said.mp4").width == 128


@pytest.mark.usefixtures("own_folders")
def test_only_heads_that_were_learnt_are_evaluated() -> None:
    refused(typed("evaluate", "anna"), 2, "only heads of person can be evaluated")
    refused(typed("evaluate", "nobody"), 2, "There is no avatar")


@pytest.mark.slow
@pytest.mark.usefixtures("own_folders")
def test_a_head_is_trained_and_judged(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"
    trained = typed("train", source, "--name", "man", "--engine", "person", "--json")
    assert trained.exit_code == 0, trained.output
    strip, plot, notes = tmp_path / "strip.png", tmp_path / "plot.svg", tmp_path / "notes.md"
    judged = typed("evaluate", "man", "--quick", "--strip", strip, "--plot", plot, "--write", notes, "--json")
    assert judged.exit_code == 0, judged.output
    rows = json.loads(judged.stdout)
    assert all(row["value"] is not None for row in rows)
    assert strip.stat().st_size > 10_000
    assert plot.read_text(encoding="utf-8").count("<polyline") == 4
    assert "As networks see it" not in notes.read_text(encoding="utf-8"), "nobody has given it weights"
    _judged_by_networks(tmp_path, monkeypatch)


def _judged_by_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files of the right form, whose figures mean nothing; where torch is installed."""
    if importlib.util.find_spec("torch") is None:
        return
    from scores import write_weights

    write_weights(folder)
    monkeypatch.setenv("VIVAVOCE_MODELS__DIR", str(folder))
    judged = typed("evaluate", "man", "--quick", "--write", folder / "seen.md", "--json")
    assert judged.exit_code == 0, judged.output
    seen = (folder / "seen.md").read_text(encoding="utf-8").partition("As networks see it")[2]
    lines = [line.split("|") for line in seen.strip().splitlines()]
    film, own = (next(line for line in lines if line[1].strip() == name) for name in ("the film itself", "own sound"))
    assert float(film[2]) == float(film[3]) == 0 < float(own[3])
    assert float(film[5]) > 0
