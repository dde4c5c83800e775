"""The page of voices in a real browser: recorded or chosen, judged, learnt, compared with a recording, and deleted."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import requests

from hearing import (
    DESK,
    MICROPHONE,
    NAMELESS,
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
from people import enrolled, listed, recording
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import decode, write_wav
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def playwright() -> Iterator["Playwright"]:
    with started() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: "Playwright", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    with hearing_tones(playwright, tmp_path_factory.mktemp("sound")) as browser:
        yield browser


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server of this module's own, whose cloner is the toy: others count its voices."""
    with start(clones__engine="toy", clones__consent="noted", defaults__language="en") as served:
        yield served


@pytest.fixture
def empty(house: Served) -> Served:
    """The same, without anybody's voice."""
    for voice in listed(house).values():
        assert requests.delete(house.url + voice["clone"]["url"], timeout=30).status_code == 204
    return house


@pytest.fixture
def opened(empty: Served) -> Iterator[Open]:
    with opening(empty.url) as opened:
        yield opened


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    return at_voices(opened, browser, viewport=request.param)


def at_voices(opened: Open, browser: "Browser", **options: object) -> "Page":
    page = opened(browser, "/voices", **options)
    expect(page.locator("#builtin")).to_be_visible(timeout=SLOW)
    return page


@pytest.fixture(scope="module")
def heard(voice: EspeakVoice) -> bytes:
    """Some seconds of a voice in silence."""
    return recording(voice)


def wav(samples: Samples, rate: int = 22_050) -> bytes:
    held = io.BytesIO()
    write_wav(held, Audio(samples.astype(np.float32), rate), rate)
    return held.getvalue()


def give(page: "Page", *files: tuple[str, bytes]) -> None:
    """Choose files, and wait until the page has judged them."""
    before = page.locator(".kept li").count()
    held: Any = [{"name": name, "mimeType": "audio/wav", "buffer": content} for name, content in files]
    page.set_input_files("#takes input[type=file]", held)
    expect(page.locator(".kept li")).to_have_count(before + len(files))
    expect(page.locator(".kept .chip").filter(has_text="…")).to_have_count(0, timeout=SLOW)


def learn(page: "Page", name: str, consent: bool = True) -> None:
    page.fill("#name", name)
    page.set_checked("#consent", consent)
    page.click("#learn")
    expect(page.locator(".person.open h3")).to_have_text(name, timeout=SLOW)


# ---- what everybody sees


def test_everything_fits_and_has_a_name(page: "Page", house: Served, heard: bytes) -> None:
    assert enrolled(house, heard, times=2, name="Anna with a rather long name for a small screen").status_code == 201
    page.reload()
    page.click(".person .compare")
    page.click("#builtin summary")
    give(page, ("a recording with a name that is much too long for a phone, and even for a desk.wav", heard))
    assert fits(page)
    assert nameless(page) == []
    assert page.locator("h1").count() == 1


def test_a_file_has_names_and_says_that_it_is_judged_from_the_start(page: "Page") -> None:
    unnamed, chip = page.evaluate(
        f"""() => {{
            const chosen = new DataTransfer();
            chosen.items.add(new File([new Uint8Array(4096)], "take.wav", {{ type: "audio/wav" }}));
            const input = document.querySelector("#takes input[type=file]");
            input.files = chosen.files;
            input.dispatchEvent(new Event("change"));
            return [{NAMELESS}, document.querySelector(".kept .chip").textContent];
        }}"""
    )
    assert (unnamed, chip) == ([], "…")
    expect(page.locator(".kept .chip")).to_have_text("not judged", timeout=SLOW)


@pytest.mark.parametrize("tongue", ["ru", "kk", "ko", "zh"])
def test_it_speaks_five_languages(page: "Page", house: Served, heard: bytes, tongue: str) -> None:
    assert enrolled(house, heard, times=2, name="Anna").status_code == 201
    page.reload()
    page.click(".person .compare")
    expect(page.locator(".side time").first).to_contain_text("0:03")
    words = """() => [...document.querySelectorAll('main :is([data-t], #advice, .consented, .wait)')]
        .map((e) => e.textContent)"""
    english = page.evaluate(words)
    page.select_option("#tongue", tongue)
    assert fits(page)
    told = page.evaluate(words)
    assert [was for was, now in zip(english, told, strict=True) if was == now and " " in was] == []
    expect(page.locator("#language")).to_have_value(tongue if tongue in ("ru", "zh") else "en")  # the toy's own


# ---- from a recording to a voice


def test_a_voice_is_learnt_compared_and_deleted(page: "Page", house: Served, heard: bytes) -> None:
    expect(page.locator("#mine")).to_be_hidden()
    expect(page.locator("#learn")).to_be_disabled()
    seconds = decode(heard, max_seconds=60).seconds
    rest = wav(decode(heard, max_seconds=60).samples[-16_000 * 2 :], 16_000)
    give(page, ("first.wav", heard), ("second.wav", heard), ("third.wav", rest))
    expect(page.locator(".kept .chip")).to_have_text(["clear"] * 3)
    expect(page.locator("#advice")).to_contain_text("enough")
    page.click(".kept li:nth-child(2) .remove")
    expect(page.locator(".kept .name")).to_have_text(["first.wav", "third.wav"])
    expect(page.locator(".kept .remove").last).to_be_focused()
    expect(page.locator("#byField")).to_be_hidden()
    page.check("#consent")
    page.fill("#by", "Anna K.")
    learn(page, "Anna from the office")

    person = page.locator(".person")
    expect(person.locator(".compare")).to_be_focused()
    expect(person.locator(".facts")).to_contain_text("English · toy · ")
    expect(person.locator(".approximate")).to_be_visible()
    expect(person.locator(".consented")).to_have_text("Consent is noted: Anna K.")
    expect(page.locator(".kept li")).to_have_count(0)
    expect(page.locator("#name")).to_have_value("")
    kept = listed(house)["Anna from the office"]["clone"]
    assert kept["consent"]["text"] == page.locator("#consentText").inner_text()
    assert len(kept["recordings"]) == 2

    expect(person.locator(".side").first.locator("time")).to_contain_text(f"0:0{int(seconds)}")
    with page.expect_request("**/recordings/1"):
        person.locator(".which").select_option("1")
    expect(person.locator(".side").first.locator("time")).to_contain_text("0:02")
    page.fill(".person textarea", "One two three, this is my own voice.")
    page.keyboard.press("Enter")
    keep = person.locator(".keep")
    expect(keep).to_be_visible(timeout=SLOW)
    clone = person.locator(".side").last
    expect(clone.locator(".tracks")).to_have_class("tracks playing")
    clone.locator(".play").click()
    expect(clone.locator(".tracks")).not_to_have_class("tracks playing")
    person.locator(".side").first.locator(".play").click()
    expect(person.locator(".side").first.locator(".tracks")).to_have_class("tracks playing")
    with page.expect_download() as download:
        keep.click()
    assert download.value.suggested_filename == "Anna from the office.wav"
    assert decode(download.value.path().read_bytes(), max_seconds=60).seconds > 1
    assert fits(page)
    person.locator(".compare").click()
    expect(person.locator(".beside")).to_be_hidden()

    assert person.locator(".film").get_attribute("href") == "/?voice=clone%2FAnna+from+the+office"
    for answer, left in (("no", 1), ("yes", 0)):
        person.locator(".forget").click()
        expect(page.locator("#sureTitle")).to_have_text("Delete “Anna from the office”?")
        page.click(f"#sure [value={answer}]")
        expect(person).to_have_count(left)
    expect(page.locator("#mine")).to_be_hidden()
    assert listed(house) == {}


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_what_is_recorded_here_is_judged_while_it_is_spoken(
    playwright: "Playwright", opened: Open, shared: Path, house: Served, viewport: dict[str, int]
) -> None:
    speech = shared / "media" / "speech" / "jfk_m_en.wav"
    with launched(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={speech}%noloop") as browser:
        page = at_voices(opened, browser, viewport=viewport)
        page.click("#takes .record")
        expect(page.locator(".reading")).to_contain_text("The morning after the storm")
        until(page, "document.querySelector('.recording time').textContent >= '0:05'")
        expect(page.locator(".room")).to_contain_text("dB")
        expect(page.locator("#advice")).to_contain_text("s of speech")
        assert fits(page)
        page.click("#takes .done")
        expect(page.locator(".kept .name")).to_have_text("Recording 1.wav")
        expect(page.locator(".kept .chip")).to_have_text("clear")
        page.click("#takes .record")
        expect(page.locator(".recording .says")).to_have_text("Recording")
        page.click("#takes .discard")
        expect(page.locator(".kept li")).to_have_count(1)
        expect(page.locator("#takes .record")).to_be_focused()
        page.select_option("#language", "ru")
        page.click("#takes .record")
        expect(page.locator(".reading")).to_contain_text("Наутро после бури")
        page.click("#takes .discard")
        learn(page, "From here")
    made = listed(house)["From here"]["clone"]
    sound = decode(requests.get(house.url + made["recordings"][0], timeout=10).content, max_seconds=60)
    assert sound.seconds > 4
    assert np.abs(sound.samples).max() > 0.05
    assert made["language"] == "ru"


def test_a_recording_is_judged_by_ear(opened: Open, browser: "Browser", heard: bytes) -> None:
    page = at_voices(opened, browser)
    clean = decode(heard, max_seconds=60)
    samples, rate = clean.samples / np.abs(clean.samples).max(), clean.rate
    noise = np.random.default_rng(5).normal(0, 1, len(samples))
    loudness = np.sqrt(np.mean(samples**2))
    sounds = {
        "good.wav": samples * 0.5,
        "noisy.wav": samples * 0.5 + noise * loudness * 0.5 * 0.35,
        "overdriven.wav": np.clip(samples * 6, -1, 1),
        "far.wav": samples * 0.008,
        "nobody.wav": noise * 0.001,
    }
    give(
        page, *((name, wav(sound, rate)) for name, sound in sounds.items()), ("letter.wav", b"This is no sound at all.")
    )
    expect(page.locator(".kept .chip")).to_have_text(
        ["clear", "noisy", "overdriven", "too quiet", "no speech", "not judged"]
    )
    assert fits(page)


def test_too_many_recordings_are_refused_before_they_are_sent(opened: Open, browser: "Browser", heard: bytes) -> None:
    page = at_voices(opened, browser)
    give(page, *((f"{n}.wav", heard) for n in range(9)))
    held: Any = [{"name": f"more-{n}.wav", "mimeType": "audio/wav", "buffer": heard} for n in range(2)]
    page.set_input_files("#takes input[type=file]", held)
    expect(page.locator("#trouble")).to_contain_text("up to 10 recordings")
    expect(page.locator(".kept li")).to_have_count(10)
    expect(page.locator("#takes .empty")).to_be_hidden()
    page.click(".kept li:last-child .remove")
    expect(page.locator("#takes .empty")).to_be_visible()


def test_what_is_dropped_is_taken(opened: Open, browser: "Browser", heard: bytes) -> None:
    page = at_voices(opened, browser)
    page.evaluate(
        """(bytes) => { const data = new DataTransfer();
            const file = (name) => new File([new Uint8Array(bytes)], name, { type: "audio/wav" });
            for (const name of ["a.wav", "b.wav"]) data.items.add(file(name));
            takes.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })); }""",
        list(heard),
    )
    expect(page.locator(".kept .name")).to_have_text(["a.wav", "b.wav"])


# ---- consent


def test_without_consent_it_is_noted(opened: Open, browser: "Browser", house: Served, heard: bytes) -> None:
    page = at_voices(opened, browser)
    give(page, ("short.wav", heard))
    expect(page.locator("#consentNote")).to_contain_text("kept with the voice")
    learn(page, "Nobody asked", consent=False)
    expect(page.locator(".consented")).to_have_text("No consent is noted")
    assert listed(house)["Nobody asked"]["clone"]["consent"]["given"] is False


def test_where_consent_is_required_nothing_is_sent_without(
    browser: "Browser", start: Callable[..., AbstractContextManager[Served]], heard: bytes
) -> None:
    keys = json.dumps(["open-sesame"])
    with (
        start(work__processes="1", clones__engine="toy", clones__consent="required", server__api_keys=keys) as server,
        opening(server.url) as opened,
    ):
        page = opened(browser, "/voices")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#consentNote")).to_contain_text("learns no voice", timeout=SLOW)
        give(page, ("short.wav", heard))
        page.fill("#name", "Anna")
        page.click("#learn")
        assert page.evaluate("!consent.checkValidity()")
        assert listed(server, "open-sesame") == {}
        learn(page, "Anna")
        expect(page.locator("#whose")).to_contain_text("Only you see them")
        expect(page.locator(".side").first.locator("time")).to_contain_text("0:0")
        assert listed(server, "open-sesame")["Anna"]["clone"]["consent"]["given"] is True


# ---- what goes wrong


def test_what_cannot_be_used_is_told_and_nothing_is_lost(page: "Page", house: Served, heard: bytes) -> None:
    give(page, ("letter.wav", b"This is no sound at all, but a letter to somebody."))
    page.fill("#name", "Letter")
    page.click("#learn")
    expect(page.locator("#enrol #trouble")).to_be_visible(timeout=SLOW)
    expect(page.locator("#trouble span")).not_to_be_empty()
    expect(page.locator(".kept .name")).to_have_text("letter.wav")
    expect(page.locator("#name")).to_have_value("Letter")
    expect(page.locator("#learn")).to_be_enabled()
    assert fits(page)
    page.click(".kept .remove")
    give(page, ("good.wav", heard))
    learn(page, "Letter", consent=False)
    expect(page.locator("#trouble")).to_be_hidden()
    assert list(listed(house)) == ["Letter"]


def test_learning_can_be_cancelled_and_leaves_nothing(opened: Open, browser: "Browser", house: Served) -> None:
    page = at_voices(opened, browser)
    tone = 0.3 * np.sin(np.arange(8_000 * 62) * 0.3)
    give(page, ("for ever.wav", wav(tone, 8_000)))
    page.fill("#name", "For ever")
    page.click("#learn")
    expect(page.locator("#work p")).to_contain_text("Learning the voice")
    expect(page.locator("#learn")).to_be_disabled()
    until(page, "document.querySelector('#work progress').value > 0")
    assert fits(page)
    page.click("#work button")
    expect(page.locator("#work")).to_be_hidden()
    expect(page.locator("#learn")).to_be_enabled()
    expect(page.locator("#trouble")).to_be_hidden()
    assert listed(house) == {}


def test_a_sentence_can_be_cancelled_and_a_refusal_is_told(
    opened: Open, browser: "Browser", house: Served, heard: bytes
) -> None:
    short = wav(decode(heard, max_seconds=60).samples[:24_000], 16_000)
    assert enrolled(house, short, name="Short", language="en").status_code == 201
    page = at_voices(opened, browser)
    expect(page.locator(".warnings li")).to_contain_text("s of speech only")
    page.click(".person .compare")
    page.fill(".person textarea", "This goes on forever.")
    page.keyboard.press("Enter")
    button = page.locator(".beside form button")
    expect(button).to_have_text("Cancel")
    expect(page.locator(".wait")).to_have_text("Speaking…")
    button.click()
    expect(button).to_have_text("Speak")
    expect(page.locator("#trouble")).to_be_hidden()
    assert requests.delete(f"{house.url}/v1/voices/Short", timeout=30).status_code == 204
    page.fill(".person textarea", "Hello.")
    page.keyboard.press("Enter")
    expect(page.locator(".person #trouble")).to_contain_text("Short", timeout=SLOW)
    page.click(".person .forget")
    page.click("#sure [value=yes]")
    expect(page.locator(".person")).to_have_count(0)
    expect(page.locator("#takes .record")).to_be_focused()


def test_where_no_voice_can_be_learnt_it_says_what_is_missing(opened: Open, browser: "Browser") -> None:
    missing: list[str] = []

    def without(route: "Route") -> None:
        """The server's own answer, as it is without the extra and without the toy."""
        told = route.fetch().json()
        told["cloners"] = [cloner for cloner in told["cloners"] if not cloner["available"]]
        missing[:] = [cloner["missing"] for cloner in told["cloners"]]
        route.fulfill(json=told)

    for viewport in (DESK, PHONE):
        page = opened(browser, "/api-test", viewport=viewport)
        page.route("**/v1/voices", without)
        page.goto("/voices")
        expect(page.locator("#away")).to_be_visible(timeout=SLOW)
        assert any("VIVAVOCE_CLONES__HTTP__URL" in sentence for sentence in missing)
        told = page.locator("#ways li").all_inner_texts()
        assert all(sentence in one for sentence, one in zip(missing, told, strict=True))
        expect(page.locator("#ways code").first).to_be_visible()
        expect(page.locator("#enrol")).to_be_hidden()
        expect(page.locator("#builtin")).to_be_visible()
        assert fits(page)
        page.unroute("**/v1/voices")
        page.click("#again")
        expect(page.locator("#enrol")).to_be_visible()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--use-fake-device-for-media-stream"], "The microphone is not allowed"),
        (["--use-fake-ui-for-media-stream"], "No microphone was found"),
    ],
    ids=["denied", "none"],
)
def test_a_microphone_that_cannot_be_had(
    playwright: "Playwright", opened: Open, heard: bytes, options: list[str], told: str
) -> None:
    with launched(playwright, *options) as browser:
        page = at_voices(opened, browser)
        page.click("#takes .record")
        expect(page.locator("#enrol #trouble")).to_contain_text(told)
        expect(page.locator("#takes .empty")).to_be_visible()
        give(page, ("file.wav", heard))
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator("#learn")).to_be_enabled()


def test_an_address_without_a_microphone_takes_files(playwright: "Playwright", opened: Open, house: Served) -> None:
    with launched(playwright, *MICROPHONE, "--host-resolver-rules=MAP elsewhere.example 127.0.0.1") as browser:
        page = at_voices(opened, browser, url=house.url.replace("127.0.0.1", "elsewhere.example"))
        expect(page.locator("#takes .record")).to_be_hidden()
        expect(page.locator("#takes .no-mic")).to_contain_text("only to pages over https")


def test_offline_is_told_until_it_is_over(page: "Page") -> None:
    page.context.set_offline(True)
    expect(page.locator("#trouble")).to_contain_text("The server cannot be reached")
    page.context.set_offline(False)
    expect(page.locator("#trouble")).to_be_hidden()


# ---- those that are always here


def test_built_in_voices_are_heard(page: "Page") -> None:
    expect(page.locator("#chips")).to_be_hidden()
    expect(page.locator("#builtinTitle")).to_contain_text("Built-in voices: ")
    page.click("#builtin summary")
    first, second = page.locator(".hear").nth(0), page.locator(".hear").nth(1)
    first.click()
    expect(first).to_have_class("hear playing", timeout=SLOW)
    second.click()
    expect(first).to_have_class("hear")
    expect(second).to_have_class("hear playing", timeout=SLOW)
    second.click()
    expect(second).to_have_class("hear")
    page.select_option("#builtinLanguage", "ru")
    with page.expect_request("**/v1/audio/speech") as asked:
        page.locator(".hear").first.click()
    sent = json.loads(asked.value.post_data or "")
    assert sent["language"] == "ru"
    assert "Доброе утро" in sent["input"]
    expect(page.locator(".hear").first).to_have_class("hear playing", timeout=SLOW)
    page.click("#builtin summary")
    expect(page.locator(".hear.playing")).to_have_count(0)
