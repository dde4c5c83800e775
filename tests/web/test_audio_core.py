"""Family C over HTTP: the document's own examples, and what bad files get."""

import io
import json
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import requests

from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio
from vivavoce.studio.speech import joined

pytest.importorskip("pocketsphinx", reason="the recogniser of the tests is the extra sphinx")

SENTENCES = ("open the door", "turn off the light", "what time is it", "call my mother")


@pytest.fixture(scope="module")
def spoken(voice: EspeakVoice, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A WAV file in which the embedded voice says something."""
    folder = tmp_path_factory.mktemp("spoken")

    def say(text: str) -> Path:
        path = folder / f"{abs(hash(text))}.wav"
        speech = joined(voice.synthesize(text, language="en", voice="f3"))
        pad = np.zeros(speech.audio.rate // 2, np.float32)
        write_wav(path, Audio(np.concatenate([pad, speech.audio.samples, pad]), speech.audio.rate))
        return path

    return say


def curl(*arguments: str, folder: Path) -> bytes:
    """As the document calls it."""
    return subprocess.run(["curl", "-sS", *arguments], cwd=folder, capture_output=True, check=True).stdout


def noise(seconds: float, rate: int = 16_000) -> bytes:
    held = io.BytesIO()
    rng = np.random.default_rng(1)
    write_wav(held, Audio((0.05 * rng.standard_normal(round(seconds * rate))).astype(np.float32), rate), rate)
    return held.getvalue()


def recorded(channels: int, rate: int) -> bytes:
    """A second of WAV in many channels or at a high rate."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * rate))
    return held.getvalue()


def detail(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"detail"}
    return str(body["detail"])


# ---- the document's examples


def test_health(server: Served) -> None:
    assert requests.get(f"{server.url}/health", timeout=10).json() == {"status": "ok"}


def test_the_curl_examples(server: Served, spoken: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("sample.wav", "noisy.wav", "speech.wav"):
        (tmp_path / name).write_bytes(spoken(SENTENCES[0]).read_bytes())
    uploaded = json.loads(curl("-F", "file=@sample.wav", f"{server.url}/files/upload", folder=tmp_path))
    assert uploaded["filename"].startswith("sample")
    made = json.loads(curl("-F", "file=@noisy.wav", f"{server.url}/audio/enhance", folder=tmp_path))
    assert made["output_filename"].startswith("noisy_enhanced")
    curl("-o", "out.wav", f"{server.url}/files/download/{made['output_filename']}", folder=tmp_path)
    with wave.open(str(tmp_path / "out.wav")) as out, wave.open(str(tmp_path / "noisy.wav")) as noisy:
        assert out.getnframes() == noisy.getnframes()
    said = json.loads(curl("-F", "file=@speech.wav", f"{server.url}/audio/transcribe?language=en", folder=tmp_path))
    assert said["raw"]["language"] == "en"
    assert said["raw"]["duration"] == pytest.approx(spoken_seconds(tmp_path / "speech.wav"), abs=0.01)


def spoken_seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return float(file.getnframes() / file.getframerate())


def test_the_httpx_example(server: Served, spoken: Callable[[str], Path]) -> None:
    f = {"file": ("speech.wav", spoken(SENTENCES[1]).read_bytes(), "audio/wav")}
    r = httpx.post(f"{server.url}/audio/transcribe?language=en", files=f, timeout=60)
    assert isinstance(r.json()["text"], str)
    words = [w for s in r.json()["raw"]["segments"] for w in s["words"]]
    assert all(0 <= w["start"] <= w["end"] and 0 <= w["probability"] <= 1 for w in words)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_the_voice_says_comes_back(server: Served, spoken: Callable[[str], Path], sentence: str) -> None:
    answer = requests.post(
        f"{server.url}/audio/transcribe",
        params={"language": "en", "phrases": list(SENTENCES)},
        files={"file": ("a.wav", spoken(sentence).read_bytes())},
        timeout=60,
    )
    assert answer.json()["text"] == sentence
    assert answer.json()["engine"] == "sphinx"


def test_silence_and_noise_have_no_words(server: Served) -> None:
    silent = io.BytesIO()
    write_wav(silent, Audio(np.zeros(32_000, np.float32), 16_000))
    for content in (silent.getvalue(), noise(3)):
        answer = requests.post(
            f"{server.url}/audio/transcribe?language=en", files={"file": ("a.wav", content)}, timeout=60
        )
        assert answer.json()["text"] == ""
        assert answer.json()["raw"]["segments"] == []


@pytest.mark.parametrize(("form", "begins"), [("srt", "1\n00:00:0"), ("vtt", "WEBVTT"), ("text", "open the door")])
def test_other_forms(server: Served, spoken: Callable[[str], Path], form: str, begins: str) -> None:
    answer = requests.post(
        f"{server.url}/audio/transcribe",
        params={"language": "en", "phrases": SENTENCES[0], "format": form},
        files={"file": ("a.wav", spoken(SENTENCES[0]).read_bytes())},
        timeout=60,
    )
    assert answer.text.startswith(begins)
    assert SENTENCES[0] in answer.text


def test_a_language_that_no_recogniser_here_knows(server: Served, spoken: Callable[[str], Path]) -> None:
    answer = requests.post(
        f"{server.url}/audio/transcribe?language=ru", files={"file": ("a.wav", spoken("one").read_bytes())}, timeout=60
    )
    assert "vivavoce models pull whisper-small" in detail(answer, 503)


# ---- OpenAI's client


def test_the_openai_package_works_unchanged(server: Served, spoken: Callable[[str], Path]) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        with spoken("open the door").open("rb") as file:
            said = client.audio.transcriptions.create(model="whisper-1", file=file, language="en")
        assert isinstance(said.text, str)
        with spoken("open the door").open("rb") as file:
            long = client.audio.transcriptions.create(
                model="sphinx",
                file=file,
                language="en",
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
            )
        assert (long.language, long.text) == ("english", said.text)
        assert long.words
        assert long.segments
        assert " ".join(w.word for w in long.words) == long.text
        with spoken("open the door").open("rb") as file:
            events = list(client.audio.transcriptions.create(model="whisper-1", file=file, language="en", stream=True))
        assert [e.type for e in events[-1:]] == ["transcript.text.done"]
        assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == said.text
        with spoken("open the door").open("rb") as file, pytest.raises(openai.BadRequestError, match="no recogniser"):
            client.audio.transcriptions.create(model="parrot", file=file)
        with pytest.raises(openai.APIStatusError, match="cannot be read") as refused:
            client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"this is no sound"), language="en")
        assert refused.value.status_code == 415


# ---- bad input


@pytest.mark.parametrize("path", ["/audio/enhance", "/audio/transcribe?language=en", "/speaker/enroll"])
@pytest.mark.parametrize(
    ("content", "name", "status", "said"),
    [
        (b"", "empty.wav", 400, "empty"),
        (b"this is no sound at all", "text.wav", 415, "cannot be read"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "head.wav", 415, "cannot be read"),
        (noise(3)[:64_000], "cut.wav", 400, "cut off: it says that it lasts 3.0 s and holds 2.0 s"),
        (recorded(8, 48_000), "room.wav", 400, "8 channels; up to 6 can be read"),
        (recorded(1, 192_000), "studio.wav", 400, "192000 samples a second; 4000 to 96000 can be read"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "list.m3u8", 415, "cannot be read"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "list.txt", 415, "cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "a.svg", 415, "cannot"),
    ],
    ids=["empty", "text", "only a head", "truncated", "8 channels", "192 kHz", "playlist", "concat", "svg"],
)
def test_what_is_no_sound(server: Served, path: str, content: bytes, name: str, status: int, said: str) -> None:
    answer = requests.post(f"{server.url}{path}", files={"file": (name, content)}, timeout=60)
    assert said in detail(answer, status)
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/audio/enhance", "/audio/transcribe", "/speaker/verify", "/files/upload"])
def test_a_missing_file_is_the_frameworks_own_list(server: Served, path: str) -> None:
    answer = requests.post(f"{server.url}{path}", data={"nothing": "here"}, timeout=10)
    assert answer.status_code == 422
    problems = answer.json()["detail"]
    assert [p["type"] for p in problems] == ["missing"]
    assert problems[0]["loc"][-1] in ("file", "probe")


def test_unknown_engines_and_languages(server: Served) -> None:
    sound = {"file": ("a.wav", noise(1))}
    for path, told in (
        ("/audio/enhance?engine=magic", "There is no enhancer 'magic'"),
        ("/audio/transcribe?engine=magic", "There is no recogniser 'magic'"),
        ("/audio/transcribe?language=klingon", "klingon"),
    ):
        assert told in detail(requests.post(server.url + path, files=sound, timeout=30), 400)


def test_files_lead_nowhere_else(server: Served) -> None:
    for name in ("nothing.wav", "..%2F..%2Fjobs.db", "%2Fetc%2Fpasswd", "..", ".%00"):
        answer = requests.get(f"{server.url}/files/download/{name}", timeout=10)
        assert answer.status_code == 404
        assert answer.json()["detail"] in ("File not found", "There is nothing at this address.")


def test_files_are_kept_apart_and_read_in_ranges(server: Served) -> None:
    content = noise(1)
    names = [
        requests.post(f"{server.url}/files/upload", files={"file": ("range.wav", content)}, timeout=10).json()
        for _ in range(2)
    ]
    assert names[0] != names[1]
    url = f"{server.url}/files/download/{names[0]['filename']}"
    part = requests.get(url, headers={"Range": "bytes=4-7"}, timeout=10)
    assert (part.status_code, part.content) == (206, content[4:8])
    assert requests.head(url, timeout=10).headers["Content-Length"] == str(len(content))


def test_keys_see_their_own_files_only(serve: Callable[..., Served]) -> None:
    served = serve(server__api_keys='["one", "two"]')
    mine = {"X-API-Key": "one"}
    content = noise(0.5)
    name = requests.post(
        f"{served.url}/files/upload", headers=mine, files={"file": ("secret.wav", content)}, timeout=10
    ).json()["filename"]
    url = f"{served.url}/files/download/{name}"
    assert requests.get(url, headers=mine, timeout=10).content == content
    assert requests.get(url, headers={"X-API-Key": "two"}, timeout=10).status_code == 404
    assert requests.get(url, timeout=10).status_code == 401


def test_jobs_are_recorded_and_nothing_lies_about(server: Served, spoken: Callable[[str], Path]) -> None:
    requests.post(
        f"{server.url}/audio/transcribe?language=en", files={"file": ("a.wav", spoken("one").read_bytes())}, timeout=60
    ).raise_for_status()
    jobs = requests.get(f"{server.url}/v1/jobs?kind=transcribe", timeout=10).json()["jobs"]
    assert jobs[0]["state"] == "succeeded"
    assert jobs[0]["params"] == {"engine": "auto", "language": "en"}
    assert jobs[0]["result"]["engine"] == "sphinx"
    parts = [p.name for p in (server.data / "files").rglob("*.part")]
    assert parts == []
