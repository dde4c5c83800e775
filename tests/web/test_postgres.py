"""The whole server with its jobs in PostgreSQL: the same answers, no file of jobs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from databases import PostgresCluster
from serving import Served

pytestmark = pytest.mark.slow  # it starts a server of its own


def test_a_server_keeps_its_jobs_in_postgresql(serve: Callable[..., Served], postgres: PostgresCluster) -> None:
    server = serve(store__database=postgres.new_url())

    def video(n: int) -> dict[str, Any]:
        headers = {"Prefer": "wait=60", "Idempotency-Key": f"key-{n % 4}"}
        body = {"text": f"Number {n % 4}.", "language": "en"}
        answer: dict[str, Any] = requests.post(f"{server.url}/v1/videos", json=body, headers=headers, timeout=90).json()
        return answer

    with ThreadPoolExecutor(8) as clients:
        jobs = list(clients.map(video, range(8)))
    assert {job["state"] for job in jobs} == {"succeeded"}
    assert len({job["id"] for job in jobs}) == 4
    events = requests.get(server.url + jobs[0]["events_url"], timeout=30).text
    numbers = [int(line[4:]) for line in events.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    film = requests.get(server.url + jobs[0]["result"]["video_url"], timeout=30)
    assert film.headers["content-type"] == "video/mp4"

    endless = requests.post(f"{server.url}/v1/videos", json={"text": "forever", "language": "en"}, timeout=30).json()
    cancelled = requests.delete(f"{server.url}/v1/jobs/{endless['id']}", timeout=30).json()
    assert cancelled["state"] == "cancelled"
    assert requests.get(f"{server.url}/v1/jobs?state=succeeded", timeout=30).json()["total_count"] == 4
    assert not list(server.data.glob("jobs.db*"))
    assert "postgresql://" not in (server.data / "log").read_text()
