"""The model store hands out the right bytes or says, in one sentence, what to do."""

import hashlib
import ssl
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vivavoce.errors import EngineUnavailable, NotFound
from vivavoce.models import CATALOGUE, ModelStore, Url, Weight, WheelMember, default_cache

ONE, TWO = b"weights of the first net" * 100, b"weights of the second net" * 200


def weight(name: str, data: bytes, *sources: WheelMember | Url) -> Weight:
    return Weight(name, f"{name}.bin", len(data), hashlib.sha256(data).hexdigest(), "CC0-1.0", "test", sources)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel that the package client will look at instead of any other."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "toynets-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toynets/one.bin", ONE)
        wheel.writestr("toynets/two.bin", TWO)
        wheel.writestr("toynets-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toynets\nVersion: 1.0\n")
        wheel.writestr("toynets-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toynets-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def member(path: str) -> WheelMember:
    return WheelMember("toynets", "1.0", path)


@pytest.fixture
def toys(index: Path) -> dict[str, Weight]:
    both = (weight("one", ONE, member("toynets/one.bin")), weight("two", TWO, member("toynets/two.bin")))
    return {w.name: w for w in both}


def test_first_use_fetches_every_model_of_the_wheel(tmp_path: Path, toys: dict[str, Weight]) -> None:
    store = ModelStore(None, tmp_path / "cache", catalogue=toys)
    assert {held.place for held in store.entries()} == {"missing"}
    assert store.path("one").read_bytes() == ONE
    assert {held.place for held in store.entries()} == {"cache"}
    offline = ModelStore(None, tmp_path / "cache", offline=True, catalogue=toys)
    assert offline.path("two").read_bytes() == TWO
    left = {p.name for p in (tmp_path / "cache").iterdir()}
    assert left == {"one.bin", "two.bin", ".lock"}, "temporary files of the fetch are left"


def test_offline_names_the_command_that_helps(tmp_path: Path, toys: dict[str, Weight]) -> None:
    store = ModelStore(None, tmp_path / "cache", offline=True, catalogue=toys)
    with pytest.raises(EngineUnavailable, match="vivavoce models pull one"):
        store.path("one")
    assert store.pull("one").read_bytes() == ONE, "an explicit pull is the operator's wish"


def test_the_operators_folder_comes_first_and_is_checked(tmp_path: Path, toys: dict[str, Weight]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "one.bin").write_bytes(ONE)
    store = ModelStore(own, tmp_path / "cache", offline=True, catalogue=toys)
    assert store.path("one") == own / "one.bin"
    (own / "one.bin").write_bytes(b"something else")
    with pytest.raises(EngineUnavailable) as refused:
        store.path("one")
    assert hashlib.sha256(b"something else").hexdigest() in str(refused.value)
    assert hashlib.sha256(ONE).hexdigest() in str(refused.value)


def test_a_weight_without_a_hash_is_the_operators_own(tmp_path: Path) -> None:
    free = {"own": Weight("own", "own.bin", 0, None, "unknown", "test")}
    own = tmp_path / "own"
    own.mkdir()
    store = ModelStore(own, tmp_path / "cache", catalogue=free)
    with pytest.raises(EngineUnavailable, match="VIVAVOCE_MODELS__DIR"):
        store.path("own")
    (own / "own.bin").write_bytes(b"anything")
    assert store.path("own").read_bytes() == b"anything"


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, toys: dict[str, Weight]) -> None:
    store = ModelStore(None, tmp_path / "cache", catalogue=toys)
    cached = store.path("one")
    cached.write_bytes(ONE[:50])
    assert ModelStore(None, tmp_path / "cache", catalogue=toys).path("one").read_bytes() == ONE


def test_a_file_with_another_hash_is_never_published(tmp_path: Path, index: Path) -> None:
    wrong = {"one": weight("one", b"what the catalogue expects", member("toynets/one.bin"))}
    with pytest.raises(EngineUnavailable, match="SHA-256"):
        ModelStore(None, tmp_path / "cache", catalogue=wrong).path("one")
    assert not (tmp_path / "cache" / "one.bin").exists()


@pytest.mark.parametrize(
    "source", [WheelMember("toynets", "2.0", "toynets/one.bin"), member("toynets/three.bin")], ids=["wheel", "member"]
)
def test_what_the_index_lacks_is_one_clear_error(tmp_path: Path, index: Path, source: WheelMember) -> None:
    store = ModelStore(None, tmp_path / "cache", catalogue={"one": weight("one", ONE, source)})
    with pytest.raises(EngineUnavailable, match="toynets=="):
        store.path("one")
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {".lock"}


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"face-detector, face-mesh, .*whisper-tiny"):
        ModelStore(None, tmp_path).path("../etc/passwd")


def test_two_processes_fetch_once(tmp_path: Path, index: Path) -> None:
    """Both start together on an empty cache; progress is reported by the one that fetched."""
    program = textwrap.dedent(f"""
        import hashlib, sys
        from pathlib import Path
        from vivavoce.models import ModelStore, Weight, WheelMember
        w = Weight("one", "one.bin", {len(ONE)}, "{hashlib.sha256(ONE).hexdigest()}", "", "",
                   (WheelMember("toynets", "1.0", "toynets/one.bin"),))
        fetched = []
        print("up", flush=True); sys.stdin.readline()
        path = ModelStore(None, Path({str(tmp_path / "cache")!r}), catalogue={{"one": w}}).path(
            "one", lambda *what: fetched.append(what))
        print(len(path.read_bytes()), bool(fetched), flush=True)
    """)
    pair = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in pair:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    said = sorted(process.communicate("go\n", timeout=60)[0].strip() for process in pair)
    assert said == [f"{len(ONE)} False", f"{len(ONE)} True"]


class _Weights(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = ONE if self.path == "/one" else ONE + b"more"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An https server with a certificate of its own that the store's client trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run([*request, *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the test's certificate, is not installed")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Weights)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_fetched_and_checked(tmp_path: Path, site: str) -> None:
    good = {"one": weight("one", ONE, Url(f"{site}/longer"), Url(f"{site}/one"))}
    progress: list[tuple[str, int, int]] = []
    path = ModelStore(None, tmp_path / "cache", catalogue=good).path("one", lambda *what: progress.append(what))
    assert path.read_bytes() == ONE, "the second source serves when the first one fails"
    assert progress[-1] == ("one.bin", len(ONE), len(ONE))


def test_urls_are_https_only() -> None:
    with pytest.raises(ValueError, match="https only"):
        Url("http://example.org/one.bin")


def test_cache_folder_follows_the_desktop_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/vivavoce/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/vivavoce/models"


def test_an_unwriteable_cache_is_said(tmp_path: Path, toys: dict[str, Weight]) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EngineUnavailable, match="cannot be used"):
        ModelStore(None, tmp_path / "file" / "cache", catalogue=toys).path("one")


@pytest.mark.slow
def test_the_catalogue_is_true(tmp_path: Path) -> None:
    """Every entry comes from the index of this machine, with the size that the list shows."""
    store = ModelStore(None, tmp_path)
    for name, entry in CATALOGUE.items():
        if not any(isinstance(source, WheelMember) for source in entry.sources):
            continue  # from an address on the web, or from the operator
        assert store.path(name).stat().st_size == entry.bytes
    assert not list(tmp_path.glob(".fetch-*"))
