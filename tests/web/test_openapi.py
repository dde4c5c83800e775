"""The description of the API is complete and true: every operation in it is called as its own examples say."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import jsonschema
import pytest
import requests

from partners import KEY, partner
from people import enrolled, recording
from serving import Served
from vivavoce.engines.espeak import EspeakVoice

Operation = tuple[str, str, dict[str, Any]]
NATIVE_JOB = {"text": "Hello.", "language": "en"}
SAYS = {"audio_id": "speaker", "gen_audio_id": "hello", "generate_text": "Hello."}


@pytest.fixture(scope="module")
def server(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server that has everything: a chat model to talk to, and a cloner."""
    with ExitStack() as stack:
        model = stack.enter_context(partner())
        models = json.dumps({"mine": {"base_url": model.url, "model": "tiny-model", "api_key": KEY}})
        yield stack.enter_context(start(chats__models=models, clones__engine="toy"))


@pytest.fixture(scope="module")
def schema(server: Served) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{server.url}/openapi.json", timeout=30).json()
    return answer


def operations(schema: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def body_examples(schema: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples of a JSON body, at the body itself or at its model."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    model = content.get("schema", {})
    if "$ref" in model:
        model = schema["components"]["schemas"][model["$ref"].rpartition("/")[2]]
    named = [example["value"] for example in content.get("examples", {}).values()]
    return named or list(model.get("examples", []))


def check(schema: dict[str, Any], operation: dict[str, Any], answer: requests.Response) -> None:
    """The answer is one that the description knows, and has the form that it says."""
    status = str(answer.status_code)
    assert status in operation["responses"], (status, answer.text[:500])
    kind = answer.headers.get("content-type", "").partition(";")[0]
    content = operation["responses"][status].get("content", {})
    assert kind in content, (kind, list(content))
    if kind == "application/json":
        model = {**content[kind]["schema"], "components": schema["components"]}
        jsonschema.validate(answer.json(), model)


def test_every_operation_is_described(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        where = f"{method} {path}"
        assert operation.get("tags"), where
        assert len(operation.get("description", "")) > 15, where
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            assert body_examples(schema, operation), f"{where} has no example"
        for status, response in operation["responses"].items():
            assert response["description"] not in ("", "Successful Response") or status == "200", where
            if int(status) >= 400:
                assert response.get("content"), f"{where} does not say what {status} looks like"
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["in"] == "path" or "enum" in json.dumps(parameter), where
    assert "/v1/workers/claim" not in schema["paths"]
    assert {"Key", "Bearer"} == set(schema["components"]["securitySchemes"])


def test_examples_of_bodies_work(server: Served, schema: dict[str, Any]) -> None:
    tried = 0
    for method, path, operation in operations(schema):
        for example in body_examples(schema, operation):
            if "{" in path:
                continue
            answer = requests.request(method, server.url + path, json=example, timeout=120)
            assert answer.ok, (path, example, answer.text[:500])
            check(schema, operation, answer)
            tried += 1
    assert tried >= 6


@pytest.fixture(scope="module")
def live(server: Served, voice: EspeakVoice) -> dict[str, str]:
    """Addresses with everything filled in that has to exist before it can be asked for."""
    job = requests.post(f"{server.url}/v1/videos", json=NATIVE_JOB, headers={"Prefer": "wait=60"}, timeout=90).json()
    film = job["result"]["video_url"].rpartition("/")[2]
    name = film.partition(".")[0]
    sound = requests.get(f"{server.url}/assets/audio/{name}.wav", timeout=30).content
    sent = requests.post(f"{server.url}/files/upload", files={"file": ("a.wav", sound)}, timeout=30).json()
    speaker = enrolled(server, recording(voice), id="speaker").json()["clone"]
    says = {name: (None, text) for name, text in SAYS.items()}
    said = requests.post(f"{server.url}/audio_clone", files=says, timeout=30).json()["cloned_audio_path"]
    shutil.copytree(server.data / "avatars" / "toy", server.data / "avatars" / "head")
    facts = {"version": 1, "name": "head", "engine": "toy", "warnings": [], "kind": "video"}
    (server.data / "avatars" / "head" / "avatar.json").write_text(json.dumps(facts))
    ask = {"text": "Hello.", "language": "en"}
    talk = requests.post(f"{server.url}/v1/chat", json=ask, timeout=60).json()["session_id"]
    return {
        "/api/history/{history_type}": "/api/history/chat_system",
        "/files/download/{filename}": f"/files/download/{sent['filename']}",
        "/api/chunk/video/{id}": f"/api/chunk/video/{name}",
        "/api/chunk/audio/{id}": f"/api/chunk/audio/{name}",
        "/video/{file}": f"/video/{film}",
        "/assets/audio/{file}": f"/assets/audio/{name}.wav",
        "/static/videos/{file}": f"/static/videos/{film}",
        "/static/voices/{file}": said,
        "/video/static/videos/{file}": f"/video/static/videos/{film}",
        "/v1/avatars/{name}": "/v1/avatars/anna",
        "/v1/avatars/{name}/idle": "/v1/avatars/anna/idle",
        "/v1/avatars/{name}/poster": "/v1/avatars/anna/poster",
        "/v1/chat/{session_id}": f"/v1/chat/{talk}",
        "/v1/models/{name}": "/v1/models/head",
        "/v1/voices/{id}": speaker["url"],
        "/v1/voices/{id}/recordings/{number}": speaker["recordings"][0],
        "/v1/jobs/{id}": f"/v1/jobs/{job['id']}",
        "/v1/jobs/{id}/events": f"/v1/jobs/{job['id']}/events",
        "/v1/media/{file}": f"/v1/media/{film}",
    }


def test_everything_that_is_read_can_be_read(server: Served, schema: dict[str, Any], live: dict[str, str]) -> None:
    for method, path, operation in operations(schema):
        if method == "get":
            assert "{" not in path or path in live, f"say how {path} is to be called"
            answer = requests.get(server.url + live.get(path, path), timeout=60)
            assert answer.status_code == 200, (path, answer.text[:500])
            check(schema, operation, answer)


@pytest.mark.parametrize("case", ["cancel a job", "cancel a task", "clean up"])
def test_what_is_ended_and_removed(server: Served, schema: dict[str, Any], case: str) -> None:
    def endless() -> str:
        body = {"text": "forever", "language": "en"}
        return str(requests.post(f"{server.url}/v1/videos", json=body, timeout=30).json()["id"])

    calls: dict[str, tuple[str, str, Callable[[], str]]] = {
        "cancel a job": ("delete", "/v1/jobs/{id}", lambda: f"/v1/jobs/{endless()}"),
        "cancel a task": ("post", "/api/cancel/{task_id}", lambda: f"/api/cancel/{endless()}"),
        "clean up": ("post", "/api/cleanup", lambda: "/api/cleanup"),
    }
    method, path, made = calls[case]
    answer = requests.request(method, server.url + made(), timeout=30)
    assert answer.status_code == 200, answer.text
    check(schema, schema["paths"][path][method], answer)
