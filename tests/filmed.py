"""The shared video, small, and films made of it: a plug-in of pytest's, for the test files that ask for it."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from shots import Form, Pictures, write_film
from vivavoce.engines.person import store
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.prepare import prepare
from vivavoce.face.locate import FaceLocator
from vivavoce.media import audio, video
from vivavoce.models import ModelStore

Bytes = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def source(shared: Path) -> Path:
    return shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"


@pytest.fixture(scope="session")
def pictures(source: Path) -> list[Bytes]:
    """The first 10 s, small."""
    shown = (f.image for f in islice(video.read_frames(source), 250))
    return [np.asarray(cv2.resize(rgb, (360, 640), interpolation=cv2.INTER_AREA), np.uint8) for rgb in shown]


@pytest.fixture(scope="session")
def write(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a film of pictures with the shared video's sound, or none."""
    folder = tmp_path_factory.mktemp("films")
    heard = audio.decode(source, max_seconds=60, rate=16_000).samples

    def write(
        shown: Pictures,
        fps: int = 25,
        *,
        sound: npt.NDArray[np.float32] | None = heard,
        times: list[int] | None = None,
        form: Form | None = None,
    ) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.mp4"
        write_film(path, shown, fps, sound=sound, times=times, form=form)
        return path

    return write


@pytest.fixture
def learn(locator: FaceLocator, tmp_path: Path) -> Callable[[Path], Library]:
    def learn(film: Path) -> Library:
        into = tmp_path / f"head{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        avatar = prepare(film, into, ModelStore())
        assert avatar.engine == "person"
        return store.load(into)

    return learn
