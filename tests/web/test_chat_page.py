"""The page of conversation in a real browser: written, spoken, interrupted, broken off, and with nobody to answer."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from hearing import (
    DESK,
    MICROPHONE,
    PHONE,
    SLOW,
    Open,
    fits,
    hearing_tones,
    launched,
    nameless,
    opening,
    started,
    until,
)
from partners import KEY, Partner, partner
from serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect

THREE = "The ships are in the first hall. Take the stairs down! Mind your step there."
LONG = "This is the first thing that I say slowly. " + " ".join(
    f"And then sentence {n} comes slowly." for n in "ABCDEFGH"
)


@pytest.fixture(scope="module")
def playwright() -> Iterator["Playwright"]:
    with started() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: "Playwright", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    with hearing_tones(playwright, tmp_path_factory.mktemp("sound")) as browser:
        yield browser


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[tuple[Served, Partner]]:
    """A server that talks to a model server, both shared by the tests of this module."""
    with ExitStack() as stack:
        model = stack.enter_context(partner())
        mine = {"base_url": model.url, "model": "tiny-model", "api_key": KEY}
        models = json.dumps({"mine": mine, "other": mine | {"model": "other-model"}})
        yield stack.enter_context(start(chats__models=models, defaults__language="en")), model


@pytest.fixture
def model(house: tuple[Served, Partner]) -> Partner:
    """The model server, well-behaved and with nothing asked."""
    model = house[1]
    for held in (model.moods, model.answers, model.asked):
        held.clear()
    model.left.clear()
    model.otherwise = THREE
    model.patience = 0.3
    return model


@pytest.fixture
def opened(house: tuple[Served, Partner]) -> Iterator[Open]:
    with opening(house[0].url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", model: Partner, request: pytest.FixtureRequest) -> "Page":
    return at_chat(opened, browser, viewport=request.param)


def at_chat(opened: Open, browser: "Browser", **options: object) -> "Page":
    page = opened(browser, "/chat", **options)
    expect(page.locator("#state")).to_have_text("Ready when you are", timeout=SLOW)
    return page


def ask(page: "Page", text: str) -> None:
    page.fill("#text", text)
    page.keyboard.press("Enter")
    expect(page.locator(".mine .words").last).to_have_text(text)


# ---- what everybody sees


def test_everything_fits_and_has_a_name(page: "Page") -> None:
    assert fits(page)
    page.evaluate("who.open = true")
    assert fits(page)
    assert nameless(page) == []
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_it_speaks_five_languages(page: "Page", tongue: str) -> None:
    words = "() => [...document.querySelectorAll('main :is([data-t], #state, #hearsPoorly)')].map((e) => e.textContent)"
    english = page.evaluate(words)
    page.select_option("#tongue", tongue)
    expect(page.locator("html")).to_have_attribute("lang", tongue)
    assert fits(page)
    told = page.evaluate(words)
    assert [was for was, now in zip(english, told, strict=True) if was == now and " " in was] == []
    assert page.locator("#talk").get_attribute("aria-label") != "Speak"


# ---- asked and answered


def test_what_is_written_is_answered_sentence_by_sentence(page: "Page", tmp_path: Path) -> None:
    page.evaluate(
        """() => { window.said = []; const turns = document.getElementById("turns");
            new MutationObserver(() => { const now = turns.querySelector("[aria-current]")?.textContent;
                if (now && window.said.at(-1) !== now) window.said.push(now); })
            .observe(turns, { subtree: true, attributes: true }); }"""
    )
    ask(page, "Where are the ships?")
    expect(page.locator("#invitation")).to_be_hidden()
    expect(page.locator("#stage")).to_have_class("stage speaking", timeout=SLOW)
    assert page.evaluate("face.state") == "speaking"
    expect(page.locator(".theirs .sentence[aria-current]")).to_have_count(1)
    keep = page.locator(".theirs a.link")
    expect(keep).to_be_visible(timeout=SLOW)
    expect(page.locator("#state")).to_have_text("Ready when you are", timeout=SLOW)
    assert [s.strip() for s in page.locator(".theirs .sentence").all_inner_texts()] == page.evaluate(
        "said.map((s) => s.trim())"
    ), "each was marked while it was said"
    assert page.locator(".theirs .words").inner_text() == THREE
    expect(page.locator(".sentence:not(.heard), [aria-current=true]")).to_have_count(0)
    assert fits(page)
    with page.expect_download() as kept:
        keep.click()
    film = kept.value.path().read_bytes()
    assert b"ftyp" in film[:16]
    assert len(film) > 10_000
    page.click(".theirs button.link")
    expect(page.locator(".theirs .sentence").nth(1)).to_have_attribute("aria-current", "true", timeout=SLOW)
    page.click("#stop")
    expect(page.locator("#state")).to_have_text("Ready when you are")
    expect(page.locator("[aria-current=true]")).to_have_count(0)
    assert page.locator(".theirs .words").inner_text() == THREE, "what was heard before stays"


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_what_is_spoken_is_heard_and_answered(
    playwright: "Playwright", opened: Open, model: Partner, shared: Path, viewport: dict[str, int]
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    speech = shared / "media" / "speech" / "jfk_m_en.wav"
    with launched(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={speech}%noloop") as browser:
        page = at_chat(opened, browser, viewport=viewport)
        page.click("#talk")
        expect(page.locator("#state")).to_have_text("Listening")
        expect(page.locator("#talk")).to_have_attribute("aria-label", "Stop and send")
        until(page, "clock.textContent >= '0:03'")
        assert fits(page)
        page.click("#talk")
        expect(page.locator(".mine .dots")).to_be_visible()
        expect(page.locator(".mine .words")).to_contain_text("fellow", ignore_case=True, timeout=SLOW)
        assert model.asked[-1].messages[-1][1] == page.locator(".mine .words").inner_text()
        expect(page.locator(".theirs .words")).to_have_text(THREE, timeout=SLOW)


def test_the_button_is_held_pressed_and_given_up(opened: Open, browser: "Browser", model: Partner) -> None:
    page = at_chat(opened, browser)
    page.hover("#talk")
    page.mouse.down()
    until(page, "clock.textContent >= '0:01'")
    page.mouse.up()
    expect(page.locator("#trouble")).to_contain_text("This cannot be answered", timeout=SLOW)  # it heard tones only
    expect(page.locator("#trouble")).to_contain_text("Nobody can be heard")
    expect(page.locator(".mine")).to_have_count(0)
    expect(page.locator("#retry")).to_be_hidden()
    expect(page.locator("#invitation")).to_be_visible()
    page.focus("#talk")
    for way in ("Escape", "discard"):
        page.keyboard.press("Space")
        expect(page.locator("#state")).to_have_text("Listening", timeout=10_000)
        expect(page.locator("#trouble")).to_be_hidden()
        if way == "Escape":
            page.keyboard.press("Escape")
        else:
            page.click("#discard")
        expect(page.locator("#state")).to_have_text("Ready when you are")
        expect(page.locator("#talk")).to_be_focused()
    assert model.asked == []
    expect(page.locator(".mine")).to_have_count(0)


def test_turns_remember_each_other_are_recalled_and_forgotten(
    opened: Open, browser: "Browser", house: tuple[Served, Partner], model: Partner
) -> None:
    page = at_chat(opened, browser)
    model.otherwise = "That I know."
    for number, text in enumerate(("One apple.", "Two pears."), start=1):
        ask(page, text)
        expect(page.locator(".theirs a.link")).to_have_count(number, timeout=SLOW)
    assert [m for m in model.asked[-1].messages if m[0] != "system"] == [
        ("user", "One apple."),
        ("assistant", "That I know."),
        ("user", "Two pears."),
    ]
    session = page.evaluate("sessionStorage.getItem('vivavoce.conversation')")
    page.reload()
    expect(page.locator(".turn .words")).to_have_text(["One apple.", "That I know.", "Two pears.", "That I know."])
    page.click("#fresh")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#invitation")).to_be_visible()
    expect(page.locator("#text")).to_be_focused()
    page.wait_for_load_state("networkidle")
    assert requests.get(f"{house[0].url}/v1/chat/{session}", timeout=10).json()["turns"] == []
    ask(page, "Three plums.")
    expect(page.locator(".theirs a.link")).to_have_count(1, timeout=SLOW)
    assert [m for m in model.asked[-1].messages if m[0] != "system"] == [("user", "Three plums.")]


def test_who_answers_is_chosen(opened: Open, browser: "Browser", model: Partner) -> None:
    page = at_chat(opened, browser)
    page.select_option("#model", "other")
    page.select_option("#language", "ru")
    page.select_option("#voice", "espeak/m3")
    expect(page.locator("#how")).to_contain_text("Nobody here understands spoken Russian")
    expect(page.locator("#how code")).to_contain_text("vivavoce models pull")
    expect(page.locator("#talk")).to_be_disabled()
    model.otherwise = "Корабли в первом зале."
    with page.expect_request("**/v1/chat") as asked:
        ask(page, "Где корабли?")
    sent = asked.value.post_data or ""
    for name, value in (("voice", "espeak/m3"), ("language", "ru"), ("avatar", "toy"), ("model", "other")):
        assert f'name="{name}"\r\n\r\n{value}\r\n' in sent
    expect(page.locator(".theirs .words")).to_have_text("Корабли в первом зале.", timeout=SLOW)
    assert model.asked[-1].json["model"] == "other-model"
    page.select_option("#avatar", "anna")
    expect(page.locator("#state")).to_have_text("Ready when you are", timeout=SLOW)
    assert page.evaluate("face.avatar") == "anna"


def test_without_sound_it_is_read_out_instead(page: "Page") -> None:
    assert page.locator("#turns").get_attribute("aria-live") == "off", "two voices at once help nobody"
    page.click("#mute")
    expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("face.muted")
    assert page.locator("#turns").get_attribute("aria-live") == "polite"
    page.click("#mute")
    assert page.evaluate("!face.muted")


# ---- interrupted


@pytest.mark.parametrize("way", ["talk", "stop", "escape", "write"])
def test_who_speaks_interrupts(opened: Open, browser: "Browser", model: Partner, way: str) -> None:
    page = at_chat(opened, browser)
    model.otherwise = LONG
    model.moods = ["slow"]
    model.patience = 0.1
    ask(page, "Tell me something long.")
    expect(page.locator("#state")).to_have_text("Speaking", timeout=SLOW)
    if way == "talk":
        page.click("#talk")
        expect(page.locator("#state")).to_have_text("Listening")
    elif way == "stop":
        page.click("#stop")
    elif way == "escape":
        page.keyboard.press("Escape")
    else:
        model.otherwise = "Yes, please?"
        ask(page, "Stop!")
    expect(page.locator(".theirs .note").first).to_have_text("Interrupted.")
    assert page.evaluate("[...face.shadowRoot.querySelectorAll('video.film')].every((film) => film.paused)")
    expect(page.locator(".theirs").first.locator(".sentence:not(.heard)")).to_have_count(0)
    assert model.left.wait(10), "the model is not asked for more"
    if way == "write":
        expect(page.locator(".theirs .words").last).to_have_text("Yes, please?", timeout=SLOW)
    elif way != "talk":
        expect(page.locator("#state")).to_have_text("Ready when you are")


def test_a_question_is_taken_back_before_there_is_an_answer(opened: Open, browser: "Browser", model: Partner) -> None:
    page = at_chat(opened, browser)
    model.moods = ["silent"]
    model.busy.clear()
    ask(page, "Are you there?")
    expect(page.locator("#state")).to_have_text("Thinking…")
    until(page, "face.state === 'loading'")
    assert model.busy.wait(30), "else there is nothing to take back"
    page.click("#stop")
    expect(page.locator(".mine .note")).to_have_text("Interrupted.")
    expect(page.locator("#state")).to_have_text("Ready when you are")
    assert model.left.wait(10)
    assert page.evaluate("face.state") == "idle"


# ---- what goes wrong


def test_an_answer_that_breaks_off_leaves_what_was_said(page: "Page", model: Partner) -> None:
    model.otherwise = LONG
    model.moods = ["truncated"]
    ask(page, "Tell me something long.")
    note = page.locator(".theirs .note")
    expect(note).to_contain_text("The answer broke off.", timeout=SLOW)
    assert KEY not in note.inner_text()
    assert len(note.inner_text()) > len("The answer broke off. ") + 10, "the server's own sentence stands beside it"
    expect(page.locator("#state")).to_have_text("Ready when you are", timeout=SLOW)
    said = page.locator(".theirs .sentence.heard").all_inner_texts()
    assert said
    assert LONG.startswith(" ".join(s.strip() for s in said))
    expect(page.locator(".sentence:not(.heard)")).to_have_count(0)
    expect(page.locator("#trouble")).to_be_hidden()
    assert fits(page)
    model.otherwise = "I am here again."
    ask(page, "And now?")
    expect(page.locator(".theirs .words").last).to_have_text("I am here again.", timeout=SLOW)


def test_a_model_that_refuses_is_told_and_the_question_is_not_lost(page: "Page", model: Partner) -> None:
    model.moods = ["401"]
    page.fill("#text", "Where are the ships?")
    page.keyboard.press("Enter")
    expect(page.locator("#trouble strong")).not_to_be_empty(timeout=SLOW)
    expect(page.locator("#trouble")).to_contain_text("mine")
    expect(page.locator("#text")).to_have_value("Where are the ships?")
    expect(page.locator(".turn")).to_have_count(0)
    assert fits(page)
    page.click("#send")
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator(".theirs .words")).to_have_text(THREE, timeout=SLOW)


def test_a_recording_can_be_sent_once_more(
    playwright: "Playwright", opened: Open, model: Partner, shared: Path
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    speech = shared / "media" / "speech" / "jfk_m_en.wav"
    with launched(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={speech}%noloop") as browser:
        page = at_chat(opened, browser)
        page.click("#talk")
        until(page, "clock.textContent >= '0:03'")
        page.context.set_offline(True)
        expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
        page.click("#talk")
        expect(page.locator("#retry")).to_be_visible()
        page.context.set_offline(False)
        page.click("#retryNow")
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator(".mine .words")).to_contain_text("fellow", ignore_case=True, timeout=SLOW)
        expect(page.locator(".theirs .words")).to_have_text(THREE, timeout=SLOW)


def test_offline_is_told_until_it_is_over(page: "Page") -> None:
    page.context.set_offline(True)
    expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
    page.context.set_offline(False)
    expect(page.locator("#trouble")).to_be_hidden()


def test_with_nobody_to_answer_it_says_what_to_set(
    browser: "Browser", start: Callable[..., AbstractContextManager[Served]]
) -> None:
    with start(work__processes="1") as server, opening(server.url) as opened:
        for viewport in (DESK, PHONE):
            page = at_chat(opened, browser, viewport=viewport)
            expect(page.locator("#setup")).to_be_visible()
            expect(page.locator("#missing")).to_contain_text("VIVAVOCE_CHATS__")
            expect(page.locator("#missing code").first).to_be_visible()
            expect(page.locator("#form")).to_be_hidden()
            expect(page.locator("#invitation")).to_be_hidden()
            assert fits(page)
            with page.expect_response("**/v1/chat") as looked:
                page.click("#again")
            assert looked.value.ok
            expect(page.locator("#setup")).to_be_visible()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--use-fake-device-for-media-stream"], "The microphone is not allowed"),
        (["--use-fake-ui-for-media-stream"], "No microphone was found"),
    ],
    ids=["denied", "none"],
)
def test_a_microphone_that_cannot_be_had(
    playwright: "Playwright", opened: Open, model: Partner, options: list[str], told: str
) -> None:
    with launched(playwright, *options) as browser:
        page = at_chat(opened, browser)
        page.click("#talk")
        expect(page.locator("#trouble")).to_contain_text(told)
        expect(page.locator("#state")).to_have_text("Ready when you are")
        ask(page, "Then I write.")
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator(".theirs .words")).to_have_text(THREE, timeout=SLOW)


def test_an_address_without_a_microphone_is_for_writing(
    playwright: "Playwright", opened: Open, house: tuple[Served, Partner]
) -> None:
    with launched(playwright, *MICROPHONE, "--host-resolver-rules=MAP elsewhere.example 127.0.0.1") as browser:
        page = at_chat(opened, browser, url=house[0].url.replace("127.0.0.1", "elsewhere.example"))
        expect(page.locator("#how")).to_contain_text("only to pages over https")
        expect(page.locator("#talk")).to_be_disabled()
        expect(page.locator("#text")).to_be_enabled()


def test_a_server_with_keys_asks_once(
    browser: "Browser", model: Partner, start: Callable[..., AbstractContextManager[Served]]
) -> None:
    models = json.dumps({"mine": {"base_url": model.url, "model": "tiny-model", "api_key": KEY}})
    with (
        start(work__processes="1", chats__models=models, server__api_keys='["open-sesame"]') as server,
        opening(server.url) as opened,
    ):
        page = opened(browser, "/chat")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_have_count(0)
        expect(page.locator("#state")).to_have_text("Ready when you are", timeout=SLOW)
        ask(page, "Where are the ships?")
        expect(page.locator(".theirs .words")).to_have_text(THREE, timeout=SLOW)
