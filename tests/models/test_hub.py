"""Folders from a model hub: fetched for an explicit wish only, from the operator's mirror, and checked file by file."""

import hashlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vivavoce.errors import EngineUnavailable
from vivavoce.hub import WHISPERS, Hub, Part
from vivavoce.models import CATALOGUE, ModelStore, Weight

REVISION = "0123456789abcdef0123456789abcdef01234567"
FILES = {"model.bin": b"weights!" * 3_000_000, "config.json": b"{}", "tokenizer.json": b'{"version": "1.0"}'}


def toy(**wrong: bytes) -> Weight:
    """A folder of the hub; ``wrong`` are files that the catalogue expects to be others."""
    expected = FILES | {name.replace("_", "."): data for name, data in wrong.items()}
    parts = tuple(Part(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in expected.items())
    size = sum(len(data) for data in FILES.values())
    return Weight("toy", "toy", size, None, "CC0-1.0", "test", hub=Hub("someone/toy", REVISION), parts=parts)


def laid_out(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return folder


class _Files(BaseHTTPRequestHandler):
    """The wire format of the hub: what a file is, by HEAD, then its bytes, from where the client has got to."""

    protocol_version = "HTTP/1.1"
    server: "_Hub"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        prefix, _, name = self.path.rpartition("/")
        data = FILES.get(name)
        if data is None or prefix != f"/someone/toy/resolve/{REVISION}":
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.server.asked.append((self.command, name, first))
        self.send_response(206 if first else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body and name == self.server.cut:
            self.server.cut = ""
            self.wfile.write(data[first : len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data[first:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Hub(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[tuple[str, str, int]]
    cut: str
    """The file of which half is sent, once."""


@pytest.fixture
def hub() -> Iterator[_Hub]:
    server = _Hub(("127.0.0.1", 0), _Files)
    server.asked, server.cut = [], ""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pull(tmp_path: Path, hub: _Hub, expression: str = "toy()") -> "subprocess.CompletedProcess[str]":
    """In a process of its own: the client reads HF_ENDPOINT once, when it is imported."""
    program = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
        from pathlib import Path
        from test_hub import toy
        from vivavoce.errors import EngineUnavailable
        from vivavoce.models import ModelStore
        told = []
        store = ModelStore(None, Path({str(tmp_path / "cache")!r}), offline=True, catalogue={{"toy": {expression}}})
        try:
            print(store.pull("toy", lambda *what: told.append(what)))
        except EngineUnavailable as e:
            print("refused:", e)
    """)
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PATH": "/usr/bin:/bin",
    }
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=60
    )


def test_a_pull_takes_the_folder_from_the_operators_mirror(tmp_path: Path, hub: _Hub) -> None:
    assert pull(tmp_path, hub).stdout.strip() == str(tmp_path / "cache" / "toy")
    there = tmp_path / "cache" / "toy"
    assert {p.name: p.read_bytes() for p in there.iterdir()} == FILES, "nothing but the files"
    asked = len(hub.asked)
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {"toy", ".lock-toy"}
    assert pull(tmp_path, hub).stdout.strip() == str(there)
    assert len(hub.asked) == asked, "it is here: nothing is asked for again"
    used = ModelStore(None, tmp_path / "cache", offline=True, catalogue={"toy": toy()})
    assert used.path("toy") == there
    assert [held.place for held in used.entries()] == ["cache"]


def test_an_interrupted_pull_goes_on_where_it_was(tmp_path: Path, hub: _Hub) -> None:
    hub.cut = "model.bin"
    pull(tmp_path, hub)
    pull(tmp_path, hub)
    assert (tmp_path / "cache" / "toy" / "model.bin").read_bytes() == FILES["model.bin"]
    starts = [first for command, name, first in hub.asked if (command, name) == ("GET", "model.bin")]
    assert len(starts) == 2
    assert 0 == starts[0] < starts[1] <= len(FILES["model.bin"]) // 2


def test_another_file_than_expected_is_never_published(tmp_path: Path, hub: _Hub) -> None:
    said = pull(tmp_path, hub, "toy(config_json=b'another')").stdout
    assert said.startswith("refused: The file config.json for the model toy is another than expected")
    assert not (tmp_path / "cache" / "toy").exists()
    assert not (tmp_path / "cache" / ".pull-toy" / "config.json").exists()


def test_what_the_hub_lacks_is_one_clear_error(tmp_path: Path, hub: _Hub) -> None:
    said = pull(tmp_path, hub, "toy(other_bin=b'')").stdout
    assert said.startswith("refused: The file other.bin of someone/toy could not be fetched from 127.0.0.1")
    assert "HF_ENDPOINT" in said


def test_use_fetches_nothing_and_names_the_command(tmp_path: Path) -> None:
    for offline in (False, True):
        store = ModelStore(None, tmp_path / "cache", offline=offline, catalogue={"toy": toy()})
        with pytest.raises(EngineUnavailable, match=r"run `vivavoce models pull toy` \(24 MB\)"):
            store.path("toy")
    assert not (tmp_path / "cache").exists()
    assert [held.place for held in store.entries()] == ["missing"]


def test_the_operators_own_folder_comes_first_and_is_checked(tmp_path: Path) -> None:
    own = laid_out(tmp_path / "own" / "toy")
    store = ModelStore(tmp_path / "own", tmp_path / "cache", catalogue={"toy": toy()})
    assert store.path("toy") == own
    assert [held.place for held in store.entries()] == ["folder"]
    (own / "model.bin").write_bytes(b"something else")
    with pytest.raises(EngineUnavailable, match=r"The file model\.bin for the model toy is another than expected"):
        store.path("toy")
    (own / "model.bin").unlink()
    with pytest.raises(EngineUnavailable, match="not on this machine"):
        store.path("toy")


def test_a_damaged_cache_is_not_used(tmp_path: Path) -> None:
    cached = laid_out(tmp_path / "cache" / "toy")
    store = ModelStore(None, tmp_path / "cache", catalogue={"toy": toy()})
    assert store.path("toy") == cached
    (cached / "tokenizer.json").write_bytes(b"cut")
    with pytest.raises(EngineUnavailable, match="vivavoce models pull toy"):
        store.path("toy")


def test_whisper_is_in_the_catalogue_with_all_that_a_recogniser_needs() -> None:
    assert {w.size for w in WHISPERS} == {"tiny", "base", "small", "medium", "large-v3", "large-v3-turbo"}
    for whisper in WHISPERS:
        weight = CATALOGUE[f"whisper-{whisper.size}"]
        names = {part.file for part in weight.parts}
        assert {"model.bin", "config.json", "tokenizer.json"} < names
        assert ("preprocessor_config.json" in names) == ("v3" in whisper.size)
        assert all(len(part.sha256) == 64 and part.bytes > 0 for part in weight.parts)
        assert len(whisper.hub.revision) == 40
        assert weight.licence == "MIT"
        assert weight.bytes > 70e6
