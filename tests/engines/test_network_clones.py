"""Cloners over the network: what they send of a recording, what they keep, and what they do when it goes wrong."""

import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from cloners import CloningService, cloning, form_of
from vendors import KEY
from vivavoce.engines.clones.elevenlabs import ElevenLabsCloner
from vivavoce.engines.clones.http import HttpCloner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, Overloaded, TimedOut, VivavoceError
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio, Speech
from vivavoce.settings.clones import Clones, HttpClone
from vivavoce.settings.voices import ElevenLabs
from vivavoce.studio.speech import joined
from vivavoce.testing import SENTENCES, check_cloner

Cloner = HttpCloner | ElevenLabsCloner
Make = Callable[..., Any]
KINDS = ("http", "elevenlabs")
TEXT = "Hello there, my big friend!"


@pytest.fixture
def service(voice: EspeakVoice, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloningService]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with cloning(voice) as running:
        yield running


@pytest.fixture
def make(service: CloningService) -> Iterator[Make]:
    """Engines that use the service; they are closed with the test."""
    made: list[Cloner] = []

    def one(kind: str, **options: Any) -> Cloner:
        if kind == "elevenlabs":
            made.append(ElevenLabsCloner(**({"api_key": KEY, "base_url": service.url} | options)))
        else:
            given: dict[str, Any] = {
                "url": f"{service.url}/inference_cross_lingual",
                "text_field": "tts_text",
                "language_field": "",
                "reference_field": "prompt_wav",
                "answer": "pcm",
                "headers": {"X-Token": KEY},
            }
            made.append(HttpCloner(**(given | options)))
        return made[-1]

    yield one
    for engine in made:
        engine.close()


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Audio:
    """Eleven seconds of speech with silence around them."""
    text = "The old man opened his umbrella and walked to the harbour. " * 3
    audio = joined(voice.synthesize(text, language="en", voice="m1")).audio
    quiet = np.zeros(2 * audio.rate, np.float32)
    return Audio(np.concatenate([quiet, audio.samples, quiet]), audio.rate)


@pytest.fixture
def enrolled(make: Make, recording: Audio, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """An engine and the folder of a voice of its."""

    def one(kind: str, **options: Any) -> tuple[Cloner, Path]:
        engine = make(kind, **options)
        folder = tmp_path / f"voice-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        engine.enrol([recording], folder)
        return engine, folder

    return one


def say(engine: Cloner, folder: Path, text: str = TEXT, language: str = "en") -> list[Speech]:
    return list(engine.synthesize(text, language=language, voice=folder))


def likeness(one: Audio, other: Audio) -> float:
    a, b = resample(one, 16_000).samples, resample(other, 16_000).samples
    size = 1 << (len(a) + len(b)).bit_length()
    match = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    return float(np.abs(match).max() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_contract_of_a_cloner(make: Make, kind: str, recording: Audio, tmp_path: Path) -> None:
    engine = make(kind)
    warnings = check_cloner(engine, [recording], tmp_path, {k: SENTENCES[k] for k in ("en", "ko")})
    assert bool(warnings) == (kind == "elevenlabs"), "ten seconds are few for ElevenLabs only"
    assert engine.traits.network
    assert not engine.traits.approximate


# ---- what is sent and kept


def test_cosyvoice_hears_the_recording_with_each_text(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], recording: Audio
) -> None:
    engine, folder = enrolled("http", characters=60)
    text = "The old man opened his umbrella. The young woman walked to the harbour with him."
    parts = say(engine, folder, text)
    assert "".join(p.text for p in parts) == text
    assert len(parts) == len(service.asked) == 2
    assert {p.audio.rate for p in parts} == {24_000}
    assert service.asked[0].headers["x-token"] == KEY
    assert set(form_of(service.asked[0])) == {"tts_text", "prompt_wav"}
    (reference, _) = service.references
    heard = decode(reference, max_seconds=60)
    assert heard.seconds < recording.seconds - 3, "the silence around is left out"
    assert likeness(heard, recording) > 0.95


def test_gpt_sovits_is_given_a_path_and_other_names_of_languages(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]]
) -> None:
    engine, folder = enrolled(
        "http",
        url=f"{service.url}/tts",
        send="path",
        text_field="text",
        language_field="text_lang",
        language_names={"en": "all_en"},
        reference_field="ref_audio_path",
        extra={"prompt_lang": "en", "streaming_mode": False},
        answer="audio",
    )
    (speech,) = say(engine, folder)
    assert service.asked[0].json == {
        "text": TEXT,
        "text_lang": "all_en",
        "ref_audio_path": str(folder / "reference.wav"),
        "prompt_lang": "en",
        "streaming_mode": False,
    }
    assert likeness(speech.audio, service.said[0].audio) > 0.99


def test_recordings_and_sound_go_in_base64(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], recording: Audio
) -> None:
    engine, folder = enrolled(
        "http",
        url=f"{service.url}/speak",
        send="base64",
        text_field="text",
        language_field="language",
        reference_field="reference",
        answer="base64",
        answer_field="data.audio",
        most=5.0,
    )
    (speech,) = say(engine, folder)
    assert likeness(speech.audio, service.said[0].audio) > 0.99
    assert service.asked[0].json["language"] == "en"
    assert decode(service.references[0], max_seconds=60).seconds == pytest.approx(5.0, abs=0.1)


def test_elevenlabs_makes_a_voice_speaks_with_it_and_deletes_it(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], recording: Audio
) -> None:
    engine, folder = enrolled("elevenlabs", remove_noise=True)
    ((id_, form),) = service.voices.items()
    assert set(form) == {"name", "files", "remove_background_noise"}
    assert form["name"].startswith(b"vivavoce-")
    assert form["remove_background_noise"] == b"true"
    assert likeness(decode(form["files"], max_seconds=60), recording) > 0.95
    assert [p.name for p in folder.iterdir()] == ["clone.json"], "the service has the recording, and the store"
    (speech,) = say(engine, folder)
    assert service.asked[-1].path == f"/v1/text-to-speech/{id_}/stream/with-timestamps"
    assert [m.text for m in speech.of("word")] == ["Hello", "there", "my", "big", "friend"]
    engine.forget(folder)
    assert service.asked[-1].method == "DELETE"
    assert service.voices == {}
    engine.forget(folder)
    assert len(service.asked) == 4, "it was asked again, and gone already"


def test_a_voice_that_cannot_be_deleted_is_told_of(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]]
) -> None:
    engine, folder = enrolled("elevenlabs")
    service.moods = ["401"]
    with pytest.raises(EngineUnavailable, match="refuses the key"):
        engine.forget(folder)
    service.moods = ["400"]
    with pytest.raises(EngineUnavailable, match="refuses to delete"):
        engine.forget(folder)
    assert len(service.voices) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_speech_never_reaches_the_service(
    service: CloningService, make: Make, kind: str, recording: Audio, tmp_path: Path
) -> None:
    start = 2 * recording.rate
    syllable = Audio(recording.samples[start : start + recording.rate // 2], recording.rate)
    with pytest.raises(InvalidInput, match="at least 1 s"):
        make(kind).enrol([syllable], tmp_path)
    assert service.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_voice_of_another_engine_is_refused_at_once(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], make: Make
) -> None:
    _, folder = enrolled("http")
    with pytest.raises(InvalidInput, match="not made by the cloner elevenlabs"):
        make("elevenlabs").synthesize(TEXT, language="en", voice=folder)
    (folder / "clone.json").write_text("{")
    with pytest.raises(InvalidInput, match="enrol it again"):
        make("http").synthesize(TEXT, language="en", voice=folder)
    assert service.asked == []


def test_an_id_of_a_voice_cannot_lead_to_another_address(enrolled: Callable[..., tuple[Any, Path]]) -> None:
    engine, folder = enrolled("elevenlabs")
    facts = json.loads((folder / "clone.json").read_text())
    (folder / "clone.json").write_text(json.dumps(facts | {"voice_id": "../user"}))
    for call in (lambda: engine.forget(folder), lambda: say(engine, folder)):
        with pytest.raises(InvalidInput, match="damaged"):
            call()


# ---- when it goes wrong


@pytest.mark.parametrize(
    ("mood", "error", "sentence"),
    [
        ("401", EngineUnavailable, "refuses the key"),
        ("402", EngineUnavailable, "used up"),
        ("html", EngineUnavailable, "address|settings"),
        ("garbage", EngineUnavailable, "address|settings"),
        ("empty", EngineUnavailable, "nothing"),
        ("truncated", EngineUnavailable, "broke off"),
        ("redirect", EngineUnavailable, "moved"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_service_is_told_of_without_its_key(
    service: CloningService,
    make: Make,
    kind: str,
    mood: str,
    error: type[VivavoceError],
    sentence: str,
    recording: Audio,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    plain = {"url": f"{service.url}/tts", "send": "path", "text_field": "text", "reference_field": "ref_audio_path"}
    engine = make(kind, **plain, answer="audio") if kind == "http" else make(kind)
    if kind == "http":  # it is asked for the first time when it speaks
        engine.enrol([recording], tmp_path)
    service.moods = [mood] * 3
    with pytest.raises(error, match=sentence) as raised:
        say(engine, tmp_path) if kind == "http" else engine.enrol([recording], tmp_path)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(vars(engine))
    assert KEY not in str(raised.value)
    assert KEY not in told
    if kind == "elevenlabs":
        assert not (tmp_path / "clone.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_is_busy_for_a_moment_is_asked_again(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], kind: str
) -> None:
    engine, folder = enrolled(kind)
    service.moods = ["429:0", "503:0"]
    assert len(say(engine, folder)) == 1
    service.moods = ["429:0"] * 3
    with pytest.raises(Overloaded, match="busy"):
        say(engine, folder)


def test_a_service_that_is_silent_is_given_up(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], make: Make, recording: Audio, tmp_path: Path
) -> None:
    engine, folder = enrolled("http", read_seconds=0.2)
    service.moods = ["hang"]
    with pytest.raises(TimedOut):
        say(engine, folder)
    service.moods = ["hang"]
    (tmp_path / "late").mkdir()
    with pytest.raises(TimedOut):
        make("elevenlabs", enrol_seconds=0.2).enrol([recording], tmp_path / "late")


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_a_call_at_once(
    service: CloningService, enrolled: Callable[..., tuple[Any, Path]], kind: str
) -> None:
    engine, folder = enrolled(kind)
    service.busy.clear()
    service.moods = ["hang"]
    stream = engine.synthesize(TEXT, language="en", voice=folder)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            next(stream)
        except Cancelled as e:
            raised.append(e)

    reader = threading.Thread(target=read)
    reader.start()
    assert service.busy.wait(10)
    stream.close()
    reader.join(2)
    assert not reader.is_alive()
    assert len(raised) == 1
    assert service.left.wait(5), "the connection is closed, so the service can stop too"


# ---- how they are set up


@pytest.mark.parametrize("url", ["", "ftp://a/b", "a/b", "https://"])
def test_an_address_is_needed(url: str) -> None:
    with pytest.raises(EngineUnavailable, match="VIVAVOCE_CLONES__HTTP__URL"):
        HttpCloner(url)


def test_a_key_is_needed() -> None:
    with pytest.raises(EngineUnavailable, match="ELEVENLABS_API_KEY"):
        ElevenLabsCloner()


def test_settings_reach_the_engines() -> None:
    group = Clones(
        http=HttpClone(url=SecretStr("http://127.0.0.1:9/x"), headers={"Authorization": SecretStr(f"Bearer {KEY}")})
    )
    eleven = ElevenLabs(api_key=SecretStr(KEY), model="eleven_v3")
    options = group.options(eleven, {"connect_seconds": 3.0, "read_seconds": 9.0})
    http, cloud = HttpCloner(**options["clone.http"]), ElevenLabsCloner(**options["clone.elevenlabs"])
    assert http.traits.languages == ("ru", "en", "ko", "zh")
    assert "kk" in cloud.traits.languages
    assert KEY not in repr(group) + repr(eleven)
    assert options["clone.world"] == {"voice": "f2"}


@pytest.mark.parametrize("mood", ["lost", "closed", "500", "502", "504"])
def test_a_voice_is_never_made_twice(
    service: CloningService, make: Make, recording: Audio, tmp_path: Path, mood: str
) -> None:
    """Where a service may have made it although its answer never came, it is not asked again."""
    service.moods = [mood]
    with pytest.raises(EngineUnavailable) as failed:
        make("elevenlabs").enrol([recording], tmp_path)
    assert len(service.asked) == 1
    assert len(service.voices) == (mood == "lost")
    if not mood.isdigit():
        assert "look there before you try again" in str(failed.value)


@pytest.mark.parametrize("moods", [["503:0"], ["429:0", "503:0"]])
def test_a_service_that_is_busy_is_asked_again(
    service: CloningService, make: Make, recording: Audio, tmp_path: Path, moods: list[str]
) -> None:
    service.moods = list(moods)
    make("elevenlabs").enrol([recording], tmp_path)
    assert len(service.asked) == len(moods) + 1
    assert len(service.voices) == 1


def test_a_voice_that_cannot_be_kept_here_is_deleted_there(
    service: CloningService, make: Make, recording: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its enrolment is given up, and its folder removed, while the service is at it."""

    def gone(into: Path, facts: object) -> None:
        raise FileNotFoundError(into)

    monkeypatch.setattr("vivavoce.engines.clones.elevenlabs.put", gone)
    with pytest.raises(FileNotFoundError):
        make("elevenlabs").enrol([recording], tmp_path)
    assert [asked.method for asked in service.asked] == ["POST", "DELETE"]
    assert service.voices == {}
