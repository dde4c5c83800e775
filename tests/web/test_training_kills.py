"""Trainings whose server or worker is killed at random moments: each epoch is learnt once, and nothing stays behind."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from time import time
from typing import Any

import psutil
import pytest
import requests

from films import footage
from lessons import ended, learnt, native, rest, weight
from loads import follow, rows, workers
from serving import House, Served

EPOCHS = 300
FILM = footage("slow")


@pytest.fixture
def house(toy: Path, tmp_path: Path) -> Iterator[House]:
    data = tmp_path / "data"
    data.mkdir()
    with closing(House(toy, data, {})) as house:
        house.begin()
        yield house


def reached(server: Served, job: str, epoch: int) -> None:
    """Wait until the training has told of such an epoch."""
    with suppress(requests.RequestException):
        for _, kind, data in follow(server.url, job):
            if kind == "progress" and data.get("epoch", 0) >= epoch:
                return


def school(server: Served) -> list[psutil.Process]:
    """The process in which a training runs: it makes way for the other workers."""
    found = []
    usual = psutil.Process(server.pid).nice() + 5
    for process in workers(server.pid):
        with suppress(psutil.NoSuchProcess):
            if process.nice() > usual:
                found.append(process)
    return found


def kill_the_server(house: House, server: Served) -> None:
    house.end(signal.SIGKILL)
    house.begin()


def kill_the_worker(house: House, server: Served) -> None:
    for process in school(server):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def kill_all(house: House, server: Served) -> None:
    brood = workers(server.pid)
    kill_the_server(house, server)
    for process in brood:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def end_the_server(house: House, server: Served) -> None:
    house.end()
    house.begin()


def check_end(house: House, server: Served, job: str, name: str) -> dict[str, Any]:
    last = ended(server, job)
    assert last["state"] == "succeeded", (last, house.log.read_text()[-3000:])
    head = learnt(server, name)
    assert (head["epochs"], head["weight"]) == (EPOCHS, weight(FILM, EPOCHS)), "an epoch was lost, or learnt twice"
    happened = rows(house.database, f"SELECT seq, type, data FROM job_event WHERE job = '{job}' ORDER BY seq")
    assert [event["seq"] for event in happened] == list(range(1, len(happened) + 1))
    told = [e["data"]["epoch"] for e in happened if e["type"] == "progress" and e["data"].get("epoch")]
    backwards = sum(b < a for a, b in pairwise(told))
    assert backwards == 0, f"it began again further back: {told}"
    assert rest(server) == []
    return last


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_five_deaths_at_random_moments_change_nothing(house: House, seed: int) -> None:
    server = house.ready()
    chance = random.Random(seed)
    job = native(server, FILM, name="mary", epochs=str(EPOCHS)).json()["id"]
    deaths: list[Callable[[House, Served], None]] = [
        kill_the_server,
        kill_the_worker,
        kill_all,
        kill_the_worker,
        end_the_server,
    ]
    for n, death in enumerate(chance.sample(deaths, len(deaths))):
        reached(server, job, 20 * n + 1)
        threading.Event().wait(chance.uniform(0.0, 0.8))
        assert not (server.data / "avatars" / "mary").exists(), "a half-trained one was seen"
        death(house, server)
        server = house.ready()
    check_end(house, server, job, "mary")
    (row,) = rows(house.database, f"SELECT attempt FROM job WHERE id = '{job}'")
    assert row["attempt"] <= 4, "a worker's death, and the end of a server, are no attempt"


@pytest.mark.slow
def test_a_server_that_is_killed_goes_on_where_it_was(house: House) -> None:
    server = house.ready()
    job = native(server, FILM, name="mary", epochs=str(EPOCHS)).json()["id"]
    reached(server, job, 30)
    kill_the_server(house, server)
    server = house.ready()
    check_end(house, server, job, "mary")


def test_a_job_that_ended_while_its_folder_stayed_is_swept(house: House) -> None:
    server = house.ready()
    left = server.data / "training" / "0123456789abcdef"
    left.mkdir(parents=True)
    (left / "course.json").write_text("{}")
    os.utime(left, (time() - 100, time() - 100))
    requests.post(f"{server.url}/api/cleanup", timeout=20)
    assert rest(server) == []
