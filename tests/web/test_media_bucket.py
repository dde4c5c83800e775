"""The whole server with its results in a bucket: the same answers, nothing of them left on its own disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from buckets import KEYS, S3
from serving import Served

pytestmark = pytest.mark.slow  # it starts a server of its own


def test_a_server_keeps_its_films_in_a_bucket(serve: Callable[..., Served], s3: S3) -> None:
    url = s3.make()
    server = serve(store__url=url, store__endpoint=s3.endpoint)
    body: dict[str, Any] = {"text": "Hello. How are you today? I am well.", "language": "en", "chunk_size": 5}
    answer = requests.post(f"{server.url}/api/stream_chunks", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    for chunk in answer.json()["chunks"]:
        for path in (chunk["video_url"], chunk["audio_url"]):
            whole = requests.get(server.url + path, timeout=30)
            probe = requests.get(server.url + path, headers={"Range": "bytes=0-1"}, timeout=30)
            assert (whole.status_code, probe.status_code, probe.content) == (200, 206, whole.content[:2])
            assert probe.headers["content-range"] == f"bytes 0-1/{len(whole.content)}"
            known = {"If-None-Match": whole.headers["etag"]}
            assert requests.get(server.url + path, headers=known, timeout=30).status_code == 304
    assert [p for p in (server.data / "artifacts").rglob("*") if p.is_file()] == []
    kept = [o["Key"] for o in s3.client.list_objects_v2(Bucket=url.split("/")[2])["Contents"]]
    assert len([key for key in kept if key.endswith((".mp4", ".wav"))]) == 2 * len(answer.json()["chunks"])
    with ThreadPoolExecutor(8) as readers:
        path = server.url + answer.json()["chunks"][0]["video_url"]
        films = {film.content for film in readers.map(lambda _: requests.get(path, timeout=30), range(24))}
    assert len(films) == 1
    assert (
        requests.get(f"{server.url}/api/chunk/video/20260101_000000_000000_0_{'0' * 16}", timeout=30).status_code == 404
    )


def test_a_bucket_that_cannot_be_used_is_said(serve: Callable[..., Served], s3: S3) -> None:
    server = serve(store__url="s3://nobodys-bucket", store__endpoint=s3.endpoint)
    body = {"text": "Hello.", "language": "en"}
    answer = requests.post(f"{server.url}/api/generate", json=body, timeout=60)
    assert (answer.status_code, answer.json()["success"]) == (503, False)
    assert "bucket" in answer.json()["error"]
    log = (server.data / "log").read_text()
    assert "the bucket failed" in log
    assert not any(KEYS[name] in log for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    assert list((server.data / "artifacts" / "parts").iterdir()) == []
