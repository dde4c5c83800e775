"""The page that makes films, with a recording in place of a text, and with voices that were learnt."""

import io
import re
import wave
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests

from hearing import DESK, PHONE, SLOW, Open, choose, fits, hearing_tones, noisy_sentences, opening, read, started, until
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect
READY = re.compile(r"Ready: \d+\.\d seconds")
PLAYED = """() => new Promise(done => document.getElementById("face").addEventListener("progress",
    ({ detail }) => detail.played > 0.3 && done()))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    with started() as playwright, hearing_tones(playwright, tmp_path_factory.mktemp("sound")) as browser:
        yield browser


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    with opening(server.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    page = opened(browser, "/", viewport=request.param)
    expect(page.locator("#language")).to_have_value("en")
    return page


@pytest.fixture(scope="module")
def spoken(voice: EspeakVoice) -> bytes:
    """A short sentence, as a WAV file."""
    samples = np.concatenate([p.audio.samples for p in voice.synthesize("Good morning.", language="en", voice="")])
    buffer = io.BytesIO()
    write_wav(buffer, Audio(samples, 22_050), 22_050)
    return buffer.getvalue()


def test_a_recording_becomes_a_film(page: "Page", server: Served, spoken: bytes) -> None:
    page.check("[name=source][value=recording]")
    expect(page.locator("#make")).to_be_disabled()
    expect(page.locator("#voicePlace")).to_be_hidden()
    choose(page, "take", spoken, "My greeting.wav")
    expect(page.locator("#make")).to_be_enabled()
    page.click("#make")
    expect(page.locator("#state")).to_have_text(READY, timeout=SLOW)
    samples, rate = read(spoken)
    told = float((page.locator("#state").inner_text()).split()[1])
    assert told == pytest.approx(len(samples) / rate, abs=0.2)
    page.evaluate(PLAYED)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "My greeting.mp4"
    assert b"ftyp" in download.value.path().read_bytes()[:16]
    assert fits(page)
    job = requests.get(f"{server.url}/v1/jobs?kind=video&limit=1", timeout=10).json()["jobs"][0]
    assert job["params"]["text"] == ""
    assert server.left() == []


def test_what_the_microphone_hears_becomes_a_film(page: "Page") -> None:
    page.check("[name=source][value=recording]")
    page.click("#take .record")
    until(page, "document.querySelector('#take .recording time').textContent >= '0:01'")
    page.click("#take .done")
    expect(page.locator("#take .name")).to_have_text(re.compile(r"recording-.*\.wav"))
    page.click("#make")
    expect(page.locator("#state")).to_have_text(READY, timeout=SLOW)
    page.evaluate(PLAYED)


def repeated(recording: bytes, times: int) -> bytes:
    with wave.open(io.BytesIO(recording)) as file:
        params, sound = file.getparams(), file.readframes(file.getnframes())
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams(params)
        file.writeframes(sound * times)
    return buffer.getvalue()


def test_its_words_go_along_and_cancel_reaches_the_server(page: "Page", server: Served, spoken: bytes) -> None:
    page.check("[name=source][value=recording]")
    choose(page, "take", repeated(spoken, 6))  # long enough to be cancelled in the midst of it
    page.fill("#text", "slowly " * 3)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stageText")).to_have_text(re.compile(r"[1-9]\d* %"), timeout=SLOW)
    assert float(page.locator("#progress").get_attribute("value") or 0) > 0
    (job,) = requests.get(f"{server.url}/v1/jobs?kind=video&limit=1", timeout=10).json()["jobs"]
    assert job["params"]["text"].split() == ["slowly"] * 3
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Cancelled.")
    expect(page.locator("#veil")).to_be_hidden()
    expect(page.locator("#make")).to_be_enabled()
    with requests.get(f"{server.url}/v1/jobs/{job['id']}/events", timeout=30) as events:
        assert '"state": "cancelled"' in events.text
    assert server.left() == []


def test_each_way_keeps_what_was_written(page: "Page", spoken: bytes) -> None:
    page.fill("#text", "What I wrote.")
    page.check("[name=source][value=recording]")
    expect(page.locator("#text")).to_have_value("")
    expect(page.get_by_label("Words of the recording")).to_be_visible()
    page.fill("#text", "What I said.")
    choose(page, "take", spoken)
    page.select_option("#tongue", "kk")
    expect(page.locator("#text")).to_have_value("What I said.")
    page.check("[name=source][value=text]")
    expect(page.locator("#text")).to_have_value("What I wrote.")
    expect(page.locator("#recorded")).to_be_hidden()
    expect(page.locator("#voicePlace")).to_be_visible()
    page.check("[name=source][value=recording]")
    expect(page.locator("#text")).to_have_value("What I said.")
    expect(page.locator("#take .name")).to_have_text("noisy.wav")
    for tongue in ("ru", "kk", "ko", "zh"):
        page.select_option("#tongue", tongue)
        assert fits(page)


def test_leaving_the_recording_lets_the_microphone_go(page: "Page") -> None:
    page.check("[name=source][value=recording]")
    page.click("#take .record")
    expect(page.locator("#take .recording")).to_be_visible()
    page.check("[name=source][value=text]")
    page.check("[name=source][value=recording]")
    expect(page.locator("#take .empty")).to_be_visible()
    expect(page.locator("#make")).to_be_disabled()


def silence() -> bytes:
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.zeros(32_000, np.float32), 16_000), 16_000)
    with wave.open(io.BytesIO(buffer.getvalue())) as file:
        assert file.getnframes() == 32_000
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "title", "words"),
    [
        (silence(), "This cannot be spoken", "The recording is silent"),
        (b"This is no sound at all." * 40, "This file cannot be read", "send"),
    ],
)
def test_recordings_that_cannot_be_used_are_refused_in_words(
    opened: Open, browser: "Browser", data: bytes, title: str, words: str
) -> None:
    page = opened(browser, "/")
    expect(page.locator("#language")).to_have_value("en")
    page.check("[name=source][value=recording]")
    choose(page, "take", data)
    page.click("#make")
    expect(page.locator("#trouble strong")).to_have_text(title, timeout=SLOW)
    expect(page.locator("#trouble span")).to_contain_text(words)
    expect(page.locator("#make")).to_be_enabled()
    page.route("**/v1/videos", lambda route: route.abort())
    page.click("#make")
    expect(page.locator("#trouble strong")).to_have_text("The server cannot be reached")


def test_a_refused_microphone_is_told(opened: Open, browser: "Browser") -> None:
    page = opened(browser, "/")
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia =
            () => Promise.reject(new DOMException("no", "NotAllowedError")); }"""
    )
    page.check("[name=source][value=recording]")
    page.click("#take .record")
    expect(page.locator("#trouble strong")).to_have_text("The microphone is not allowed")
    expect(page.locator("#take .empty")).to_be_visible()


@pytest.mark.skipif(find_spec("pyworld") is None, reason="the dependency group measuring is not installed")
def test_a_learnt_voice_speaks_and_says_what_it_is(page: "Page", server: Served, voice: EspeakVoice) -> None:
    form = {"name": "Maria", "id": "maria", "language": "en", "consent": "true", "engine": "world"}
    url = f"{server.url}/v1/voices"
    answer = requests.post(url, files={"recording": ("a.wav", noisy_sentences(voice))}, data=form, timeout=60)
    assert answer.status_code == 201, answer.text
    try:
        page.reload()
        group = page.locator("#voice optgroup")
        expect(group).to_have_attribute("label", "Cloned voices")
        assert group.locator("option").all_inner_texts() == ["Maria (approximate)"]
        page.select_option("#voice", "clone/maria")
        page.fill("#text", "Good morning, this is not quite me.")
        page.click("#make")
        expect(page.locator("#state")).to_have_text(READY, timeout=SLOW)
        page.evaluate(PLAYED)
        page.click("#own")
        expect(page).to_have_url(f"{server.url}/voices")
    finally:
        requests.delete(f"{url}/maria", timeout=20)
