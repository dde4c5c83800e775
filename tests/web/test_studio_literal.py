"""The example requests of family D's document, sent by a page in Chromium just as its snippets send them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hearing import CHROMIUM, MICROPHONE, launched, opening, started
from partners import Partner, partner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
    pytest.mark.skipif(find_spec("pyworld") is None, reason="the dependency group measuring is not installed"),
]
SENTENCE = "good morning to everybody"
SEND = """
([path, fields]) => {
    const formData = new FormData();
    for (const [name, value] of Object.entries(fields)) {
        if (value === 'recorded') formData.append(name, window.audioBlob, 'input.wav');
        else formData.append(name, value);
    }
    return fetch(path, {method: 'POST', body: formData}).then((res) => res.json().then((data) => [res.status, data]));
}
"""
RECORD = """
(seconds) => navigator.mediaDevices.getUserMedia({audio: true}).then((stream) => new Promise((resolve) => {
    const mediaRecorder = new MediaRecorder(stream);
    const audioChunks = [];
    mediaRecorder.ondataavailable = (event) => audioChunks.push(event.data);
    mediaRecorder.onstop = () => {
        window.audioBlob = new Blob(audioChunks, { type: 'audio/wav' });
        resolve(window.audioBlob.size);
    };
    mediaRecorder.start();
    setTimeout(() => mediaRecorder.stop(), seconds * 1000);
}))
"""
PLAY = """
(path) => new Promise((resolve, reject) => {
    const videoEl = document.createElement('video');
    videoEl.muted = true;
    videoEl.src = path + '?t=' + new Date().getTime();
    videoEl.onended = () => resolve([videoEl.videoWidth, videoEl.duration]);
    videoEl.onerror = () => reject(new Error('it does not play'));
    document.body.append(videoEl);
    videoEl.load();
    videoEl.play().catch(err => console.warn('自动播放被阻止:', err));
})
"""
FILM = {
    "model_name": "SyncTalk",
    "model_param": "models/toy",
    "ref_audio_id": "new_speaker_1",
    "gpu_choice": "GPU0",
    "target_text": "要生成的文本",
}
TALK = {
    "audio": "recorded",
    "model_name": "SyncTalk",
    "model_param": "models\\toy",
    "ref_audio_id": "new_speaker_1",
    "api_choice": "glm-4-plus",
}


@pytest.fixture(scope="module")
def studio(
    start: Callable[..., AbstractContextManager[Any]], voice: EspeakVoice, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple["Page", Partner]]:
    """A page of the server, in a browser whose microphone hears a sentence again and again."""
    folder: Path = tmp_path_factory.mktemp("microphone")
    spoken = [piece.audio for piece in voice.synthesize(SENTENCE, language="en", voice="")]
    samples = np.concatenate([np.zeros(8000, np.float32), *[a.samples for a in spoken], np.zeros(16000, np.float32)])
    write_wav(folder / "said.wav", Audio(samples, spoken[0].rate), 48_000)
    with ExitStack() as stack:
        model = stack.enter_context(partner())
        models = json.dumps({"glm-4-plus": {"base_url": model.url, "model": "glm-4-plus"}})
        server = stack.enter_context(start(chats__models=models))
        heard = f"--use-file-for-fake-audio-capture={folder / 'said.wav'}"
        browser = stack.enter_context(launched(stack.enter_context(started()), *MICROPHONE, heard))
        at = stack.enter_context(opening(server.url))
        page = at(browser, "/realtime", bypass_csp=True)
        page.set_default_timeout(90_000)
        assert page.evaluate(RECORD, 6) > 1000
        assert page.evaluate(SEND, ["/save_audio", {"audio": "recorded"}])[0] == 200
        fields = {
            "original_audio_path": "\\uploads\\input.wav",
            "audio_id": "new_speaker_1",
            "target_audio_id": "",
            "gen_audio_id": "",
            "generate_text": "",
        }
        assert page.evaluate(SEND, ["/audio_clone", fields])[1] | {"job_id": "", "warnings": []} == {
            "status": "success",
            "message": "音频特征提取成功",
            "speaker_id": "new_speaker_1",
            "job_id": "",
            "warnings": [],
        }
        yield page, model


def test_a_clone_speaks(studio: tuple["Page", Partner]) -> None:
    page, _ = studio
    fields = {
        "original_audio_path": "",
        "audio_id": "new_speaker_1",
        "target_audio_id": "",
        "gen_audio_id": "generated_audio_1",
        "generate_text": "要生成的文本内容",
    }
    status, data = page.evaluate(SEND, ["/audio_clone", fields])
    assert (status, data["status"], data["message"]) == (200, "success", "音频生成成功")
    assert data["cloned_audio_path"].startswith("/static/voices/")
    kind = page.evaluate(
        "(path) => fetch(path + '?t=' + new Date().getTime()).then((r) => r.headers.get('content-type'))",
        data["cloned_audio_path"],
    )
    assert kind == "audio/wav"
    audios = page.evaluate("() => fetch('/api/cloned-audios').then((res) => res.json())")
    assert (audios["status"], audios["total_count"]) == ("success", 1)
    assert audios["audios"][0] | {"created_at": "", "reference_audio": ""} == {
        "id": "new_speaker_1",
        "name": "new_speaker_1",
        "created_at": "",
        "reference_audio": "",
        "status": "已提取特征",
    }


@pytest.mark.parametrize("text", ["要生成的文本", ""], ids=["a text", "the reference recording itself"])
def test_a_film_is_made_and_plays(studio: tuple["Page", Partner], text: str) -> None:
    page, _ = studio
    status, data = page.evaluate(SEND, ["/video_generation", FILM | {"target_text": text}])
    assert (status, data["status"]) == (200, "success"), data
    assert data["message"].startswith("视频生成成功")
    assert data["video_path"].startswith("/static/videos/")
    width, seconds = page.evaluate(PLAY, data["video_path"])
    assert width == 128
    assert seconds == pytest.approx(data["duration"], abs=0.1)


def test_a_recording_is_answered(studio: tuple["Page", Partner]) -> None:
    page, model = studio
    model.answers = ["你好。今天天气很好。"]
    status, data = page.evaluate(SEND, ["/chat_system", TALK])
    assert (status, data["status"], data["message"][:6]) == (200, "success", "对话生成成功"), data
    assert data["response"].replace(" ", "") == "你好。今天天气很好。"
    assert data["text"], "what was heard"
    assert model.asked[-1].messages[-1] == ("user", data["text"])
    assert page.evaluate(PLAY, data["video_path"])[0] == 128


def test_the_past_and_the_machine(studio: tuple["Page", Partner]) -> None:
    page, _ = studio
    for kind in ("video_generation", "audio_clone", "chat_system"):
        held = page.evaluate("(kind) => fetch(`/api/history/${kind}`).then((res) => res.json())", kind)
        assert held["status"] == "success"
        assert held["total_count"] == len(held["history"]) >= 1
        assert held["history"][0].keys() == {"id", "timestamp", "parameters", "result", "status"}
    held = page.evaluate("() => fetch('/api/status').then((res) => res.json())")
    assert held.keys() >= {"cpu_percent", "memory_percent", "memory_used", "memory_total", "disk_percent", "gpus"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/video_generation", {name: value for name, value in FILM.items() if name != "model_name"}),
        ("/video_generation", FILM | {"more": "1"}),
        ("/video_generation", FILM | {"model_name": "ER-NeRF", "target_text": ""}),
        ("/audio_clone", {"audio_id": "new_speaker_1"}),
        (
            "/audio_clone",
            {"audio_id": "b", "original_audio_path": "input.wav", "gen_audio_id": "c", "generate_text": "d"},
        ),
        ("/audio_clone", {"audio_id": "b", "original_audio_path": "input.wav", "more": "1"}),
        ("/chat_system", {name: value for name, value in TALK.items() if name != "audio"}),
        ("/chat_system", TALK | {"more": "1"}),
        ("/chat_system", TALK | {"audio": "no file"}),
        ("/save_audio", {}),
        ("/save_audio", {"audio": "recorded", "more": "1"}),
    ],
)
def test_what_is_missing_too_much_or_contradictory(
    studio: tuple["Page", Partner], path: str, fields: dict[str, str]
) -> None:
    page, _ = studio
    status, data = page.evaluate(SEND, [path, fields])
    assert status == 400
    assert data.keys() == {"status", "message"}
    assert data["status"] == "error"
    assert len(data["message"]) > 15
