"""A film's address while the film is made: for every kind of client, for films that fail, for clients that leave."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import av
import pytest
import requests

from vivavoce.bench.filming import Filming, drawn, filming, paced
from vivavoce.bench.picture import viewer
from vivavoce.errors import Cancelled, EngineUnavailable, VivavoceError
from vivavoce.nouns import Canvas, Frame

SMALL = Canvas(128, 128, 25)
COUNT = 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server keeps its films."""
    return tmp_path / "films"


@pytest.fixture
def served(folder: Path) -> Iterator[Filming]:
    with filming(folder) as served:
        yield served


class Making:
    """A film in the making that stands still after some frames until it is told to go on."""

    def __init__(self, served: Filming, stop: int, error: Exception | None = None) -> None:
        self.id = served.expect()
        self.url = f"{served.url}/film/{self.id}"
        self.go_on = threading.Event()
        self._served, self._stop, self._error = served, stop, error
        self._thread = threading.Thread(target=self._make, daemon=True)

    def __enter__(self) -> "Making":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Let it come to its end, and wait for that."""
        self.go_on.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _make(self) -> None:
        self._served.make(self.id, self._frames(), COUNT / SMALL.fps, SMALL)

    def _frames(self) -> Iterator[Frame]:
        for n, frame in enumerate(drawn(COUNT, SMALL)):
            if n == self._stop:
                assert self.go_on.wait(20)
                if self._error:
                    raise self._error
            yield frame


def pictures(film: bytes) -> int:
    with av.open(io.BytesIO(film), "r") as read:
        return len(list(read.decode(video=0)))


def until(true: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not true():
        assert monotonic() < end
        threading.Event().wait(0.005)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}, {"Range": "Bytes=0- "}])
def test_what_is_asked_for_whole_flows_while_it_is_made(served: Filming, folder: Path, headers: dict[str, str]) -> None:
    with Making(served, stop=60) as making:
        answer = requests.get(making.url, headers=headers, stream=True, timeout=20)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in answer.headers
        blocks = answer.iter_content(None)
        got = b""
        while got.count(b"moof") < 8:  # forty-eight of the sixty pictures that are drawn
            got += next(blocks)
        assert not making.go_on.is_set()
        making.go_on.set()
        got += b"".join(blocks)
        assert pictures(got) == COUNT
        # A player gets whole blocks of 32 KiB, another client nothing but the film.
        assert (b"free" in got) == bool(headers)
    finished = requests.get(making.url, headers=headers, timeout=20)
    assert finished.status_code == (206 if headers else 200)
    assert finished.headers["Accept-Ranges"] == "bytes"
    assert int(finished.headers["Content-Length"]) == len(finished.content)
    assert b"moof" not in finished.content
    assert pictures(finished.content) == COUNT
    assert list((folder / "parts").iterdir()) == []


@pytest.mark.parametrize("wanted", ["bytes=0-1", "bytes=100-", "bytes=-500", "bytes=0-99,200-299"])
def test_a_range_waits_for_the_finished_file(served: Filming, wanted: str) -> None:
    answers: list[requests.Response] = []

    def ask() -> None:
        answers.append(requests.get(making.url, headers={"Range": wanted}, timeout=20))

    with Making(served, stop=50) as making:
        asking = threading.Thread(target=ask)
        asking.start()
        with requests.get(making.url, stream=True, timeout=20) as other:  # others do not wait
            assert next(other.iter_content(1))
        assert answers == []
    asking.join(20)
    whole = requests.get(making.url, timeout=20).content
    content, status = answers[0].content, answers[0].status_code
    assert {
        "bytes=0-1": (206, whole[:2]),
        "bytes=100-": (206, whole[100:]),
        "bytes=-500": (206, whole[-500:]),
        "bytes=0-99,200-299": (200, whole),  # several at once may be answered with everything
    }[wanted] == (status, content)


def test_head_says_what_is_known(served: Filming) -> None:
    with Making(served, stop=0) as making:
        growing = requests.head(making.url, timeout=20)
        assert (growing.status_code, growing.headers["Content-Type"]) == (200, "video/mp4")
        assert "Content-Length" not in growing.headers
    finished = requests.head(making.url, timeout=20)
    assert int(finished.headers["Content-Length"]) == len(requests.get(making.url, timeout=20).content)


def test_who_comes_before_the_first_picture_and_who_comes_late_get_the_same(served: Filming) -> None:
    films: list[bytes] = []

    def watch() -> None:
        films.append(requests.get(making.url, timeout=20).content)

    making = Making(served, stop=70)
    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers[:2]:
        watcher.start()
    with making:
        with requests.get(making.url, stream=True, timeout=20) as other:
            assert next(other.iter_content(1))
        for watcher in watchers[2:]:
            watcher.start()
        until(lambda: served.answered.count(200) == 5)
    for watcher in watchers:
        watcher.join(20)
    assert [pictures(film) for film in films] == [COUNT] * 4


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_film_that_nobody_knows(served: Filming, method: str) -> None:
    for name in (served.artifacts.new_id(), "..%2f..%2fetc%2fpasswd", "x"):
        assert requests.request(method, f"{served.url}/film/{name}", timeout=20).status_code == 404


@pytest.mark.parametrize("error", [VivavoceError("No."), ValueError("engine"), Cancelled("Cancelled.")])
def test_a_film_that_fails_midway_does_not_look_complete(served: Filming, folder: Path, error: Exception) -> None:
    with Making(served, 60, error) as making:
        answer = requests.get(making.url, stream=True, timeout=20)
        blocks = answer.iter_content(None)
        assert next(blocks)
        making.go_on.set()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(blocks)
    assert requests.get(making.url, timeout=20).status_code == 404
    assert list((folder / "parts").iterdir()) == []


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-1"}])
def test_a_film_that_fails_before_its_first_picture_is_a_plain_error(served: Filming, headers: dict[str, str]) -> None:
    answers: list[requests.Response] = []
    making = Making(served, 0, Cancelled("The work was cancelled."))
    film = served.films.get(making.id)
    assert film is not None
    asking = threading.Thread(
        target=lambda: answers.append(requests.get(making.url, headers=headers, timeout=20)), daemon=True
    )
    asking.start()
    until(lambda: len(film._news._waiters) == 1)  # it stands in front of the film
    with making:
        pass
    asking.join(20)
    assert (answers[0].status_code, answers[0].text) == (409, "The work was cancelled.")


def test_clients_that_leave_leave_nothing(served: Filming) -> None:
    address = urlsplit(served.url)
    with Making(served, stop=60) as making:
        film = served.films.get(making.id)
        assert film is not None
        request = f"GET /film/{making.id} HTTP/1.1\r\nHost: x\r\n".encode()
        for wanted in (b"", b"Range: bytes=0-1\r\n") * 5:
            with socket.create_connection((address.hostname or "", address.port or 0), 10) as connection:
                connection.sendall(request + wanted + b"\r\n")
                if not wanted:
                    assert connection.recv(100)
        until(lambda: film._readers == 0)
        assert served.films.get(making.id) is film, "its makers go on"
    assert film._opened == []
    assert pictures(requests.get(making.url, timeout=20).content) == COUNT


def test_what_was_watched_while_it_grew_is_not_kept_by_a_cache(served: Filming) -> None:
    """The file that stays has other bytes: a cache must never put the two together."""
    with Making(served, stop=60) as making, requests.get(making.url, stream=True, timeout=20) as growing:
        assert growing.headers["Cache-Control"] == "no-store"
        assert {"etag", "last-modified"}.isdisjoint(growing.headers)
    finished = requests.get(making.url, timeout=20)
    assert "max-age" in finished.headers["Cache-Control"]
    assert finished.headers["ETag"]


PLAY = """async url => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const began = performance.now();
  const waits = [];
  const ended = () => new Promise((done, failed) => {
    video.onended = done;
    video.onerror = () => failed(new Error(video.error.message));
  });
  const first = new Promise(done => video.requestVideoFrameCallback(() => done(performance.now() - began)));
  video.src = url;
  video.play();
  const end = ended();
  const shown = await first;
  video.onwaiting = () => { if (video.currentTime > 0.1) waits.push(video.currentTime); };
  await end;
  const frames = video.getVideoPlaybackQuality().totalVideoFrames;
  const again = ended();  // from the start
  await video.play();
  await again;
  return { shown, frames, waits, duration: video.duration, again: video.getVideoPlaybackQuality().totalVideoFrames };
}"""


@pytest.mark.browser
@pytest.mark.parametrize("speed", [25, 50])
def test_chromium_shows_a_film_while_it_is_made(served: Filming, speed: float) -> None:
    """Every picture, without a halt, even when it is made no faster than it is played; and then once more."""
    canvas = Canvas(512, 512, 25)
    ends: list[float] = []

    def make() -> None:
        began = monotonic()
        served.make(name, paced(drawn(88, canvas), speed), 3.52, canvas)
        ends.append(monotonic() - began)

    try:
        with viewer() as page:
            page.goto(served.url)
            name = served.expect()
            maker = threading.Thread(target=make)
            maker.start()
            seen = page.evaluate(PLAY, f"{served.url}/film/{name}")
            maker.join(20)
    except EngineUnavailable as e:
        pytest.skip(str(e))
    assert seen["frames"] == 88
    assert seen["waits"] == []
    assert seen["duration"] == pytest.approx(3.52, abs=0.03)
    assert seen["again"] == 176
    assert seen["shown"] / 1000 < 0.7 * ends[0]  # the bench measures, here it must only be early
    assert served.answered == [200]


@pytest.mark.browser
def test_chromium_reports_a_film_that_breaks_off(served: Filming) -> None:
    try:
        with viewer() as page, Making(served, 60, VivavoceError("No.")) as making:
            page.goto(served.url)
            threading.Timer(0.5, making.go_on.set).start()
            with pytest.raises(Exception, match=r"(?i)network|pipeline|demuxer|ended early|error"):
                page.evaluate(PLAY, making.url)
    except EngineUnavailable as e:
        pytest.skip(str(e))
