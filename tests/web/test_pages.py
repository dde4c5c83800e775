"""The pages in a real browser: at a desk and on a phone, with what a person does there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearing import DESK, PHONE, fits, launched, nameless, started
from serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect
PATHS = (
    "/",
    "/realtime",
    "/chat",
    "/avatars",
    "/training",
    "/voices",
    "/microphone",
    "/history",
    "/status",
    "/api-test",
)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with started() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(browser: "Browser", server: Served, request: pytest.FixtureRequest) -> Iterator["Page"]:
    """A page that fails its test for a script error, or for any request to somewhere else."""
    context = browser.new_context(viewport=request.param, locale="en-GB", base_url=server.url)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((server.url, "blob:", "data:")) else None)
    yield page
    context.close()
    assert wrong == []


@pytest.mark.parametrize("path", PATHS)
def test_pages_fit_and_name_everything(page: "Page", path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert fits(page)
    assert nameless(page) == []
    assert page.locator("h1").count() == 1
    assert page.locator("img:not([alt])").count() == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_pages_speak_five_languages_and_remember(page: "Page", path: str, tongue: str) -> None:
    page.goto(path)
    english = page.locator("h1").inner_text()
    page.select_option("#tongue", tongue)
    expect(page.locator("html")).to_have_attribute("lang", tongue)
    assert page.locator("h1").inner_text() != english
    assert fits(page)
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", tongue)
    expect(page.locator("h1")).not_to_have_text(english)


def test_the_browsers_language_is_taken(browser: "Browser", server: Served) -> None:
    with browser.new_context(locale="kk-KZ", base_url=server.url) as context:
        page = context.new_page()
        page.goto("/")
        expect(page.locator("h1")).to_have_text("Сөзіңізге жүз беріңіз")
        expect(page.locator("#language")).to_have_value("kk")


def test_all_words_are_there_in_every_language(page: "Page") -> None:
    page.goto("/")
    missing = page.evaluate(
        """async () => { const { WORDS } = await import("/ui/words.js");
            return Object.entries(WORDS).map(([code, w]) => [code, Object.keys(WORDS.en).filter(k => !w[k]
                || [...WORDS.en[k].matchAll(/\\{\\w+\\}/g)].some(([hole]) => !w[k].includes(hole)))]); }"""
    )
    assert dict(missing) == {code: [] for code in ("en", "ru", "kk", "ko", "zh")}


def test_a_text_becomes_a_film_to_keep(page: "Page", tmp_path: Path) -> None:
    page.goto("/")
    page.fill("#text", "Hello there, how are you today?")
    page.click("#make")
    expect(page.locator("#stage")).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#state")).to_have_text(re.compile(r"Ready: \d+\.\d seconds"), timeout=20_000)
    page.evaluate(
        """() => new Promise(done => document.getElementById("face").addEventListener("progress",
            ({ detail }) => detail.played > 0.3 && done()))"""
    )
    with page.expect_download() as download:
        page.click("#download")
    assert re.fullmatch(r"avatar_\w+\.mp4", download.value.suggested_filename)
    assert b"ftyp" in download.value.path().read_bytes()[:16]
    assert fits(page)


def test_who_is_quicker_than_the_page_is_served_all_the_same(page: "Page") -> None:
    def late(route: "Route") -> None:
        page.wait_for_timeout(800)
        route.continue_()

    page.route("**/v1/voices", late)
    page.goto("/", wait_until="domcontentloaded")
    page.fill("#text", "Hello there.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#state")).to_have_text(re.compile(r"Ready: \d+\.\d seconds"), timeout=20_000)


def test_progress_is_shown_and_cancel_works(page: "Page") -> None:
    page.goto("/")
    page.fill("#text", "slowly " * 60)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stageText")).to_have_text(re.compile(r"[1-9] %"), timeout=20_000)
    assert float(page.locator("#progress").get_attribute("value") or 0) > 0
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Cancelled.")
    expect(page.locator("#veil")).to_be_hidden()
    expect(page.locator("#make")).to_be_enabled()


@pytest.mark.parametrize(("path", "go"), [("/", "#make"), ("/realtime", "#speak")])
def test_errors_are_told_in_words(page: "Page", path: str, go: str) -> None:
    page.goto(path)
    expect(page.locator("#language")).to_have_value("en")
    page.fill("#text", "😀 🎉")
    page.click(go)
    expect(page.locator("#trouble")).to_contain_text("This cannot be spoken")
    expect(page.locator("#trouble")).to_contain_text("write at least one word")
    page.route("**/api/**", lambda route: route.abort())
    page.fill("#text", "Hello")
    page.click(go)
    expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/**")
    page.click(go)
    expect(page.locator("#trouble")).to_be_hidden()


def test_live_plays_every_chunk_in_turn(page: "Page") -> None:
    page.goto("/realtime")
    expect(page.locator("#state")).to_have_text("Ready when you are")
    page.evaluate(
        """() => { window.played = []; document.getElementById("face").addEventListener("chunk",
            ({ detail }) => window.played.push(detail.text)); }"""
    )
    page.fill("#text", "One two three four five six seven. Eight nine ten, and so on it goes. The end has come.")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text(re.compile(r"Speaking \d of \d"), timeout=20_000)
    expect(page.locator("#said li[aria-current]")).to_have_count(1)
    expect(page.locator("#face video.front")).to_have_count(1)
    expect(page.locator("#state")).to_have_text("Done", timeout=30_000)
    lines = page.locator("#said li").all_inner_texts()
    assert len(lines) >= 2
    assert page.evaluate("window.played") == lines
    assert fits(page)


def test_live_stops_at_once(page: "Page") -> None:
    page.goto("/realtime")
    page.fill("#text", "One two three four five six seven eight. " * 5)
    page.click("#speak")
    expect(page.locator("#state")).to_have_text(re.compile("Speaking"), timeout=20_000)
    page.keyboard.press("Escape")
    expect(page.locator("#state")).to_have_text("Ready when you are")
    assert page.evaluate(
        "[...document.getElementById('face').shadowRoot.querySelectorAll('.film')].every(v => v.paused)"
    )


@pytest.mark.parametrize("call", ["chunks", "events"])
def test_api_page_shows_json_and_plays_chunks(page: "Page", call: str) -> None:
    page.goto("/api-test")
    expect(page.locator("#language")).to_have_value("en")
    page.select_option("#call", call)
    page.fill("#text", "One two three four five six. Seven eight nine ten.")
    page.fill("#chunk_size", "6")
    expect(page.locator("#curl")).to_contain_text('"chunk_size":6')
    page.click("#send")
    expect(page.locator("#pieces li")).to_have_count(2, timeout=20_000)
    expect(page.locator("#status")).to_contain_text("200")
    expect(page.locator("#json")).to_contain_text('"video_url": "/api/chunk/video/')
    page.click("#all")
    expect(page.locator("#pieces li").nth(1)).to_have_attribute("aria-current", "", timeout=10_000)
    page.fill("#chunk_size", "40")
    page.click("#send")
    expect(page.locator("#status")).to_have_text("400")
    expect(page.locator("#json")).to_contain_text("from 5 to 30")


@pytest.mark.parametrize("call", ["generate", "stream", "health", "avatar", "video", "audio", "cleanup"])
def test_api_page_sends_every_call(page: "Page", call: str) -> None:
    page.goto("/api-test")
    expect(page.locator("#language")).to_have_value("en")
    if call in ("video", "audio"):
        page.click("#send")
        expect(page.locator("#pieces li")).not_to_have_count(0, timeout=20_000)
    page.select_option("#call", call)
    page.click("#send")
    expect(page.locator("#status")).to_have_text(re.compile(r"200 · \d+ ms"), timeout=20_000)
    assert fits(page)


@pytest.mark.parametrize(("path", "shown"), [("/docs", "/api/stream_chunks"), ("/redoc", "Film a text in chunks")])
def test_documents_need_no_other_host(page: "Page", path: str, shown: str) -> None:
    page.goto(path)
    expect(page.get_by_text(shown).locator("visible=true").first).to_be_visible(timeout=20_000)
