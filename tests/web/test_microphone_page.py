"""The page of the microphone in a real browser: spoken to, given recordings, asked whose voice it is."""

import io
import json
import os
import re
import signal
import wave
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests

from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import write_wav
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]
expect = sync_api.expect
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
TABS = ("live", "file", "voice")
SLOW = 60_000
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def playwright() -> Iterator["Playwright"]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


def launch(playwright: "Playwright", *options: str) -> "Browser":
    always = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*always, *options])


@pytest.fixture(scope="module")
def browser(playwright: "Playwright", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """Chromium whose microphone hears two tones for ever: one of speech, and a loud one that no recogniser needs."""
    tones = tmp_path_factory.mktemp("sound") / "tones.wav"
    n = np.arange(48_000)
    both = 0.2 * np.sin(2 * np.pi * 1000 * n / 48_000) + 0.2 * np.sin(2 * np.pi * 12_000 * n / 48_000)
    write_wav(tones, Audio(both.astype(np.float32), 48_000), 48_000)
    browser = launch(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={tones}")
    yield browser
    browser.close()


@pytest.fixture
def opened(server: Served) -> Iterator[Open]:
    """Opens the page; it fails its test for a script error, or for any request to somewhere else."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def at(browser: "Browser", path: str = "/microphone", url: str = server.url, **options: Any) -> "Page":
            options = {"viewport": DESK, "locale": "en-GB", "base_url": url} | options
            context = stack.enter_context(browser.new_context(**options))
            page = context.new_page()
            ours = (url, url.replace("http", "ws"), "blob:", "data:")
            page.on("pageerror", lambda e: wrong.append(str(e)))
            page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(ours) else None)
            page.goto(path)
            return page

        yield at
    assert wrong == []


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(opened: Open, browser: "Browser", request: pytest.FixtureRequest) -> "Page":
    return opened(browser, viewport=request.param)


@pytest.fixture(scope="module")
def noisy(voice: EspeakVoice) -> bytes:
    """Four sentences in noise, as a WAV file."""
    spoken = voice.synthesize("Good morning to everybody. " * 4, language="en", voice="")
    samples = np.concatenate([piece.audio.samples for piece in spoken])
    noise = np.random.default_rng(4).normal(0, 0.02, len(samples))
    buffer = io.BytesIO()
    write_wav(buffer, Audio((samples + noise).astype(np.float32), 22_050), 22_050)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def people(shared: Path) -> Callable[[str, int], Path]:
    try:
        ModelStore().path("speaker-ge2e")
    except EngineUnavailable as e:
        pytest.skip(f"the speaker encoder cannot be had here: {e}")
    folder = shared / "media" / "speech" / "speakers"
    return lambda speaker, number: sorted((folder / speaker).glob("*.flac"))[number]


def fits(page: "Page") -> bool:
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width <= 0


def choose(page: "Page", place: str, data: bytes | Path, name: str = "noisy.wav") -> None:
    given = data if isinstance(data, Path) else {"name": name, "mimeType": "audio/wav", "buffer": data}
    page.set_input_files(f"#{place} input[type=file]", given)  # type: ignore[arg-type]


def position(page: "Page", place: str) -> float:
    return float(page.locator(f"#{place} .lane").get_attribute("aria-valuenow") or "nan")


def read(wav: bytes) -> tuple[npt.NDArray[np.int16], int]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def until(page: "Page", condition: str) -> None:
    """Wait for something that a script sees (Playwright's own way of it is what our policy forbids)."""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
            setTimeout(() => fail(new Error("not within 60 s")), 60_000);
            const look = () => ({condition}) ? done() : requestAnimationFrame(look);
            look(); }})"""
    )


def strength(samples: npt.NDArray[np.int16], rate: int, hertz: float) -> float:
    """How loud a tone is in the last half second, in dB."""
    last = samples[-rate // 2 :] * np.hanning(rate // 2)
    return float(20 * np.log10(abs(np.sum(last * np.exp(-2j * np.pi * hertz * np.arange(rate // 2) / rate))) + 1e-9))


# ---- what everybody sees


@pytest.mark.parametrize("tab", TABS)
def test_everything_fits_and_has_a_name(page: "Page", tab: str) -> None:
    page.click(f"#tab-{tab}")
    expect(page.locator(f"#{tab}")).to_be_visible()
    assert fits(page)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, progress, [role=slider]")]
            .filter(e => e.offsetParent && !e.ariaLabel && !e.labels?.length)
            .filter(e => !(e.matches("a, button") && e.textContent.trim())).map(e => e.outerHTML)"""
    )
    assert nameless == []


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
    browser = launch(playwright, *MICROPHONE, f"--use-file-for-fake-audio-capture={speech}%noloop")
    try:
        page = opened(browser, viewport=viewport)
        page.wait_for_load_state("networkidle")
        page.evaluate(
            """() => { window.partials = new Set(); new MutationObserver(() => window.partials.add(now.textContent))
                .observe(now, { subtree: true, childList: true, characterData: true }); }"""
        )
        page.click("#talk")
        expect(page.locator("#lines li").first).to_be_visible(timeout=SLOW)
        expect(page.locator("#clock")).to_have_text("0:12", timeout=SLOW)
        page.click("#talk")
        expect(page.locator("#state")).to_have_text("Stopped", timeout=SLOW)
        assert fits(page)
        said = page.locator("#lines").inner_text().lower()
        assert {"country", "fellow"} <= set(re.findall(r"\w+", said))
        assert page.evaluate("[...window.partials].some(Boolean)"), "texts came while it was spoken"
        expect(page.locator("#now")).to_be_hidden()
        with page.expect_download() as kept:
            page.click("#saveVtt")
        subtitles = kept.value.path().read_text("utf-8")
        assert subtitles.startswith("WEBVTT\n\n00:00:0")
        assert "country" in subtitles
        page.click("#clear")
        expect(page.locator("#nothing")).to_be_visible()
        expect(page.locator("#talk")).to_be_focused()
    finally:
        browser.close()


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
    browser = launch(playwright, *options)
    try:
        page = opened(browser)
        page.click("#talk")
        expect(page.locator("#trouble")).to_contain_text(told)
        page.click("#tab-file")
        page.click("#recording .record")
        expect(page.locator("#trouble")).to_contain_text(told)
        expect(page.locator("#recording .empty")).to_be_visible()
    finally:
        browser.close()


def test_an_address_without_a_microphone_still_takes_files(
    playwright: "Playwright", opened: Open, server: Served, noisy: bytes
) -> None:
    browser = launch(playwright, *MICROPHONE, "--host-resolver-rules=MAP elsewhere.example 127.0.0.1")
    try:
        page = opened(browser, url=server.url.replace("127.0.0.1", "elsewhere.example"))
        expect(page.locator("#trouble")).to_contain_text("only to pages over https")
        expect(page.locator("#talk")).to_be_disabled()
        page.click("#tab-file")
        expect(page.locator("#recording .record")).to_be_hidden()
        choose(page, "recording", noisy)
        expect(page.locator("#recording .name")).to_have_text("noisy.wav")
        expect(page.locator("#cleaning button")).to_be_enabled()
    finally:
        browser.close()


def test_a_lost_connection_is_told(opened: Open, browser: "Browser", serve: Callable[..., Served]) -> None:
    own = serve(work__processes="1")
    page = opened(browser, url=own.url)
    page.click("#talk")
    expect(page.locator("#state")).to_have_text("Listening", timeout=SLOW)
    os.kill(own.pid, signal.SIGKILL)
    expect(page.locator("#trouble")).to_contain_text("The connection was lost", timeout=SLOW)
    expect(page.locator("#state")).to_have_text("Ready when you are")
    expect(page.locator("#talk")).to_be_enabled()


def test_a_server_with_keys_asks_once_and_listens(
    opened: Open, browser: "Browser", serve: Callable[..., Served]
) -> None:
    page = opened(browser, url=serve(work__processes="1", server__api_keys='["open sesame!"]').url)
    page.fill("#key", "open sesame!")
    page.keyboard.press("Enter")
    expect(page.locator("#key")).to_have_count(0)
    page.click("#talk")
    expect(page.locator("#state")).to_have_text("Listening", timeout=SLOW)


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


def test_silence_is_said_to_be_silence(opened: Open, browser: "Browser") -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    page = opened(browser, "/microphone#file")
    page.wait_for_load_state("networkidle")
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.zeros(32_000, np.float32), 16_000))
    choose(page, "recording", buffer.getvalue())
    page.click("#writing button")
    expect(page.locator("#heard")).to_have_text("No speech was heard in 2.0 s of sound.", timeout=SLOW)
    expect(page.locator("#copyWords")).to_be_disabled()


def test_long_work_shows_how_far_it_is_and_is_cancelled(
    opened: Open, browser: "Browser", noisy: bytes, server: Served
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    page = opened(browser, "/microphone#file")
    page.wait_for_load_state("networkidle")
    samples, rate = read(noisy)
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.tile(samples, 80).astype(np.float32) / 32768, rate))
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
