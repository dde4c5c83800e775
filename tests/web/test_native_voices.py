"""Voices of people over the native API: learnt from recordings, listed, spoken with everywhere, forgotten."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from time import monotonic
from urllib.parse import quote

import av
import numpy as np
import pytest
import requests

from people import enrolled, listed, recording, webm
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import decode, write_wav
from vivavoce.media.synthetic import is_marked
from vivavoce.nouns import Audio

KEYS = ("the-key-of-anna", "the-key-of-boris")


@pytest.fixture(scope="module")
def heard(voice: EspeakVoice) -> bytes:
    return recording(voice)


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server of this module's own: others count its voices."""
    with start() as served:
        yield served


def test_a_voice_is_learnt_listed_heard_and_forgotten(house: Served, heard: bytes) -> None:
    told = {
        "id": "анна 1",
        "name": "Анна",
        "language": "ru",
        "consent": "true",
        "consent_by": "Анна К.",
        "consent_text": "да",
    }
    answer = enrolled(house, heard, times=2, **told)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    url = f"/v1/voices/{quote('анна 1')}"
    assert answer.headers["location"] == url == made["clone"]["url"]
    assert (made["engine"], made["id"], made["name"], made["gender"]) == ("clone", "анна 1", "Анна", "neutral")
    assert made["languages"] == ["en", "ru", "zh"], "it speaks what its cloner speaks"
    clone = made["clone"]
    assert clone["consent"] | {"at": ""} == {"given": True, "by": "Анна К.", "at": "", "text": "да"}
    assert (clone["engine"], clone["approximate"], clone["language"], clone["warnings"]) == ("toy", True, "ru", [])
    assert clone["recordings"] == [f"{url}/recordings/0", f"{url}/recordings/1"]
    assert listed(house)["анна 1"] == made == requests.get(house.url + url, timeout=10).json()

    sound = requests.get(house.url + clone["recordings"][1], timeout=10)
    assert (sound.status_code, sound.headers["content-type"]) == (200, "audio/wav")
    assert decode(sound.content, max_seconds=60).seconds == pytest.approx(
        decode(heard, max_seconds=60).seconds, abs=0.01
    )
    part = requests.get(house.url + clone["recordings"][1], headers={"Range": "bytes=0-3"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"RIFF")
    assert requests.head(house.url + clone["recordings"][0], timeout=10).headers["accept-ranges"] == "bytes"
    assert requests.get(f"{house.url}{url}/recordings/2", timeout=10).status_code == 404

    assert requests.delete(house.url + url, timeout=30).status_code == 204
    for path in (url, clone["recordings"][0]):
        gone = requests.get(house.url + path, timeout=10)
        assert (gone.status_code, gone.json()["code"]) == (404, "not-found")
    assert requests.delete(house.url + url, timeout=30).status_code == 404
    assert not [p for p in (house.data / "voices").rglob("*") if p.is_file()]


def test_what_a_browser_records_is_learnt_from(house: Served) -> None:
    answer = enrolled(house, webm(1.5), name="Голос: новый?!")
    assert answer.status_code == 201, answer.text
    assert answer.json()["id"] == "Голос новый", "the id is made of the name"
    assert answer.json()["clone"]["warnings"][0].startswith("Little speech: 1.5 s")
    assert enrolled(house, webm(1.5), name="Голос новый").json()["id"] == "Голос новый-2"
    assert enrolled(house, webm(1.5), name="?!").json()["id"] == "voice"


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"id": "taken"}, 409, "already"),
        ({"id": "../x"}, 400, "1 to 64"),
        ({"id": "."}, 400, "1 to 64"),
        ({"engine": "nothing"}, 400, "world"),
        ({"engine": "http"}, 503, "VIVAVOCE_CLONES__HTTP__URL"),
        ({"language": "tlh"}, 400, "language"),
        ({"language": "kk"}, 400, "does not speak"),
        ({"consent": "perhaps"}, 400, "true or false"),
    ],
)
def test_enrolments_that_are_refused(
    house: Served, heard: bytes, fields: dict[str, str], status: int, says: str
) -> None:
    if "taken" in fields.values():
        enrolled(house, heard, id="taken")
    before = listed(house)
    answer = enrolled(house, heard, times=1, key="", **fields)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]
    assert listed(house) == before


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"this is no sound", 415), (webm()[:60], 415)])
def test_what_is_no_recording(house: Served, content: bytes, status: int) -> None:
    answer = enrolled(house, content, id="nobody")
    assert answer.status_code in (status, 400), answer.text
    assert requests.get(f"{house.url}/v1/voices/nobody", timeout=10).status_code == 404


def test_too_many_recordings_and_none(house: Served, heard: bytes) -> None:
    answer = enrolled(house, heard, times=11, id="many")
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    answer = requests.post(f"{house.url}/v1/voices", data={"id": "none"}, timeout=10)
    assert (answer.status_code, answer.json()["detail"]) == (400, "recording is required.")


def test_a_cancel_of_an_enrolment_leaves_nothing(house: Served) -> None:
    held = io.BytesIO()
    write_wav(held, Audio((0.1 * np.sin(np.arange(61 * 8000) / 9)).astype(np.float32), 8000), 8000)
    answers: list[requests.Response] = []
    asking = threading.Thread(target=lambda: answers.append(enrolled(house, held.getvalue(), id="endless")))
    asking.start()
    until = monotonic() + 20
    while not (running := _running(house)):
        assert monotonic() < until
    began = monotonic()
    cancelled = requests.delete(f"{house.url}/v1/jobs/{running}", timeout=10)
    assert monotonic() - began < 3
    assert cancelled.json()["state"] == "cancelled"
    asking.join(10)
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "cancelled")
    assert "endless" not in listed(house)
    assert enrolled(house, recording(EspeakVoice()), id="endless").status_code == 201, "the id is free"


def _running(server: Served) -> str:
    jobs = requests.get(f"{server.url}/v1/jobs?kind=audio_clone&state=running", timeout=10).json()["jobs"]
    return str(jobs[0]["id"]) if jobs and jobs[0]["stage"] == "enrol" else ""


def test_cloners_are_told_with_what_is_missing(house: Served) -> None:
    answer = requests.get(f"{house.url}/v1/voices", timeout=10).json()
    cloners = {cloner["engine"]: cloner for cloner in answer["cloners"]}
    assert cloners["toy"] == {
        "engine": "toy",
        "licence": "own",
        "network": False,
        "approximate": True,
        "languages": ["en", "ru", "zh"],
        "least": 2.0,
        "available": True,
        "missing": "",
    }
    assert not cloners["elevenlabs"]["available"]
    assert "ELEVENLABS_API_KEY" in cloners["elevenlabs"]["missing"]
    assert (answer["consent"], answer["default_cloner"]) == ("noted", "world")
    assert all(voice["clone"] is None for voice in answer["voices"] if voice["engine"] == "espeak")


def test_a_consent_that_is_required(serve: Callable[..., Served], heard: bytes) -> None:
    server = serve(clones__consent="required", clones__engine="toy")
    for consent in ("", "false"):
        answer = enrolled(server, heard, id="anna", consent=consent)
        assert answer.status_code == 400
        assert "consent=true" in answer.json()["detail"]
    assert enrolled(server, heard, id="anna", consent="true", engine="").status_code == 201, "the server's own cloner"
    assert requests.get(f"{server.url}/v1/voices", timeout=10).json()["consent"] == "required"


def test_each_key_has_voices_of_its_own(serve: Callable[..., Served], heard: bytes) -> None:
    server = serve(server__api_keys=json.dumps(KEYS))
    anna, boris = ({"X-API-Key": key} for key in KEYS)
    assert enrolled(server, heard, id="me", key=KEYS[0]).status_code == 201
    assert (list(listed(server, KEYS[0])), list(listed(server, KEYS[1]))) == (["me"], [])
    ask = {"text": "Hello.", "language": "en", "voice": "clone/me"}
    film = requests.post(f"{server.url}/api/generate", json=ask, headers=anna, timeout=60)
    assert (film.status_code, film.headers["content-type"]) == (200, "video/mp4")
    for path in ("/api/generate", "/api/stream_chunks", "/v1/videos"):
        answer = requests.post(server.url + path, json=ask, headers=boris, timeout=60)
        assert answer.status_code == 404, (path, answer.text)
        assert "There is no voice 'me'" in answer.text
    for path in ("/v1/voices/me", "/v1/voices/me/recordings/0"):
        assert requests.get(server.url + path, headers=boris, timeout=10).status_code == 404
        assert requests.get(server.url + path, timeout=10).status_code == 401
    assert requests.delete(f"{server.url}/v1/voices/me", headers=boris, timeout=10).status_code == 404
    assert list(listed(server, KEYS[0])) == ["me"]


def test_a_clone_speaks_wherever_a_voice_can(house: Served, heard: bytes) -> None:
    if "anna" not in listed(house):
        assert enrolled(house, heard, id="anna", language="en").status_code == 201
    text = "Nobody had told the children."
    chunks = requests.post(
        f"{house.url}/api/stream_chunks", json={"text": text, "voice": "clone/anna", "language": "en"}, timeout=60
    ).json()["chunks"]
    job = requests.post(
        f"{house.url}/v1/videos",
        json={"text": text, "voice": "clone/anna"},
        headers={"Prefer": "wait=60"},
        timeout=90,
    ).json()
    assert job["params"]["language"] == "en", "its own language, where a request names none"
    lipsync = requests.post(
        f"{house.url}/api/v2/lipsync",
        json={"text": text, "avatar": "toy", "tts_engine": "clone", "tts_voice": "anna"},
        timeout=60,
    ).json()
    plain = requests.post(
        f"{house.url}/v1/videos",
        json={"text": text, "voice": "espeak/m3", "language": "en"},
        headers={"Prefer": "wait=60"},
        timeout=90,
    ).json()
    urls = [chunks[0]["audio_url"], job["result"]["audio_url"], lipsync["audio_url"], plain["result"]["audio_url"]]
    sounds = [requests.get(house.url + url, timeout=10).content for url in urls]
    assert len(set(sounds)) == 1, "the toy cloner speaks as m3 does"
    (house.data / "sound.wav").write_bytes(sounds[0])
    assert is_marked(house.data / "sound.wav")
    film = requests.get(house.url + job["result"]["video_url"], timeout=10).content
    (house.data / "film.mp4").write_bytes(film)
    assert is_marked(house.data / "film.mp4")
    with av.open(io.BytesIO(film)) as read:
        assert read.streams.video
    assert requests.get(house.url + job["result"]["captions_url"], timeout=10).text.count("-->") >= 1
    unknown = requests.post(
        f"{house.url}/api/v2/lipsync",
        json={"text": text, "avatar": "toy", "tts_engine": "clone", "tts_voice": "nobody"},
        headers={"Accept-Language": "en"},
        timeout=60,
    )
    assert unknown.status_code == 400
    assert "anna" in unknown.json()["error"]


def test_the_film_of_a_recording_is_marked_and_its_sound_is_not(house: Served, heard: bytes) -> None:
    job = requests.post(
        f"{house.url}/v1/videos",
        data={"language": "en"},
        files={"audio": ("a.wav", heard)},
        headers={"Prefer": "wait=60"},
        timeout=90,
    ).json()
    for url, marked in ((job["result"]["video_url"], True), (job["result"]["audio_url"], False)):
        path = house.data / url.rpartition("/")[2]
        path.write_bytes(requests.get(house.url + url, timeout=10).content)
        assert is_marked(path) is marked
