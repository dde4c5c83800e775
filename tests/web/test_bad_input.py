"""What clients get wrong: a clear 4xx each, in the family's body, and never a word about our insides."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from serving import Served

GOOD = {"text": "Hello there.", "language": "en"}

BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("no text", {"language": "en"}, 400, "text is required"),
    ("blank", GOOD | {"text": " \n\t"}, 400, "empty"),
    ("only emoji", GOOD | {"text": "😀 🎉!"}, 400, "nothing to say"),
    ("text is a number", GOOD | {"text": 5}, 400, "text must be a string"),
    ("text is nothing", GOOD | {"text": None}, 400, "text must be a string"),
    ("too long", GOOD | {"text": "word " * 1100}, 413, "at most 5000"),
    ("far too long, and in another script", GOOD | {"text": "Привет " * 10_000}, 413, "at most 5000"),
    ("unknown language", GOOD | {"language": "xx"}, 400, "use ru, kk, en, ko, zh"),
    ("language is a list", GOOD | {"language": ["en"]}, 400, "language must be a string"),
    ("another script", GOOD | {"text": "Привет, как дела?"}, 400, "script"),
    ("chunk_size 0", GOOD | {"chunk_size": 0}, 400, "from 5 to 30"),
    ("chunk_size 31", GOOD | {"chunk_size": 31}, 400, "from 5 to 30"),
    ("chunk_size x", GOOD | {"chunk_size": "x"}, 400, "from 5 to 30"),
    ("chunk_size 15.5", GOOD | {"chunk_size": 15.5}, 400, "from 5 to 30"),
    ("chunk_size true", GOOD | {"chunk_size": True}, 400, "from 5 to 30"),
    ("chunk_size null", GOOD | {"chunk_size": None}, 400, "from 5 to 30"),
    ("unknown avatar", GOOD | {"avatar": "nobody"}, 404, "nobody"),
    ("avatar outside", GOOD | {"avatar": "../../etc"}, 404, ""),
    ("unknown engine", GOOD | {"engine": "magic"}, 400, "installed"),
    ("engine of other avatars", GOOD | {"engine": "photo"}, 400, "made by"),
    ("unknown voice", GOOD | {"voice": "nobody"}, 400, ""),
    ("unknown voice engine", GOOD | {"voice": "magic/f1"}, 400, "installed"),
    ("strange size", GOOD | {"resolution": "big"}, 400, "720p"),
    ("odd size", GOOD | {"resolution": "511x512"}, 400, "even"),
    ("huge size", GOOD | {"resolution": "4000x4000"}, 400, "1920"),
    ("size is a number", GOOD | {"resolution": 720}, 400, "resolution must be a string"),
]


def refused(answer: requests.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["success", "error"]
    assert body["success"] is False
    assert words in body["error"]
    assert body["error"][0].isalnum()
    assert body["error"][-1] in ".]"
    for inside in ("Traceback", "vivavoce", "site-packages", "/home", "/tmp", "pydantic"):
        assert inside not in body["error"]


@pytest.mark.parametrize(("body", "status", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_stream_chunks_refuses(server: Served, body: dict[str, Any], status: int, words: str) -> None:
    refused(requests.post(f"{server.url}/api/stream_chunks", json=body, timeout=30), status, words)


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
@pytest.mark.parametrize(("body", "status"), [(b[1], b[2]) for b in BAD if "chunk_size" not in b[1]])
def test_films_are_refused_alike(server: Served, path: str, body: dict[str, Any], status: int) -> None:
    refused(requests.post(f"{server.url}/api/{path}", json=body, timeout=30), status, "")


def test_refusals_come_before_the_stream_of_events(server: Served) -> None:
    headers = {"Accept": "text/event-stream"}
    body = GOOD | {"voice": "nobody"}
    refused(requests.post(f"{server.url}/api/stream_chunks", json=body, headers=headers, timeout=30), 400, "")


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"text"', b"\xff\xfe", b"null", b'{"text": "' + b"[" * 5000])
def test_what_is_no_json_object_is_refused(server: Served, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    refused(requests.post(f"{server.url}/api/stream_chunks", data=body, headers=headers, timeout=30), 400, "JSON")


def test_a_form_is_refused_with_the_right_way(server: Served) -> None:
    refused(requests.post(f"{server.url}/api/generate", data=GOOD, timeout=30), 400, "Content-Type: application/json")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_twenty_megabytes_is_refused(server: Served, declared: bool) -> None:
    block = b"x" * 1_000_000
    data: Any = block * 20 if declared else (block for _ in range(20))
    headers = {"Content-Type": "application/json"}
    refused(requests.post(f"{server.url}/api/stream_chunks", data=data, headers=headers, timeout=60), 413, "too large")


def test_wrong_methods_and_addresses(server: Served) -> None:
    refused(requests.get(f"{server.url}/api/stream_chunks", timeout=30), 405, "POST")
    refused(requests.get(f"{server.url}/api/nothing", timeout=30), 404, "nothing at this address")
    assert requests.get(f"{server.url}/elsewhere", timeout=30).json() == {"detail": "There is nothing at this address."}
    problem = requests.get(f"{server.url}/v1/elsewhere", timeout=30)
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == 404


@pytest.mark.parametrize(
    "name",
    [
        "none",
        "20251028_123456_000000_0",
        "..%2F..%2Fetc%2Fpasswd",
        "..",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "%5C..%5C",
        "x" * 3000,
    ],
)
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_ids_that_are_none_find_nothing(server: Served, kind: str, name: str) -> None:
    answer = requests.Request("GET", f"{server.url}/api/chunk/{kind}/x").prepare()
    answer.url = f"{server.url}/api/chunk/{kind}/{name}"
    with requests.Session() as session:
        refused(session.send(answer, timeout=30), 404, "")


def test_a_voice_that_never_ends_is_stopped(serve: Callable[..., Served]) -> None:
    server = serve(limits__tts_seconds="0.3", work__processes="1")
    refused(requests.post(f"{server.url}/api/generate", json=GOOD | {"voice": "mute/"}, timeout=30), 504, "0.3 seconds")
    assert requests.post(f"{server.url}/api/generate", json=GOOD, timeout=30).status_code == 200


def test_too_many_requests_at_once(serve: Callable[..., Served]) -> None:
    server = serve(limits__waiting="1", work__processes="1")
    url = f"{server.url}/api/generate_stream"
    with requests.post(url, json=GOOD | {"text": "slowly " * 60}, timeout=30, stream=True) as first:
        assert first.status_code == 200
        second = requests.post(f"{server.url}/api/generate", json=GOOD, timeout=30)
        refused(second, 429, "try again")
        assert int(second.headers["retry-after"]) > 0


def test_keys_when_there_are_any(serve: Callable[..., Served]) -> None:
    origins = '["http://ours.example"]'
    server = serve(server__api_keys='["other", "secret"]', server__cors_origins=origins, work__processes="1")
    url = f"{server.url}/api/generate"
    refused(requests.post(url, json=GOOD, timeout=30), 401, "X-API-Key")
    for wrong in (
        *({"X-API-Key": key} for key in ("Secret", "secre", "secret2", "", "s\xe9cret")),
        *({"Authorization": words} for words in ("secret", "Basic secret", "Bearer", "Bearer ", "Bearer wrong")),
    ):
        refused(requests.post(url, json=GOOD, headers=wrong, timeout=30), 401, "")
    assert requests.post(url, json=GOOD, headers={"X-API-Key": "secret"}, timeout=30).status_code == 200
    shown = requests.get(f"{server.url}/api/avatar?name=nobody", timeout=30)
    refused(shown, 404, "nobody")
    assert "toy" not in shown.text, "a stranger is told no names"
    for path in ("/v1/avatars", "/v1/voices", "/api/avatars", "/api/chunk", "/nothing"):
        assert requests.get(server.url + path, timeout=30).status_code == 401, path
    ours, theirs = {"Origin": "http://ours.example"}, {"Origin": "http://theirs.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,content-type"}
    allowed = requests.options(url, headers=ours | asked, timeout=30)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "http://ours.example")
    assert "x-api-key" in allowed.headers["access-control-allow-headers"].lower()
    refusal = requests.post(url, json=GOOD, headers=ours, timeout=30)
    assert (refusal.status_code, refusal.headers["access-control-allow-origin"]) == (401, "http://ours.example")
    assert requests.options(url, headers=theirs | asked, timeout=30).status_code == 400
    kept = requests.get(f"{server.url}/api/health", headers=theirs, timeout=30)
    assert "access-control-allow-origin" not in kept.headers
    bearer = {"Authorization": "bearer secret"}
    made = requests.post(f"{server.url}/api/stream_chunks", json=GOOD, headers=bearer, timeout=30).json()
    assert requests.get(server.url + made["chunks"][0]["video_url"], timeout=30).status_code == 200
    assert requests.get(f"{server.url}/", timeout=30).status_code == 200
