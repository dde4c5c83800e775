"""Family D as its document calls it: recordings are kept, the machine tells its state, the past can be read."""

import io
import re
import wave
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from people import webm
from serving import Served


def saved(server: Served, content: bytes, name: str = "input.wav") -> requests.Response:
    return requests.post(f"{server.url}/save_audio", files={"audio": (name, content, "audio/wav")}, timeout=60)


def test_a_browsers_recording_becomes_a_wav_file(server: Served) -> None:
    answer = saved(server, webm(1.5))
    assert answer.json() == {
        "status": "success",
        "message": "音频保存成功",
        "filename": "input.wav",
        "duration": pytest.approx(1.5, abs=0.05),
    }
    content = requests.get(f"{server.url}/files/download/input.wav", timeout=10).content
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, 48_000, 2)


def test_the_latest_recording_takes_the_place_of_the_one_before(serve: Callable[..., Served]) -> None:
    server = serve()
    for seconds in (0.5, 2.0):
        assert saved(server, webm(seconds)).status_code == 200
    files = [p.name for p in (server.data / "files").rglob("*") if p.is_file()]
    assert files == ["input.wav"]
    content = requests.get(f"{server.url}/files/download/input.wav", timeout=10).content
    with wave.open(io.BytesIO(content)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"this is no sound", 415), (webm()[:60], 415)])
def test_what_is_no_recording_is_refused_in_the_familys_words(server: Served, content: bytes, status: int) -> None:
    answer = saved(server, content)
    assert answer.status_code in (status, 400)
    body = answer.json()
    assert body.keys() == {"status", "message"}
    assert body["status"] == "error"
    assert len(body["message"]) > 20


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([("audio", (None, ""))], "audio is required."),
        ([("nothing", (None, "here"))], "There is no field 'nothing' here; the fields are audio."),
    ],
)
def test_a_form_without_its_recording(server: Served, parts: list[tuple[str, tuple[None, str]]], says: str) -> None:
    answer = requests.post(f"{server.url}/save_audio", files=parts, timeout=10)
    assert answer.status_code == 400
    assert answer.json() == {"status": "error", "message": says}


def test_the_machine_tells_its_state(server: Served) -> None:
    answers = [requests.get(f"{server.url}/api/status", timeout=10).json() for _ in range(3)]
    for held in answers:
        names = {"cpu_percent", "memory_percent", "memory_used", "memory_total", "disk_percent", "gpus", "timestamp"}
        assert held.keys() == names
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", held["timestamp"])
    told = datetime.fromisoformat(answers[-1]["timestamp"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5
    assert isinstance(answers[0]["gpus"], list)


def test_history_that_is_still_empty(serve: Callable[..., Served]) -> None:
    server = serve()
    for kind in ("video_generation", "model_training", "audio_clone", "chat_system"):
        answer = requests.get(f"{server.url}/api/history/{kind}", timeout=10)
        assert answer.json() == {"status": "success", "history": [], "total_count": 0}


@pytest.mark.parametrize("kind", ["prepare", "nothing", "video_generation%20", "..%2Fetc"])
def test_other_histories_are_not_found(server: Served, kind: str) -> None:
    answer = requests.get(f"{server.url}/api/history/{kind}", timeout=10)
    assert answer.status_code == 404


def test_limits_of_history(server: Served) -> None:
    answer = requests.get(f"{server.url}/api/history/chat_system?limit=0", timeout=10)
    assert answer.status_code == 400
    assert answer.json()["status"] == "error"
