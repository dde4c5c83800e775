"""Trainings over HTTP: ``/model_training`` by its document, ``/v1/models`` by ours."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from films import footage, lasting
from lessons import NORMAL, asked, ended, hide_torch, learnt, native, rest, weight
from loads import follow
from serving import Served
from vivavoce.studio.parameters import OPTIONS

FILM = footage()


def refused(answer: requests.Response, status: int) -> str:
    """The sentence with which the studio's family refuses."""
    body = answer.json()
    assert (answer.status_code, sorted(body)) == (status, ["message", "status"]), answer.text
    assert body["status"] == "error"
    return str(body["message"])


def problem(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


@pytest.fixture
def torchless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_torch(monkeypatch, tmp_path)


# ---- the document's call


@pytest.mark.usefixtures("torchless")
def test_a_training_by_the_document(serve: Callable[..., Served]) -> None:
    server = serve(defaults__face_engine="toy")
    answer = asked(
        server,
        footage("slow"),
        model_choice="SyncTalk",
        gpu_choice="GPU0",
        epoch="60",
        custom_params="lr=0.001,batch=4",
        consent="true",
        consent_by="Mary",
    )
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert re.fullmatch(r"train_\d{8}_\d{6}", body["task_id"])
    assert body["status"] == "success"
    assert body["message"].startswith("模型训练开始")
    assert "SyncTalk is not installed here: learnt by toy; GPU0 is not here" in body["message"]
    assert re.fullmatch(r"user_\d{8}", body["speaker_id"])

    happened = list(follow(server.url, body["task_id"]))
    assert [number for number, _, _ in happened] == list(range(1, len(happened) + 1))
    told = [data for _, kind, data in happened if kind == "progress" and "epoch" in data]
    assert {"track", "refine"} <= {data["stage"] for data in told}
    refining = [data for data in told if data["stage"] == "refine"]
    assert all(data["epochs"] == 60 and data["loss"] == pytest.approx(1 / data["epoch"], rel=0.6) for data in refining)
    assert [data["epoch"] for data in refining] == sorted(data["epoch"] for data in refining)
    assert any(data["remaining"] and 0 < data["remaining"] < 60 for data in refining)
    picture = requests.get(server.url + refining[-1]["preview_url"], timeout=10)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")

    _, _, last = happened[-1]
    assert last["state"] == "succeeded"
    assert last["result"]["trained"]["epochs"] == 60
    head = learnt(server, body["speaker_id"])
    assert head["weight"] == weight(footage("slow"), 60)
    assert head["options"] == {"lr": 0.001, "batch": 4}
    assert rest(server) == []

    (record,) = requests.get(f"{server.url}/api/history/model_training", timeout=10).json()["history"]
    assert (record["id"], record["status"]) == (body["task_id"], "completed")
    assert record["parameters"]["custom_params"] == "lr=0.001,batch=4"
    assert record["parameters"]["ref_video"] == "me.mp4"
    assert "source" not in record["parameters"]
    assert record["result"]["speaker_id"] == body["speaker_id"]

    fields = {"model_name": "toy", "model_param": f"models/{body['speaker_id']}", "ref_audio_id": "espeak/m1"}
    film = requests.post(
        f"{server.url}/video_generation",
        files={k: (None, v) for k, v in (fields | {"gpu_choice": "CPU", "target_text": "Hello."}).items()},
        timeout=60,
    )
    assert film.json()["status"] == "success"


def test_many_at_once_get_ids_and_names_of_their_own(serve: Callable[..., Served]) -> None:
    server = serve()
    bodies = [asked(server, FILM).json() for _ in range(4)]
    assert len({body["task_id"] for body in bodies}) == len({body["speaker_id"] for body in bodies}) == 4
    assert all(re.fullmatch(r"train_\d{8}_\d{6}(_\d+)?", body["task_id"]) for body in bodies)
    assert all(re.fullmatch(r"user_\d{8}(_\d+)?", body["speaker_id"]) for body in bodies)
    for body in bodies:
        assert ended(server, body["task_id"])["state"] == "succeeded"
        assert learnt(server, body["speaker_id"])["weight"] == weight(FILM, 6)


def test_the_task_id_leads_everywhere(server: Served) -> None:
    body = asked(server, footage("slow"), epoch="5000", speaker_id="leads").json()
    url = f"{server.url}/v1/jobs/{body['task_id']}"
    for _, kind, data in follow(server.url, body["task_id"]):
        if kind == "progress" and data.get("epoch", 0) > 2:
            break
    job = requests.get(url, timeout=10).json()
    assert (job["kind"], job["state"]) == ("model_training", "running")
    assert job["training"]["epoch"] > 2
    assert job["training"]["epochs"] == 5000
    assert job["training"]["preview_url"].startswith("/v1/media/")
    assert "source" not in job["params"]
    assert requests.delete(url, timeout=20).json()["state"] == "cancelled"
    assert requests.get(f"{server.url}/v1/avatars/leads", timeout=10).status_code == 404
    assert rest(server) == []


# ---- films by name


@pytest.fixture(scope="module")
def kept(server: Served) -> str:
    """The name of a film among the uploads."""
    files = {"file": ("my film.mp4", FILM, "video/mp4")}
    name: str = requests.post(f"{server.url}/files/upload", files=files, timeout=20).json()["filename"]
    return name


@pytest.mark.parametrize("form", ["{}", "uploads/{}", "/uploads/{}", ".\\uploads\\{}", "files/download/{}"])
def test_the_ways_to_write_an_upload(server: Served, kept: str, form: str) -> None:
    body = asked(server, ref_video=form.format(kept), epoch="5000").json()
    assert body["status"] == "success", body
    assert requests.delete(f"{server.url}/v1/jobs/{body['task_id']}", timeout=20).status_code in (200, 409)
    assert requests.get(f"{server.url}/files/download/{kept}", timeout=10).content == FILM, "the upload is kept"


@pytest.mark.parametrize(
    "path",
    [
        *("../{}", "uploads/../{}", "/etc/passwd", "/path/to/video.mp4", "..\\{}", "C:\\films\\{}", "//uploads/{}"),
        *("uploads/./{}", "uploads/sub/{}", "~/{}", "file:///{}", "http://127.0.0.1/{}", "uploads/%2e%2e/{}"),
        *("nobody.mp4", "/proc/self/environ", "concat:{}", "uploads/{}/", "jobs.db", "/dev/zero", "{}\x00.mp4"),
        *(".", "..", "/", "uploads/", "\\\\server\\share\\{}", "avatars/toy/avatar.json", "artifacts/{}"),
    ],
)
def test_a_path_that_leads_elsewhere_is_not_found(server: Served, kept: str, path: str) -> None:
    nothing = refused(asked(server, ref_video="nobody.mp4"), 404)
    assert refused(asked(server, ref_video=path.format(kept)), 404) == nothing


def test_a_link_among_the_uploads_leads_nowhere(server: Served, kept: str) -> None:
    (folder,) = {p.parent for p in (server.data / "files").rglob("*.mp4")}
    (folder / "linked.mp4").symlink_to(folder / kept)
    refused(asked(server, ref_video="linked.mp4"), 404)


# ---- what is refused


@pytest.mark.parametrize("name", ["model_choice", "gpu_choice", "ref_video"])
def test_a_missing_field(server: Served, name: str) -> None:
    fields = {key: (None, value) for key, value in NORMAL.items() if key != name}
    files: dict[str, Any] = fields if name == "ref_video" else fields | {"ref_video": ("a.mp4", FILM)}
    assert name in refused(requests.post(f"{server.url}/model_training", files=files, timeout=20), 400)


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"model_choice": "Wav2Vec"}, 400, "SyncTalk, ER-NeRF"),
        ({"gpu_choice": "GPU7"}, 400, "GPU0, GPU1"),
        ({"epoch": "0"}, 400, "from 1"),
        ({"epoch": "-3"}, 400, "epoch"),
        ({"epoch": "2.5"}, 400, "epoch"),
        ({"epoch": "many"}, 400, "epoch"),
        ({"epoch": "9" * 400}, 400, "epoch"),
        ({"epoch": "٣"}, 400, "epoch"),
        ({"custom_params": "speed=3"}, 400, ", ".join(OPTIONS)),
        ({"custom_params": '{"lr": 0.001, "__class__": 1}'}, 400, "lr"),
        ({"custom_params": "lr"}, 400, "lr=0.001,batch=4"),
        ({"custom_params": "lr=fast"}, 400, "lr is a number"),
        ({"custom_params": "lr=nan"}, 400, "lr is a number"),
        ({"custom_params": "lr=0.1,LR=0.2"}, 400, "twice"),
        ({"custom_params": "batch=2.5"}, 400, "whole"),
        ({"custom_params": '{"batch": true}'}, 400, "whole"),
        ({"custom_params": "quality=superb"}, 400, "fast, best"),
        ({"custom_params": "{lr: 1}"}, 400, "JSON"),
        ({"custom_params": "{" * 1900}, 400, "JSON"),
        ({"custom_params": "a" * 5000}, 400, "2000"),
        ({"custom_params": "max_minutes=0"}, 400, "max_minutes"),
        ({"speaker_id": "../mary"}, 400, "speaker_id"),
        ({"speaker_id": "a" * 80}, 400, "63"),
        ({"speaker_id": "anna"}, 409, "anna"),
        ({"speaker_id": "toy"}, 409, "toy"),
        ({"consent": "perhaps"}, 400, "consent"),
        ({"consent_by": "x" * 3000}, 400, "consent_by"),
        ({"model_param": "x"}, 400, "model_param"),
    ],
)
def test_what_cannot_be_trained(server: Served, change: dict[str, str], status: int, word: str) -> None:
    assert word in refused(asked(server, FILM, **change), status)


@pytest.mark.parametrize(
    ("film", "status", "word"),
    [
        (b"", 400, "empty"),
        (b"I am no film." * 100, 415, "video"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 2000, 415, "picture"),
        (FILM[:600], 415, "MP4"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 2000, 415, "MP4"),
    ],
)
def test_files_that_are_no_film(server: Served, film: bytes, status: int, word: str) -> None:
    assert word in refused(asked(server, film), status)
    assert word in problem(native(server, film), status)
    assert rest(server) == []


def test_a_film_that_lasts_too_long(server: Served) -> None:
    assert "1800" in refused(asked(server, lasting(1900)), 413)
    assert "1800" in problem(native(server, lasting(1900)), 413)


@pytest.mark.usefixtures("torchless")
def test_without_torch_a_radiance_field_is_neither_offered_nor_begun(serve: Callable[..., Served]) -> None:
    server = serve()
    for engine in ("synctalk", "ernerf"):
        words = problem(native(server, FILM, engine=engine), 503)
        assert "vivavoce[neural]" in words
        assert "person" in words
    told = requests.get(f"{server.url}/v1/models", timeout=20).json()
    teachers = {one["engine"]: one for one in told["engines"]}
    assert {"person", "photo", "toy"} <= teachers.keys()
    assert not {"synctalk", "ernerf"} & teachers.keys()
    assert "quality" in teachers["person"]["options"]
    assert "ear" not in teachers["person"]["options"]
    assert teachers["photo"]["options"] == []
    assert requests.get(f"{server.url}/v1/jobs?kind=model_training", timeout=20).json()["jobs"] == []


@pytest.mark.usefixtures("torchless")
def test_without_a_fallback_it_is_refused(serve: Callable[..., Served]) -> None:
    server = serve(defaults__fallback="false")
    words = refused(asked(server, FILM, model_choice="ER-NeRF"), 503)
    assert "ER-NeRF is not installed" in words
    assert "VIVAVOCE_DEFAULTS__FALLBACK" in words
    assert "GPU1 is not here" in refused(asked(server, FILM, gpu_choice="GPU1"), 503)
    assert asked(server, FILM).json()["message"] == "模型训练开始"


def test_without_a_consent_that_is_required_it_is_refused(serve: Callable[..., Served]) -> None:
    server = serve(clones__consent="required")
    assert "consent" in refused(asked(server, FILM), 400)
    assert "consent" in problem(native(server, FILM), 400)
    told = native(server, FILM, {"Prefer": "wait=60"}, consent="true", consent_by="Mary").json()
    assert told["result"]["consent"]["by"] == "Mary"
    kept = json.loads((server.data / "avatars" / "mary" / "avatar.json").read_text())["consent"]
    assert (kept["given"], kept["by"]) == (True, "Mary")


# ---- how it may end


@pytest.mark.parametrize(
    ("word", "code", "sentence"),
    [
        ("faceless", "face-rejected", "in good light"),
        ("bug", "internal", "log says what"),
        ("die", "worker-died", "died"),
    ],
)
def test_a_training_that_fails_leaves_nothing(server: Served, word: str, code: str, sentence: str) -> None:
    body = asked(server, footage(word), speaker_id=f"not-{word}").json()
    last = ended(server, body["task_id"])
    assert (last["state"], last["error"]["code"]) == ("failed", code)
    assert sentence in last["error"]["message"]
    assert "secret" not in json.dumps(last)
    assert rest(server) == []
    assert not (server.data / "avatars" / f"not-{word}").exists()


def test_an_option_that_the_engine_does_not_have(server: Served) -> None:
    last = ended(server, asked(server, FILM, custom_params="quality=best").json()["task_id"])
    assert last["error"] == {"code": "invalid-input", "message": "The toy has no quality."}


def test_an_engine_that_learns_nobody_prepares(server: Served) -> None:
    body = asked(server, FILM, model_choice="photo", speaker_id="prepared").json()
    assert "photo learns nobody" in body["message"]
    assert ended(server, body["task_id"])["error"]["code"] in ("face-rejected", "engine-unavailable")
    assert rest(server) == []


def test_a_second_training_takes_the_place_of_the_first_when_it_is_whole(server: Served) -> None:
    other = footage("slow")
    assert native(server, FILM, {"Prefer": "wait=60"}, name="twice").json()["state"] == "succeeded"
    job = native(server, other, name="twice", epochs="5000").json()
    assert "being made" in problem(native(server, FILM, name="twice"), 409)
    for _, kind, data in follow(server.url, job["id"]):
        if kind == "progress" and data.get("epoch", 0) > 2:
            break
    assert learnt(server, "twice")["weight"] == weight(FILM, 6)
    requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=20)
    assert learnt(server, "twice")["weight"] == weight(FILM, 6), "what was good is kept"
    assert native(server, other, {"Prefer": "wait=60"}, name="twice", epochs="9").json()["state"] == "succeeded"
    assert learnt(server, "twice")["weight"] == weight(other, 9)
    assert rest(server) == []


def test_a_training_that_hangs_is_cancelled_all_the_same(server: Served) -> None:
    body = asked(server, footage("hang"), speaker_id="hangs").json()
    for _, kind, data in follow(server.url, body["task_id"]):
        if kind == "progress" and data.get("epoch", 0) >= 3:
            break
    answer = requests.delete(f"{server.url}/v1/jobs/{body['task_id']}", timeout=20)
    assert answer.json()["state"] == "cancelled"
    assert answer.elapsed.total_seconds() < 5
    assert rest(server) == []


def test_time_that_is_over_ends_the_refinement_with_what_is_good(server: Served) -> None:
    film = footage("slow")
    job = native(
        server, film, {"Prefer": "wait=60"}, name="hurried", epochs="100000", options="max_minutes=0.02"
    ).json()
    assert job["state"] == "succeeded", job
    trained = job["result"]["trained"]
    assert trained["ended"] == "max_minutes"
    head = learnt(server, "hurried")
    assert 1 <= head["epochs"] == trained["epochs"] < 1000
    assert head["weight"] == weight(film, head["epochs"])
    assert head["options"] == {}
    told = requests.get(f"{server.url}/v1/models/hurried", timeout=10).json()
    assert (told["ended"], told["epochs"]) == ("max_minutes", head["epochs"])
    assert told["losses"][-1] == [head["epochs"], pytest.approx(1 / (1 + head["epochs"]), rel=1e-4)]


# ---- /v1/models


def test_a_model_from_its_making_to_its_removal(server: Served) -> None:
    answer = native(server, FILM, name="eva", consent="yes", consent_by="Eva", consent_text="for the museum")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert ended(server, job["id"])["state"] == "succeeded"
    listed = requests.get(f"{server.url}/v1/models", timeout=20).json()
    assert {("toy", True), ("photo", False)} <= {(one["engine"], one["learns"]) for one in listed["engines"]}
    assert listed["default_engine"] in {one["engine"] for one in listed["engines"] if one["learns"]}
    assert [option["name"] for option in listed["options"]] == list(OPTIONS)
    (row,) = [model for model in listed["models"] if model["name"] == "eva"]
    one = requests.get(server.url + row["url"], timeout=10).json()
    assert row.items() <= one.items()
    assert (one["engine"], one["learnt"], one["epochs"]) == ("toy", True, 6)
    assert one["consent"]["text"] == "for the museum"
    assert one["size"] == sum(p.stat().st_size for p in (server.data / "avatars" / "eva").iterdir())
    assert one["quality"]["closed_frames"] == 30
    assert one["losses"][0] == [1, 0.5]
    assert one["created"].startswith("20")
    assert requests.get(server.url + one["poster_url"], timeout=10).headers["content-type"] == "image/jpeg"
    assert requests.get(server.url + one["avatar_url"], timeout=10).json()["kind"] == "video"
    assert requests.delete(server.url + row["url"], timeout=10).status_code == 204
    problem(requests.get(server.url + row["url"], timeout=10), 404)
    problem(requests.delete(server.url + row["url"], timeout=10), 404)


@pytest.mark.parametrize("name", ["anna", "nobody", "..", "%2e%2e%2fjobs.db", "a" * 500, "toy"])
def test_what_is_no_model(server: Served, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert requests.request(method, f"{server.url}/v1/models/{name}", timeout=10).status_code == 404
    assert requests.get(f"{server.url}/v1/avatars/anna", timeout=10).status_code == 200


def test_the_same_call_again_is_the_same_job(server: Served) -> None:
    key = {"Idempotency-Key": "once"}
    first = native(server, FILM, key, name="asked-once").json()
    assert native(server, FILM, key, name="asked-once").json()["id"] == first["id"]
    ended(server, first["id"])
    assert native(server, FILM, key, name="asked-once").json()["id"] == first["id"]
    assert "key" in problem(native(server, footage("slow"), key, name="asked-once"), 409)
    assert rest(server) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "Mary!"}, "avatar's name"),
        ({"engine": "nobody"}, "installed"),
        ({"epochs": "none"}, "epochs"),
        ({"options": "speed=1"}, "quality"),
        ({"gpu": "GPU9"}, "gpu_choice"),
        ({"colour": "red"}, "colour"),
        ({"webhook": "http://example.org/"}, "webhook"),
    ],
)
def test_what_a_model_cannot_be_made_with(server: Served, change: dict[str, str], word: str) -> None:
    assert word.lower() in problem(native(server, FILM, None, **change), 400).lower()


def test_others_neither_see_nor_stop_a_training(serve: Callable[..., Served]) -> None:
    server = serve(server__api_keys='["one", "two"]')
    files: dict[str, Any] = {k: (None, v) for k, v in (NORMAL | {"epoch": "5000"}).items()}
    files["ref_video"] = ("me.mp4", footage("slow"), "video/mp4")
    body = requests.post(f"{server.url}/model_training", files=files, headers={"X-API-Key": "one"}, timeout=30).json()
    url = f"{server.url}/v1/jobs/{body['task_id']}"
    for call in (requests.get, requests.delete):
        assert call(url, headers={"X-API-Key": "two"}, timeout=10).status_code == 404
    other = requests.get(f"{server.url}/api/history/model_training", headers={"X-API-Key": "two"}, timeout=10)
    assert other.json()["total_count"] == 0
    assert requests.delete(url, headers={"X-API-Key": "one"}, timeout=20).json()["state"] == "cancelled"
