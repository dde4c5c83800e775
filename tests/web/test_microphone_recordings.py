"""Recordings on the page of the microphone: cleaned, written down, compared; all in a real browser."""

import io
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests

from hearing import (
    DESK,
    PHONE,
    SLOW,
    Open,
    choose,
    fits,
    hearing_tones,
    noisy_sentences,
    opening,
    position,
    read,
    started,
    strength,
    until,
)
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import write_wav
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect


@pytest.fixture(scope="module")
def playwright() -> Iterator["Playwright"]:
    with started() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: "Playwright", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    with hearing_tones(playwright, tmp_path_factory.mktemp("sound")) as browser:
        yield browser


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    with opening(server.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    return opened(browser, viewport=request.param)


@pytest.fixture(scope="module")
def noisy(voice: EspeakVoice) -> bytes:
    return noisy_sentences(voice)


@pytest.fixture(scope="module")
def people(shared: Path) -> Callable[[str, int], Path]:
    try:
        ModelStore().path("speaker-ge2e")
    except EngineUnavailable as e:
        pytest.skip(f"the speaker encoder cannot be had here: {e}")
    folder = shared / "media" / "speech" / "speakers"
    return lambda speaker, number: sorted((folder / speaker).glob("*.flac"))[number]


# ---- recordings


def test_noise_is_taken_out_and_the_two_are_compared(page: "Page", noisy: bytes, server: Served) -> None:
    page.click("#tab-file")
    expect(page.locator("#cleaning button")).to_be_disabled()
    choose(page, "recording", noisy)
    expect(page.locator("#cleaner option[value=speex]")).to_have_count(1, timeout=SLOW)
    page.select_option("#cleaner", "speex")
    page.click("#cleaning button")
    expect(page.locator("#cleaned")).to_be_visible(timeout=SLOW)
    expect(page.locator("#snr")).to_have_text(re.compile(r"[\d.]+ dB → (> )?[\d.]+ dB"))
    before, after = map(float, re.findall(r"[\d.]+", page.locator("#snr").inner_text()))
    assert after > before + 3
    expect(page.locator("#cleaned .lane canvas")).to_have_count(2)
    assert fits(page)
    page.focus("#cleaned .lane")
    page.keyboard.press("ArrowRight")
    at = position(page, "cleaned")
    assert at == pytest.approx(5, abs=0.1)
    page.click("#cleaned .switch label:first-child")
    assert position(page, "cleaned") == pytest.approx(at, abs=0.1)
    page.click("#cleaned .play")
    expect(page.locator("#cleaned .playing, #cleaned .tracks.playing")).to_have_count(1)
    until(page, "Number(document.querySelector('#cleaned .lane').ariaValueNow) > 5.3")
    page.click("#cleaned .switch label:last-child")
    until(page, "Number(document.querySelector('#cleaned .lane').ariaValueNow) > 5.6")
    page.click("#cleaned .play")
    with page.expect_download() as kept:
        page.click("#download")
    assert kept.value.suggested_filename.startswith("noisy_enhanced")
    (samples, rate), (given, given_rate) = read(kept.value.path().read_bytes()), read(noisy)
    assert (len(samples), rate) == (len(given), given_rate)


def test_a_recording_of_the_microphone_is_sent_as_it_sounds(opened: Open, browser: "Browser") -> None:
    page = opened(browser, "/microphone#file")
    page.click("#recording .record")
    expect(page.locator("#recording .recording time")).to_have_text("0:02", timeout=10_000)
    page.click("#recording .done")
    expect(page.locator("#recording .name")).to_have_text(re.compile(r"recording-[\d-]+\.wav"))
    page.evaluate(
        """() => { const plain = fetch; window.fetch = (url, options) => {
            if (options?.body instanceof FormData) window.sent = options.body.get("file");
            return plain(url, options); }; }"""
    )
    page.click("#cleaning button")
    sent = page.evaluate(
        """() => new Promise((done) => { const reader = new FileReader();
            reader.onload = () => done(reader.result.split(",")[1]); reader.readAsDataURL(sent); })"""
    )
    samples, rate = read(b64decode(sent))
    assert rate in (44_100, 48_000)
    assert 2.0 <= len(samples) / rate < 4.0
    assert min(strength(samples, rate, 1000), strength(samples, rate, 12_000)) > 100, "all of it is there"
    expect(page.locator("#cleaned")).to_be_visible(timeout=SLOW)
    page.click("#recording .another")
    expect(page.locator("#cleaned")).to_be_hidden()
    expect(page.locator("#cleaning button")).to_be_disabled()
    page.click("#recording .record")
    page.click("#recording .discard")
    expect(page.locator("#recording .empty")).to_be_visible()


def test_words_are_written_down_and_heard(opened: Open, browser: "Browser", shared: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    page = opened(browser, "/microphone#file")
    page.wait_for_load_state("networkidle")
    choose(page, "recording", shared / "media" / "speech" / "jfk_m_en.wav")
    page.click("#writing button")
    expect(page.locator("#words")).to_contain_text("country", timeout=SLOW)
    expect(page.locator("#heard")).to_contain_text("English · sphinx · 11.0 s")
    word = page.locator("#words button", has_text="fellow")
    start = float(word.get_attribute("data-start") or "nan")
    word.click()
    until(page, "document.querySelector('#words [aria-current]')")
    assert start - 0.1 <= position(page, "recording") < start + 3
    page.keyboard.press("ArrowRight")
    expect(word).not_to_be_focused()
    expect(page.locator("#words button:focus")).to_have_count(1)
    for kind, form in (("srt", r"1\n00:00:\d\d,\d{3} --> "), ("vtt", r"WEBVTT\n\n00:00:\d\d\.\d{3} --> ")):
        with page.expect_download() as kept:
            page.click(f"#written [data-save={kind}]")
        assert kept.value.suggested_filename == f"jfk_m_en.{kind}"
        text = kept.value.path().read_text("utf-8")
        assert re.match(form, text)
        cues = [line for line in text.splitlines() if re.search("[a-z]{3}", line)]
        assert len(cues) >= 2
        assert max(map(len, cues)) <= 84


def test_where_nobody_speaks_nothing_is_claimed(opened: Open, browser: "Browser") -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    page = opened(browser, "/microphone#file")
    page.wait_for_load_state("networkidle")
    buffer = io.BytesIO()
    hiss = np.random.default_rng(3).normal(0, 0.003, 32_000).astype(np.float32)
    write_wav(buffer, Audio(hiss, 16_000))
    choose(page, "recording", buffer.getvalue())
    page.click("#writing button")
    expect(page.locator("#heard")).to_have_text("No speech was heard in 2.0 s of sound.", timeout=SLOW)
    expect(page.locator("#copyWords")).to_be_disabled()
    page.click("#cleaning button")
    expect(page.locator("#length")).to_have_text("2.0 s", timeout=SLOW)
    expect(page.locator("#snr")).to_be_hidden()


def test_long_work_shows_how_far_it_is_and_is_cancelled(
    opened: Open, browser: "Browser", noisy: bytes, server: Served
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    page = opened(browser, "/microphone#file")
    page.wait_for_load_state("networkidle")
    samples, rate = read(noisy)
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.tile(samples, 80).astype(np.float32) / np.float32(32768), rate))
    choose(page, "recording", buffer.getvalue())
    page.click("#writing button")
    work = page.locator("#writing ~ .work")
    expect(work).to_contain_text("Writing it down…")
    until(page, "document.querySelector('#writing ~ .work progress').value > 0")
    work.get_by_role("button", name="Cancel").click()
    expect(work).to_be_hidden()
    expect(page.locator("#writing button")).to_be_enabled()
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#written")).to_be_hidden()
    job = requests.get(f"{server.url}/v1/jobs?kind=transcribe&limit=1", timeout=10).json()["jobs"][0]
    assert '"state":"cancelled"' in requests.get(server.url + job["events_url"], timeout=30).text.replace(": ", ":")


def test_a_file_without_sound_is_refused_in_words(page: "Page") -> None:
    page.click("#tab-file")
    choose(page, "recording", b"I am no sound.", "notes.wav")
    expect(page.locator("#recording .mute")).to_be_visible()
    page.click("#cleaning button")
    expect(page.locator("#trouble")).to_contain_text(re.compile("cannot be (read|used)"), timeout=SLOW)
    expect(page.locator("#cleaning button")).to_be_enabled()
    assert fits(page)


def test_long_texts_become_subtitles_that_one_can_read(opened: Open, browser: "Browser") -> None:
    page = opened(browser)
    script = """async (text) => {
        const { cues } = await import("/ui/sound/keep.js");
        const words = [...text].map((word, n) => ({ word, start: n * 0.3, end: n * 0.3 + 0.3 }));
        return cues([{ start: 0, end: words.at(-1).end, text, words }]); }"""
    text = "今天天气很好我们一起去公园散步" * 12  # no spaces
    cues = page.evaluate(script, text)
    assert "".join(cue["text"] for cue in cues) == text
    assert all(cue["end"] - cue["start"] <= 7.5 for cue in cues)
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(cues))


# ---- voices


def test_voices_are_compared(page: "Page", people: Callable[[str, int], Path]) -> None:
    page.click("#tab-voice")
    choose(page, "reference", people("1688", 0))
    expect(page.locator("#verify")).to_be_disabled()
    choose(page, "probe", people("1688", 1))
    page.click("#verify")
    expect(page.locator("#decision")).to_have_text("The same voice", timeout=SLOW)
    expect(page.locator("#verdict")).to_be_focused()
    label = page.locator("#scale").get_attribute("aria-label") or ""
    score, threshold = (float(number) for number in re.findall(r"0\.\d\d", label))
    assert score >= threshold
    expect(page.locator("#note")).to_contain_text("no protection against deception")
    assert fits(page)
    page.click("#probe .another")
    expect(page.locator("#verdict")).to_be_hidden()
    choose(page, "probe", people("2414", 0))
    page.click("#verify")
    expect(page.locator("#decision")).to_have_text("Another voice", timeout=SLOW)


def test_a_voice_is_enrolled_recognised_and_forgotten(
    page: "Page", people: Callable[[str, int], Path], server: Served
) -> None:
    page.click("#tab-voice")
    page.click("#against label:last-child")
    expect(page.locator("#nobody")).to_be_visible(timeout=SLOW)
    page.click("#against label:first-child")
    choose(page, "reference", people("1998", 0))
    page.fill("#enrolName", "Aurelia")
    page.click("#enrolling button")
    expect(page.locator("#enrolled")).to_contain_text("“aurelia” is enrolled. Recordings: 1", timeout=SLOW)
    page.click("#against label:last-child")
    expect(page.locator("#speaker")).to_have_value("aurelia")
    choose(page, "probe", people("1998", 2))
    page.click("#verify")
    expect(page.locator("#decision")).to_have_text("The same voice", timeout=SLOW)
    page.click("#forget")
    expect(page.locator("#sure")).to_contain_text("Forget “aurelia”?")
    page.click("#sure button[value=yes]")
    expect(page.locator("#nobody")).to_be_visible()
    assert requests.get(f"{server.url}/speaker/speakers", timeout=10).json() == {"speakers": []}


def test_too_little_speech_is_told(page: "Page") -> None:
    page.click("#tab-voice")
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.zeros(16_000, np.float32), 16_000))
    choose(page, "reference", buffer.getvalue())
    page.click("#enrolling button")
    expect(page.locator("#trouble")).to_contain_text("This sound cannot be used", timeout=SLOW)
    expect(page.locator("#trouble")).to_contain_text("s of speech")
    expect(page.locator("#enrolling button")).to_be_enabled()
