"""Jobs and videos of the native API, as an integrator uses them."""

import hmac
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from time import monotonic
from typing import Any

import av
import pytest
import requests

from serving import Served

KEYS = '["first-key", "second-key"]'
TEXT = "Hello there, this is a short film."


def post(server: Served, body: dict[str, Any], **headers: str) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/videos", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=60
    )


def events(server: Served, url: str, **headers: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, type and data of each event, as they come."""
    sent = {k.replace("_", "-"): v for k, v in headers.items()}
    with requests.get(server.url + url, headers=sent, stream=True, timeout=60) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        held: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.decode("ascii").partition(": ")
            if line:
                held[name] = value
            elif "data" in held:
                yield int(held["id"]), held["event"], json.loads(held["data"])
                held = {}


def frames(content: bytes) -> int:
    with av.open(io.BytesIO(content), "r") as film:
        return sum(1 for _ in film.decode(video=0))


def test_a_video_is_a_job(server: Served) -> None:
    answer = post(server, {"text": TEXT, "language": "en"})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] in ("queued", "running")
    happened = list(events(server, job["events_url"]))
    assert [seq for seq, _, _ in happened] == list(range(1, len(happened) + 1))
    types = [kind for _, kind, _ in happened if kind != "progress"]
    assert types == ["state", "state", "sound", "film", "state"]
    said = next(data for _, kind, data in happened if kind == "sound")
    assert " ".join(word for word, _, _ in said["words"]) == TEXT
    job = requests.get(f"{server.url}/v1/jobs/{job['id']}", timeout=10).json()
    assert (job["state"], job["progress"], job["error"]) == ("succeeded", 1.0, None)
    assert happened[-1][2]["result"] == job["result"]
    assert {"voice", "face", "total"} <= set(job["timings"])
    assert "lease" not in json.dumps(job)
    result = job["result"]
    film = requests.get(server.url + result["video_url"], timeout=10)
    assert film.headers["content-type"] == "video/mp4"
    assert frames(film.content) == pytest.approx(result["duration"] * 25, abs=0.1)
    assert film.content.index(b"moov") < film.content.index(b"mdat")
    assert requests.get(server.url + result["audio_url"], timeout=10).headers["content-type"] == "audio/wav"
    captions = requests.get(server.url + result["captions_url"], timeout=10)
    assert captions.headers["content-type"].startswith("text/vtt")
    captions.encoding = "utf-8"
    assert TEXT in captions.text
    assert "-->" in requests.get(server.url + result["subtitles_url"], timeout=10).text
    ranged = requests.get(server.url + result["video_url"], headers={"Range": "bytes=0-1"}, timeout=10)
    assert (ranged.status_code, ranged.content) == (206, film.content[:2])


def test_events_go_on_where_they_were(server: Served) -> None:
    job = post(server, {"text": TEXT + " slowly", "language": "en"}).json()
    first = []
    for happened in events(server, job["events_url"]):
        first.append(happened)
        if happened[1] == "sound":
            break
    rest = list(events(server, job["events_url"], Last_Event_ID=str(first[-1][0])))
    assert [seq for seq, _, _ in first + rest] == list(range(1, len(first + rest) + 1))
    assert rest[-1][2]["state"] == "succeeded"
    assert list(events(server, f"{job['events_url']}?after={rest[-1][0]}")) == []
    bad = requests.get(server.url + job["events_url"], headers={"Last-Event-ID": "x"}, timeout=10)
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid-input")


def test_a_film_plays_while_it_is_made(server: Served) -> None:
    job = post(server, {"text": TEXT + " slowly", "language": "en"}).json()
    url = next(data["video_url"] for _, kind, data in events(server, job["events_url"]) if kind == "sound")
    with requests.get(server.url + url, stream=True, timeout=30) as early:
        blocks = early.iter_content(500)
        first = next(blocks)
        running = requests.get(f"{server.url}/v1/jobs/{job['id']}", timeout=10).json()
        assert running["state"] == "running"
        assert running["result"]["video_url"] == url
        growing = first + b"".join(blocks)
    done = requests.get(server.url + url, timeout=10).content
    assert frames(growing) == frames(done)
    assert b"moof" in growing
    assert b"moof" not in done


def test_waiting_and_the_film_itself(server: Served) -> None:
    waited = post(server, {"text": TEXT, "language": "en"}, Prefer="wait=30")
    assert (waited.status_code, waited.json()["state"]) == (200, "succeeded")
    assert waited.headers["preference-applied"] == "wait=30"
    film = post(server, {"text": TEXT, "language": "en"}, Accept="video/mp4")
    assert (film.status_code, film.headers["content-type"]) == (200, "video/mp4")
    assert frames(film.content) == frames(
        requests.get(server.url + waited.json()["result"]["video_url"], timeout=10).content
    )
    job = requests.get(f"{server.url}/v1/jobs/{film.headers['x-job-id']}", timeout=10).json()
    assert (job["kind"], job["state"]) == ("stream", "succeeded")


def test_the_same_key_is_the_same_job(server: Served) -> None:
    body = {"text": TEXT, "language": "en"}
    first = post(server, body, Idempotency_Key="a-key-1").json()
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: post(server, body, Idempotency_Key="a-key-1").json()["id"], range(8)))
    assert set(again) == {first["id"]}
    other = post(server, body | {"text": "Something else."}, Idempotency_Key="a-key-1")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert post(server, body, Idempotency_Key="with space").status_code == 400


def test_cancelling_frees_the_worker_and_leaves_nothing(server: Served) -> None:
    jobs = [post(server, {"text": f"forever {n}", "language": "en"}).json() for n in range(3)]
    for job in jobs[:2]:  # two workers are taken for ever, the third job waits
        assert any(kind == "sound" for _, kind, _ in _until(server, job, "sound"))
    waiting = requests.get(f"{server.url}/v1/jobs/{jobs[2]['id']}", timeout=10).json()
    assert (waiting["state"], waiting["position"]) == ("queued", 0)
    for job in reversed(jobs):
        began = monotonic()
        answer = requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=10)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled"), answer.text
        assert monotonic() - began < 2  # one second is promised; these machines are slow at times
    assert requests.delete(f"{server.url}/v1/jobs/{jobs[0]['id']}", timeout=10).status_code == 409
    assert server.left() == []
    done = post(server, {"text": TEXT, "language": "en"}, Prefer="wait=30").json()
    assert done["state"] == "succeeded"


def _until(server: Served, job: dict[str, Any], kind: str) -> list[tuple[int, str, dict[str, Any]]]:
    seen = []
    for happened in events(server, job["events_url"]):
        seen.append(happened)
        if happened[1] == kind:
            break
    return seen


def test_what_waits_for_a_person_goes_first(server: Served) -> None:
    batch = [post(server, {"text": f"Number {n}, said slowly for a while.", "language": "en"}).json() for n in range(6)]
    live = post(server, {"text": "Quick.", "language": "en"}, Prefer="wait=60").json()
    assert live["state"] == "succeeded"
    states = [requests.get(f"{server.url}/v1/jobs/{job['id']}", timeout=10).json()["state"] for job in batch]
    assert "queued" in states
    for job in batch:
        assert list(events(server, job["events_url"]))[-1][2]["state"] == "succeeded"


def test_a_recording_is_spoken(server: Served, tmp_path: Path) -> None:
    sound = requests.get(
        server.url + post(server, {"text": TEXT, "language": "en"}, Prefer="wait=30").json()["result"]["audio_url"],
        timeout=10,
    ).content
    answer = requests.post(
        f"{server.url}/v1/videos",
        data={"text": TEXT, "language": "en", "fps": "30"},
        files={"audio": ("voice.wav", sound)},
        headers={"Prefer": "wait=30"},
        timeout=60,
    )
    job = answer.json()
    assert job["state"] == "succeeded", job
    assert job["params"]["canvas"][2] == 30
    assert "recording" not in job["params"]
    film = requests.get(server.url + job["result"]["video_url"], timeout=10).content
    assert frames(film) == pytest.approx(job["result"]["duration"] * 30, abs=0.1)
    assert server.left() == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "empty"),
        ({"text": " "}, 400, "empty"),
        ({"text": 5}, 400, "text must be a string"),
        ({"text": "x", "language": "xx"}, 400, "xx"),
        ({"text": "1", "avatar": "../../etc"}, 404, "no avatar"),
        ({"text": "1", "resolution": "9999p"}, 400, "9999p"),
        ({"text": "x", "frame_skip": 9}, 400, "frame_skip must be"),
        ({"text": "x", "fps": 1000}, 400, "fps must be"),
        ({"text": "x", "strange": 1}, 400, "strange"),
        ({"text": "x" * 6000}, 413, "6000"),
    ],
)
def test_bad_requests_never_become_jobs(server: Served, body: dict[str, Any], status: int, words: str) -> None:
    before = requests.get(f"{server.url}/v1/jobs", timeout=10).json()["total_count"]
    answer = post(server, body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in problem["detail"]
    assert requests.get(f"{server.url}/v1/jobs", timeout=10).json()["total_count"] == before


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"no sound at all" * 100, 415), (b"RIFF\0\0", 415)])
def test_bad_recordings_are_refused_at_once(server: Served, content: bytes, status: int) -> None:
    answer = requests.post(f"{server.url}/v1/videos", files={"audio": ("a.wav", content)}, timeout=30)
    assert answer.status_code == status, answer.text
    assert server.left() == []


def test_history_is_paged_and_filtered(server: Served) -> None:
    for n in range(3):
        post(server, {"text": f"Number {n}.", "language": "en"}, Prefer="wait=30")
    page = requests.get(f"{server.url}/v1/jobs?kind=video&state=succeeded&limit=2", timeout=10).json()
    assert len(page["jobs"]) == 2 < page["total_count"]
    assert {job["kind"] for job in page["jobs"]} == {"video"}
    created = [job["created"] for job in page["jobs"]]
    assert created == sorted(created, reverse=True)
    following = requests.get(f"{server.url}/v1/jobs?kind=video&state=succeeded&limit=2&offset=2", timeout=10).json()
    assert not {job["id"] for job in page["jobs"]} & {job["id"] for job in following["jobs"]}
    assert requests.get(f"{server.url}/v1/jobs?limit=0", timeout=10).status_code == 400
    assert requests.get(f"{server.url}/v1/jobs/nothing", timeout=10).status_code == 404
    assert requests.delete(f"{server.url}/v1/jobs/nothing", timeout=10).status_code == 404


def test_several_kinds_make_one_page(server: Served) -> None:
    post(server, {"text": "A film.", "language": "en"}, Prefer="wait=30")
    requests.post(f"{server.url}/api/stream_chunks", json={"text": "A chunk.", "language": "en"}, timeout=30)
    both = requests.get(f"{server.url}/v1/jobs?kind=video&kind=chunks&limit=2", timeout=10).json()
    assert [job["kind"] for job in both["jobs"]] == ["chunks", "video"]
    rest = requests.get(f"{server.url}/v1/jobs?without=chunks&limit=1", timeout=10).json()
    assert rest["jobs"][0]["id"] == both["jobs"][1]["id"]
    assert requests.get(f"{server.url}/v1/jobs?{'kind=video&' * 21}", timeout=10).status_code == 400
    assert requests.get(f"{server.url}/v1/jobs?kind={'x' * 41}", timeout=10).status_code == 400


def test_a_record_is_removed_with_what_was_made(server: Served) -> None:
    job = post(server, {"text": TEXT, "language": "en"}, Prefer="wait=30").json()
    other = post(server, {"text": TEXT, "language": "en"}, Prefer="wait=30").json()
    record = f"{server.url}/v1/jobs/{job['id']}/record"
    urls = [value for name, value in job["result"].items() if name.endswith("_url")]
    assert len(urls) == 4
    with requests.get(server.url + job["result"]["video_url"], stream=True, timeout=10) as watching:
        assert requests.delete(record, timeout=10).status_code == 204  # even while it is played
        assert watching.status_code == 200
    for url in urls:
        assert requests.get(server.url + url, timeout=10).status_code == 404
    assert requests.get(f"{server.url}/v1/jobs/{job['id']}", timeout=10).status_code == 404
    assert requests.get(f"{server.url}/v1/jobs/{job['id']}/events", timeout=10).status_code == 404
    assert requests.delete(record, timeout=10).status_code == 404
    assert requests.get(server.url + other["result"]["video_url"], timeout=10).status_code == 200
    made = urls[0].rpartition("/")[2].partition(".")[0]
    assert not list(server.data.rglob(f"{made}.*"))


def test_the_record_of_what_runs_stays(server: Served) -> None:
    job = post(server, {"text": "Hello forever.", "language": "en"}).json()
    record = f"{server.url}/v1/jobs/{job['id']}/record"
    answer = requests.delete(record, timeout=10)
    assert answer.status_code == 409
    assert "cancel it first" in answer.json()["detail"]
    assert requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=20).json()["state"] == "cancelled"
    assert requests.delete(record, timeout=10).status_code == 204
    assert requests.delete(f"{server.url}/v1/jobs/nothing/record", timeout=10).status_code == 404
    assert server.left() == []


def test_owners_do_not_see_each_other(serve: Any) -> None:
    server = serve(server__api_keys=KEYS)
    mine, theirs = {"X-API-Key": "first-key"}, {"X-API-Key": "second-key"}
    job = requests.post(
        f"{server.url}/v1/videos", json={"text": TEXT, "language": "en"}, headers=mine, timeout=30
    ).json()
    url = f"{server.url}/v1/jobs/{job['id']}"
    assert requests.get(url, headers=mine, timeout=10).status_code == 200
    for answer in (
        requests.get(url, headers=theirs, timeout=10),
        requests.get(f"{url}/events", headers=theirs, timeout=10),
        requests.delete(url, headers=theirs, timeout=10),
        requests.delete(f"{url}/record", headers=theirs, timeout=10),
    ):
        assert answer.status_code == 404
    assert requests.get(f"{server.url}/v1/jobs", headers=theirs, timeout=10).json()["total_count"] == 0
    assert requests.get(url, timeout=10).status_code == 401
    last = requests.get(f"{url}/events", headers=mine, timeout=60).text
    assert "succeeded" in last
    result = requests.get(url, headers=mine, timeout=10).json()["result"]
    assert requests.get(server.url + result["video_url"], timeout=10).status_code == 200


def test_a_full_queue_is_refused(serve: Any) -> None:
    server = serve(limits__queued="2", work__processes="1")
    answers = [post(server, {"text": f"forever {n}", "language": "en"}) for n in range(6)]
    refused = [a for a in answers if a.status_code == 429]
    assert 2 <= len(refused) <= 4
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].json()["code"] == "overloaded"


def test_leaving_the_film_ends_its_work(server: Served) -> None:
    with requests.post(
        f"{server.url}/v1/videos",
        json={"text": "forever", "language": "en"},
        headers={"Accept": "video/mp4"},
        stream=True,
        timeout=30,
    ) as answer:
        job = answer.headers["x-job-id"]
        next(answer.iter_content(100))
    ended = threading.Event()

    def wait() -> None:
        list(events(server, f"/v1/jobs/{job}/events"))
        ended.set()

    threading.Thread(target=wait).start()
    assert ended.wait(10)
    assert requests.get(f"{server.url}/v1/jobs/{job}", timeout=10).json()["state"] == "cancelled"
    assert server.left() == []


class Listener(BaseHTTPRequestHandler):
    """Somebody who wants to be told."""

    heard: "Queue[tuple[dict[str, str], bytes]]" = Queue()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.put((dict(self.headers.items()), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_who_wants_to_be_told_is_told(serve: Any) -> None:
    server = serve(webhooks__secret="a-secret", webhooks__allow='["127.0.0.1"]')
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}/told"
        job = post(server, {"text": TEXT, "language": "en", "webhook": url}).json()
        headers, body = Listener.heard.get(timeout=30)
        listening.shutdown()
    told = json.loads(body)
    assert (told["type"], told["job"]["id"], told["job"]["state"]) == ("job.succeeded", job["id"], "succeeded")
    moment, signed = (part.partition("=")[2] for part in headers["Vivavoce-Signature"].split(","))
    assert hmac.new(b"a-secret", f"{moment}.".encode() + body, "sha256").hexdigest() == signed
    assert requests.get(server.url + told["job"]["result"]["video_url"], timeout=10).status_code == 200
    inside = post(server, {"text": TEXT, "language": "en", "webhook": "http://10.0.0.1/x"})
    assert (inside.status_code, inside.json()["code"]) == (400, "invalid-input")
    assert "webhook" not in json.dumps(job["params"])


def test_no_secret_no_webhooks(server: Served) -> None:
    refused = post(server, {"text": TEXT, "language": "en", "webhook": "https://example.com/hook"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-input")
