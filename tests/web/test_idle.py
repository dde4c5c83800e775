"""The avatar listening: one silent film that loops."""

import io
from itertools import pairwise

import av
import numpy as np
import requests

from serving import Served


def test_an_avatar_listens_in_a_film_that_loops(server: Served) -> None:
    first = requests.get(f"{server.url}/v1/avatars/anna/idle", timeout=60)
    assert first.status_code == 200
    assert first.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(first.content), "r") as film:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    assert len(pictures) == 200
    steps = [float(np.abs(a - b).mean()) for a, b in pairwise(pictures)]
    assert max(steps) > 0.3, "it blinks and breathes"
    assert float(np.abs(pictures[-1] - pictures[0]).mean()) < 3.5, "no more than coding noise at this size"

    again = requests.get(f"{server.url}/v1/avatars/anna/idle", headers={"Range": "bytes=0-99"}, timeout=10)
    assert again.status_code == 206
    assert again.headers["etag"] == first.headers["etag"], "it is made once"


def test_an_unknown_avatar_does_not_listen(server: Served) -> None:
    for name in ("nobody", "..%2f..%2fetc"):
        answer = requests.get(f"{server.url}/v1/avatars/{name}/idle", timeout=10)
        assert answer.status_code == 404
