"""The page of avatars in a real browser: a photo is looked at, points are moved, an avatar is made, tried, removed."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from PIL import Image

from hearing import DESK, PHONE, SLOW, fits, launched, started
from serving import Served
from vivavoce.engines.photo import bundle
from vivavoce.studio.scene import builtin_avatars

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("locator")]
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with started() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(browser: "Browser", server: Served, request: pytest.FixtureRequest) -> Iterator["Page"]:
    """The page, which fails its test for a script error, or for any request to somewhere else."""
    context = browser.new_context(
        viewport=request.param, locale="en-GB", base_url=server.url, has_touch=request.param is PHONE
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((server.url, "blob:", "data:")) else None)
    page.goto("/avatars")
    expect(page.locator("#gallery button[aria-pressed=true]")).to_contain_text("Toy")
    yield page
    context.close()
    assert wrong == []


def portrait() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(bundle.load(builtin_avatars() / "anna").rgb).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def choose(page: "Page", name: str, data: bytes, kind: str = "image/jpeg") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})


def middle(dot: "Locator") -> tuple[float, float]:
    box = dot.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_photo_becomes_an_avatar_that_speaks_and_goes(page: "Page", server: Served) -> None:
    choose(page, "My Photo!.JPG", portrait())
    expect(page.locator("#verdict")).to_have_text(re.compile("avatar|used"), timeout=SLOW)
    expect(page.locator("#name")).to_have_value("my-photo")
    expect(page.locator(".dot")).to_have_count(14)
    assert fits(page)
    name = f"page-{page.viewport_size['width']}" if page.viewport_size else "page"
    page.fill("#name", name)
    page.click("#prepare")
    expect(page.locator("#state")).to_contain_text("is ready", timeout=SLOW)
    expect(page.locator("#found")).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#gallery button[aria-pressed=true]")).to_contain_text(name.capitalize())
    facts = requests.get(f"{server.url}/v1/avatars/{name}", timeout=10).json()
    assert facts["landmarks"] == "located", "points that were not moved are not sent"
    assert fits(page)
    page.fill("#text", "Hello there.")
    page.click("#speak")
    expect(page.locator("#state")).to_have_text("Done", timeout=SLOW)
    page.click("#remove")
    expect(page.locator("#sure")).to_contain_text(f"Remove {name.capitalize()}?")
    expect(page.locator("#sure button[value=no]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#sure")).to_be_hidden()
    assert requests.get(f"{server.url}/v1/avatars/{name}", timeout=10).status_code == 200
    page.click("#remove")
    page.click("#sure button[value=yes]")
    expect(page.locator("#state")).to_contain_text("was removed")
    expect(page.locator("#gallery")).not_to_contain_text(name.capitalize())
    expect(page.locator("#remove")).to_be_hidden()
    assert requests.get(f"{server.url}/v1/avatars/{name}", timeout=10).status_code == 404


def test_points_are_moved_and_sent(page: "Page", server: Served) -> None:
    choose(page, "photo.jpg", portrait())
    dot = page.locator(".dot[data-name=chin]")
    expect(dot).to_be_visible(timeout=SLOW)
    expect(page.locator("#reset")).to_be_disabled()
    dot.scroll_into_view_if_needed()
    x, y = middle(dot)
    page.mouse.move(x + 3, y + 2)
    page.mouse.down()
    page.mouse.move(x + 13, y + 22, steps=5)
    expect(page.locator("#loupe")).to_be_visible()
    page.mouse.up()
    expect(page.locator("#loupe")).to_be_hidden()
    assert middle(dot) == pytest.approx((x + 10, y + 20), abs=1.5)
    expect(dot).to_be_focused()
    for key in ("ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    assert middle(dot) == pytest.approx((x, y + 18), abs=2)
    page.click("#reset")
    assert middle(dot) == pytest.approx((x, y), abs=0.5)
    expect(page.locator("#reset")).to_be_disabled()
    dot.focus()
    page.keyboard.press("Shift+ArrowDown")
    name = f"moved-{page.viewport_size['width']}" if page.viewport_size else "moved"
    page.fill("#name", name)
    page.click("#prepare")
    expect(page.locator("#state")).to_contain_text("is ready", timeout=SLOW)
    given = json.loads((server.data / "avatars" / name / "landmarks.json").read_text())
    assert len(given) == 468, "all others go with those that are shown"
    assert requests.get(f"{server.url}/v1/avatars/{name}", timeout=10).json()["landmarks"] == "given"
    requests.delete(f"{server.url}/v1/avatars/{name}", timeout=10)


def test_a_finger_moves_a_point(page: "Page") -> None:
    if not page.evaluate("navigator.maxTouchPoints"):
        pytest.skip("there is no touch screen at a desk")
    choose(page, "photo.jpg", portrait())
    dot = page.locator(".dot[data-name=mouth_left]")
    expect(dot).to_be_visible(timeout=SLOW)
    dot.scroll_into_view_if_needed()
    x, y = middle(dot)
    screen = page.context.new_cdp_session(page)

    def touch(kind: str, *at: float) -> None:
        points: list[dict[str, Any]] = [{"x": at[0], "y": at[1]}] if at else []
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x, y)
    for step in range(1, 6):
        touch("touchMove", x - 3 * step, y + 4 * step)
    touch("touchEnd")
    assert middle(dot) == pytest.approx((x - 15, y + 20), abs=2), "it is moved, and the page is not"


def test_points_are_placed_by_hand_where_no_face_is_found(page: "Page") -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((300, 420, 3), (210, 190, 160), np.uint8)).save(buffer, "PNG")
    choose(page, "drawing.png", buffer.getvalue(), "image/png")
    expect(page.locator("#verdict")).to_have_text("It cannot be used like this.", timeout=SLOW)
    expect(page.locator("#checks")).to_contain_text("No face was found")
    expect(page.locator("#prepare")).to_be_hidden()
    page.click("#place")
    expect(page.locator(".dot")).to_have_count(14)
    page.fill("#name", "drawn")
    page.click("#prepare")
    expect(page.locator("#trouble")).to_contain_text("No avatar can be made of this", timeout=SLOW)
    expect(page.locator("#trouble")).to_contain_text("contrast")
    expect(page.locator("#prepare")).to_be_enabled()


def test_troubles_are_told_and_can_be_mended(page: "Page") -> None:
    choose(page, "notes.txt", b"I am no picture.", "text/plain")
    expect(page.locator("#trouble")).to_contain_text("This file cannot be read", timeout=SLOW)
    expect(page.locator("#drop")).to_be_visible()
    choose(page, "photo.jpg", portrait())
    expect(page.locator("#found")).to_be_visible(timeout=SLOW)
    expect(page.locator("#trouble")).to_be_hidden()
    page.fill("#name", "anna")
    page.click("#prepare")
    expect(page.locator("#trouble")).to_contain_text("That is not free", timeout=SLOW)
    page.route("**/v1/avatars", lambda route: route.abort())
    page.click("#prepare")
    expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
    page.click("#other")
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#face")).to_be_visible()


@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_what_was_found_is_told_in_five_languages(page: "Page", tongue: str) -> None:
    dark = (bundle.load(builtin_avatars() / "anna").rgb * 0.3).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(dark).save(buffer, "JPEG")
    choose(page, "dark.jpg", buffer.getvalue())
    advice = page.locator("#checks li.warn p").first
    expect(advice).to_be_visible(timeout=SLOW)
    english = page.locator("#found").inner_text()
    page.select_option("#tongue", tongue)
    expect(page.locator("#verdict")).not_to_have_text("It can be used. It would be better otherwise:")
    told = page.locator("#found").inner_text()
    assert not set(english.splitlines()) & set(re.findall(r"^.*[a-z]{3}.*$", told, re.MULTILINE))
    assert page.locator(".dot").first.get_attribute("aria-label") != "Left eye, outer corner"
    assert fits(page)


@pytest.mark.slow
def test_making_one_of_a_video_is_cancelled(page: "Page", server: Served, shared: Path) -> None:
    page.set_input_files("#file", shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4")
    expect(page.locator("#verdict")).to_be_visible(timeout=SLOW)
    expect(page.locator(".dot")).to_have_count(0)
    page.fill("#name", "halted")
    page.click("#prepare")
    expect(page.locator("#stageText")).to_have_text(re.compile(r"Making the avatar… [1-9]\d? %"), timeout=SLOW)
    page.reload()
    expect(page.locator("#stageText")).to_have_text(re.compile(r"Making the avatar… [1-9]\d? %"), timeout=SLOW)
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Cancelled; nothing was kept.", timeout=5000)
    assert requests.get(f"{server.url}/v1/avatars/halted", timeout=10).status_code == 404
