"""``/v1/audio/speech``: OpenAI's package speaks with our voices unchanged, in every format."""

import io
import json
from collections.abc import Callable
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt
import openai
import pytest
import requests

from people import enrolled, recording
from serving import Served
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import decode, resample
from vivavoce.media.synthetic import MARK
from vivavoce.nouns import Audio
from vivavoce.studio.speech import joined

TEXT = "Nobody had told the children."
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
KINDS: dict[Format, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def asked(server: Served, **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}/v1/audio/speech", json={"input": TEXT, **fields}, timeout=60)


def sound(answer: requests.Response) -> Audio:
    assert answer.status_code == 200, answer.text
    return decode(answer.content, max_seconds=60)


@pytest.fixture(scope="module")
def said(voice: EspeakVoice) -> Audio:
    return joined(voice.synthesize(TEXT, language="en", voice="f2")).audio


def _loudness(audio: Audio) -> npt.NDArray[np.float64]:
    """Of steps of 20 ms."""
    samples = resample(audio, 16_000).samples
    steps = samples[: len(samples) // 320 * 320].reshape(-1, 320).astype(np.float64)
    return np.asarray(np.sqrt((steps**2).mean(axis=1)))


@pytest.mark.parametrize("form", KINDS)
def test_the_openai_package_gets_every_format(server: Served, said: Audio, form: Format) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.audio.speech.create(model="tts-1", voice="espeak/f2", input=TEXT, response_format=form)
        content = answer.read()
        assert answer.response.headers["content-type"] == KINDS[form]
    heard = (
        Audio(np.frombuffer(content, "<i2").astype(np.float32) / np.float32(32768), 24_000)
        if form == "pcm"
        else decode(content, max_seconds=60)
    )
    assert heard.seconds == pytest.approx(said.seconds, abs=0.1)
    one, other = _loudness(heard), _loudness(said)
    length = min(len(one), len(other))
    shifts = [np.corrcoef(one[k : length - 3 + k], other[: length - 3])[0, 1] for k in range(4)]  # AAC begins later
    assert max(shifts) > 0.97, "it is the same speech"
    if form not in ("pcm", "aac"):
        with av.open(io.BytesIO(content)) as container:
            told = container.metadata | container.streams.audio[0].metadata
        assert told["comment"] == MARK["comment"]


def test_the_openai_package_streams_and_reads_refusals(server: Served) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="alloy", input=TEXT, instructions="Whisper.", speed=1.25
        ) as answer:
            content = b"".join(answer.iter_bytes())
        assert decode(content, max_seconds=60).seconds > 0.5
        with pytest.raises(openai.BadRequestError, match="no model 'strange'"):
            client.audio.speech.create(model="strange", voice="alloy", input=TEXT)
        with pytest.raises(openai.NotFoundError, match="There is no voice 'nobody'"):
            client.audio.speech.create(model="tts-1", voice="clone/nobody", input=TEXT)


def test_languages_are_told_by_their_letters_or_asked_for(server: Served) -> None:
    plain = sound(asked(server, input="Привет, как дела?", response_format="wav"))
    russian = sound(asked(server, input="Привет, как дела?", response_format="wav", language="ru"))
    kazakh = sound(asked(server, input="Привет, как дела?", response_format="wav", language="kk"))
    assert np.array_equal(plain.samples, russian.samples)
    assert not np.array_equal(plain.samples, kazakh.samples)


def test_models_and_voices(server: Served) -> None:
    same = [
        asked(server, response_format="wav", **fields).content
        for fields in (
            {},
            {"model": "tts-1-hd", "voice": "nova"},
            {"model": "espeak", "voice": "alloy"},
            {"voice": {"id": "espeak/"}},
        )
    ]
    assert len(set(same)) == 1, "the voice of the settings"
    named = [
        asked(server, response_format="wav", **fields).content
        for fields in ({"model": "espeak", "voice": "m1"}, {"voice": "espeak/m1"}, {"model": "tts-1", "voice": "m1"})
    ]
    assert len(set(named)) == 1
    assert named[0] != same[0]


def test_a_clone_speaks(server: Served, voice: EspeakVoice) -> None:
    enrolled(server, recording(voice), id="speaker", language="en")
    heard = asked(server, voice="clone/speaker", response_format="wav")
    assert asked(server, model="clone", voice="speaker", response_format="wav").content == heard.content
    expected = joined(voice.synthesize(TEXT, language="en", voice="m3")).audio
    assert np.abs(sound(heard).samples - expected.samples).max() < 1e-3
    requests.delete(f"{server.url}/v1/voices/speaker", timeout=10)


@pytest.mark.parametrize("speed", [0.25, 0.8, 2, 4])
def test_speed(server: Served, said: Audio, speed: float) -> None:
    heard = sound(asked(server, voice="espeak/f2", response_format="wav", speed=speed))
    assert heard.seconds == pytest.approx(said.seconds / speed, rel=0.04, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"input": ""}, 400, "text"),
        ({"input": "?!"}, 400, "say"),
        ({"input": 5}, 400, "input must be a string"),
        ({"input": "x " * 3000}, 413, "characters"),
        ({"response_format": "ogg"}, 400, "mp3, opus, aac, flac, wav, pcm"),
        ({"speed": 9}, 400, "0.25 to 4"),
        ({"speed": "fast"}, 400, "0.25 to 4"),
        ({"voice": "nothing/x"}, 400, "no voice engine"),
        ({"voice": "espeak/strange"}, 400, "no voice"),
        ({"voice": 5}, 400, "voice must be"),
        ({"language": "tlh"}, 400, "language"),
        ({"stream_format": "sse"}, 400, "stream_format"),
        ({"model": "elevenlabs", "voice": "x"}, 503, "ELEVENLABS_API_KEY"),
    ],
)
def test_what_is_refused(server: Served, fields: dict[str, object], status: int, says: str) -> None:
    answer = asked(server, **fields)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert says in body["detail"]
    assert body["error"]["message"] == body["detail"]
    assert body["error"]["type"] == ("server_error" if status >= 500 else "invalid_request_error")


def test_what_was_said_is_a_job_and_leaves_no_file(serve: Callable[..., Served]) -> None:
    server = serve(server__api_keys=json.dumps(["key"]))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT).read()
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    job = requests.get(f"{server.url}/v1/jobs?kind=speech", headers={"X-API-Key": "key"}, timeout=10).json()["jobs"][0]
    assert (job["state"], job["params"]["text"], job["params"]["format"]) == ("succeeded", TEXT, "mp3")
    assert job["result"]["duration"] > 0.5
    assert not [p for p in (server.data / "files").rglob("*") if p.is_file()]
