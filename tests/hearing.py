"""Pages that hear, in a real browser: Chromium with a microphone of known sound, and what tests ask of such pages."""

import io
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = Path("/usr/bin/chromium")
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
SLOW = 60_000
"""Milliseconds that a busy machine may take."""
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
NAMELESS = """[...document.querySelectorAll("button, a, input, select, textarea, progress, [role=slider]")]
    .filter(e => e.offsetParent && !e.ariaLabel && !e.labels?.length)
    .filter(e => !(e.matches("a, button") && e.textContent.trim())).map(e => e.outerHTML)"""
"""What can be seen and used, and has no name that a screen reader could read out: an expression of JavaScript."""
Open = Callable[..., "Page"]


@contextmanager
def started() -> Iterator["Playwright"]:
    """Playwright, where it and Chromium are; the test is skipped elsewhere."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        yield playwright


@contextmanager
def launched(playwright: "Playwright", *options: str) -> Iterator["Browser"]:
    always = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*always, *options])
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def hearing_tones(playwright: "Playwright", folder: Path) -> Iterator["Browser"]:
    """Chromium whose microphone hears two tones for ever: one of speech, and one that no recogniser needs."""
    n = np.arange(48_000)
    both = 0.2 * np.sin(2 * np.pi * 1000 * n / 48_000) + 0.2 * np.sin(2 * np.pi * 12_000 * n / 48_000)
    write_wav(folder / "tones.wav", Audio(both.astype(np.float32), 48_000), 48_000)
    with launched(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={folder / 'tones.wav'}") as browser:
        yield browser


@contextmanager
def opening(server: str) -> Iterator[Open]:
    """Opens the page; it fails its test for a script error, or for any request to somewhere else."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def at(browser: "Browser", path: str = "/microphone", url: str = server, **options: Any) -> "Page":
            options = {"viewport": DESK, "locale": "en-GB", "base_url": url} | options
            page = stack.enter_context(browser.new_context(**options)).new_page()
            ours = (url, url.replace("http", "ws"), "blob:", "data:")
            page.on("pageerror", lambda e: wrong.append(str(e)))
            page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(ours) else None)
            page.goto(path)
            return page

        yield at
    assert wrong == []


def noisy_sentences(voice: EspeakVoice) -> bytes:
    """Four sentences in noise, as a WAV file."""
    spoken = voice.synthesize("Good morning to everybody. " * 4, language="en", voice="")
    samples = np.concatenate([piece.audio.samples for piece in spoken])
    noise = np.random.default_rng(4).normal(0, 0.02, len(samples))
    buffer = io.BytesIO()
    write_wav(buffer, Audio((samples + noise).astype(np.float32), 22_050), 22_050)
    return buffer.getvalue()


def fits(page: "Page") -> bool:
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width <= 0


def nameless(page: "Page") -> list[str]:
    found: list[str] = page.evaluate(NAMELESS)
    return found


def choose(page: "Page", place: str, data: bytes | Path, name: str = "noisy.wav") -> None:
    where = f"#{place} input[type=file]"
    if isinstance(data, Path):
        page.set_input_files(where, data)
    else:
        page.set_input_files(where, {"name": name, "mimeType": "audio/wav", "buffer": data})


def position(page: "Page", place: str) -> float:
    return float(page.locator(f"#{place} .lane").get_attribute("aria-valuenow") or "nan")


def read(wav: bytes) -> tuple[npt.NDArray[np.int16], int]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def until(page: "Page", condition: str) -> None:
    """Wait for something that a script sees (Playwright's own way of it is what our policy forbids)."""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
            setTimeout(() => fail(new Error("not within 60 s")), 60_000);
            const look = () => ({condition}) ? done() : requestAnimationFrame(look);
            look(); }})"""
    )


def strength(samples: npt.NDArray[np.int16], rate: int, hertz: float) -> float:
    """How loud a tone is in the last half second, in dB."""
    last = samples[-rate // 2 :] * np.hanning(rate // 2)
    return float(20 * np.log10(abs(np.sum(last * np.exp(-2j * np.pi * hertz * np.arange(rate // 2) / rate))) + 1e-9))
