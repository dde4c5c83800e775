"""The page of the microphone in a real browser: its words, its tabs, and speech as text while it is spoken."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from hearing import (
    DESK,
    MICROPHONE,
    PHONE,
    SLOW,
    Open,
    choose,
    fits,
    hearing_tones,
    launched,
    nameless,
    noisy_sentences,
    opening,
    started,
    strength,
    until,
)
from serving import Served
from vivavoce.engines.espeak import EspeakVoice

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect
TABS = ("live", "file", "voice")
SENTENCE = "and so my fellow americans ask not what your country can do for you"


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


# ---- what everybody sees


@pytest.mark.parametrize("tab", TABS)
def test_everything_fits_and_has_a_name(page: "Page", tab: str) -> None:
    page.click(f"#tab-{tab}")
    expect(page.locator(f"#{tab}")).to_be_visible()
    assert fits(page)
    assert nameless(page) == []


@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_it_speaks_five_languages(page: "Page", tongue: str) -> None:
    page.wait_for_load_state("networkidle")
    english = {tab: page.locator(f"#{tab}").text_content() or "" for tab in TABS}
    page.select_option("#tongue", tongue)
    for tab in TABS:
        page.click(f"#tab-{tab}")
        assert fits(page)
        told = page.locator(f"#{tab}").text_content() or ""
        left = set(re.findall(r"[A-Z][a-z]+ [a-z]+ [a-z]+", told)) & set(
            re.findall(r"[A-Z][a-z]+ [a-z]+ [a-z]+", english[tab])
        )
        assert left == set()


def test_tabs_follow_the_keyboard_and_the_address(opened: Open, browser: "Browser") -> None:
    page = opened(browser, "/microphone#file")
    expect(page.locator("#file")).to_be_visible()
    page.focus("#tab-file")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-voice")).to_be_focused()
    expect(page.locator("#voice")).to_be_visible()
    assert page.url.endswith("#voice")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator("[role=tabpanel]:visible")).to_have_count(1)


# ---- live


def test_what_is_sent_is_the_microphones_sound(opened: Open, browser: "Browser") -> None:
    page = opened(browser)
    sent: list[str | bytes] = []
    with page.expect_websocket() as opening:
        page.click("#talk")
    opening.value.on("framesent", lambda frame: sent.append(frame))
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#clock")).to_have_text("0:02", timeout=10_000)
    page.click("#talk")
    expect(page.locator("#state")).to_have_text("Stopped", timeout=SLOW)
    rate = int(parse_qs(urlsplit(opening.value.url).query)["sample_rate"][0])
    assert rate in (16_000, 22_050)
    assert json.loads(sent[-1]) == {"event": "stop"}
    samples = np.frombuffer(b"".join(part for part in sent if isinstance(part, bytes)), "<i2")
    assert 2.0 < len(samples) / rate < 5.0
    heard = strength(samples, rate, 1000)
    folded = strength(samples, rate, abs(12_000 - rate))
    assert heard > 100, "the tone is there"
    assert folded < heard - 40, "what is above the new rate's half was taken out, not folded down"


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_speech_becomes_text_while_it_is_spoken(
    playwright: "Playwright", opened: Open, shared: Path, viewport: dict[str, int]
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    speech = shared / "media" / "speech" / "jfk_m_en.wav"
    with launched(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={speech}%noloop") as browser:
        page = opened(browser, viewport=viewport)
        page.wait_for_load_state("networkidle")
        page.evaluate(
            """() => { window.partials = new Set(); new MutationObserver(() => window.partials.add(now.textContent))
                .observe(now, { subtree: true, childList: true, characterData: true }); }"""
        )
        page.click("#talk")
        expect(page.locator("#lines li").first).to_be_visible(timeout=SLOW)
        until(page, "clock.textContent >= '0:12'")  # a busy machine may leave a second out
        page.click("#talk")
        expect(page.locator("#state")).to_have_text("Stopped", timeout=SLOW)
        assert fits(page)
        said = [line.lower() for line in page.locator("#lines li span").all_inner_texts()]
        assert len(set(SENTENCE.split()) & set(" ".join(said).split())) >= 6, (
            "a poor recogniser, yet it is this sentence"
        )
        assert page.evaluate("[...window.partials].some(Boolean)"), "texts came while it was spoken"
        expect(page.locator("#now")).to_be_hidden()
        with page.expect_download() as kept:
            page.click("#saveVtt")
        subtitles = kept.value.path().read_text("utf-8")
        assert subtitles.startswith("WEBVTT\n\n00:00:0")
        assert all(line in subtitles.lower() for line in said if len(line) <= 84)
        page.click("#clear")
        expect(page.locator("#nothing")).to_be_visible()
        expect(page.locator("#talk")).to_be_focused()


def test_who_holds_the_button_is_heard_as_long(opened: Open, browser: "Browser") -> None:
    page = opened(browser)
    page.hover("#talk")
    page.mouse.down()
    expect(page.locator("#clock")).to_have_text("0:01", timeout=10_000)
    page.mouse.up()
    expect(page.locator("#state")).to_have_text("Stopped", timeout=SLOW)
    page.focus("#talk")
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Listening", timeout=10_000)
    expect(page.locator("#talk")).to_have_attribute("aria-label", "Stop listening")
    page.keyboard.press("Escape")
    expect(page.locator("#state")).to_have_text("Stopped", timeout=SLOW)


def test_a_missing_recogniser_is_told_with_what_to_run(page: "Page") -> None:
    page.wait_for_load_state("networkidle")
    page.select_option("#language", "kk")
    page.click("#talk")
    expect(page.locator("#trouble")).to_contain_text("A part of the server is missing", timeout=SLOW)
    expect(page.locator("#trouble code")).to_contain_text("vivavoce models pull whisper")
    expect(page.locator("#state")).to_have_text("Ready when you are")
    assert fits(page)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--use-fake-device-for-media-stream"], "The microphone is not allowed"),
        (["--use-fake-ui-for-media-stream"], "No microphone was found"),
    ],
    ids=["denied", "none"],
)
def test_a_microphone_that_cannot_be_had(playwright: "Playwright", opened: Open, options: list[str], told: str) -> None:
    with launched(playwright, *options) as browser:
        page = opened(browser)
        page.click("#talk")
        expect(page.locator("#trouble")).to_contain_text(told)
        page.click("#tab-file")
        page.click("#recording .record")
        expect(page.locator("#trouble")).to_contain_text(told)
        expect(page.locator("#recording .empty")).to_be_visible()


def test_an_address_without_a_microphone_still_takes_files(
    playwright: "Playwright", opened: Open, server: Served, noisy: bytes
) -> None:
    with launched(playwright, *MICROPHONE, "--host-resolver-rules=MAP elsewhere.example 127.0.0.1") as browser:
        page = opened(browser, url=server.url.replace("127.0.0.1", "elsewhere.example"))
        expect(page.locator("#trouble")).to_contain_text("only to pages over https")
        expect(page.locator("#talk")).to_be_disabled()
        page.click("#tab-file")
        expect(page.locator("#recording .record")).to_be_hidden()
        choose(page, "recording", noisy)
        expect(page.locator("#recording .name")).to_have_text("noisy.wav")
        expect(page.locator("#cleaning button")).to_be_enabled()


def test_a_lost_connection_is_told(opened: Open, browser: "Browser", serve: Callable[..., Served]) -> None:
    own = serve(work__processes="1")
    page = opened(browser, url=own.url)
    page.click("#talk")
    expect(page.locator("#state")).to_have_text("Listening", timeout=SLOW)
    os.kill(own.pid, signal.SIGKILL)
    expect(page.locator("#trouble")).to_contain_text("The connection was lost", timeout=SLOW)
    expect(page.locator("#state")).to_have_text("Ready when you are")
    expect(page.locator("#talk")).to_be_enabled()


@pytest.mark.parametrize("key", ["open-sesame", "open=sesame"], ids=["as-subprotocol", "in-the-address"])
def test_a_server_with_keys_asks_once_and_listens(
    opened: Open, browser: "Browser", serve: Callable[..., Served], key: str
) -> None:
    page = opened(browser, url=serve(work__processes="1", server__api_keys=json.dumps([key])).url)
    page.fill("#key", key)
    page.keyboard.press("Enter")
    expect(page.locator("#key")).to_have_count(0)
    page.click("#talk")
    expect(page.locator("#state")).to_have_text("Listening", timeout=SLOW)
