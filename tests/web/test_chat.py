"""Conversation over ``/v1/chat``: heard, answered by a model server of the real wire format, spoken and filmed."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from time import monotonic
from typing import Any

import av
import pytest
import requests

from partners import KEY, Partner, partner
from serving import Served

THREE = "The ships are in the first hall. Take the stairs down! Mind your step there."


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[tuple[Served, Partner]]:
    """A server that talks to a model server, both shared by the tests of this module."""
    with ExitStack() as stack:
        model = stack.enter_context(partner())
        models = json.dumps({"mine": {"base_url": model.url, "model": "tiny-model", "api_key": KEY}})
        yield stack.enter_context(start(chats__models=models, defaults__language="en")), model


@pytest.fixture
def talking(house: tuple[Served, Partner]) -> tuple[Served, Partner]:
    """The same, the model server well-behaved and with nothing asked."""
    model = house[1]
    model.moods.clear()
    model.answers.clear()
    model.asked.clear()
    model.left.clear()
    model.busy.clear()
    model.otherwise = "Hello there. How are you?"
    return house


def events(server: Served, ask: dict[str, Any], **more: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each event of a turn."""
    more = more or {"json": ask}
    headers = {"Accept": "text/event-stream"}
    with requests.post(f"{server.url}/v1/chat", headers=headers, stream=True, timeout=60, **more) as answer:
        assert answer.status_code == 200, answer.text
        name = ""
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"event: "):
                name = line[7:].decode()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])


def seconds_of(content: bytes, path: Any) -> float:
    path.write_bytes(content)
    with av.open(str(path)) as film:
        assert {stream.type for stream in film.streams} == {"video", "audio"}
        return sum(1 for _ in film.decode(video=0)) / 25


def test_an_answer_is_spoken_sentence_by_sentence_and_is_one_film(
    talking: tuple[Served, Partner], tmp_path: Any
) -> None:
    server, model = talking
    model.otherwise = THREE
    told = list(events(server, {"text": "Where are the ships?", "session_id": "one"}))
    names = [name for name, _ in told if name != "filmed"]
    assert names == ["start", "heard", "chunk", "chunk", "chunk", "done"]
    data = dict(told)
    assert data["heard"] == {"text": "Where are the ships?", "language": "en"}
    chunks = [data for name, data in told if name == "chunk"]
    assert [chunk["index"] for chunk in chunks] == [0, 1, 2]
    assert "".join(chunk["text"] for chunk in chunks).split() == THREE.split()
    assert all(chunk["words"] for chunk in chunks)
    done = data["done"]
    assert done["response"].split() == THREE.split()
    assert done["session_id"] == "one"
    film = requests.get(server.url + done["video_url"], timeout=10)
    assert film.headers["content-type"] == "video/mp4"
    whole = seconds_of(film.content, tmp_path / "film.mp4")
    assert whole == pytest.approx(sum(chunk["duration"] for chunk in chunks), abs=0.05)
    assert whole == pytest.approx(done["duration"], abs=0.05)
    job = requests.get(f"{server.url}/v1/jobs/{done['job_id']}", timeout=10).json()
    assert (job["kind"], job["state"]) == ("chat", "succeeded")
    assert job["result"]["video_url"] == done["video_url"]
    assert job["result"]["response"].split() == THREE.split()
    assert {"voice", "face", "total"} <= job["timings"].keys()


def test_turns_remember_each_other_and_sessions_do_not_mix(talking: tuple[Served, Partner]) -> None:
    server, model = talking

    def parrot(messages: list[tuple[str, str]]) -> str:
        return f"You have said {len([m for m in messages if m[0] == 'user'])} things, the first was {messages[1][1]}"

    model.answers = [parrot] * 6
    replies: dict[str, list[str]] = {"left": [], "right": []}
    for word in ("apples.", "pears.", "plums."):
        for session, held in replies.items():
            ask = {"text": f"{session} {word}", "session_id": f"{session}-talk", "language": "en"}
            answer = requests.post(f"{server.url}/v1/chat", json=ask, timeout=60)
            assert answer.status_code == 200, answer.text
            held.append(answer.json()["response"])
    for session, held in replies.items():
        assert held == [f"You have said {n} things, the first was {session} apples." for n in (1, 2, 3)]
        turns = requests.get(f"{server.url}/v1/chat/{session}-talk", timeout=10).json()["turns"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * 3
        assert all(session in turn["text"] for turn in turns if turn["role"] == "user")
    assert requests.delete(f"{server.url}/v1/chat/left-talk", timeout=10).status_code == 204
    assert requests.get(f"{server.url}/v1/chat/left-talk", timeout=10).json()["turns"] == []
    assert len(requests.get(f"{server.url}/v1/chat/right-talk", timeout=10).json()["turns"]) == 6


def test_two_at_once_do_not_mix(talking: tuple[Served, Partner]) -> None:
    server, model = talking
    model.answers = [lambda messages: f"I have heard {messages[-1][1]}"] * 4
    model.moods = ["slow"] * 4
    model.patience = 0.01
    got: dict[str, str] = {}

    def talk(name: str) -> None:
        answer = requests.post(f"{server.url}/v1/chat", json={"text": f"{name}.", "session_id": name}, timeout=60)
        got[name] = answer.json()["response"]

    threads = [threading.Thread(target=talk, args=(name,)) for name in ("north", "south", "east", "west")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {name: f"I have heard {name}." for name in ("north", "south", "east", "west")}


def test_a_conversation_that_is_answering_is_not_asked_again(talking: tuple[Served, Partner]) -> None:
    server, model = talking
    model.moods = ["stall"]
    turn = events(server, {"text": "Wait for it.", "session_id": "busy"})
    assert [next(turn)[0], next(turn)[0]] == ["start", "heard"]
    model.busy.wait(10)
    answer = requests.post(f"{server.url}/v1/chat", json={"text": "Hurry.", "session_id": "busy"}, timeout=60)
    assert answer.status_code == 409
    assert "still answering" in answer.json()["detail"]
    turn.close()  # type: ignore[attr-defined]
    assert model.left.wait(10), "leaving ends the question"


@pytest.mark.parametrize("mood", ["truncated", "error"])
def test_a_model_that_breaks_off_is_an_honest_error_and_frees_everything(
    talking: tuple[Served, Partner], mood: str
) -> None:
    server, model = talking
    model.otherwise = "One sentence is whole. " * 4
    model.moods = [mood]
    told = list(events(server, {"text": "Go on.", "session_id": f"broken-{mood}"}))
    assert told[-1][0] == "error"
    assert told[-1][1]["code"] in ("engine-unavailable", "timed-out", "overloaded")
    assert KEY not in json.dumps(told)
    chunks = [data for name, data in told if name == "chunk"]
    assert chunks, "what was said before is heard"
    film = requests.get(server.url + chunks[0]["video_url"], timeout=10)
    assert film.status_code == 200
    turns = requests.get(f"{server.url}/v1/chat/broken-{mood}", timeout=10).json()["turns"]
    assert turns[-1]["text"].endswith("…")
    job = requests.get(f"{server.url}/v1/jobs/{told[0][1]['job_id']}", timeout=10).json()
    assert job["state"] == "failed"
    assert server.left() == []
    ask = {"text": "And now?", "session_id": f"broken-{mood}"}
    again = requests.post(f"{server.url}/v1/chat", json=ask, timeout=60)
    assert again.status_code == 200


def test_a_model_server_that_is_gone(start: Callable[..., AbstractContextManager[Served]]) -> None:
    with partner() as model:
        url = model.url
    with start(chats__models=json.dumps({"gone": {"base_url": url, "model": "m"}})) as server:
        answer = requests.post(f"{server.url}/v1/chat", json={"text": "Hello?"}, timeout=60)
        assert answer.status_code == 503
        assert "cannot be reached" in answer.json()["detail"] or "connect" in answer.json()["detail"].lower()
        assert server.left() == []


def test_cancelling_ends_the_question(talking: tuple[Served, Partner]) -> None:
    server, model = talking
    model.moods = ["silent"]
    turn = events(server, {"text": "Anybody there?"})
    job = next(turn)[1]["job_id"]
    assert next(turn)[0] == "heard"
    assert model.busy.wait(10)
    began = monotonic()
    assert requests.delete(f"{server.url}/v1/jobs/{job}", timeout=10).json()["state"] == "cancelled"
    assert monotonic() - began < 2
    assert [name for name, _ in turn] == ["error"]
    assert model.left.wait(10)


def test_the_first_sentence_is_spoken_while_the_model_still_writes(talking: tuple[Served, Partner]) -> None:
    server, model = talking
    model.otherwise = THREE
    model.moods = ["slow"]
    model.patience = 0.1
    first = None
    for name, data in events(server, {"text": "Where are the ships?"}):
        if name == "chunk" and first is None:
            first = data
            with requests.get(server.url + data["video_url"], stream=True, timeout=20) as film:
                head = next(film.iter_content(1 << 10))
            assert b"ftyp" in head
            assert not model.asked[-1].json.get("done")
        if name == "done":
            assert data["response"].split() == THREE.split()
    assert first is not None
    assert first["text"].strip() == "The ships are in the first hall."


def test_nobody_is_set_up(server: Served) -> None:
    held = requests.get(f"{server.url}/v1/chat", timeout=10).json()
    assert held["available"] is False
    assert "VIVAVOCE_CHATS__MODELS" in held["missing"]
    answer = requests.post(f"{server.url}/v1/chat", json={"text": "Hello."}, timeout=10)
    assert answer.status_code == 503
    assert answer.json()["detail"] == held["missing"]


@pytest.mark.parametrize(
    ("ask", "status", "word"),
    [
        ({}, 400, "text"),
        ({"text": "   "}, 400, "text"),
        ({"text": "?!"}, 400, "said"),
        ({"text": "Hello.", "model": "nobody"}, 400, "mine"),
        ({"text": "Hello.", "model": "glm-4-plus"}, 503, "ZHIPUAI_API_KEY"),
        ({"text": "Hello.", "session_id": "../../etc"}, 400, "session_id"),
        ({"text": "Hello.", "avatar": "nobody"}, 404, "avatar"),
        ({"text": "Hello.", "voice": "nothing/at-all"}, 400, "voice engine"),
        ({"text": "Hello.", "voice": "clone/nobody"}, 404, "voice"),
        ({"text": "Hello.", "resolution": "9999p"}, 400, "size"),
        ({"text": "Hello.", "language": "tlh"}, 400, "language"),
        ({"text": "Hello.", "more": 1}, 400, "more"),
        ({"text": 7}, 400, "text"),
        ({"text": "a" * 5001}, 413, "5001"),
    ],
)
def test_what_cannot_be_asked(talking: tuple[Served, Partner], ask: dict[str, Any], status: int, word: str) -> None:
    server, model = talking
    answer = requests.post(f"{server.url}/v1/chat", json=ask, timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]
    assert not model.asked


def test_conversations_of_one_key_are_not_anothers(start: Callable[..., AbstractContextManager[Served]]) -> None:
    with partner() as model:
        models = json.dumps({"mine": {"base_url": model.url, "model": "m"}})
        with start(chats__models=models, server__api_keys='["alpha", "beta"]') as server:
            ask = {"text": "My secret is a plum.", "session_id": "same", "language": "en"}
            for key in ("alpha", "beta"):
                answer = requests.post(f"{server.url}/v1/chat", json=ask, headers={"X-API-Key": key}, timeout=60)
                assert answer.status_code == 200, answer.text
                assert len(model.asked[-1].messages) == 2, "system and question: nothing of the other's"
            held = [
                requests.get(f"{server.url}/v1/chat/same", headers={"X-API-Key": key}, timeout=10).json()["turns"]
                for key in ("alpha", "beta")
            ]
            assert [len(turns) for turns in held] == [2, 2]
