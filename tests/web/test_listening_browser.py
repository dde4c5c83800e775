"""A page that listens: a microphone in Chromium, an AudioWorklet, PCM16 to ``/ws/asr``, texts back."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calls import called
from ears import KnownEar, Recording
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio
from vivavoce.studio.listeners import Listeners

sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]
SENTENCE = "good morning to everybody"
PAGE = """
async ({key, seconds}) => {
    const worklet = `registerProcessor('pcm', class extends AudioWorkletProcessor {
        process([[input]]) {
            if (input) {
                const pcm = Int16Array.from(input, (x) => Math.max(-1, Math.min(1, x)) * 32767);
                this.port.postMessage(pcm.buffer, [pcm.buffer]);
            }
            return true;
        }
    })`;
    const context = new AudioContext();
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], {type: 'text/javascript'})));
    const address = `${location.origin.replace('http', 'ws')}/ws/asr?language=en&sample_rate=${context.sampleRate}`;
    const socket = new WebSocket(address, key ? ['asr', `key.${key}`] : []);
    const heard = [];
    socket.onmessage = ({data}) => heard.push(JSON.parse(data));
    const closed = new Promise((resolve) => { socket.onclose = ({code}) => resolve(code); });
    await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject('refused'); });
    const processing = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
    const microphone = await navigator.mediaDevices.getUserMedia({audio: processing});
    const node = new AudioWorkletNode(context, 'pcm');
    node.port.onmessage = ({data}) => socket.readyState === 1 && socket.send(data);
    context.createMediaStreamSource(microphone).connect(node).connect(context.destination);
    await context.resume();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    socket.send(JSON.stringify({event: 'stop'}));
    const code = await closed;
    return {code, heard, rate: context.sampleRate, protocol: socket.protocol};
}
"""


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Recording:
    return Recording(voice, [SENTENCE], pause=1.0)


@pytest.fixture(scope="module")
def address(recording: Recording) -> Iterator[str]:
    """A server with a key, on a loop of its own."""
    ready, over, told = threading.Event(), asyncio.Event(), []

    async def main() -> None:
        listeners = Listeners(KnownEar(recording), language="en")
        async with called(listeners, api_keys=["s3cret"]) as address:
            told.append((address, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(10)
    address, loop = told[0]
    yield address
    loop.call_soon_threadsafe(over.set)
    thread.join()


def listen(address: str, recording: Recording, folder: Path, key: str) -> Any:
    microphone = folder / "microphone.wav"
    write_wav(microphone, Audio(recording.sound, 16000), rate=48000)
    options = [
        *("--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
    ]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        try:
            page = browser.new_page(base_url=f"http://{address}")
            page.goto("/nothing")  # whatever it says: it is of the server's own origin
            return page.evaluate(PAGE, {"key": key, "seconds": recording.seconds})
        finally:
            browser.close()


def test_a_microphone_becomes_text(address: str, recording: Recording, tmp_path: Path) -> None:
    answer = listen(address, recording, tmp_path, "s3cret")
    heard = answer["heard"]
    assert heard[0] == {"type": "ready", "sample_rate": answer["rate"], "language": "en"}
    assert answer["protocol"] == "asr"
    assert answer["code"] == 1000
    assert heard[-1]["full_text"] == SENTENCE
    partials = [m for m in heard if m["type"] == "partial"]
    assert len(partials) >= 2
    assert partials[-1]["stable_text"].startswith("good morning")


def test_without_a_key_the_page_is_refused(address: str, recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(sync_api.Error, match="refused"):
        listen(address, recording, tmp_path, "")
