"""Servers and workers that are killed at any moment: no job is lost, none is done twice, nothing stays half made."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from time import monotonic, time
from typing import Any

import psutil
import pytest
import requests

from loads import ENDED, Clients, Promises, ask, family, follow, frames, rows, strangers, workers
from serving import House
from vivavoce.store.remains import is_dead, is_left_behind


@pytest.fixture
def house(toy: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    """A server that can be killed and started again; the parameter may ask for PostgreSQL."""
    data = tmp_path / "data"
    data.mkdir()
    settings = {}
    if getattr(request, "param", "") == "postgresql":
        settings["store__database"] = request.getfixturevalue("postgres").new_url()
    with closing(House(toy, data, settings)) as house:
        house.begin()
        yield house


def told(report: object) -> None:
    """Shown when a test fails, and with ``-s``."""
    sys.stdout.write(f"{json.dumps(report)}\n")


def film(house: House, text: str, **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.post(f"{house.url}/v1/videos", json={"text": text, "language": "en"}, headers=sent, timeout=60)
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


def gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that live on after so many seconds."""
    return list(psutil.wait_procs(processes, seconds)[1])


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def rampage(house: House, chance: random.Random, deaths: Sequence[str]) -> None:
    """Kill at random moments; each server that dies is followed by another."""
    moment = threading.Event()
    for whom in chance.sample(deaths, len(deaths)):
        moment.wait(chance.uniform(0.05, 1.5))
        assert house.process is not None
        brood = family(house.process.pid)[1:]
        victims = workers(house.process.pid)
        if whom != "server" and victims:
            kill(chance.choice(victims))
        if whom != "worker":
            house.end(signal.SIGKILL)
            assert gone(brood, 8) == [], "a worker outlived its server"
            house.begin()
            if chance.random() < 0.7:  # else the next kill may meet a server that is starting
                house.ready()
    house.ready()


SOME = ("server", "both", *["worker"] * 4)
FIFTY = (*["server"] * 22, *["both"] * 6, *["worker"] * 22)


@pytest.mark.parametrize(
    ("house", "deaths", "seed"),
    [
        pytest.param("sqlite", SOME, 3, id="some"),
        pytest.param("postgresql", SOME, 4, marks=pytest.mark.slow, id="postgresql"),
        *(pytest.param("sqlite", FIFTY, seed, marks=pytest.mark.slow, id=f"fifty-{seed}") for seed in (1, 2, 3)),
    ],
    indirect=["house"],
)
def test_nothing_is_lost_or_doubled_however_often_somebody_dies(house: House, deaths: Sequence[str], seed: int) -> None:
    house.ready()
    first = film(house, "Hello there.", Prefer="wait=60")
    clients = Clients(house.url, seed, requests.get(house.url + first["result"]["audio_url"], timeout=20).content)
    clients.promises.accepted[first["id"]] = "Hello there."
    clients.begin(4)
    try:
        rampage(house, random.Random(seed), deaths)
    finally:
        clients.end()
    promises = clients.promises
    states = settled(house)
    report = {"seed": seed, "kills": Counter(deaths), "jobs": states, "accepted": len(promises.accepted)}
    report |= {"with a key": len(promises.keys), "unsure": promises.unsure, **promises.met}
    report["failed"] = Counter(
        row["error"]["code"] for row in rows(house.database, "SELECT error FROM job WHERE state = 'failed'")
    )
    told(report)
    assert promises.wrong == []
    check_books(house, promises)
    check_films(house)
    check_folder(house)


def settled(house: House) -> dict[str, int]:
    """Wait until no job waits or runs."""
    until = monotonic() + 180
    while going := rows(house.database, "SELECT id FROM job WHERE state IN ('queued', 'running')"):
        assert monotonic() < until, (going, house.log.read_text()[-3000:])
        answer = requests.get(f"{house.url}/v1/jobs/{going[0]['id']}/events", timeout=180)
        assert answer.status_code == 200
    return dict(Counter(row["state"] for row in rows(house.database, "SELECT state FROM job")))


def check_books(house: House, promises: Promises) -> None:
    if house.database.startswith("sqlite"):
        assert [row["integrity_check"] for row in rows(house.database, "PRAGMA integrity_check")] == ["ok"]
    jobs = {row["id"]: row for row in rows(house.database, "SELECT * FROM job")}
    assert set(promises.accepted) <= set(jobs), "a job was lost"
    for key, ids in promises.keys.items():
        assert len(ids) == 1, f"one key, several jobs: {ids}"
        assert [row["id"] for row in jobs.values() if row["key"] == key] == list(ids)
    without = [row for row in jobs.values() if row["kind"] == "video" and not row["attached"] and not row["key"]]
    promised = sum(jobs[id_]["key"] is None for id_ in promises.accepted)
    assert len(without) <= promised + promises.unsure, "a job was doubled"
    for id_ in promises.cancelled:
        assert jobs[id_]["state"] == "cancelled", f"{id_} was cancelled and came back"
    for id_, job in jobs.items():
        check_story(
            job, rows(house.database, f"SELECT seq, type, data FROM job_event WHERE job = '{id_}' ORDER BY seq")
        )
        numbers = promises.told.get(id_, [])
        assert numbers == list(range(1, len(numbers) + 1)), "a follower missed an event, or had it twice"


def check_story(job: dict[str, Any], happened: list[dict[str, Any]]) -> None:
    assert [e["seq"] for e in happened] == list(range(1, job["last_seq"] + 1))
    states = [e["data"]["state"] for e in happened if e["type"] == "state"]
    assert [state for state in states if state in ENDED] == [job["state"]]
    assert all(b in _FOLLOWS[a] for a, b in pairwise(states)), states
    if job["state"] != "succeeded":
        assert len(job["error"]["message"]) > 10


_FOLLOWS = {"queued": ("running", "cancelled"), "running": ("queued", *ENDED)}


def check_films(house: House) -> None:
    for row in rows(house.database, "SELECT id FROM job WHERE state = 'succeeded' AND kind = 'video' AND NOT attached"):
        job = requests.get(f"{house.url}/v1/jobs/{row['id']}", timeout=20).json()
        result = job["result"]
        content = requests.get(house.url + result["video_url"], timeout=20).content
        assert frames(content) == pytest.approx(result["duration"] * 25, abs=0.1)
        assert content.index(b"moov") < content.index(b"mdat")
        sound = requests.get(house.url + result["audio_url"], timeout=20).content
        assert (len(sound) - 44) / 32000 == pytest.approx(result["duration"], abs=0.01)
        if "captions_url" in result:
            assert requests.get(house.url + result["captions_url"], timeout=20).text.startswith("WEBVTT")


def check_folder(house: House) -> None:
    folder = house.data / "artifacts"
    assert list((folder / "parts").iterdir()) == []
    # A server that dies between keeping an upload and its job, or between a job's end and this, leaves it to the sweep,
    # which spares what is young, and what was read lately: the dead attempt has read it.
    for upload in uploads(folder):
        for path in (upload, folder / "reading" / upload.stem):
            with suppress(FileNotFoundError):
                os.utime(path, (time() - 100, time() - 100))
    requests.post(f"{house.url}/api/cleanup", timeout=20)
    assert uploads(folder) == []
    named = dict(kept_by(house))
    lying = {p.stem: named.get(p.stem, "nobody") for p in folder.iterdir() if p.is_file()}
    told(Counter(lying.values()))
    of_attempts = [id_ for id_, what in lying.items() if what.startswith("an attempt")]
    assert of_attempts == [], "what an attempt made that died"
    # A server may die between publishing and telling of it: such files end with their retention.
    assert list(lying.values()).count("nobody") <= 20
    assert house.process is not None
    assert strangers(house.data, house.process.pid) == []


def uploads(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix in (".sound", ".source")]


def kept_by(house: House) -> Iterator[tuple[str, str]]:
    """Each id that jobs know, and what they are to it."""
    known = rows(house.database, "SELECT job.state, attached, result, data FROM job JOIN job_event ON job = job.id")
    for row in known:
        id_ = row["data"].get("id")
        if id_ is not None:
            yield id_, "cut off" if row["attached"] else f"an attempt of a job that {row['state']}"
    for row in known:
        for piece in (row["result"] or {}).get("pieces", ()):
            yield piece["id"], "result"


def test_a_server_that_is_stopped_takes_its_jobs_up_again(house: House) -> None:
    house.ready()
    jobs = [film(house, f"Number {n}, said slowly.")["id"] for n in range(4)]
    for job in jobs[:2]:
        assert any(kind == "sound" for _, kind, _ in follow(house.url, job))
    assert house.process is not None
    before = family(house.process.pid)[1:]
    assert house.end() in (0, -signal.SIGTERM)
    assert gone(before, 5) == []
    assert list((house.data / "artifacts" / "parts").iterdir()) == []
    assert {row["state"] for row in rows(house.database, "SELECT state FROM job")} == {"queued"}
    assert {row["attempt"] for row in rows(house.database, "SELECT attempt FROM job")} == {0}
    house.begin()
    for job in jobs:
        *_, (_, _, data) = follow(house.url, job)
        assert data["state"] == "succeeded"
    assert {row["attempt"] for row in rows(house.database, "SELECT attempt FROM job")} == {1}
    check_books(house, Promises(accepted=dict.fromkeys(jobs, ""), unsure=0))
    check_films(house)
    check_folder(house)


def test_a_process_that_nobody_buried_is_dead() -> None:
    """In a container the first process often is no parent to anybody."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = psutil.Process(process.pid)
        name = f"{socket.gethostname()}:{process.pid}:{known.create_time():.2f}"
        assert not is_dead(name)
        assert not is_left_behind(process.pid, time())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
        assert is_dead(name)
        assert is_left_behind(process.pid, time())


@pytest.mark.slow
def test_a_server_is_stopped_although_clients_still_listen(house: House) -> None:
    house.ready()
    body = {"text": "This goes on forever.", "language": "en"}
    long = film(house, "slowly " * 25)["id"]
    assert any(kind == "sound" for _, kind, _ in follow(house.url, long))
    with (
        ask(house.url, "POST", "/api/generate_stream", body) as stream,
        ask(house.url, "GET", f"/v1/jobs/{long}/events") as events,
    ):
        assert stream.recv(100).startswith(b"HTTP/1.1 200")
        assert events.recv(100).startswith(b"HTTP/1.1 200")
        assert house.process is not None
        brood = family(house.process.pid)[1:]
        began = monotonic()
        house.end()
        assert monotonic() - began < 12  # three seconds are given to open answers
        assert gone(brood, 5) == []
    assert list((house.data / "artifacts" / "parts").iterdir()) == []
    states = {row["kind"]: (row["state"], row["attempt"]) for row in rows(house.database, "SELECT * FROM job")}
    assert states["video"] == ("queued", 0)
    assert states["stream"][0] in ("cancelled", "failed")
    house.begin()
    *_, (_, _, data) = follow(house.url, long)
    assert data["state"] == "succeeded"
    check_books(house, Promises(accepted={long: ""}))
    check_films(house)
    check_folder(house)
