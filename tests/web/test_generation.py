"""Family D films: models that stand for engines, voices by name, cards that are not here; refused in its own words."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import av
import pytest
import requests

from lessons import hide_torch
from partners import Partner, partner
from serving import Served

GOOD = {
    "model_name": "SyncTalk",
    "model_param": "models/toy",
    "ref_audio_id": "espeak/f2",
    "gpu_choice": "GPU0",
    "target_text": "Hello from the studio.",
}
TALK = {"model_name": "SyncTalk", "model_param": "toy", "ref_audio_id": "espeak/f2", "api_choice": "glm-4-plus"}


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[tuple[Served, Partner]]:
    """A server that talks to a model server under the name of the document."""
    with ExitStack() as stack:
        model = stack.enter_context(partner())
        models = json.dumps({"glm-4-plus": {"base_url": model.url, "model": "glm-4-plus"}})
        settings = {"chats__models": models, "defaults__language": "en"}
        yield stack.enter_context(start(**settings)), model


def sent(server: Served, path: str, fields: dict[str, str], files: Any = None, **more: Any) -> requests.Response:
    """A form, as browsers send it."""
    parts = [(name, (None, value)) for name, value in fields.items()]
    return requests.post(f"{server.url}{path}", files=[*parts, *(files or [])], timeout=90, **more)


def refused(answer: requests.Response, status: int) -> str:
    """The sentence of a refusal in the family's words."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"status", "message"}
    assert body["status"] == "error"
    return str(body["message"])


@pytest.fixture
def torchless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_torch(monkeypatch, tmp_path)


@pytest.mark.usefixtures("torchless")
def test_a_film_and_what_stood_in_for_what_is_not_here(serve: Callable[..., Served], tmp_path: Any) -> None:
    server = serve()
    answer = sent(server, "/video_generation", GOOD)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    assert body["message"].startswith("视频生成成功")
    assert "SyncTalk is not installed here" in body["message"]
    assert "GPU0 is not here" in body["message"]
    film = requests.get(f"{server.url}{body['video_path']}?t=1764152345678", timeout=10)
    assert film.headers["content-type"] == "video/mp4"
    (tmp_path / "film.mp4").write_bytes(film.content)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
    part = requests.get(f"{server.url}{body['video_path']}", headers={"Range": "bytes=0-99"}, timeout=10)
    assert (part.status_code, part.content) == (206, film.content[:100])
    assert requests.head(f"{server.url}{body['video_path']}", timeout=10).headers["content-length"] == str(
        len(film.content)
    )
    for path in (f"/video{body['video_path']}", f"/video/{body['video_path'].rpartition('/')[2]}"):
        assert requests.get(f"{server.url}{path}", timeout=10).content == film.content


def test_what_is_here_needs_no_excuse(server: Served) -> None:
    answer = sent(server, "/video_generation", GOOD | {"model_name": "toy", "gpu_choice": "CPU"})
    assert answer.json()["message"] == "视频生成成功"


def test_the_past_tells_parameters_and_result(serve: Callable[..., Served]) -> None:
    server = serve()
    made = sent(server, "/video_generation", GOOD).json()
    refused(sent(server, "/video_generation", GOOD | {"ref_audio_id": "nobody"}), 404)
    held = requests.get(f"{server.url}/api/history/video_generation", timeout=10).json()
    assert held["total_count"] == 1, "what is refused is no work"
    record = held["history"][0]
    assert record["status"] == "completed"
    assert GOOD.items() <= record["parameters"].items()
    assert record["result"]["video_path"] == made["video_path"]
    assert record["result"]["duration"] == pytest.approx(made["duration"], abs=0.01)


@pytest.mark.usefixtures("torchless")
def test_without_a_fallback_it_is_refused(serve: Callable[..., Served]) -> None:
    server = serve(defaults__fallback="false")
    words = refused(sent(server, "/video_generation", GOOD), 503)
    assert "SyncTalk is not installed" in words
    assert "VIVAVOCE_DEFAULTS__FALLBACK" in words
    assert sent(server, "/video_generation", GOOD | {"model_name": "toy", "gpu_choice": "cpu"}).status_code == 200


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_field(server: Served, name: str) -> None:
    rest = {key: value for key, value in GOOD.items() if key != name}
    words = refused(sent(server, "/video_generation", rest), 400)
    assert name in words or name == "target_text"
    blank = refused(sent(server, "/video_generation", GOOD | {name: "  "}), 400)
    assert name in blank


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"model_name": "Wav2Vec"}, 400, "SyncTalk, ER-NeRF"),
        ({"gpu_choice": "GPU7"}, 400, "GPU0, GPU1"),
        ({"gpu_choice": "GPU"}, 400, "gpu_choice"),
        ({"model_param": "nobody"}, 404, "model"),
        ({"ref_audio_id": "speaker_1"}, 404, "speaker_1"),
        ({"ref_audio_id": "../speaker_1"}, 404, "voice"),
        ({"target_text": "?!."}, 400, "text"),
        ({"target_text": "a" * 6000}, 413, "6000"),
        ({"model_name": "ER-NeRF", "target_text": ""}, 400, "target_text"),
        ({"speaker_id": "user_20251218"}, 400, "speaker_id"),
    ],
)
def test_what_cannot_be_filmed(server: Served, change: dict[str, str], status: int, word: str) -> None:
    assert word in refused(sent(server, "/video_generation", GOOD | change), status)


def test_a_field_that_contradicts_itself(server: Served) -> None:
    again = [("gpu_choice", (None, "CPU"))]
    assert "twice" in refused(sent(server, "/video_generation", GOOD, again), 400)


def test_a_body_that_is_no_form(server: Served) -> None:
    answer = requests.post(f"{server.url}/video_generation", json=GOOD, timeout=10)
    assert "required" in refused(answer, 400)


def test_films_that_are_not_there(server: Served) -> None:
    for path in ("/static/videos/nobody.mp4", "/static/videos/..%2f..%2fjobs.db", "/static/videos/jobs.db"):
        refused(requests.get(server.url + path, timeout=10), 404)


ELSEWHERE = [
    "/path/to/model",
    "/etc/passwd",
    "/etc/passwd\x00.png",
    "../toy",
    "models/../toy",
    "models/../../etc/passwd",
    "..\\..\\etc\\passwd",
    "C:\\Windows\\win.ini",
    "C:/models/toy",
    "\\\\server\\share\\toy",
    "//server/share/toy",
    "file:///etc/passwd",
    "http://127.0.0.1/models/toy",
    "~/toy",
    "~root/toy",
    "$HOME/toy",
    "models/toy/avatar.json",
    "models/toy/../toy",
    "models//toy",
    "models/./toy",
    "%2e%2e/toy",
    "models/%2e%2e/toy",
    "..%2ftoy",
    "models/..;/toy",
    "/models/",
    "/",
    ".",
    "..",
    "/proc/self/environ",
    "/dev/stdin",
    "models/toy\n",
    "toy\u2024\u2024/x",
    "models/\uff0e\uff0e/toy",
    "a" * 3000,
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_path_leads_elsewhere(server: Served, path: str) -> None:
    """One answer, whether there is something or not."""
    nothing = refused(sent(server, "/video_generation", GOOD | {"model_param": "nobody"}), 404)
    assert refused(sent(server, "/video_generation", GOOD | {"model_param": path}), 404) == nothing


def test_a_link_out_of_the_folder_is_no_model(serve: Callable[..., Served], tmp_path: Any) -> None:
    server = serve()
    outside = tmp_path / "outside"
    (server.data / "avatars" / "toy").rename(outside)
    (server.data / "avatars" / "toy").symlink_to(outside)
    refused(sent(server, "/video_generation", GOOD), 404)


@pytest.mark.parametrize(
    "path", ["toy", "TOY", "models/toy", "/models/toy", "./models/toy", "models\\toy", "\\models\\toy"]
)
def test_the_ways_to_write_a_model(server: Served, path: str) -> None:
    answer = sent(server, "/video_generation", GOOD | {"model_param": path, "gpu_choice": "CPU"})
    assert answer.status_code == 200, answer.text


# ---- conversation


def recording(seconds: float = 1.0) -> bytes:
    from people import webm

    return webm(seconds)


def test_a_recording_in_which_nobody_speaks(house: tuple[Served, Partner]) -> None:
    server, model = house
    model.asked.clear()
    files = [("audio", ("input.wav", recording(), "audio/wav"))]
    answer = sent(server, "/chat_system", TALK, files)
    # where no recogniser is installed, that is said
    assert "heard" in refused(answer, 400) if answer.status_code == 400 else refused(answer, 503)
    assert not model.asked
    assert server.left() == []


@pytest.mark.parametrize("name", [*sorted(TALK), "audio"])
def test_a_missing_field_of_a_conversation(house: tuple[Served, Partner], name: str) -> None:
    server, _ = house
    fields = {key: value for key, value in TALK.items() if key != name}
    files = [] if name == "audio" else [("audio", ("input.wav", recording(), "audio/wav"))]
    assert name in refused(sent(server, "/chat_system", fields, files), 400)


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"api_choice": "nobody"}, 400, "glm-4-plus"),
        ({"api_choice": " "}, 400, "api_choice"),
        ({"session_id": "a b"}, 400, "session_id"),
        ({"model_param": "/etc/passwd"}, 404, "model"),
        ({"ref_audio_id": "speaker_1"}, 404, "speaker_1"),
        ({"gpu_choice": "GPU0"}, 400, "gpu_choice"),
    ],
)
def test_what_cannot_be_asked_of_a_conversation(
    house: tuple[Served, Partner], change: dict[str, str], status: int, word: str
) -> None:
    server, model = house
    model.asked.clear()
    files = [("audio", ("input.wav", recording(), "audio/wav"))]
    assert word in refused(sent(server, "/chat_system", TALK | change, files), status)
    assert not model.asked


def test_no_chat_model_is_set_up(server: Served) -> None:
    files = [("audio", ("input.wav", recording(), "audio/wav"))]
    words = refused(sent(server, "/chat_system", TALK, files), 503)
    assert "ZHIPUAI_API_KEY" in words
    assert "VIVAVOCE_CHATS__MODELS" in words


def test_an_empty_recording(house: tuple[Served, Partner]) -> None:
    server, _ = house
    files = [("audio", ("input.wav", b"", "audio/wav"))]
    assert "empty" in refused(sent(server, "/chat_system", TALK, files), 400)
