"""Family D's ``/audio_clone`` as its document calls it, and every way to call it that makes no sense."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests
from test_paths import ATTACKS

from people import recording, webm
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import decode
from vivavoce.media.synthetic import is_marked

EMPTY = {"original_audio_path": "", "audio_id": "", "target_audio_id": "", "gen_audio_id": "", "generate_text": ""}


@pytest.fixture(scope="module")
def heard(voice: EspeakVoice) -> bytes:
    return recording(voice)


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]], heard: bytes) -> Iterator[Served]:
    """A server whose own cloner is the toy, with an upload and a voice."""
    with start(clones__engine="toy") as served:
        sent = requests.post(f"{served.url}/files/upload", files={"file": ("anna.wav", heard)}, timeout=10).json()
        assert sent == {"filename": "anna.wav"}
        assert clone(served, original_audio_path="anna.wav", audio_id="known").status_code == 200
        yield served


def clone(server: Served, files: Any = None, **fields: str) -> requests.Response:
    """The form as the document's snippets send it: every field, most of them empty; always as multipart."""
    parts = {name: (None, value) for name, value in (EMPTY | fields).items() if not (files and name in files)}
    return requests.post(f"{server.url}/audio_clone", files=parts | (files or {}), timeout=60)


def history(server: Served) -> list[dict[str, Any]]:
    answer = requests.get(f"{server.url}/api/history/audio_clone", timeout=10).json()
    rows: list[dict[str, Any]] = answer["history"]
    return rows


def refused(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"status", "message"}
    assert body["status"] == "error"
    return str(body["message"])


@pytest.mark.parametrize(
    "path", ["{name}", "/uploads/{name}", r"uploads\{name}", "./static/uploads/{name}", "{data}/{name}"]
)
def test_a_voice_is_learnt_of_an_upload_however_its_path_is_written(house: Served, path: str) -> None:
    wanted = path.format(name="anna.wav", data=house.data / "files")
    id_ = f"speaker {abs(hash(path)) % 10**6}"
    answer = clone(house, original_audio_path=wanted, audio_id=id_)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["status"], body["message"], body["speaker_id"]) == ("success", "音频特征提取成功", id_)
    newest = history(house)[0]
    assert newest["parameters"] | {"language": ""} == {
        "original_audio_path": wanted,
        "audio_id": id_,
        "language": "",
        "engine": "toy",
    }
    assert (newest["status"], newest["result"]["speaker_id"]) == ("completed", id_)


def test_a_voice_is_learnt_of_the_file_itself(house: Served, heard: bytes) -> None:
    for number, (name, content) in enumerate((("a.wav", heard), ("input.wav", webm(2.5)))):
        files = {"original_audio_path": (name, content, "audio/wav")}
        answer = clone(house, files, audio_id=f"sent {number}", consent="true", consent_by="Anna")
        assert answer.status_code == 200, answer.text
    told = requests.get(f"{house.url}/v1/voices/sent 1", timeout=10).json()["clone"]
    assert (told["consent"]["given"], told["consent"]["by"]) == (True, "Anna")


def test_a_known_voice_speaks(house: Served, voice: EspeakVoice) -> None:
    answer = clone(house, audio_id="known", gen_audio_id="generated_audio_1", generate_text="你好，很高兴见到你。")
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["status"], body["message"]) == ("success", "音频生成成功")
    path = body["cloned_audio_path"]
    assert path.startswith("/static/voices/")
    assert path.endswith(".wav")
    sound = requests.get(f"{house.url}{path}?t=1764137654123", timeout=10)
    assert (sound.status_code, sound.headers["content-type"]) == (200, "audio/wav")
    assert decode(sound.content, max_seconds=60).seconds == pytest.approx(body["duration"], abs=0.01)
    (house.data / "said.wav").write_bytes(sound.content)
    assert is_marked(house.data / "said.wav")
    part = requests.get(house.url + path, headers={"Range": "bytes=8-11"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"WAVE")
    head = requests.head(house.url + path, timeout=10)
    assert (head.status_code, head.content, int(head.headers["content-length"])) == (200, b"", len(sound.content))
    newest = history(house)[0]
    assert newest["parameters"] == {
        "audio_id": "known",
        "gen_audio_id": "generated_audio_1",
        "generate_text": "你好，很高兴见到你。",
        "language": "zh",
    }
    assert newest["result"]["cloned_audio_path"] == path
    assert newest["id"] == body["job_id"]
    assert requests.delete(f"{house.url}/v1/jobs/{body['job_id']}/record", timeout=10).status_code == 204
    assert requests.get(house.url + path, timeout=10).status_code == 404, "its sound went with its record"


def test_the_list_of_voices(house: Served) -> None:
    answer = requests.get(f"{house.url}/api/cloned-audios", timeout=10).json()
    assert answer["status"] == "success"
    assert answer["total_count"] == len(answer["audios"]) >= 1
    (known,) = [row for row in answer["audios"] if row["id"] == "known"]
    assert known.keys() == {"id", "name", "created_at", "reference_audio", "status"}
    assert (known["name"], known["status"]) == ("known", "已提取特征")
    assert requests.get(house.url + known["reference_audio"], timeout=10).content[:4] == b"RIFF"


LEARN = {"original_audio_path": "anna.wav", "audio_id": "new"}
SPEAK = {"audio_id": "known", "gen_audio_id": "g", "generate_text": "Hello."}


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({}, 400, "original_audio_path and audio_id to learn"),
        ({"audio_id": "known"}, 400, "original_audio_path and audio_id to learn"),
        (LEARN | SPEAK, 400, "not both"),
        (LEARN | {"generate_text": "Hello."}, 400, "not both"),
        (LEARN | {"gen_audio_id": "g"}, 400, "not both"),
        (LEARN | {"audio_id": " "}, 400, "audio_id is required"),
        (SPEAK | {"audio_id": ""}, 400, "audio_id is required"),
        (SPEAK | {"gen_audio_id": ""}, 400, "gen_audio_id is required"),
        (SPEAK | {"generate_text": ""}, 400, "generate_text is required"),
        (SPEAK | {"generate_text": "?!"}, 400, "say"),
        (SPEAK | {"generate_text": "x " * 3000}, 413, "characters"),
        (SPEAK | {"gen_audio_id": "g" * 300}, 400, "gen_audio_id"),
        (SPEAK | {"audio_id": "nobody"}, 404, "There is no voice"),
        (SPEAK | {"audio_id": "../known"}, 404, "There is no voice"),
        (SPEAK | {"consent": "true"}, 400, "consent belongs"),
        (SPEAK | {"language": "tlh"}, 400, "language"),
        (LEARN | {"audio_id": "known"}, 409, "already"),
        (LEARN | {"audio_id": "../x"}, 400, "1 to 64"),
        (LEARN | {"original_audio_path": "nothing.wav"}, 404, "uploads"),
        (LEARN | {"engine": "nothing"}, 400, "toy"),
        (LEARN | {"engine": "http"}, 503, "VIVAVOCE_CLONES__HTTP__URL"),
        (LEARN | {"consent": "perhaps"}, 400, "consent"),
        (LEARN | {"speaker": "x"}, 400, "no field 'speaker'"),
    ],
)
def test_missing_extra_and_contradictory_fields(house: Served, fields: dict[str, str], status: int, says: str) -> None:
    before = requests.get(f"{house.url}/api/cloned-audios", timeout=10).json()
    assert says in refused(clone(house, **fields), status)
    assert requests.get(f"{house.url}/api/cloned-audios", timeout=10).json() == before


def test_what_the_document_reserves_is_ignored(house: Served) -> None:
    assert clone(house, **SPEAK, target_audio_id="whatever").status_code == 200


def test_forms_that_are_none(house: Served, heard: bytes) -> None:
    url = f"{house.url}/audio_clone"
    assert "to learn" in refused(requests.post(url, json=LEARN, timeout=10), 400)
    refused(requests.post(url, data=b"--x", headers={"Content-Type": "multipart/form-data"}, timeout=10), 400)
    files = [("audio_id", (None, "a")), ("audio_id", (None, "b")), ("original_audio_path", (None, "anna.wav"))]
    assert "twice" in refused(requests.post(url, files=files, timeout=10), 400)
    for field in ("audio_id", "generate_text"):
        assert "not a file" in refused(clone(house, {field: ("a.wav", heard)}, **LEARN), 400)
    for content, status in ((b"", 400), (b"no sound", 415)):
        refused(clone(house, {"original_audio_path": ("a.wav", content)}, audio_id="new"), status)


def _told(answer: requests.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Everything that a client sees, but for what names the request and the time."""
    own = ("x-request-id", "date")
    return answer.status_code, answer.content, [(k, v) for k, v in answer.headers.items() if k.lower() not in own]


def test_no_path_leads_out_and_none_tells_what_is_there(house: Served, heard: bytes, tmp_path: Path) -> None:
    folder = house.data / "files" / "everybody"
    (house.data / "outside.wav").write_bytes(heard)
    (tmp_path / "outside.wav").write_bytes(heard)
    (folder / "sub").mkdir()
    (folder / "sub" / "inner.wav").write_bytes(heard)
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    (folder / "dangling.wav").symlink_to(tmp_path / "nothing.wav")
    (folder / "up").symlink_to(house.data)
    other = house.data / "files" / "0123456789abcdef"
    other.mkdir()
    (other / "theirs.wav").write_bytes(heard)
    os.mkfifo(folder / "pipe.wav")
    planted = ["link.wav", "dangling.wav", "up", "up/outside.wav", "sub", "sub/inner.wav", "pipe.wav"]
    pairs = [
        (f"{tmp_path}/outside.wav", f"{tmp_path}/nothing.wav"),
        (f"{house.data}/outside.wav", f"{house.data}/nothing.wav"),
        ("../../outside.wav", "../../nothing.wav"),
        (r"..\..\outside.wav", r"..\..\nothing.wav"),
        ("uploads/../../outside.wav", "uploads/../../nothing.wav"),
        ("uploads/sub/inner.wav", "uploads/sub/nothing.wav"),
        ("../0123456789abcdef/theirs.wav", "../0123456789abcdef/nothing.wav"),
        ("0123456789abcdef/theirs.wav", "0123456789abcdef/nothing.wav"),
        (f"{house.data}/files/0123456789abcdef/theirs.wav", f"{house.data}/files/0123456789abcdef/nothing.wav"),
        (f"{house.data}/files/../outside.wav", f"{house.data}/files/../nothing.wav"),
        (f"file://{tmp_path}/outside.wav", f"file://{tmp_path}/nothing.wav"),
        ("/etc/passwd", "/etc/nothing"),
        ("/proc/self/environ", "/proc/self/nothing"),
        ("/dev/zero", "/dev/nothing"),
    ]
    plain = _told(clone(house, original_audio_path="nothing.wav", audio_id="new"))
    assert plain[0] == 404
    texts = [*planted, *(text for pair in pairs for text in pair), *(a for a in ATTACKS if a.strip())]
    assert len(texts) >= 25
    different = [text for text in texts if _told(clone(house, original_audio_path=text, audio_id="new")) != plain]
    assert different == []


@pytest.mark.parametrize(
    "name",
    [
        "nothing.wav",
        "20261121_101500_000000_0_5f0c9a3be1d27784.wav",
        "..%2f..%2fjobs.db",
        "%2e%2e/jobs.db",
        "x.mp4",
        ".",
    ],
)
def test_sounds_that_are_not_there(house: Served, name: str) -> None:
    answer = requests.get(f"{house.url}/static/voices/{name}", timeout=10)
    assert answer.status_code == 404
    assert answer.json()["status"] == "error"


def test_a_client_that_leaves_ends_its_speech(house: Served) -> None:
    fields = SPEAK | {"generate_text": "This goes on forever."}
    parts = {name: (None, value) for name, value in (EMPTY | fields).items()}
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{house.url}/audio_clone", files=parts, timeout=1.5)
    until = monotonic() + 10
    while history(house)[0]["status"] == "running":
        assert monotonic() < until
    newest = history(house)[0]
    assert (newest["parameters"]["generate_text"], newest["status"]) == ("This goes on forever.", "cancelled")
    assert clone(house, **SPEAK).status_code == 200, "the worker is free"
    assert house.left() == []


def test_with_keys_a_player_needs_none_and_each_has_uploads_and_voices_of_its_own(
    serve: Callable[..., Served], heard: bytes
) -> None:
    server = serve(server__api_keys='["anna", "boris"]', clones__engine="toy")
    anna, boris = ({"X-API-Key": key} for key in ("anna", "boris"))
    url = f"{server.url}/audio_clone"
    requests.post(f"{server.url}/files/upload", files={"file": ("a.wav", heard)}, headers=anna, timeout=10)
    learn = {name: (None, value) for name, value in (LEARN | {"original_audio_path": "a.wav"}).items()}
    assert requests.post(url, files=learn, timeout=10).json()["status"] == "error"
    refused(requests.post(url, files=learn, headers=boris, timeout=30), 404)
    assert requests.post(url, files=learn, headers=anna, timeout=30).status_code == 200
    speak = {name: (None, value) for name, value in (SPEAK | {"audio_id": "new"}).items()}
    refused(requests.post(url, files=speak, headers=boris, timeout=30), 404)
    path = requests.post(url, files=speak, headers=anna, timeout=30).json()["cloned_audio_path"]
    assert requests.get(server.url + path, timeout=10).status_code == 200, "an <audio> element sends no key"
    lists = [requests.get(f"{server.url}/api/cloned-audios", headers=who, timeout=10).json() for who in (anna, boris)]
    assert [told["total_count"] for told in lists] == [1, 0]
    assert requests.get(f"{server.url}/api/cloned-audios", timeout=10).status_code == 401
