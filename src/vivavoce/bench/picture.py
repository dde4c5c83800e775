"""How long a viewer waits for the first picture: plain ``video.src = url`` in Chromium, while the film is made."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.bench.filming import Filming, drawn, filming, paced
from vivavoce.errors import EngineUnavailable
from vivavoce.nouns import Canvas

__all__ = ["Wait", "first_pictures", "viewer"]

_FRAMES = 88
_CANVAS = Canvas(512, 512, 25)
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_WATCH = """async url => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const shown = new Promise((done, failed) => {
    video.requestVideoFrameCallback(() => done(performance.timeOrigin + performance.now()));
    video.onerror = () => failed(new Error(video.error.message));
  });
  video.src = url;
  video.play();
  const first = await shown;
  video.remove();
  return first / 1000;
}"""


@dataclass(frozen=True, slots=True)
class Wait:
    """One film that was watched while it was made; seconds since its engine began."""

    first_picture: float
    finished_file: float

    @property
    def share(self) -> float:
        """The first wait in parts of the second, 0-1."""
        return self.first_picture / self.finished_file


def first_pictures(folder: Path, times: int, *, speed: float = 50) -> list[Wait]:
    """Watch ``times`` films of an engine that draws ``speed`` pictures a second. Raises ``EngineUnavailable``."""
    with viewer() as page, filming(folder) as served:
        page.goto(served.url)
        return [_watched(page, served, speed) for _ in range(times + 1)][1:]  # the first starts Chromium's decoders


@contextmanager
def viewer() -> Iterator[Any]:
    """A page of Chromium, driven by Playwright. Raises ``EngineUnavailable`` where the one or the other is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as e:
        raise EngineUnavailable("Playwright is not installed; add it with `pip install playwright`.") from e
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        raise EngineUnavailable("There is no Chromium on this machine; install it to see how soon a film is shown.")
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
        except Error as e:
            raise EngineUnavailable("Chromium does not start on this machine.") from e
        try:
            yield browser.new_page()
        finally:
            browser.close()


def _watched(page: Any, served: Filming, speed: float) -> Wait:
    name = served.expect()
    ends: list[float] = []

    def make() -> None:
        served.make(name, paced(drawn(_FRAMES, _CANVAS), speed), _FRAMES / _CANVAS.fps, _CANVAS)
        ends.append(time.time())

    maker = threading.Thread(target=make, daemon=True)
    began = time.time()  # the clock that a page has too
    maker.start()
    first = page.evaluate(_WATCH, f"{served.url}/film/{name}")
    maker.join()
    return Wait(first - began, ends[0] - began)
