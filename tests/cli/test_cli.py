"""The commands do what their help says, and fail in one sentence with a telling exit code."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
from commands import refused, run
from typer.testing import CliRunner

from vivavoce import __version__
from vivavoce.cli import app
from vivavoce.cli.serve import bind
from vivavoce.media.audio import write_wav
from vivavoce.media.picture import write_jpeg
from vivavoce.media.video import probe, read_frames
from vivavoce.testing import sample_speech

pytestmark = pytest.mark.usefixtures("own_folders")

PROGRAM = [sys.executable, "-c", "from vivavoce.cli import main; main()"]


def test_help_and_version_load_nothing_heavy() -> None:
    assert __version__ in run("--version").output
    assert {"speak", "serve", "doctor", "bench"} <= set(run("--help").output.split())
    program = (
        "import sys, vivavoce.cli; print(sorted({'numpy', 'cv2', 'av', 'fastapi', 'pydantic'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_speak_makes_a_film(tmp_path: Path) -> None:
    result = run("speak", "Сәлем!", "-o", "hello.mp4", "--size", "128x160", "--fps", 12)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("hello.mp4: ")
    assert "language kk" in result.stdout
    made = probe(tmp_path / "hello.mp4")
    assert (made.width, made.height, round(made.fps)) == (128, 160, 12)
    assert made.has_audio
    assert made.seconds > 0.5
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"hello.mp4"}


def test_speak_follows_a_recording(tmp_path: Path) -> None:
    recording = sample_speech(1.5).audio
    write_wav(tmp_path / "in.wav", recording)
    result = run("speak", "--audio", "in.wav", "-o", "out.mp4", "--size", "128x128")
    assert result.exit_code == 0, result.output
    assert probe(tmp_path / "out.mp4").seconds == pytest.approx(1.5, abs=0.4)


def test_speak_reads_the_standard_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["speak", "-", "-o", "[red]a.mp4", "--size", "128x128"], input="Hi.")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "[red]a.mp4").is_file()
    assert result.stdout.startswith("[red]a.mp4: "), "a name is no markup"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["speak", "  "], "nothing to say"),
        (["speak", "Hello", "-o", "film.avi"], ".mp4"),
        (["speak", "Hello", "-o", "nowhere/film.mp4"], "does not exist"),
        (["speak", "Hello", "--language", "xx"], "xx"),
        (["speak", "Hello", "--language", "ru"], "ru"),
        (["speak", "🙂🙂"], ""),
        (["speak", "Hello", "--size", "9x9"], "9x9"),
        (["speak", "Hello", "--fps", "5"], "12"),
        (["speak", "Hello", "--avatar", "nobody"], "nobody"),
        (["speak", "Hello", "--avatar", "missing.jpg"], "missing.jpg"),
        (["speak", "Hello", "--avatar", "\\[/x].jpg"], "\\[/x].jpg"),
        (["speak", "Hello", "--avatar", "text.jpg"], ""),
        (["speak", "Hello", "--voice", "no-such-voice"], "no-such-voice"),
        (["speak", "--audio", "missing.wav"], "missing.wav"),
        (["speak", "--audio", "text.jpg"], ""),
        (["avatars", "add", "me", "missing.jpg"], "missing.jpg"),
        (["avatars", "add", "../me", "text.jpg"], ""),
        (["avatars", "rm", "anna"], "anna"),
        (["avatars", "rm", "nobody"], "nobody"),
        (["models", "path", "nothing"], "face-mesh"),
        (["serve", "--also", "x"], "port"),
        (["serve", "--host", "0.0.0.0"], "API_KEYS"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(tmp_path: Path, args: list[str], says: str) -> None:
    (tmp_path / "text.jpg").write_text("I am no picture, and no sound.")
    refused(run(*args), 2, says)
    assert not list(tmp_path.rglob("*.mp4"))
    assert not list(tmp_path.rglob("*.part"))


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_SERVER__PORT", "many")
    refused(run("models", "list"), 2, "VIVAVOCE_SERVER__PORT")
    assert run("doctor").exit_code == 1


def test_a_missing_model_is_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jpeg(tmp_path / "photo.jpg", np.full((400, 300, 3), 120, np.uint8))
    monkeypatch.setenv("VIVAVOCE_MODELS__CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("VIVAVOCE_MODELS__OFFLINE", "true")
    refused(run("speak", "Hello", "--avatar", "photo.jpg"), 3, "vivavoce models pull")
    assert "not here yet" in run("models", "list").output


def test_lists() -> None:
    assert {"anna", "aigul", "david"} <= set(run("avatars", "list").output.split())
    voices = run("voices", "list", "--language", "kk").output
    assert "espeak/" in voices
    assert "kk" in voices
    assert "face-detector" in run("models", "list").output


def test_a_photo_becomes_an_avatar_and_goes(shared: Path, tmp_path: Path) -> None:
    photo = shared / "media" / "portraits" / "woman_0033.jpg"
    made = run("avatars", "add", "guide", photo)
    if made.exit_code == 3:
        pytest.skip("the face nets cannot be had here")
    assert made.exit_code == 0, made.output
    assert "guide" in run("avatars", "list").output
    assert run("avatars", "preview", "guide", "--size", "128x128", "-o", "guide.mp4").exit_code == 0
    assert probe(tmp_path / "guide.mp4").seconds > 1
    assert run("avatars", "rm", "guide").exit_code == 0
    assert "guide" not in run("avatars", "list").output.split()
    direct = run("speak", "Hi.", "--avatar", photo, "-o", "direct.mp4", "--size", "128x128")
    assert direct.exit_code == 0, direct.output
    assert not list((tmp_path / "data").rglob("avatar.json")), "a guest is not kept"


def test_a_drawing_talks_with_landmarks_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No net finds its face, and none is here: a few points are enough."""
    monkeypatch.setenv("VIVAVOCE_MODELS__CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("VIVAVOCE_MODELS__OFFLINE", "true")
    drawing = np.full((480, 640, 3), 200, np.uint8)
    cv2.ellipse(drawing, (310, 255), (95, 135), 0, 0, 360, (225, 180, 150), -1)
    for x in (267, 353):
        cv2.ellipse(drawing, (x, 230), (18, 9), 0, 0, 360, (40, 40, 90), -1)
    cv2.ellipse(drawing, (310, 322), (30, 12), 0, 0, 360, (170, 60, 70), -1)
    write_jpeg(tmp_path / "drawing.jpg", drawing)
    eyes = {"left_eye_outer": [250, 230], "left_eye_inner": [285, 230]}
    eyes |= {"right_eye_inner": [335, 230], "right_eye_outer": [370, 230]}
    mouth = {"mouth_left": [280, 322], "mouth_right": [340, 322], "upper_lip_top": [310, 310]}
    points = {**eyes, **mouth, "lower_lip_bottom": [310, 334], "chin": [310, 385]}
    (tmp_path / "points.json").write_text(json.dumps(points))
    made = run("avatars", "add", "doll", "drawing.jpg", "--landmarks", "points.json")
    assert made.exit_code == 0, made.output
    spoken = run("speak", "Mama.", "--avatar", "doll", "-o", "doll.mp4", "--size", "256x256")
    assert spoken.exit_code == 0, spoken.output
    frames = [f.image.astype(int) for f in read_frames(tmp_path / "doll.mp4")]
    assert max(np.abs(f - frames[0]).max() for f in frames) > 40, "the drawing moves"
    (tmp_path / "points.json").write_text('{"chin": [310, 385]}')
    refused(run("avatars", "add", "doll2", "drawing.jpg", "--landmarks", "points.json"), 2, "left_eye_outer")


def test_the_doctor_finds_this_machine_fit() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    for what in ("OpenCV", "PyAV", "voice", "face", "models", "data folder", "port"):
        assert what in result.output


def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused(run("serve", "--port", taken.getsockname()[1]), 2, "choose another with --port")


def test_connections_do_not_wait_for_nagle() -> None:
    """asyncio sets TCP_NODELAY on an accepted connection only when its protocol is named."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that a test starts; whatever happens, they end with it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list["subprocess.Popen[str]"], end: signal.Signals
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = [*PROGRAM, "speak", "one two three four five six seven " * 25, "-o", "long.mp4", "--size", "128x128"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a runner in the background ignores it
    )
    started.append(process)
    while not list(tmp_path.glob("*.part")):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(end)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []
    assert list(temporary.iterdir()) == []
    _, alive = psutil.wait_procs(helpers, timeout=5)
    assert alive == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_serve_listens_on_every_port_and_ends_well(
    tmp_path: Path, started: list["subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setenv("VIVAVOCE_WORK__PROCESSES", "1")
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        second = free.getsockname()[1]
    command = [*PROGRAM, "serve", "--port", "0", "--also", str(second)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    started.append(process)
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    addresses = [line.split()[-1] for line in lines]
    assert addresses[1].endswith(f":{second}")
    for address in addresses:
        assert httpx.get(f"{address}/livez", timeout=30).status_code == 200
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(end)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    _, alive = psutil.wait_procs(helpers, timeout=5)
    assert alive == []
