"""`<vivavoce-avatar>` on a page of another site: played to the end, silenced, taken away, refused."""

import io
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from elsewhere import Site, elsewhere
from serving import Served
from vivavoce.media.video import encode
from vivavoce.nouns import Audio, Canvas, Frame

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]
expect = sync_api.expect
THREE = "One two three four five six seven. Eight nine ten, and so on it goes. The end has come."
ONE = '<vivavoce-avatar server="{server}" avatar="toy" language="en" chunk-size="6" captions></vivavoce-avatar>'
STRICT = (
    "default-src 'none'; script-src {server}; style-src 'self'; connect-src {server}; img-src {server} data:; "
    "media-src {server} blob:; require-trusted-types-for 'script'; base-uri 'none'"
)
WATCH = """(() => {
  window.made = []; window.violations = []; window.waiting = new Set();
  addEventListener("securitypolicyviolation", (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  const create = URL.createObjectURL, revoke = URL.revokeObjectURL;
  URL.createObjectURL = (o) => { const u = create.call(URL, o); made.push(u); return u; };
  URL.revokeObjectURL = (u) => { made = made.filter((m) => m !== u); revoke.call(URL, u); };
  const set = window.setTimeout, clear = window.clearTimeout;
  window.setTimeout = (f, ...more) => {
    const t = set(() => { waiting.delete(t); f(); }, ...more);
    waiting.add(t);
    return t;
  };
  window.clearTimeout = (t) => { waiting.delete(t); clear(t); };
  window.setInterval = () => { throw new Error("no intervals"); };
  window.own = new Set(Object.getOwnPropertyNames(window));
  window.hear = (face) => {
    const heard = [];
    for (const type of ["ready", "start", "chunk", "progress", "word", "end", "stop", "error", "blocked"])
      face.addEventListener(type, (e) => heard.push({ type, at: performance.now(), ...e.detail }));
    return heard;
  };
  window.films = (face) => [...face.shadowRoot.querySelectorAll("video.film")];
  window.until = (target, type, test = () => true) => new Promise((done) => {
    const look = (e) => { if (test(e)) { target.removeEventListener(type, look); done(); } };
    target.addEventListener(type, look);
  });
})();"""


def launched(playwright: Any, *options: str) -> "Browser":
    browser: Browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", *options])
    return browser


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator["Browser"]:
    browser = launched(playwright, "--autoplay-policy=no-user-gesture-required")
    yield browser
    browser.close()


@pytest.fixture
def site(server: Served) -> Iterator[Site]:
    with elsewhere() as site:
        site.server = server.url
        site.body = ONE.format(server=server.url)
        yield site


@pytest.fixture
def page(browser: "Browser", site: Site) -> Iterator["Page"]:
    """A page that fails its test for a script error; :func:`opened` shows the site in it."""
    context = browser.new_context(viewport={"width": 800, "height": 700}, locale="en-GB")
    page = context.new_page()
    page.add_init_script(WATCH)
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    yield page
    context.close()
    assert wrong == []


def opened(page: "Page", site: Site) -> "Page":
    page.goto(site.url)
    page.evaluate("customElements.whenDefined('vivavoce-avatar').then(() => true)")
    page.evaluate("window.face = document.querySelector('vivavoce-avatar'); if (face) window.heard = hear(face)")
    return page


def types(heard: list[dict[str, Any]], *but: str) -> list[str]:
    return [h["type"] for h in heard if h["type"] not in ("progress", "word", *but)]


def test_one_script_tag_on_a_strict_page_and_no_gap_between_chunks(page: "Page", site: Site) -> None:
    site.policy = STRICT.format(server=site.server)
    opened(page, site)
    result = page.evaluate(
        """async (text) => {
            const pictures = [];
            const [film] = films(face);
            const note = (now, { mediaTime }) => {
                pictures.push([now / 1000, mediaTime]);
                film.requestVideoFrameCallback(note);
            };
            film.requestVideoFrameCallback(note);
            let ranges = 0;
            film.addEventListener("ended", () => { ranges = film.buffered.length; });
            await face.speak(text);
            const globals = Object.getOwnPropertyNames(window).filter((n) => !own.has(n));
            return { heard, pictures, ranges, state: face.state, violations, globals };
        }""",
        THREE,
    )
    chunks = [h for h in result["heard"] if h["type"] == "chunk"]
    assert [c["index"] for c in chunks] == list(range(len(chunks)))
    assert len(chunks) == chunks[0]["total"] >= 3
    assert " ".join(c["text"] for c in chunks) == THREE
    assert types(result["heard"], "ready") == ["start", *["chunk"] * len(chunks), "end"]
    assert (result["state"], result["violations"], result["ranges"]) == ("idle", [], 1)
    assert set(result["globals"]) <= {"own", "hear", "films", "until", "face", "heard"}
    assert [h["text"].strip(".,") for h in result["heard"] if h["type"] == "word"] == re.findall(r"\w+", THREE)
    length = sum(c["duration"] for c in chunks)
    pictures = np.array(result["pictures"])
    assert len(pictures) > 0.7 * length * 25  # a busy machine drops some
    assert pictures[-1][1] == pytest.approx(length, abs=0.09)
    # The clock of the film against the wall's: a gap between two chunks would put it back from there on.
    behind = pictures[:, 0] - pictures[:, 1]
    for join in np.cumsum([c["duration"] for c in chunks])[:-1]:
        before, after = (
            np.median(behind[(pictures[:, 1] >= a) & (pictures[:, 1] < b)])
            for a, b in ((join - 0.4, join), (join, join + 0.4))
        )
        assert after - before < 0.06


def test_stop_is_silent_within_200_ms_and_ends_the_servers_work(
    page: "Page", site: Site, serve: Callable[..., Served]
) -> None:
    single = serve(work__processes="1")
    site.server, site.body = single.url, ONE.format(server=single.url)
    opened(page, site)
    result = page.evaluate(
        """async () => {
            const context = new AudioContext();
            const ear = new AnalyserNode(context, { fftSize: 1024 });
            for (const film of films(face)) context.createMediaElementSource(film).connect(ear);
            const block = new Float32Array(1024);
            const loud = () => { ear.getFloatTimeDomainData(block); return Math.max(...block) > 0.01; };
            const spoken = face.speak("One two three four five. This goes on and on forever.").catch((e) => e.name);
            await until(face, "chunk");
            while (!loud()) await new Promise(requestAnimationFrame);
            const began = performance.now();
            face.stop();
            const paused = films(face).every((film) => film.paused);
            let last = began;
            while (performance.now() < began + 600) {
                if (loud()) last = performance.now();
                await new Promise(requestAnimationFrame);
            }
            return { ms: last - began, paused, name: await spoken, state: face.state, heard };
        }"""
    )
    assert result["ms"] < 200
    assert (result["paused"], result["name"], result["state"]) == (True, "AbortError", "idle")
    assert types(result["heard"])[-1] == "stop"
    began = monotonic()
    body = {"text": "Hello.", "language": "en"}
    assert requests.post(f"{single.url}/api/generate", json=body, timeout=30).status_code == 200
    assert monotonic() - began < 10  # a killed worker has to load its engines again


def test_two_on_one_page_speak_at_once(page: "Page", site: Site) -> None:
    site.body *= 2
    opened(page, site)
    first, second = page.evaluate(
        """() => Promise.all([...document.querySelectorAll("vivavoce-avatar")].map(async (face, i) => {
            const heard = hear(face);
            await face.speak(["Hello from the left, my friend.", "Greetings from the right side here."][i]);
            return heard;
        }))"""
    )
    for heard, text in ((first, "Hello from the left, my friend."), (second, "Greetings from the right side here.")):
        assert " ".join(h["text"] for h in heard if h["type"] == "chunk") == text
        assert types(heard)[-1] == "end"
    start, end = ({h["type"]: h["at"] for h in heard} for heard in (first, second))
    assert start["start"] < end["end"]
    assert end["start"] < start["end"]


def test_utterances_wait_for_each_other_or_interrupt(page: "Page", site: Site) -> None:
    opened(page, site)
    result = page.evaluate(
        """async () => {
            const a = face.speak("One."), b = face.speak("Two.");
            const waiting = face.waiting;
            await b;
            const texts = heard.filter((h) => h.type === "chunk").map((h) => h.text);
            const ends = heard.filter((h) => h.type === "end").map((h) => h.at);
            const begun = heard.filter((h) => h.type === "start").map((h) => h.at);
            const c = face.speak("This is said in vain."), d = face.speak("Never.");
            const e = face.speak("Now.", { interrupt: true });
            const names = await Promise.all([c, d].map((p) => p.catch((x) => x.name)));
            await e;
            const last = heard.filter((h) => h.type === "chunk").at(-1).text;
            return { waiting, texts, pause: begun[1] - ends[0], names, last };
        }"""
    )
    assert (result["waiting"], result["texts"]) == (1, ["One.", "Two."])
    assert result["pause"] < 500  # it was made while the first was spoken
    assert result["names"] == ["AbortError", "AbortError"]
    assert result["last"] == "Now."


def test_what_is_taken_away_leaves_nothing(page: "Page", site: Site, server: Served) -> None:
    opened(page, site)
    open_requests: set[Any] = set()
    page.on("request", lambda r: open_requests.add(r))
    page.on("requestfinished", lambda r: open_requests.discard(r))
    page.on("requestfailed", lambda r: open_requests.discard(r))
    result = page.evaluate(
        """async () => {
            const spoken = face.speak("One two three. " + "slowly ".repeat(100)).catch((e) => e.name);
            await until(face, "chunk");
            face.remove();
            const name = await spoken;
            return { name, made, timers: waiting.size, state: face.state,
                     held: films(face).filter((f) => f.src || !f.paused).length };
        }"""
    )
    assert result == {"name": "AbortError", "made": [], "timers": 0, "state": "idle", "held": 0}
    page.wait_for_load_state("networkidle")
    assert open_requests == set()
    page.evaluate("document.body.append(face)")
    assert page.evaluate("face.speak('Back again.').then(() => heard.at(-1).type)") == "end"


def test_a_refusal_is_an_event_in_the_servers_words(page: "Page", site: Site) -> None:
    opened(page, site)
    result = page.evaluate(
        """async () => {
            const error = await face.speak("Hello", { language: "xx" }).catch((e) => e);
            return { heard, message: error.message, status: error.status, state: face.state };
        }"""
    )
    told = next(h for h in result["heard"] if h["type"] == "error")
    assert "language" in told["message"].lower()
    assert (told["message"], told["status"], told["code"]) == (result["message"], 400, "invalid-input")
    assert result["state"] == "error"
    expect(page.locator("vivavoce-avatar [role=alert]")).to_have_text(told["message"])
    page.evaluate("face.addEventListener('error', (e) => e.preventDefault())")
    page.evaluate("face.speak('Hello', { language: 'xx' }).catch(() => {})")
    expect(page.locator("vivavoce-avatar [role=alert]")).to_be_hidden()
    page.evaluate("face.avatar = 'nobody'")
    page.wait_for_function("heard.at(-1).type === 'error' && heard.at(-1).status === 404")
    page.evaluate("face.avatar = 'toy'")
    assert page.evaluate("face.speak('Hello').then(() => face.state)") == "idle"


@pytest.mark.parametrize("way", ["asked", "forbidden", "missing"])
def test_files_are_played_where_films_cannot_be_put_together(page: "Page", site: Site, way: str) -> None:
    if way == "asked":
        site.body = site.body.replace("captions", 'captions playback="files"')
    if way == "forbidden":
        site.policy = STRICT.format(server=site.server).replace(" blob:", "")
    if way == "missing":
        page.add_init_script("delete window.MediaSource; delete window.ManagedMediaSource")
    opened(page, site)
    result = page.evaluate(
        """async (text) => {
            const shown = new Set();
            for (const film of films(face)) film.addEventListener("ended", () => shown.add(film.currentSrc));
            await face.speak(text);
            return { heard, shown: [...shown], state: face.state };
        }""",
        THREE,
    )
    chunks = [h for h in result["heard"] if h["type"] == "chunk"]
    assert " ".join(c["text"] for c in chunks) == THREE
    assert len(result["shown"]) == len(chunks)
    assert all(url.startswith(f"{site.server}/api/chunk/video/") for url in result["shown"])
    assert types(result["heard"], "ready") == ["start", *["chunk"] * len(chunks), "end"]


def film_in_pieces(seconds: float) -> tuple[tuple[bytes, ...], float]:
    canvas = Canvas(128, 128, 25)
    frames = (Frame(np.full((128, 128, 3), 40 + n % 160, np.uint8), n / 25) for n in range(int(seconds * 25)))
    tone = 0.1 * np.sin(np.arange(int(seconds * 16000)) * 0.1).astype(np.float32)
    target = io.BytesIO()
    film = encode(target, frames, Audio(tone, 16000), canvas, fragmented=True)
    content = target.getvalue()
    cuts = [0, *(n - 4 for n in range(len(content)) if content[n : n + 4] == b"moof"), len(content)]
    return tuple(content[a:b] for a, b in pairwise(cuts)), film.seconds


def test_a_film_that_grows_is_seen_before_it_is_whole(page: "Page", site: Site) -> None:
    site.film, seconds = film_in_pieces(3.2)
    assert len(site.film) > 10
    opened(page, site)
    for _ in range(4):
        site.go.release()
    page.evaluate(
        "([url, duration]) => { window.done = face.play([{ index: 0, text: 'Growing.', video_url: url, duration }]); }",
        [f"{site.url}/grows.mp4", 0.5],
    )
    page.wait_for_function("face.state === 'speaking' && films(face).some((f) => f.currentTime > 0.3)")
    page.wait_for_function("face.state === 'loading'")  # it has run dry, and says so
    for _ in site.film:
        site.go.release()
    page.evaluate("window.done")
    assert page.evaluate("heard.findLast((h) => h.type === 'progress').loaded") == pytest.approx(seconds, abs=0.05)
    assert page.evaluate("face.state") == "idle"


def test_a_film_that_breaks_off_is_an_error(page: "Page", site: Site) -> None:
    pieces, _ = film_in_pieces(3.2)
    site.film = (b"".join(pieces)[:-2000],)
    opened(page, site)
    chunk = {"index": 0, "text": "Broken.", "video_url": f"{site.url}/grows.mp4", "duration": 3.2}
    assert page.evaluate("(chunk) => face.play([chunk]).catch((e) => e.code)", chunk) == "network"
    assert page.evaluate("face.state") == "error"


def chunks_of(server: Served, text: str = THREE) -> list[dict[str, Any]]:
    body: dict[str, Any] = {"text": text, "language": "en", "chunk_size": 6}
    found: list[dict[str, Any]] = requests.post(f"{server.url}/api/stream_chunks", json=body, timeout=60).json()[
        "chunks"
    ]
    return found


def test_words_are_told_when_they_are_said_and_marked_in_the_caption(page: "Page", site: Site, server: Served) -> None:
    chunks = chunks_of(server, "Hello there, my dear friend. Goodbye for now, my dear.")
    for chunk in chunks:
        step = chunk["duration"] / len(chunk["text"].split())
        said = [w.strip(",.") for w in chunk["text"].split()]
        chunk["words"] = [[word, round(i * step, 3), round((i + 1) * step, 3)] for i, word in enumerate(said)]
    opened(page, site)
    result = page.evaluate(
        """async (chunks) => {
            const seen = [];
            const now = () => films(face).find((f) => !f.paused)?.currentTime;
            face.addEventListener("word", ({ detail: { text, start } }) => seen.push([text, start, now()]));
            const marked = new Set();
            const captions = face.shadowRoot.querySelector(".captions");
            const look = new MutationObserver(() => {
                for (const word of captions.querySelectorAll(".now")) marked.add(word.textContent);
            });
            look.observe(captions, { subtree: true, attributes: true, childList: true });
            await face.play({ chunks });
            look.disconnect();
            return { seen, marked: [...marked], text: captions.textContent };
        }""",
        chunks,
    )
    assert [word for word, *_ in result["seen"]] == [w for c in chunks for w, *_ in c["words"]]
    starts, times = np.array([[start, at] for _, start, at in result["seen"] if at is not None]).T
    assert np.median(times - starts) < 0.12
    assert {"there, ", "friend.", "Goodbye "} <= set(result["marked"])
    assert result["text"] == ""


def test_a_job_is_followed_over_a_broken_connection(page: "Page", site: Site, server: Served) -> None:
    chunks = [c | {"video_url": server.url + c["video_url"]} for c in chunks_of(server)]
    site.streams = [
        [("state", {"seq": 1, "state": "running"}), ("chunk", {"seq": 2, **chunks[0]})],
        [
            ("progress", {"seq": 3, "progress": 0.5, "stage": "face"}),
            ("sound", {"seq": 4, **chunks[0]}),  # it was begun again
            *[("sound", {"seq": 5 + i, **c}) for i, c in enumerate(chunks[1:])],
            ("state", {"seq": 9, "state": "succeeded", "result": {"chunks": chunks}}),
        ],
    ]
    opened(page, site)
    heard = page.evaluate("(url) => face.play(url).then(() => heard)", f"{site.url}/v1/jobs/abc_1/events")
    assert [h["index"] for h in heard if h["type"] == "chunk"] == [c["index"] for c in chunks]
    assert site.asked_after == [None, "2"]
    assert 0.5 in {h["made"] for h in heard if h["type"] == "progress"}


def test_a_job_that_failed_says_why_and_a_finished_one_plays_its_film(page: "Page", site: Site, server: Served) -> None:
    [chunk] = chunks_of(server, "Hello.")
    url = f"{site.url}/v1/jobs/abc"
    words = {"code": "worker-died", "message": "Three workers died of it."}
    site.streams = [[("state", {"seq": 1, "state": "failed", "error": words})]]
    opened(page, site)
    assert page.evaluate("(url) => face.play(url).catch((e) => [e.code, e.message])", url) == list(words.values())
    film = {"video_url": server.url + chunk["video_url"], "duration": chunk["duration"]}
    site.streams = [[("state", {"seq": 5, "state": "succeeded", "result": film})]]
    assert page.evaluate("(url) => face.play(url).then(() => heard.at(-1).type)", url) == "end"


def test_a_film_with_controls_stays_to_be_seen_again(page: "Page", site: Site, server: Served) -> None:
    [chunk] = chunks_of(server, "Hello.")
    site.body = site.body.replace("captions", "controls")
    opened(page, site)
    url = server.url + chunk["video_url"]
    assert page.evaluate("(url) => face.play(url).then(() => films(face)[0].controls)", url)
    expect(page.locator("vivavoce-avatar video.front")).to_have_count(1)
    page.evaluate("void face.speak('Another one is said now.')")
    page.wait_for_function("face.state === 'speaking'")
    assert page.evaluate("films(face).every((f) => !f.controls)")


def test_what_is_still_being_written_plays_as_it_comes(page: "Page", site: Site, server: Served) -> None:
    opened(page, site)
    result = page.evaluate(
        """async (chunks) => {
            let more;
            const written = new Promise((done) => { more = done; });
            async function* answer() {
                yield chunks[0];
                await written;
                yield* chunks.slice(1);
            }
            const played = face.play(answer());
            while (face.state !== "speaking") await new Promise(requestAnimationFrame);
            while (face.state !== "loading") await new Promise(requestAnimationFrame);
            const before = heard.filter(({ type }) => type === "chunk").length;
            more();
            await played;
            return { before, heard };
        }""",
        [c | {"video_url": server.url + c["video_url"]} for c in chunks_of(server)],
    )
    chunks = [h for h in result["heard"] if h["type"] == "chunk"]
    assert result["before"] == 1, "it had run dry, and waited for the next sentence"
    assert " ".join(c["text"] for c in chunks) == THREE
    assert types(result["heard"], "ready") == ["start", *["chunk"] * len(chunks), "end"]


@pytest.mark.parametrize("way", ["stop", "interrupted", "taken away"])
def test_who_writes_is_told_when_nobody_listens_any_more(page: "Page", site: Site, server: Served, way: str) -> None:
    opened(page, site)
    result = page.evaluate(
        """async ([way, chunk]) => {
            let closed = 0;
            const said = [Promise.resolve({ value: chunk, done: false })];
            const writer = {
                [Symbol.asyncIterator]() { return this; },
                next: () => said.pop() ?? new Promise(() => {}),
                return: async () => { closed += 1; throw new Error("nobody hears this"); },
            };
            const played = face.play(writer).catch((e) => e.name);
            await until(face, "chunk");
            if (way === "stop") face.stop();
            else if (way === "interrupted") face.play([], { interrupt: true });
            else face.remove();
            return { name: await played, closed };
        }""",
        [way, chunks_of(server, "Hello.")[0]],
    )
    assert result == {"name": "AbortError", "closed": 1}


def test_what_is_no_source_is_refused(page: "Page", site: Site) -> None:
    opened(page, site)
    assert "chunks" in page.evaluate("(() => { try { face.play(7) } catch (e) { return e.message } })()")
    assert page.evaluate("face.play([]).then(() => heard.at(-1).type)") == "end"


def test_a_browser_that_wants_a_click_gets_a_button(playwright: Any, site: Site) -> None:
    browser = launched(playwright, "--autoplay-policy=document-user-activation-required")
    with browser.new_context(locale="ru-RU") as context:
        page = context.new_page()
        # What the driver asks of a page counts as a click: the page speaks by itself, and says when it was refused.
        site.body = f"""<div lang="ru">{site.body}</div><script type="module">
            const face = document.querySelector("vivavoce-avatar");
            window.refused = 0;
            face.addEventListener("blocked", () => {{ window.refused += 1; console.log("refused"); }});
            face.muted = location.hash === "#muted";
            window.told = face.speak("Hello there.").then(() => "told");
            </script>"""
        with page.expect_console_message(lambda m: m.text == "refused"):
            page.goto(site.url)
        play = page.get_by_role("button", name="Воспроизвести")
        expect(play).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("window.told") == "told"
        assert page.evaluate("window.refused") == 1
        expect(play).to_be_hidden()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.url}/#muted")
        page.wait_for_function("window.told")
        assert page.evaluate("window.told") == "told"
        assert page.evaluate("window.refused") == 0
    browser.close()


def test_the_avatar_listens_in_between_unless_less_motion_is_wished(browser: "Browser", site: Site) -> None:
    site.body = site.body.replace('"toy"', '"anna"')
    with browser.new_context(viewport={"width": 360, "height": 640}) as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        opened(page, site)
        idle = page.locator("vivavoce-avatar video.idle")
        expect(idle).to_have_class("layer idle on", timeout=60_000)
        page.wait_for_function("face.shadowRoot.querySelector('.idle').currentTime > 0.2")
        page.evaluate("void face.speak('Hello there, my dear friend.')")
        page.wait_for_function("face.state === 'speaking' && face.shadowRoot.querySelector('.idle').paused")
        page.wait_for_function("face.state === 'idle' && !face.shadowRoot.querySelector('.idle').paused")
        page.wait_for_function("films(face).every((f) => !f.src && !f.classList.contains('on'))")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        asked: list[str] = []
        page.on("request", lambda r: asked.append(r.url))
        opened(page, site)
        page.wait_for_function(
            "heard.some((h) => h.type === 'ready') || face.shadowRoot.querySelector('img').naturalWidth"
        )
        assert page.evaluate("face.speak('Hello.').then(() => heard.at(-1).type)") == "end"
        assert not [url for url in asked if "/idle" in url]


def test_it_has_a_name_a_state_and_a_key_that_silences(page: "Page", site: Site) -> None:
    site.body = site.body.replace("captions", 'captions controls tabindex="0" resolution="720p"')
    opened(page, site)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    named = [(n["role"]["value"], n["name"]["value"]) for n in tree if n.get("name") and n.get("role")]
    assert ("group", "Talking avatar: toy") in named
    box = page.evaluate("(() => { const { width, height } = face.getBoundingClientRect(); return width / height })()")
    assert box == pytest.approx(16 / 9, abs=0.01)
    page.evaluate("void face.speak('One two three four five six seven eight nine ten eleven twelve.')")
    expect(page.get_by_role("status")).to_have_text("Speaking", timeout=20_000)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.get_by_role("button", name="Sound off").click()
    assert page.evaluate("face.muted && films(face).every((f) => f.muted)")
    page.focus("vivavoce-avatar")
    page.keyboard.press("Escape")
    assert page.evaluate("face.state") == "idle"
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_the_page_about_it_is_true(page: "Page", site: Site, server: Served) -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "element.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(html|js)\n(.*?)```", told.replace("http://127.0.0.1:3000", server.url), re.DOTALL))
    html, code = blocks["html"], re.sub(r".*/v1/jobs/ID.*\n", "", blocks["js"])
    site.body = html
    opened(page, site)
    page.evaluate("void (window.ended = until(face, 'end'))")
    page.get_by_role("button", name="Say hello").click()
    page.evaluate("window.ended")
    assert page.evaluate(f"(async () => {{ {code} return heard.at(-1).type }})()") == "end"
    assert [h for h in page.evaluate("heard") if h["type"] == "error"] == []
    assert page.evaluate(
        "heard.filter((h) => h.type === 'chunk').some((h) => h.text === 'Made elsewhere, played here.')"
    )
