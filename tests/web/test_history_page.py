"""The page of history in a real browser: everything that was asked for, seen, played, cancelled and removed."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
import requests

from hearing import DESK, PHONE, SLOW, Open, fits, launched, noisy_sentences, opening, started, until
from serving import Served
from vivavoce.engines.espeak import EspeakVoice

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with started() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server whose history is only ours."""
    with start() as served:
        yield served


@pytest.fixture
def opened(house: Served) -> Iterator[Open]:
    with opening(house.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def view(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def clean(house: Served) -> Iterator[None]:
    """Nothing is in the history, before and after."""
    forget(house)
    yield
    forget(house)


def forget(house: Served) -> None:
    while jobs := requests.get(f"{house.url}/v1/jobs?limit=200", timeout=10).json()["jobs"]:
        for job in jobs:
            requests.delete(f"{house.url}/v1/jobs/{job['id']}", timeout=20)
            requests.delete(f"{house.url}/v1/jobs/{job['id']}/record", timeout=20)


def film(house: Served, text: str, wait: int = 60, **more: Any) -> dict[str, Any]:
    ask = {"text": text, "language": "en"} | more
    answer = requests.post(f"{house.url}/v1/videos", json=ask, headers={"Prefer": f"wait={wait}"}, timeout=90)
    assert answer.ok, answer.text
    job: dict[str, Any] = answer.json()
    return job


def row(page: "Page", job: dict[str, Any]) -> Any:
    return page.locator(f".job[data-id='{job['id']}']")


def grey(canvas: Any) -> float:
    """The mean of a thumbnail, 0-255."""
    mean: float = canvas.evaluate(
        """c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let sum = 0; for (let n = 0; n < d.length; n += 4) sum += d[n]; return sum / (d.length / 4); }"""
    )
    return mean


@pytest.mark.usefixtures("clean")
def test_an_empty_history_leads_to_what_makes_films(opened: Open, browser: "Browser", view: Any) -> None:
    page = opened(browser, "/history", viewport=view)
    expect(page.locator("#blankTitle")).to_have_text("Nothing yet")
    expect(page.locator("#more")).to_be_hidden()
    assert fits(page)
    page.click("#blankMake")
    expect(page.locator("h1")).to_have_text("Give your words a face")


@pytest.mark.usefixtures("clean")
def test_films_are_told_newest_first_with_a_frame_of_each(
    opened: Open, browser: "Browser", house: Served, view: Any
) -> None:
    first = film(house, "The first of two films.")
    second = film(house, "The second, which is the newer one.", resolution="720x1280")
    page = opened(browser, "/history", viewport=view)
    expect(page.locator(".job")).to_have_count(2)
    assert page.locator(".job .asked").all_inner_texts() == [second["params"]["text"], first["params"]["text"]]
    expect(row(page, first).locator(".state")).to_have_text("Done")
    meta = row(page, second).locator(".meta")
    expect(meta).to_contain_text(re.compile(r"Toy · English · espeak.* · 720×1280 · made in \d.*s · kept until \d"))
    for job in (first, second):
        canvas = row(page, job).locator("canvas")
        expect(canvas).to_be_visible(timeout=SLOW)
        made = requests.get(house.url + job["result"]["video_url"], timeout=10).content
        with av.open(io.BytesIO(made), "r") as held:
            frames = [frame.to_ndarray(format="gray").mean() for frame in held.decode(video=0)]
        at = 0.4 * len(frames)
        near = frames[max(0, int(at) - 2) : int(at) + 3]
        assert min(near) - 6 < grey(canvas) < max(near) + 6
        assert canvas.evaluate("c => c.width === c.height")
    assert fits(page)


@pytest.mark.usefixtures("clean")
def test_a_film_plays_where_it_lies_and_is_downloaded(
    opened: Open, browser: "Browser", house: Served, view: Any
) -> None:
    job = film(house, "Hello there, this is a film to look at once more.")
    page = opened(browser, "/history", viewport=view)
    one = row(page, job)
    one.locator(".play-it").click()
    until(page, "document.querySelector('.replay video')?.currentTime > 0.3")
    assert one.locator(".replay video").evaluate("v => v.textTracks.length") == 1
    expect(one.locator(".play-it")).to_have_text("Close")
    expect(one.locator(".play-it")).to_have_attribute("aria-expanded", "true")
    assert fits(page)
    with page.expect_download() as download:
        one.locator(".save-it").click()
    assert re.fullmatch(r"vivavoce-\w+\.mp4", download.value.suggested_filename)
    assert download.value.path().read_bytes() == requests.get(house.url + job["result"]["video_url"], timeout=9).content
    # A look of the page in between leaves the player alone.
    seen = page.evaluate("performance.getEntriesByType('resource').filter(e => e.name.includes('/v1/jobs?')).length")
    film(house, "Another one came meanwhile.")
    expect(page.locator(".job")).to_have_count(2, timeout=SLOW)
    assert page.evaluate("performance.getEntriesByType('resource').length") > seen
    assert one.locator(".replay video").count() == 1
    one.locator(".thumb").click()
    expect(one.locator(".replay")).to_be_hidden()
    one.locator(".thumb").press("Enter")
    until(page, "document.querySelector('.replay video')?.currentTime > 0.1")


@pytest.mark.usefixtures("clean")
def test_chunks_play_one_after_the_other(opened: Open, browser: "Browser", house: Served) -> None:
    ask: dict[str, Any] = {
        "text": "One two three four five six. Seven eight nine ten.",
        "language": "en",
        "chunk_size": 6,
    }
    chunks = requests.post(f"{house.url}/api/stream_chunks", json=ask, timeout=60).json()["chunks"]
    page = opened(browser, "/history")
    page.locator(".play-it").click()
    chips = page.locator(".chips button")
    expect(chips).to_have_count(len(chunks))
    expect(chips.nth(1)).to_have_attribute("aria-current", "", timeout=SLOW)
    until(page, "document.querySelector('.replay video')?.currentTime > 0.1")
    ids = [chunk["video_url"].rpartition("/")[2].partition(".")[0] for chunk in chunks]
    href = page.locator(".save-it").get_attribute("href") or ""
    assert ids[1] in href
    chips.nth(0).click()
    assert ids[0] in (page.locator(".save-it").get_attribute("href") or "")
    expect(chips.nth(0)).to_have_attribute("aria-current", "")


@pytest.mark.usefixtures("clean")
def test_what_runs_shows_how_far_it_is_and_is_cancelled(
    opened: Open, browser: "Browser", house: Served, view: Any
) -> None:
    page = opened(browser, "/history", viewport=view)
    expect(page.locator("#blankTitle")).to_be_visible()
    job = film(house, "slowly " * 60, wait=0)
    one = row(page, job)
    expect(one.locator(".says")).to_have_text(re.compile(r"In work… [1-9]\d* %"), timeout=SLOW)
    assert float(one.locator("progress").get_attribute("value") or 0) > 0
    expect(one.locator(".remove-it")).to_be_hidden()
    one.locator(".cancel-it").click()
    expect(one.locator(".state")).to_have_text("Cancelled", timeout=SLOW)
    expect(one.locator(".work")).to_be_hidden()
    expect(one.locator(".remove-it")).to_be_focused()
    assert requests.get(f"{house.url}/v1/jobs/{job['id']}", timeout=10).json()["state"] == "cancelled"
    assert fits(page)


@pytest.mark.usefixtures("clean")
def test_what_waits_says_how_many_are_ahead(opened: Open, browser: "Browser", house: Served) -> None:
    jobs = [film(house, "Hello forever.", wait=0) for _ in range(5)]
    page = opened(browser, "/history?state=queued")
    expect(row(page, jobs[-1]).locator(".says")).to_have_text(
        re.compile(r"Waiting; ahead of it: [1-4]"), timeout=20_000
    )
    expect(row(page, jobs[-1]).locator(".state")).to_have_text("Waiting")


@pytest.mark.usefixtures("clean")
def test_a_film_that_is_being_made_can_be_watched(opened: Open, browser: "Browser", house: Served) -> None:
    job = film(house, "slowly " * 40, wait=0)
    page = opened(browser, "/history")
    one = row(page, job)
    one.locator(".play-it").click(timeout=SLOW)
    until(page, "document.querySelector('.replay video')?.currentTime > 0.1")
    expect(one.locator(".save-it")).to_be_hidden()
    expect(one.locator(".state")).to_have_text("In work")


@pytest.mark.usefixtures("clean")
def test_a_removed_record_is_gone_with_its_film(opened: Open, browser: "Browser", house: Served, view: Any) -> None:
    kept, gone = film(house, "This one stays."), film(house, "This one goes.")
    page = opened(browser, "/history", viewport=view)
    row(page, gone).locator(".remove-it").click()
    expect(page.locator("#sure")).to_be_visible()
    expect(page.locator("#sure [value=no]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#sure")).to_be_hidden()
    expect(page.locator(".job")).to_have_count(2)
    row(page, gone).locator(".remove-it").click()
    page.click("#sure [value=yes]")
    expect(page.locator(".job")).to_have_count(1)
    expect(row(page, kept).locator(".play-it")).to_be_focused()
    expect(page.locator("#said")).to_have_text("It was removed.")
    assert requests.get(f"{house.url}/v1/jobs/{gone['id']}", timeout=10).status_code == 404
    assert requests.get(house.url + gone["result"]["video_url"], timeout=10).status_code == 404
    assert requests.get(house.url + kept["result"]["video_url"], timeout=10).status_code == 200


@pytest.mark.usefixtures("clean")
def test_a_failure_is_told_in_its_own_sentence(opened: Open, browser: "Browser", house: Served) -> None:
    picture = cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    form = {"name": "toy-2", "engine": "toy"}
    made = requests.post(
        f"{house.url}/v1/avatars", files={"file": picture}, data=form, headers={"Prefer": "wait=60"}, timeout=90
    ).json()
    assert made["state"] == "failed"
    page = opened(browser, "/history?group=avatars&state=failed")
    one = row(page, made)
    expect(one.locator(".kind")).to_have_text("New avatar")
    expect(one.locator(".state")).to_have_text("Failed")
    expect(one.locator(".fault")).to_have_text("No avatar can be made of this The toy takes no pictures.")
    expect(one.locator(".play-it")).to_be_hidden()
    expect(one.locator(".thumb")).to_be_disabled()


@pytest.mark.usefixtures("clean")
def test_filters_choose_and_stay_in_the_address(
    opened: Open, browser: "Browser", house: Served, voice: EspeakVoice, view: Any
) -> None:
    made = film(house, "A film.")
    requests.post(f"{house.url}/save_audio", files={"audio": noisy_sentences(voice)}, timeout=30)
    page = opened(browser, "/history", viewport=view)
    expect(page.locator(".job")).to_have_count(2)
    expect(page.locator("#count")).to_have_text("2 of 2")
    page.check("[name=group][value=films]")
    expect(page.locator(".job")).to_have_count(1)
    expect(row(page, made)).to_be_visible()
    assert page.url.endswith("/history?group=films")
    page.check("[name=group][value=sounds]")
    expect(page.locator(".job .kind")).to_have_text("Saved recording")
    page.select_option("#state", "failed")
    expect(page.locator("#blankTitle")).to_have_text("Nothing like this")
    expect(page.locator("#blankMake")).to_be_hidden()
    page.reload()
    expect(page.locator("[name=group][value=sounds]")).to_be_checked()
    expect(page.locator("#state")).to_have_value("failed")
    page.click("#blankAll")
    expect(page.locator(".job")).to_have_count(2)
    assert page.url.endswith("/history")
    page.focus("[name=group][value=all]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name=group][value=films]")).to_be_checked()
    expect(page.locator(".job")).to_have_count(1)


@pytest.mark.usefixtures("clean")
def test_more_is_shown_when_it_is_asked_for(
    opened: Open, browser: "Browser", house: Served, voice: EspeakVoice
) -> None:
    sound = noisy_sentences(voice)
    for _ in range(23):
        assert requests.post(f"{house.url}/save_audio", files={"audio": sound}, timeout=30).ok
    page = opened(browser, "/history")
    expect(page.locator(".job")).to_have_count(20)
    expect(page.locator("#more")).to_have_text("Show 3 more")
    page.click("#more")
    expect(page.locator(".job")).to_have_count(23)
    expect(page.locator("#more")).to_be_hidden()
    expect(page.locator(".job").nth(20).locator(".remove-it")).to_be_focused()
    seen = page.locator(".job").evaluate_all("all => all.map(e => e.dataset.id)")
    listed = requests.get(f"{house.url}/v1/jobs?limit=50", timeout=10).json()["jobs"]
    assert seen == [job["id"] for job in listed]
    film(house, "One more, on top of all.")
    expect(page.locator(".job")).to_have_count(24, timeout=SLOW)
    expect(page.locator(".job .asked").first).to_have_text("One more, on top of all.")


@pytest.mark.usefixtures("clean")
def test_a_film_whose_time_is_over_is_told_so(opened: Open, browser: "Browser", house: Served) -> None:
    job = film(house, "This film will be swept away.")
    name = job["result"]["video_url"].rpartition("/")[2].partition(".")[0]
    for path in Path(house.data).rglob(f"{name}.*"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 7200))
    requests.post(f"{house.url}/api/cleanup", timeout=10)
    page = opened(browser, "/history")
    one = row(page, job)
    expect(one.locator(".fault")).to_have_text("The film is not there any more.", timeout=SLOW)
    expect(one.locator(".play-it")).to_be_hidden()
    expect(one.locator(".remove-it")).to_be_visible()
    expect(one.locator(".thumb img")).to_be_visible()


@pytest.mark.usefixtures("clean")
def test_a_server_that_is_away_is_told_and_comes_back(
    opened: Open, browser: "Browser", house: Served, view: Any
) -> None:
    film(house, "Something to see.")
    page = opened(browser, "/history", viewport=view)
    expect(page.locator(".job")).to_have_count(1)
    page.route("**/v1/jobs**", lambda route: route.abort())
    away = page.locator("#away p")
    expect(away).to_have_text("The server cannot be reached. Trying again in 1 s.", timeout=SLOW)
    expect(page.locator(".job")).to_have_count(1)
    page.locator(".remove-it").click()
    page.click("#sure [value=yes]")
    expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
    expect(page.locator(".job")).to_have_count(1)
    assert fits(page)
    page.unroute("**/v1/jobs**")
    page.click("#again")
    expect(page.locator("#away")).to_be_hidden()


@pytest.mark.usefixtures("clean")
def test_rows_speak_the_pages_language(opened: Open, browser: "Browser", house: Served, view: Any) -> None:
    film(house, "A film in any language.")
    page = opened(browser, "/history", viewport=view)
    expect(page.locator(".state").first).to_have_text("Done")
    for tongue, done, play in (
        ("ru", "Готово", "Смотреть"),
        ("kk", "Дайын", "Ойнату"),
        ("ko", "완료", "재생"),
        ("zh", "完成", "播放"),
    ):
        page.select_option("#tongue", tongue)
        expect(page.locator(".job .state")).to_have_text(done)
        expect(page.locator(".job .play-it")).to_have_text(play)
        assert not re.search(r"\b(made in|kept until|Film|M11)\b", page.locator(".job").inner_text())
        assert fits(page)


def test_keys_are_asked_for_and_histories_kept_apart(serve: Callable[..., Served], browser: "Browser") -> None:
    server = serve(server__api_keys='["first-key", "second-key"]')
    head = {"X-API-Key": "first-key", "Prefer": "wait=60"}
    body = {"text": "A secret film.", "language": "en"}
    assert requests.post(f"{server.url}/v1/videos", json=body, headers=head, timeout=90).json()["state"] == "succeeded"
    with opening(server.url) as opened:
        page = opened(browser, "/history")
        expect(page.locator("dialog[open] h2")).to_have_text("This server needs a key")
        page.fill("#key", "first-key")
        page.keyboard.press("Enter")
        expect(page.locator(".job .asked")).to_have_text("A secret film.")
        page.evaluate("localStorage.setItem('vivavoce.key', 'second-key')")
        page.reload()
        expect(page.locator("#blankTitle")).to_have_text("Nothing yet")
