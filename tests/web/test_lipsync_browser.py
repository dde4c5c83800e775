"""The document's JavaScript in Chromium, letter for letter: it puts no pieces of events together."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_lipsync import HANGUL, hire

from serving import Served
from vivavoce.studio.scene import builtin_avatars

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]
JAVASCRIPT = """
const response = await fetch('/api/v2/lipsync/stream', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
        text: '안녕하세요, 면접에 오신 것을 환영합니다.',
        avatar: 'talk_long',
        resolution: '720p'
    })
});

const reader = response.body.getReader();
const decoder = new TextDecoder();

while (true) {
    const { done, value } = await reader.read();
    if (done) break;

    const chunk = decoder.decode(value);
    const lines = chunk.split('\\n');

    for (const line of lines) {
        if (line.startsWith('data: ')) {
            const data = JSON.parse(line.slice(6));

            switch (data.type) {
                case 'status':
                    console.log(`[${data.stage}] ${data.message}`);
                    break;
                case 'done':
                    // 립싱크 비디오 재생
                    videoElement.src = data.video_url;
                    videoElement.play();
                    break;
                case 'error':
                    console.error('오류:', data.message);
                    break;
            }
        }
    }
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        yield browser
        browser.close()


def visit(browser: "Browser", server: Served, locale: str = "ko-KR") -> "Page":
    """A page of the server's own, with a player on it; what goes wrong in it fails the test."""
    page = browser.new_context(locale=locale, base_url=server.url).new_page()
    page.goto("/livez")
    page.set_content("<video></video>")
    return page


def run(page: "Page", code: str = JAVASCRIPT) -> list[str]:
    """What the snippet says on the console."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(f"async () => {{ const videoElement = document.querySelector('video');\n{code}\n }}")
    return said


def test_the_javascript_example(browser: "Browser", serve: Callable[..., Served]) -> None:
    server = serve()
    hire(server, source=builtin_avatars() / "anna")
    page = visit(browser, server)
    said = run(page)
    assert said[0] == "[tts] TTS 음성 생성 중..."
    assert said[1].startswith("[tts_done] TTS 완료 (")
    assert set(said[2:]) == {"[lipsync] 립싱크 비디오 생성 중..."}
    page.wait_for_function("document.querySelector('video').ended", timeout=30_000)
    assert page.evaluate("document.querySelector('video').videoHeight") == 720
    page.context.close()


def test_many_events_are_read_without_putting_pieces_together(browser: "Browser", serve: Callable[..., Served]) -> None:
    server = serve()
    hire(server)
    page = visit(browser, server)
    many = JAVASCRIPT.replace(HANGUL, "slowly " + HANGUL * 3).replace("720p", "360p")
    said = run(page, f"const one = async () => {{ {many} }};\nawait Promise.all(Array.from({{length: 3}}, one));")
    assert sum(line.startswith("[lipsync]") for line in said) > 40
    assert sum(line.startswith("[tts_done] TTS 완료 (") for line in said) == 3
    assert not any("오류" in line for line in said)
    page.context.close()


def test_an_error_in_the_language_of_the_browser(browser: "Browser", serve: Callable[..., Served]) -> None:
    server = serve(limits__tts_seconds="0.5")
    hire(server)
    for locale, words in (("ru-RU", "слишком много времени"), ("zh-CN", "时间过长"), ("ko-KR", "너무 오래")):
        page = visit(browser, server, locale)
        code = JAVASCRIPT.replace("resolution: '720p'", "tts_engine: 'mute', language: 'en'").replace(HANGUL, "Hello")
        said = run(page, code)
        assert said[-1].startswith("오류:")
        assert words in said[-1]
        page.context.close()
