"""The page of the server's state in a real browser: true numbers, moving charts, honesty when the server is away."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hearing import DESK, PHONE, SLOW, Open, fits, launched, opening, started, until
from serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect

CARDS: list[dict[str, Any]] = [
    {"name": "Card A", "load": 61.0, "memory_used": 6_000_000_000, "memory_total": 24_000_000_000, "temperature": 64},
    {"name": "Card B", "load": 2.0, "memory_used": 1_000_000_000, "memory_total": 80_000_000_000, "temperature": 38},
]
HIDE = """is => { Object.defineProperty(document, "hidden", { value: is, configurable: true });
    document.dispatchEvent(new Event("visibilitychange")); }"""
INK = """canvas => { const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const found = {};
    for (let n = 0; n < data.length; n += 4) if (data[n + 3] > 250) {
        const key = [data[n], data[n + 1], data[n + 2]].join(); found[key] = (found[key] ?? 0) + 1; }
    return found; }"""
"""How many opaque pixels there are of each colour."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with started() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    with opening(server.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    return opened(browser, "/status", viewport=request.param)


def gauge(page: "Page", name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def number(page: "Page", name: str) -> float:
    text = gauge(page, name).locator(".number b").inner_text()
    return float(re.sub(r"[^\d.]", "", text))


def live(page: "Page") -> None:
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live", timeout=SLOW)


def with_cards(route: "Route") -> None:
    answer = route.fetch()
    route.fulfill(response=answer, body=json.dumps(answer.json() | {"gpus": CARDS}))


def test_the_numbers_are_the_servers(page: "Page", server: Served) -> None:
    live(page)
    told = requests.get(f"{server.url}/api/status", timeout=10).json()
    assert abs(number(page, "Memory") - told["memory_percent"]) < 10
    assert abs(number(page, "Disk") - told["disk_percent"]) < 5
    assert 0 <= number(page, "Processor") <= 100
    whole = f"{told['memory_total'] / 1e9:.1f}".removesuffix(".0")
    expect(gauge(page, "Memory").locator(".number span")).to_have_text(re.compile(rf"[\d.]+ GB of {whole} GB"))
    expect(page.locator("#ready")).to_have_text("Ready")
    expect(page.locator("#nocard")).to_be_visible(visible=not told["gpus"])
    assert fits(page)


def test_charts_draw_a_line_and_say_it_in_words(page: "Page") -> None:
    live(page)
    chart = gauge(page, "Memory").locator(".chart")
    until(page, "performance.getEntriesByName(location.origin + '/api/status').length > 3")
    expect(chart).to_have_attribute("aria-label", re.compile(r"Memory\. In the last two minutes from \d+% to \d+%\."))
    ink = chart.locator("canvas").evaluate(INK)
    assert ink.get("184,58,18", 0) > 5, ink  # the accent
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    ends = gauge(page, "Memory").locator(".ends span")
    assert ends.all_inner_texts() == ["2 minutes ago", "now"]
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + 40)
    expect(ends.first).to_have_text(re.compile(r"\d\d?:\d\d:\d\d"))
    expect(ends.last).to_have_text(re.compile(r"^\d+%$"))
    page.mouse.move(2, 2)
    expect(ends.last).to_have_text("now")


def test_the_queue_is_seen_to_grow_and_to_shrink(page: "Page", server: Served) -> None:
    live(page)
    waiting = gauge(page, "Waiting jobs")
    ask = {"text": "Hello forever.", "language": "en"}
    jobs = [requests.post(f"{server.url}/v1/videos", json=ask, timeout=30).json() for _ in range(5)]
    try:
        expect(waiting.locator(".number b")).to_have_text(re.compile("[1-5]"), timeout=SLOW)
        expect(waiting.locator(".number span")).to_have_text("It is working.")
    finally:
        for job in jobs:
            requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=20)
    expect(waiting.locator(".number b")).to_have_text("0", timeout=SLOW)
    expect(waiting.locator(".number span")).to_have_text("It has nothing to do.")


def test_each_card_has_its_gauges(page: "Page") -> None:
    page.route("**/api/status", with_cards)
    expect(page.locator("#cards > .gpu")).to_have_count(2, timeout=SLOW)
    first, second = page.locator("#cards > .gpu").all()
    expect(first.locator("> h3")).to_have_text("Graphics card 0 · Card A")
    assert first.locator(".gauge h3").all_inner_texts() == ["Load", "Memory of the card", "Temperature"]
    assert first.locator(".number b").all_inner_texts() == ["61%", "25%", "64°C"]
    expect(first.locator(".number span").nth(1)).to_have_text("6 GB of 24 GB")
    assert second.locator(".number b").all_inner_texts() == ["2%", "1%", "38°C"]
    expect(page.locator("#nocard")).to_be_hidden()
    assert fits(page)


def test_it_looks_once_a_second_and_not_at_all_when_hidden(page: "Page") -> None:
    page.clock.install()
    page.reload()
    looks: list[Request] = []
    page.on("request", lambda r: looks.append(r) if r.url.endswith("/api/status") else None)
    live(page)
    for _ in range(4):
        with page.expect_response("**/api/status"):
            pass
    begun = [look.timing["startTime"] for look in looks[:4]]
    assert all(later - earlier > 700 for earlier, later in pairwise(begun)), begun
    page.evaluate(HIDE, True)
    seen = len(looks)
    page.clock.run_for(60_000)
    assert len(looks) == seen
    with page.expect_request("**/api/status"):
        page.evaluate(HIDE, False)
    live(page)


def test_a_server_that_is_away_is_told_and_comes_back(page: "Page") -> None:
    live(page)
    page.route("**/api/**", lambda route: route.abort())
    told = page.locator("#pulseText")
    expect(told).to_have_text("The server cannot be reached. Trying again in 1 s.", timeout=10_000)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "away")
    expect(page.locator("#main")).to_have_class(re.compile("stale"))
    expect(told).to_have_text("The server cannot be reached. Trying again in 2 s.", timeout=10_000)
    expect(told).to_have_text("The server cannot be reached. Trying again in 4 s.", timeout=10_000)
    assert fits(page)
    page.unroute("**/api/**")
    page.click("#again")
    live(page)
    expect(page.locator("#again")).to_be_hidden()
    expect(page.locator("#main")).not_to_have_class(re.compile("stale"))


def test_an_answer_that_is_none_is_told_too(page: "Page") -> None:
    live(page)
    page.route("**/api/status", lambda route: route.fulfill(status=500, json={"code": "internal", "message": "No."}))
    expect(page.locator("#pulseText")).to_have_text(re.compile("did not answer as it should"), timeout=10_000)


def test_what_works_is_listed_with_what_is_lacking(page: "Page", server: Served) -> None:
    offer = requests.get(f"{server.url}/v1/voices", timeout=10).json()
    engines = requests.get(f"{server.url}/v1/audio/engines", timeout=30).json()
    works = page.locator("#works")
    expect(works).to_have_attribute("aria-busy", "false", timeout=SLOW)
    voices = works.locator(".card", has=page.get_by_role("heading", name="Voices", exact=True))
    assert set(voices.locator("b").all_inner_texts()) == {
        v["engine"] for v in offer["voices"] if v["engine"] != "clone"
    }
    count = sum(v["engine"] == "espeak" for v in offer["voices"])
    expect(voices.locator("li", has_text="espeak")).to_contain_text(f"Voices: {count} · languages: ")
    cleaners = works.locator(".card", has=page.get_by_role("heading", name="Noise removal"))
    assert cleaners.locator("b").all_inner_texts() == [c["engine"] for c in engines["cleaners"]]
    chat = works.locator(".card", has=page.get_by_role("heading", name="Conversation"))
    expect(chat.locator(".lacking")).to_contain_text("No model")
    missing = requests.get(f"{server.url}/v1/chat", timeout=10).json()["missing"]
    assert re.sub(r"\W", "", missing) in re.sub(r"\W", "", chat.inner_text())
    assert fits(page)


@pytest.mark.parametrize(("tongue", "state"), [("ru", "Готов"), ("kk", "Дайын"), ("ko", "준비됨"), ("zh", "就绪")])
def test_numbers_and_words_follow_the_language(page: "Page", tongue: str, state: str) -> None:
    page.route("**/api/status", with_cards)
    expect(page.locator("#works")).to_have_attribute("aria-busy", "false", timeout=SLOW)
    expect(page.locator("#cards > .gpu")).to_have_count(2, timeout=SLOW)
    page.select_option("#tongue", tongue)
    expect(page.locator("#ready")).to_have_text(state)
    assert fits(page)
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".number b, h3, .ends span, .button, #works b")]
            .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
            .map(e => e.textContent)"""
    )
    assert cut == []
    told = page.locator("main").inner_text()
    assert not re.search(r"\b(Ready|Memory|Voices|Waiting|measured|languages)\b", told)


def test_charts_take_the_colours_of_the_night(opened: Open, browser: "Browser") -> None:
    page = opened(browser, "/status", color_scheme="light")
    live(page)
    until(page, "performance.getEntriesByName(location.origin + '/api/status').length > 2")
    page.emulate_media(color_scheme="dark")
    canvas = gauge(page, "Memory").locator("canvas")
    until(page, "performance.getEntriesByName(location.origin + '/api/status').length > 4")
    ink = canvas.evaluate(INK)
    assert ink.get("255,145,102", 0) > 5, ink
    assert ink.get("184,58,18", 0) == 0


def test_your_jobs_are_one_click_away(page: "Page") -> None:
    page.click("text=What runs for you")
    expect(page.locator("h1")).to_have_text("What was made")
    expect(page.locator("#state")).to_have_value("running")


def test_a_server_that_cannot_work_says_so(serve: Callable[..., Served], browser: "Browser") -> None:
    server = serve(defaults__avatar="nobody", work__processes="1")
    with opening(server.url) as opened:
        page = opened(browser, "/status")
        expect(page.locator("#ready")).to_have_text("Not ready", timeout=SLOW)
        expect(page.locator("#readyWhat")).to_have_text("The engines are not loaded.")
        live(page)
