"""A worker on another machine: here a process with folders of its own, that knows an address and a token."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest
import requests

from people import enrolled, recording
from serving import Served
from vivavoce.engines.espeak import EspeakVoice

TOKEN = "a-long-secret-token"


@contextmanager
def worker(server: Served, toy: Path, data: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VIVAVOCE_")}
    environment |= {
        "VIVAVOCE_DATA_DIR": str(data),
        "VIVAVOCE_WORK__TOKEN": TOKEN,
        "VIVAVOCE_DEFAULTS__SIZE": "128x128",
        "PYTHONPATH": str(toy),
        "PYTHONUNBUFFERED": "1",
    }
    program = str(Path(sys.executable).with_name("vivavoce"))
    command = [program, "worker", "--server", server.url, "--processes", "1"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        heard = []
        for line in process.stdout:
            heard.append(line)
            if "works for" in line:
                break
        else:
            pytest.fail("".join(heard))
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def post(server: Served, text: str, **headers: str) -> dict[str, Any]:
    answer = requests.post(
        f"{server.url}/v1/videos", json={"text": text, "language": "en"}, headers=headers, timeout=60
    )
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


def job(server: Served, id_: str, until: str = "") -> dict[str, Any]:
    """The job, when its state is ``until``."""
    deadline = monotonic() + 30
    while True:
        found: dict[str, Any] = requests.get(f"{server.url}/v1/jobs/{id_}", timeout=10).json()
        if found["state"] == until or not until:
            return found
        assert monotonic() < deadline, found


@pytest.fixture
def front(serve: Callable[..., Served]) -> Served:
    """A server that leaves queued videos to others."""
    return serve(work__token=TOKEN, work__videos="false", work__processes="1")


@pytest.mark.slow
def test_a_worker_elsewhere_does_the_work(front: Served, toy: Path, tmp_path: Path) -> None:
    waiting = post(front, "This waits for a worker.")
    assert job(front, waiting["id"])["state"] == "queued"
    with worker(front, toy, tmp_path) as process:
        done = job(front, waiting["id"], "succeeded")
        film = requests.get(front.url + done["result"]["video_url"], timeout=10)
        assert (film.status_code, film.headers["content-type"]) == (200, "video/mp4")
        assert film.content.index(b"moov") < film.content.index(b"mdat")
        assert "-->" in requests.get(front.url + done["result"]["captions_url"], timeout=10).text
        assert {"voice", "face", "total"} <= set(done["timings"])
        # The avatar came here by itself, and nothing else stayed.
        assert (tmp_path / "avatars" / "toy" / "avatar.json").is_file()
        assert not [p for p in (tmp_path / "artifacts").rglob("*") if p.is_file()]

        endless = post(front, "forever")
        job(front, endless["id"], "running")
        began = monotonic()
        cancelled = requests.delete(f"{front.url}/v1/jobs/{endless['id']}", timeout=10).json()
        assert cancelled["state"] == "cancelled"
        assert monotonic() - began < 3  # a second is promised; these machines are slow at times
        assert post(front, "The worker is free.", Prefer="wait=30")["state"] == "succeeded"

        sound = requests.get(front.url + done["result"]["audio_url"], timeout=10).content
        spoken = requests.post(
            f"{front.url}/v1/videos",
            data={"language": "en"},
            files={"audio": ("a.wav", sound)},
            headers={"Prefer": "wait=30"},
            timeout=60,
        ).json()
        assert spoken["state"] == "succeeded", spoken
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()]


@pytest.mark.slow
def test_a_voice_of_somebody_speaks_where_it_lies(front: Served, toy: Path, tmp_path: Path, voice: EspeakVoice) -> None:
    """Also on a server that leaves its videos to others, and while one of them waits for work."""
    assert enrolled(front, recording(voice), id="anna", language="en").status_code == 201
    with worker(front, toy, tmp_path):
        body = {"text": "Hello there.", "voice": "clone/anna"}
        answer = requests.post(f"{front.url}/v1/videos", json=body, headers={"Prefer": "wait=30"}, timeout=60).json()
        assert answer["state"] == "succeeded", answer
        assert post(front, "This is for anybody.", Prefer="wait=30")["state"] == "succeeded"
        assert (tmp_path / "avatars" / "toy").is_dir(), "the worker did the other one"
    with closing(sqlite3.connect(front.data / "jobs.db")) as database:
        rows = dict(
            database.execute("SELECT params ->> 'voice_engine', worker FROM job WHERE kind = 'video'").fetchall()
        )
    assert rows["clone"] != rows["espeak"]
    assert int(rows["clone"].split(":")[1]) == front.pid


@pytest.mark.slow
def test_the_work_of_a_killed_worker_is_done_by_another(front: Served, toy: Path, tmp_path: Path) -> None:
    with worker(front, toy, tmp_path / "first") as process:
        begun = post(front, "This is said slowly, and the first worker will not live to see the end of it.")
        job(front, begun["id"], "running")
        process.kill()
        process.wait()
    with worker(front, toy, tmp_path / "second"):
        done = job(front, begun["id"], "succeeded")
    assert done["attempt"] == 2
    assert requests.get(front.url + done["result"]["video_url"], timeout=10).status_code == 200


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_gives_its_job_back(front: Served, toy: Path, tmp_path: Path) -> None:
    with worker(front, toy, tmp_path):
        begun = post(front, "forever")
        job(front, begun["id"], "running")
    assert job(front, begun["id"], "queued")["attempt"] == 0


def test_the_door_is_shut_without_a_token(server: Served, front: Served) -> None:
    claim = {"worker": "w", "kinds": ["video"]}
    assert requests.post(f"{server.url}/v1/workers/claim", json=claim, timeout=10).status_code == 404
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
        answer = requests.post(f"{front.url}/v1/workers/claim", json=claim, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    good = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.post(f"{front.url}/v1/workers/claim", json=claim, headers=good, timeout=10).status_code == 204
    for path in ("../../etc/passwd", "20261121_101500_000000_0_5f0c9a3be1d27784.exe/..", "x.mp4"):
        answer = requests.put(f"{front.url}/v1/workers/artifacts/{path}", data=b"x", headers=good, timeout=10)
        assert answer.status_code in (404, 405)
    assert requests.get(f"{front.url}/v1/workers/avatars/..%2f..", headers=good, timeout=10).status_code == 404
    lost = requests.post(
        f"{front.url}/v1/workers/jobs/none/finish",
        json={"lease": "x", "state": "succeeded"},
        headers=good,
        timeout=10,
    )
    assert lost.status_code in (404, 409)
    assert not list((front.data / "artifacts").rglob("*.part"))
