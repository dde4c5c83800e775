"""The voices over the network: what they ask, what they make of the answer, and what they do when it goes wrong."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest

from vendors import KEY, SPEAKER, Vendor, vendor
from vivavoce.engines.elevenlabs import ElevenLabsVoice
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.http import HttpVoice
from vivavoce.engines.openai import OpenAIVoice
from vivavoce.errors import (
    Cancelled,
    EngineUnavailable,
    InvalidInput,
    Overloaded,
    TimedOut,
    VivavoceError,
)
from vivavoce.nouns import Speech
from vivavoce.settings import Settings, Voices
from vivavoce.studio import speech as speeches
from vivavoce.studio.equipment import engine_options
from vivavoce.studio.perform import Stage
from vivavoce.testing import SENTENCES, check_synthesizer
from vivavoce.work.events import Done, Task

Voice = ElevenLabsVoice | OpenAIVoice | HttpVoice
Make = Callable[..., Any]
VOICE_ID = "21m00Tcm4TlvDq8ikWAM"
KINDS = ("elevenlabs", "openai", "http")
TEXTS = {
    "ru": "Мама купила пять больших яблок и банку мёда. Старый пёс лежал у ворот и смотрел на дорогу.",
    "kk": "Бүгін ауа райы өте жақсы, далаға шығып серуендейік. Ұшақ биік бұлттардың үстімен ұшып барады.",
    "en": "We bought five big apples and a bowl of warm plum pudding. The old man opened his umbrella.",
    "ko": "오늘은 바람이 많이 불어서 모자가 날아갔어요. 작은 고양이가 의자 위에서 자고 있어요.",
    "zh": "今天的天气很好，我们一起去公园散步吧。妈妈买了苹果和面包。",
}


@pytest.fixture
def service(voice: EspeakVoice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with vendor(voice) as running:
        yield running


@pytest.fixture
def make(service: Vendor) -> Iterator[Make]:
    """Engines that use the service; they are closed with the test."""
    made: list[Voice] = []

    def one(kind: str, **options: Any) -> Voice:
        if kind == "elevenlabs":
            given: dict[str, Any] = {
                "api_key": KEY,
                "voice_id": VOICE_ID,
                "base_url": service.url,
                "model": "eleven_v3",
            }
            made.append(ElevenLabsVoice(**(given | options)))
        elif kind == "openai":
            made.append(OpenAIVoice(**({"api_key": KEY, "base_url": f"{service.url}/v1/"} | options)))
        else:
            told: dict[str, Any] = {"url": f"{service.url}/tts", "headers": {"X-Token": KEY}}
            made.append(HttpVoice(**(told | {"languages": tuple(SENTENCES)} | options)))
        return made[-1]

    yield one
    for engine in made:
        engine.close()


def say(
    engine: Voice, text: str = "Hello there, my big friend!", language: str = "en", voice: str = ""
) -> list[Speech]:
    return list(engine.synthesize(text, language=language, voice=voice))


def likeness(one: Speech, other: Speech) -> float:
    n = min(len(one.audio.samples), len(other.audio.samples))
    a, b = one.audio.samples[:n], other.audio.samples[:n]
    return float(np.corrcoef(a, b)[0, 1])


# ---- the contract, and the sound


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_contract_of_a_voice(make: Make, kind: str) -> None:
    engine = make(kind)
    check_synthesizer(engine, {k: SENTENCES[k] for k in ("en", "ko")})
    assert engine.traits.network


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("elevenlabs", {}),
        ("elevenlabs", {"output_format": "pcm_24000"}),
        ("elevenlabs", {"output_format": "mp3_44100_128"}),
        ("openai", {}),
        ("openai", {"response_format": "pcm"}),
        ("openai", {"response_format": "mp3"}),
        ("http", {}),
    ],
)
def test_the_sound_is_what_the_service_said(service: Vendor, make: Make, kind: str, options: dict[str, Any]) -> None:
    (heard,) = say(make(kind, **options))
    (said,) = service.said
    assert heard.audio.seconds == pytest.approx(said.audio.seconds, abs=0.06)
    if heard.audio.rate == said.audio.rate and "mp3" not in str(options) and kind != "http":
        assert likeness(heard, said) > 0.999


# ---- what is asked


def test_elevenlabs_is_asked_as_its_reference_says(service: Vendor, make: Make) -> None:
    text = " ".join(["This sentence makes the text long enough for two requests of it."] * 40)
    parts = say(make("elevenlabs", model="eleven_multilingual_v2"), text)
    assert "".join(p.text for p in parts) == text
    assert len(parts) == len(service.asked) == 2
    first, second = service.asked
    assert (first.method, first.path) == ("POST", f"/v1/text-to-speech/{VOICE_ID}/stream/with-timestamps")
    assert first.query == {"output_format": "pcm_22050"}
    assert first.headers["xi-api-key"] == KEY
    assert first.json["model_id"] == "eleven_multilingual_v2"
    assert first.json["next_text"]
    assert "previous_text" not in first.json
    assert second.json["previous_text"]
    assert "language_code" not in first.json  # this model refuses one


def test_a_model_that_takes_a_language_is_told_it(service: Vendor, make: Make) -> None:
    engine = make("elevenlabs", model="eleven_flash_v2_5")
    say(engine, "Пора домой.", "ru", "abcdefgh1234")
    assert service.asked[0].json["language_code"] == "ru"
    assert "/abcdefgh1234/" in service.asked[0].path
    assert "kk" not in engine.traits.languages
    with pytest.raises(InvalidInput, match="does not speak Қазақша"):
        say(engine, "Сәлем", "kk")


@pytest.mark.parametrize("name", ["../../v1/user", "a/b", "x" * 65, "абв12345", "id?x=1", "id id", "%2e%2e"])
def test_a_strangers_voice_id_never_becomes_part_of_an_address(service: Vendor, make: Make, name: str) -> None:
    for kind in KINDS:
        with pytest.raises(InvalidInput):
            say(make(kind), voice=name)
    assert not service.asked


def test_openais_format_is_spoken(service: Vendor, make: Make) -> None:
    say(make("openai", voices=("af_heart", "am_adam"), model="kokoro", speed=1.5), voice="am_adam")
    say(make("openai", api_key="", voices=("af_heart",)), voice="Custom")
    first, second = service.asked
    assert first.path == "/v1/audio/speech"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.json == {
        "model": "kokoro",
        "voice": "am_adam",
        "input": "Hello there, my big friend!",
        "response_format": "wav",
        "speed": 1.5,
    }
    assert "authorization" not in second.headers
    assert second.json["voice"] == "af_heart"


@pytest.mark.parametrize("body", ["json", "form", "query"])
def test_any_service_is_called_as_the_operator_says(service: Vendor, make: Make, body: str) -> None:
    more = {"method": "GET"} if body == "query" else {}
    named = {"text_field": "say", "language_field": "", "voice_field": "who", "voice": "zere"}
    engine = make("http", body=body, extra={"speed": 2, "format": "mp3"}, **named, **more)
    (heard,) = say(engine, "Пора домой.", "ru")
    asked = service.asked[0]
    fields = asked.json if body == "json" else asked.query | dict(parse_qsl(asked.body.decode()))
    assert fields == {"say": "Пора домой.", "who": "zere", "speed": 2 if body == "json" else "2", "format": "mp3"}
    assert asked.headers["x-token"] == KEY
    assert heard.audio.seconds == pytest.approx(service.said[0].audio.seconds, abs=0.06)


def test_every_engine_offers_a_voice_by_name(make: Make) -> None:
    for kind in KINDS:
        engine = make(kind)
        assert engine.traits.voices
        assert say(engine, voice=engine.traits.voices[0].id)
    named = make("http", voices=("zere", "arman"))
    assert [v.id for v in named.traits.voices] == ["zere", "arman"]
    with pytest.raises(InvalidInput, match="zere, arman"):
        say(named, voice="nobody")


@pytest.mark.parametrize(("path", "answer"), [("/json", "base64"), ("/link", "url")])
def test_sound_inside_json_or_beside_it(service: Vendor, make: Make, path: str, answer: str) -> None:
    engine = make("http", url=service.url + path, answer=answer, answer_field="data.audio")
    (heard,) = say(engine)
    assert likeness(heard, service.said[0]) > 0.999


def test_sound_on_another_host_is_not_fetched(service: Vendor, make: Make) -> None:
    engine = make("http", url=f"{service.url}/elsewhere", answer="url", answer_field="data.audio")
    with pytest.raises(EngineUnavailable, match="another host"):
        say(engine)


# ---- when


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("language", TEXTS)
def test_elevenlabs_words_are_where_it_says(service: Vendor, make: Make, language: str, relative: bool) -> None:
    service.relative = relative
    (heard,) = say(make("elevenlabs"), TEXTS[language], language)
    truth = service.said[0].of("word")
    assert [(w.text, w.offset) for w in heard.of("word")] == [(w.text, w.offset) for w in truth]
    off = [abs(a.start - b.start) for a, b in zip(heard.of("word"), truth, strict=True)]
    assert max(off) < 0.03


def test_words_are_found_in_a_text_that_the_service_rewrote(service: Vendor, make: Make) -> None:
    service.altered = True
    text = "Мы пришли 12 мая, а он ждал."
    (heard,) = say(make("elevenlabs"), text, "ru")
    words = heard.of("word")
    assert [w.text for w in words] == ["Мы", "пришли", "12", "мая", "а", "он", "ждал"]
    assert all(w.end <= v.start + 1e-6 for w, v in pairwise(words))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", TEXTS)
def test_lips_are_in_time_with_any_voice(service: Vendor, tmp_path: Path, kind: str, language: str) -> None:
    """The marks that a face gets, against the phonemes of the voice inside the service."""
    with stage(service, tmp_path) as (_, play):
        result = play("say", task(TEXTS[language], language, kind))
    spoken, truth = speeches.from_plain(result["speech"]), service.said[0]
    wanted = [(m.text, m.start) for m in truth.of("phoneme") if m.text]
    got = [(m.text, m.start) for m in spoken.of("phoneme") if m.text]
    lead = speeches.LEAD - np.flatnonzero(np.abs(truth.audio.samples) > 10 ** (-50 / 20))[0] / truth.audio.rate
    blocks = SequenceMatcher(None, [t for t, _ in wanted], [t for t, _ in got], autojunk=False).get_matching_blocks()
    off = [abs(got[b.b + k][1] - max(lead, 0) - wanted[b.a + k][1]) for b in blocks for k in range(b.size)]
    assert len(off) > 0.9 * len(wanted)
    assert np.median(off) < 0.04
    assert np.percentile(off, 90) < 0.12
    assert spoken.of("word")


# ---- what goes wrong

FAST = {"read_seconds": 0.3, "connect_seconds": 0.5}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("moods", "error", "sentence"),
    [
        (["401"], EngineUnavailable, "refuses the key"),
        (["403"], EngineUnavailable, "refuses the key"),
        (["402"], EngineUnavailable, "used up"),
        (["404"], InvalidInput, "does not know this voice"),
        (["422"], EngineUnavailable, "refuses the request"),
        (["429:0"] * 3, Overloaded, "is busy"),
        (["429:3600"], Overloaded, "longer than its limit"),
        (["503:0"] * 3, EngineUnavailable, "broken at the moment"),
        (["redirect"], EngineUnavailable, "has moved"),
        (["truncated"], EngineUnavailable, "broke off"),
        (["html"], EngineUnavailable, "text/html"),
        (["empty"], EngineUnavailable, "answered with nothing"),
        (["garbage"], EngineUnavailable, r"no sound|not timed sound|broke off"),
        (["hang"], TimedOut, "in time"),
        (["stall"], TimedOut, "in time"),
    ],
)
def test_a_service_that_fails_is_told_apart(
    service: Vendor, make: Make, kind: str, moods: list[str], error: type[VivavoceError], sentence: str
) -> None:
    service.moods = list(moods)
    began = time.monotonic()
    with pytest.raises(error, match=sentence) as raised:
        say(make(kind, **FAST))
    assert type(raised.value) is error
    assert time.monotonic() - began < 2
    assert len(service.asked) == len(moods)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mood", ["500:0", "502:0", "503:0", "504:0", "429:0", "429", "closed"])
def test_a_passing_failure_is_tried_again(service: Vendor, make: Make, kind: str, mood: str) -> None:
    service.moods = [mood]
    assert say(make(kind, **FAST))
    assert len(service.asked) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mood", ["late", "trickle"])
def test_a_slow_answer_is_waited_for(service: Vendor, make: Make, kind: str, mood: str) -> None:
    service.moods, service.patience = [mood], 0.2
    (heard,) = say(make(kind))
    assert heard.audio.seconds == pytest.approx(service.said[0].audio.seconds, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_without_an_end_is_ended(service: Vendor, make: Make, kind: str) -> None:
    service.moods, service.patience = ["endless"], 0.1
    with pytest.raises(TimedOut, match=r"limit of 0\.6 s"):
        say(make(kind, seconds_limit=0.6))


@pytest.mark.parametrize("kind", ["elevenlabs", "openai"])
def test_half_an_answer_that_looks_whole_is_refused(service: Vendor, make: Make, kind: str) -> None:
    """By its times, or by the size in its header; half an MP3 is an MP3."""
    service.moods = ["cut"]
    with pytest.raises(EngineUnavailable, match="broke off"):
        say(make(kind))
    assert len(service.asked) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_there(service: Vendor, make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.engines.network.client._PAUSES", (0.01, 0.01))
    where = {"url": "http://127.0.0.1:9/tts"} if kind == "http" else {"base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        say(make(kind, **where))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mood", ["hang", "stall"])
def test_closing_ends_the_request_at_once(service: Vendor, make: Make, kind: str, mood: str) -> None:
    service.moods = [mood]
    parts = make(kind).synthesize("Hello there, my friend.", language="en", voice="")
    raised: list[BaseException] = []

    def listen() -> None:
        try:
            next(parts)
        except BaseException as e:  # noqa: BLE001 - looked at below
            raised.append(e)

    reader = threading.Thread(target=listen)
    reader.start()
    assert service.busy.wait(5)
    began = time.monotonic()
    parts.close()
    reader.join(5)
    assert time.monotonic() - began < 0.5
    assert isinstance(raised[0], Cancelled)
    assert service.left.wait(2)
    assert list(parts) == []


def test_requests_that_are_closed_leave_nothing_behind(service: Vendor, make: Make) -> None:
    engine = make("elevenlabs")
    counts = []
    for i in range(20):
        service.moods = [("hang", "stall")[i % 2]]
        service.busy.clear()
        service.left.clear()
        parts = engine.synthesize("Hello.", language="en", voice="")
        reader = threading.Thread(target=lambda p=parts: _raises(Cancelled, p))
        reader.start()
        assert service.busy.wait(5)
        parts.close()
        reader.join(5)
        assert service.left.wait(5)
        counts.append(sum(t.name == "voice network" for t in threading.enumerate()))
    assert set(counts) == {1}
    engine.close()
    assert not [t for t in threading.enumerate() if t.name == "voice network"]
    assert say(engine)  # it opens again


def _raises(error: type[Exception], parts: Iterator[Speech]) -> None:
    with pytest.raises(error):
        next(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_one_engine_serves_many_at_once(service: Vendor, make: Make, kind: str) -> None:
    engine = make(kind)
    texts = [f"Number {n} is here." for n in range(6)]
    heard: dict[str, list[Speech]] = {}
    threads = [threading.Thread(target=lambda t=t: heard.update({t: say(engine, t)})) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(heard) == texts
    assert all("".join(p.text for p in parts) == text for text, parts in heard.items())
    for text, parts in heard.items():
        said = next(s for s in service.said if s.text == text)
        assert parts[0].audio.seconds == pytest.approx(said.audio.seconds, abs=0.06)


# ---- keys


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mood", ["401", "404", "422", "429:3600", "garbage", "truncated", "hang", "ok"])
def test_a_key_is_seen_by_nobody_but_the_service(
    service: Vendor,
    make: Make,
    kind: str,
    mood: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG if name != "httpx" else logging.WARNING, logger=name)
    service.moods = [mood]
    engine = make(kind, **FAST)
    seen = [repr(engine), repr(engine.traits)]
    try:
        say(engine)
    except VivavoceError as e:
        seen += ["".join(traceback.TracebackException.from_exception(e, capture_locals=True).format()), repr(e)]
    seen += [record.getMessage() for record in caplog.records]
    seen += [str(record.args) for record in caplog.records]
    seen += [*capfd.readouterr()]
    assert service.asked
    assert any(KEY in value for asked in service.asked for value in asked.headers.values())
    assert not any(KEY in text for text in seen)


def test_settings_hide_keys_and_hand_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)
    monkeypatch.setenv("ELEVENLABS_VOICE_ID", VOICE_ID)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("VIVAVOCE_VOICES__HTTP__URL", f"https://tts.example/say?key={KEY}")
    monkeypatch.setenv("VIVAVOCE_VOICES__HTTP__HEADERS", f'{{"Authorization": "Bearer {KEY}"}}')
    held = Settings()
    config = held.studio()
    for shown in (repr(held), str(held), held.model_dump_json(), repr(config)):
        assert KEY not in shown
    options = engine_options(config)
    assert (options["voice.elevenlabs"]["api_key"], options["voice.elevenlabs"]["voice_id"]) == (KEY, VOICE_ID)
    assert options["voice.openai"]["api_key"] == KEY
    assert options["voice.http"]["headers"] == {"Authorization": f"Bearer {KEY}"}
    monkeypatch.setenv("VIVAVOCE_VOICES__OPENAI__BASE_URL", "http://127.0.0.1:9/v1")
    elsewhere = engine_options(Settings().studio())
    assert elsewhere["voice.openai"]["api_key"] == ""  # the vendor's key is not sent to another


@pytest.mark.parametrize(
    ("build", "variable"),
    [
        (ElevenLabsVoice, "ELEVENLABS_API_KEY"),
        (OpenAIVoice, "OPENAI_API_KEY"),
        (HttpVoice, "VIVAVOCE_VOICES__HTTP__URL"),
    ],
)
def test_what_is_not_set_up_says_what_to_set(build: Callable[[], object], variable: str) -> None:
    with pytest.raises(EngineUnavailable, match=variable):
        build()


def test_without_a_voice_id_only_named_voices_speak(service: Vendor, make: Make) -> None:
    engine = make("elevenlabs", voice_id="")
    with pytest.raises(EngineUnavailable, match="ELEVENLABS_VOICE_ID"):
        say(engine, voice="Custom")
    assert say(engine, voice=VOICE_ID)


# ---- in the studio


class stage:  # noqa: N801 - used as a function
    """A stage whose network voices use the service, and what plays a task on it."""

    def __init__(self, service: Vendor, folder: Path, **changes: Any) -> None:
        voices = {
            "elevenlabs": {"api_key": KEY, "voice_id": VOICE_ID, "base_url": service.url, "model": "eleven_v3"},
            "openai": {"api_key": KEY, "base_url": f"{service.url}/v1"},
            "http": {"url": f"{service.url}/tts", "languages": tuple(TEXTS)},
            **changes,
        }
        self._stage = Stage(Settings(data_dir=folder, voices=Voices.model_validate(voices)).studio())

    def __enter__(self) -> tuple[Stage, Callable[[str, dict[str, Any]], dict[str, Any]]]:
        return self._stage, self._play

    def __exit__(self, *_: object) -> None:
        self._stage.close()

    def _play(self, kind: str, params: dict[str, Any]) -> dict[str, Any]:
        (done,) = [e for e in self._stage(Task("1", kind, params)) if isinstance(e, Done)]
        return dict(done.result)


def task(text: str, language: str, engine: str, voice: str = "") -> dict[str, Any]:
    scene = {"text": text, "language": language, "voice_engine": engine, "voice": voice}
    return scene | {"avatar": "anna", "face_engine": "photo", "canvas": (128, 128, 25)}


def test_engines_that_are_not_set_up_hide_no_others(service: Vendor, tmp_path: Path) -> None:
    with stage(service, tmp_path, elevenlabs={"api_key": ""}, http={"url": ""}) as (_, play):
        engines = {v["engine"]: v for v in play("describe", {})["voices"]}
    assert {"espeak", "openai"} <= engines.keys()
    assert not {"elevenlabs", "http"} & engines.keys()
    assert engines["openai"]["network"]


@pytest.mark.parametrize("kind", KINDS)
def test_cancelling_while_the_service_is_silent(service: Vendor, tmp_path: Path, kind: str) -> None:
    service.moods = ["hang"]
    with stage(service, tmp_path) as (playing, _):
        events = playing(Task("1", "say", task("Hello there.", "en", kind)))
        while not service.busy.is_set():
            next(events)  # signs of life come while the service is silent
        began = time.monotonic()
        events.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 1
        assert service.left.wait(2)
    assert not [t for t in threading.enumerate() if t.name in ("performance", "voice network", "voice_0")]


def test_another_voice_stands_in_only_where_a_setting_says_so(service: Vendor, tmp_path: Path) -> None:
    service.moods = ["503:0"] * 6
    with stage(service, tmp_path) as (_, play), pytest.raises(EngineUnavailable, match="ElevenLabs is broken"):
        play("say", task("Hello there.", "en", "elevenlabs"))
    with stage(service, tmp_path, fallback=True) as (_, play):
        result = play("say", task("Hello there.", "en", "elevenlabs", VOICE_ID))
        assert "ElevenLabs is broken" in result["voice_fallback"]
        assert speeches.from_plain(result["speech"]).of("phoneme")
        well = play("say", task("Hello there.", "en", "elevenlabs"))
        assert "voice_fallback" not in well
        with pytest.raises(InvalidInput, match="not a voice id"):  # the client's own fault stays one
            play("say", task("Hello there.", "en", "elevenlabs", "no such voice"))
    with stage(service, tmp_path, fallback=True, elevenlabs={"api_key": ""}) as (_, play):
        assert "ELEVENLABS_API_KEY" in play("say", task("Hello.", "en", "elevenlabs"))["voice_fallback"]


def test_the_voice_inside_the_service_is_another_one(voice: EspeakVoice) -> None:
    """Else the timing above would prove nothing."""
    one, other = (speeches.joined(voice.synthesize(TEXTS["en"], language="en", voice=v)) for v in ("", SPEAKER))
    assert other.audio.seconds > 1.15 * one.audio.seconds
