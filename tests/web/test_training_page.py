"""The page of trainings in a real browser: a film is looked at, a person is learnt, seen, cancelled and removed."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import requests

from films import footage, portrayed
from hearing import DESK, PHONE, SLOW, Open, fits, launched, opening, started
from lessons import learnt, rest, weight
from serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("locator")]
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with started() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server in which only we train."""
    with start(defaults__face_engine="toy") as served:
        yield served


@pytest.fixture
def opened(house: Served) -> Iterator[Open]:
    with opening(house.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    page = opened(browser, "/training", viewport=request.param)
    expect(page.locator("#engine option")).not_to_have_count(0, timeout=SLOW)
    return page


def choose(page: "Page", film: bytes, name: str = "My Film.mp4") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "video/mp4", "buffer": film})
    expect(page.locator("#found")).to_be_visible(timeout=SLOW)


def named(page: "Page", name: str) -> str:
    wide = page.viewport_size and page.viewport_size["width"] > 500
    return f"{name}-{'desk' if wide else 'phone'}"


def test_a_person_is_learnt_and_compared_with_the_film(page: "Page", house: Served) -> None:
    film = portrayed("slow")
    choose(page, film)
    expect(page.locator("#verdict")).to_contain_text("It can be used")
    expect(page.locator("#checks")).to_contain_text("Length")
    expect(page.locator("#name")).to_have_value("my-film")
    expect(page.locator("#film")).to_be_visible()
    assert fits(page)
    name = named(page, "eva")
    page.fill("#name", name)
    page.check("#consent")
    page.fill("#by", "Eva")
    page.click("#learn")
    expect(page.locator("#courseTitle")).to_have_text(f"Learning {name.capitalize()}", timeout=SLOW)
    expect(page.locator("#percent")).to_have_text(re.compile(r"\d+ % · epoch \d+ of 100"), timeout=SLOW)
    expect(page.locator("#stages [aria-current]")).to_have_text("Refine")
    expect(page.locator("#strip li")).not_to_have_count(0)
    expect(page.locator("#shown")).to_be_visible()
    expect(page.locator("#curve canvas")).to_be_visible(timeout=SLOW)
    assert fits(page)
    expect(page.locator("#doneTitle")).to_have_text(f"{name.capitalize()} is ready", timeout=SLOW)
    expect(page.locator("#quality .warn")).to_contain_text("Speak for a minute")
    expect(page.locator("#curve .chart")).to_have_attribute("aria-label", re.compile(r"from 0\.5 to 0\.0099"))
    expect(page.locator("#video")).to_have_attribute("href", f"/?avatar={name}")
    expect(page.locator("#after")).to_be_visible(timeout=SLOW)
    assert page.evaluate("document.querySelector('#before').src").startswith("blob:")
    seen = page.evaluate(
        "() => new Promise((done) => { const film = document.querySelector('#after');"
        " const look = () => film.readyState > 1 ? done(film.videoWidth) : requestAnimationFrame(look); look(); })"
    )
    assert seen == 128
    assert fits(page)
    assert learnt(house, name)["weight"] == weight(film, 100)
    card = page.locator(f"#heads [data-name={name}]")
    expect(card).to_contain_text("Agreed: Eva")

    page.click("#video")
    expect(page.locator(f"#faces [value={name}]")).to_be_checked(timeout=SLOW)
    page.go_back()
    expect(card).to_be_visible(timeout=SLOW)
    card.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove it").click()
    expect(card).to_have_count(0)
    assert requests.get(f"{house.url}/v1/models/{name}", timeout=10).status_code == 404


def test_one_that_goes_on_is_found_again_and_cancelled(page: "Page", house: Served) -> None:
    choose(page, portrayed("hang"))
    page.fill("#name", named(page, "halted"))
    page.click("#learn")
    expect(page.locator("#percent")).to_contain_text("epoch 3", timeout=SLOW)
    page.reload()
    expect(page.locator("#percent")).to_contain_text("epoch 3", timeout=SLOW)
    expect(page.locator("#strip li")).not_to_have_count(0)
    page.click("#cancel")
    expect(page.locator("#said")).to_have_text("Cancelled; nothing of it was kept.", timeout=SLOW)
    expect(page.locator("#drop")).to_be_visible()
    assert requests.get(f"{house.url}/v1/models/{named(page, 'halted')}", timeout=10).status_code == 404
    assert rest(house) == []


def test_troubles_are_told_and_can_be_mended(page: "Page") -> None:
    page.set_input_files("#file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"I am no film."})
    expect(page.locator("#trouble")).to_contain_text("This file cannot be read", timeout=SLOW)
    expect(page.locator("#drop")).to_be_visible()
    choose(page, footage())
    expect(page.locator("#verdict")).to_have_text("It cannot be used like this.")
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#learn")).to_be_hidden()
    page.click("#other")
    choose(page, portrayed("bug"))
    page.fill("#name", "anna")
    page.click("#learn")
    expect(page.locator("#trouble")).to_contain_text("That name is not free", timeout=SLOW)
    page.fill("#name", named(page, "broken"))
    page.click("#learn")
    expect(page.locator("#trouble")).to_contain_text("Something went wrong", timeout=SLOW)
    expect(page.locator("#learn")).to_be_visible()


def test_choices_follow_the_engine(page: "Page") -> None:
    choose(page, portrayed())
    page.locator("#more summary").click()
    expect(page.locator("#lr")).to_be_hidden()
    page.locator(".kind", has_text="Best").click()
    expect(page.locator("#lr")).to_be_visible()
    page.select_option("#engine", "photo")
    expect(page.locator("#qualityField")).to_be_hidden()
    expect(page.locator("#lr")).to_be_hidden()
    expect(page.locator("#engineNote")).to_be_visible()
    assert fits(page)


@pytest.mark.neural
@pytest.mark.skipif(find_spec("torch") is None, reason="the dependency group neural is not installed")
def test_the_hours_of_a_processor_are_told_before_they_begin(opened: Open, house: Served, browser: "Browser") -> None:
    if any(one["step_seconds"] is None for one in fields_of(house)):
        pytest.skip("on a graphics card nothing is said")
    page = opened(browser, "/training", viewport=DESK)
    expect(page.locator("#engine option")).not_to_have_count(0, timeout=SLOW)
    choose(page, portrayed())
    expect(page.locator("#slow")).to_be_hidden()
    page.locator("#more summary").click()
    for engine, title in (("ernerf", "ER-NeRF"), ("synctalk", "SyncTalk")):
        page.select_option("#engine", engine)
        expect(page.locator("#slow")).to_contain_text(f"{title} takes about")
        expect(page.locator("#qualityField")).to_be_hidden()
        for field in ("size", "ear", "epochs", "lr", "batch"):
            expect(page.locator(f"#{field}")).to_be_visible()
    page.fill("#epochs", "20000")
    expect(page.locator("#slow")).to_contain_text(re.compile(r"takes about [\d.,]+ h on"))
    page.fill("#minutes", "30")
    expect(page.locator("#slow")).to_contain_text("takes about 30 min on")
    assert fits(page)
    page.fill("#name", "painted")
    page.select_option("#ear", "mel")
    page.fill("#size", "64")
    page.click("#learn")
    expect(page.locator("#trouble")).to_contain_text("at least 8 s are needed", timeout=SLOW)
    (job, *_) = requests.get(f"{house.url}/v1/jobs?kind=model_training", timeout=10).json()["jobs"]
    assert job["params"]["options"] == {"ear": "mel", "size": 64, "max_minutes": 30.0}
    assert job["params"]["face_engine"] == "synctalk"


def fields_of(house: Served) -> list[dict[str, Any]]:
    told = requests.get(f"{house.url}/v1/models", timeout=20).json()["engines"]
    return [one for one in told if one["engine"] in ("ernerf", "synctalk")]


@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_all_is_told_in_five_languages(page: "Page", tongue: str) -> None:
    choose(page, portrayed())
    page.locator("#more summary").click()
    page.locator(".kind", has_text="Best").click()
    page.check("#consent")
    english = page.locator("#main").inner_text()
    page.select_option("#tongue", tongue)
    expect(page.locator("h1")).not_to_have_text("Your own talking head")
    told = page.locator("#main").inner_text()
    same: set[Any] = set(english.splitlines()) & set(re.findall(r"^.*[a-z]{4}.*$", told, re.MULTILINE))
    assert not {line for line in same if line not in ("person", "photo", "toy")}
    assert fits(page)
