"""Films in a real browser: every picture shown, every sound where it belongs, colours kept, joined files included."""

import base64
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_video import COLOURS, colour_card, joined

from vivavoce.media.video import encode
from vivavoce.nouns import Audio, Canvas, Frame

pytestmark = pytest.mark.browser

CANVAS = Canvas(256, 64, 25)
CLICKS = (0.5, 1.25, 2.6)
SECONDS = 2.88

WATCH = """async base64 => {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
  const video = document.createElement("video");
  video.muted = true;
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  document.body.append(video);
  await new Promise((done, failed) => {
    video.onloadeddata = done;
    video.onerror = () => failed(video.error.message);
  });
  const painted = new Promise(done => video.requestVideoFrameCallback(done));
  video.currentTime = 0.2;
  await painted;
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext("2d");
  canvas.drawImage(video, 0, 0);
  const colours = Array.from({ length: 8 }, (_, n) => [...canvas.getImageData(16 + 32 * n, 32, 1, 1).data].slice(0, 3));
  video.currentTime = 0;
  const ended = new Promise(done => { video.onended = done; });
  await video.play();
  await ended;
  const audio = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes.buffer);
  const clicks = [];
  let last = -1e9;
  audio.getChannelData(0).forEach((x, i) => {
    if (Math.abs(x) < 0.4) return;
    if (i - last > 2000) clicks.push(i / 48000);
    last = i;
  });
  const shown = video.getVideoPlaybackQuality().totalVideoFrames;
  return { colours, clicks, shown, duration: video.duration, sound: audio.duration };
}"""


def film(path: Path, fragmented: bool) -> Path:
    sound = np.zeros(round(SECONDS * 48_000), np.float32)
    for second in CLICKS:
        start = round(second * 48_000)
        sound[start : start + 80] = 0.8
    card = colour_card(CANVAS)
    frames = (Frame(card, n / 25) for n in range(72))
    encode(path, frames, Audio(sound, 48_000), CANVAS, fragmented=fragmented, quality=8)
    return path


@pytest.fixture(scope="module")
def page() -> Any:
    sync = pytest.importorskip("playwright.sync_api")
    if not (chromium := shutil.which("chromium")):
        pytest.skip("no Chromium on this machine")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("kind", ["plain", "fragmented", "joined"])
def test_chromium_plays_it_all(page: Any, tmp_path: Path, kind: str) -> None:
    path, count = film(tmp_path / "film.mp4", kind == "fragmented"), 1
    if kind == "joined":
        path, count = joined(tmp_path, [path, film(tmp_path / "other.mp4", True), path]), 3
    seen = page.evaluate(WATCH, base64.b64encode(path.read_bytes()).decode())
    assert seen["duration"] == pytest.approx(SECONDS * count, abs=0.001)
    assert seen["sound"] == pytest.approx(SECONDS * count, abs=0.001)
    assert seen["shown"] >= 72 * count
    wanted = [second + SECONDS * part for part in range(count) for second in CLICKS]
    assert seen["clicks"] == pytest.approx(wanted, abs=2 / 48_000)
    # Chromium's own arithmetic saturates in pure blue and green; grey and skin show whether the tags are right.
    errors = np.abs(np.array(seen["colours"]) - np.array(COLOURS)).max(axis=1)
    assert errors[3:].max() <= 3
    assert errors.max() <= 14
