"""What every room's tests share: the test media, the voice, the face nets, and servers with a toy face."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from buckets import s3  # noqa: F401 - a fixture
from databases import database_url, postgres  # noqa: F401 - fixtures
from serving import TOY, Served, running
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable
from vivavoce.face.locate import FaceLocator
from vivavoce.models import ModelStore


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test media beside the checkout; a checkout that stands alone skips what needs it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "media").is_dir():
        pytest.skip("the folder of test media (../shared) is not beside this checkout")
    return folder


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work in a folder of the test's own and write wide tables."""
    monkeypatch.setenv("VIVAVOCE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def voice() -> Iterator[EspeakVoice]:
    """The embedded voice."""
    voice = EspeakVoice()
    yield voice
    voice.close()


@pytest.fixture(scope="session")
def locator() -> FaceLocator:
    """Finds faces; skips where its nets cannot be had."""
    store = ModelStore()
    try:
        for net in ("face-detector", "face-mesh"):
            store.path(net)
    except EngineUnavailable as e:
        pytest.skip(f"the face nets cannot be had here: {e}")
    return FaceLocator(store)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that, on the path, is an installed distribution with a face, a voice and a cloner."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_engines.py").write_text(TOY)
    info = folder / "toy_engines-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engines\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "[vivavoce.engines]\nface.toy = toy_engines:Face\nvoice.mute = toy_engines:Voice\n"
        "clone.toy = toy_engines:Cloner\n"
    )
    return folder


@pytest.fixture(scope="session")
def start(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Served]]:
    """Runs a server for as long as a ``with`` block lasts; keyword arguments are settings."""
    return lambda **settings: running(toy, tmp_path_factory.mktemp("data"), settings)


@pytest.fixture(scope="session")
def server(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """The server that most tests share."""
    with start() as served:
        yield served


@pytest.fixture
def serve(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Callable[..., Served]]:
    """Start servers of a test's own; keyword arguments are settings. They end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(start(**settings))
